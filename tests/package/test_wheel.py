"""The wheel carries the cards and the types: built, installed elsewhere, used outside the checkout."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from paths import HELPERS, ROOT

import m2f2bench

MAX_BYTES = 3_500_000
PROGRAM = HELPERS / "every_public_name.py"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = work.glob("m2f2bench-*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    place = wheel.parent / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def installed(site: Path) -> Path:
    """The Python of a virtual environment with the wheel, beside the packages that the tests run with."""
    folder = site.parent / "environment"
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "installed.pth").write_text(f"{site}\n{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


def called(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run with the installed package first on the path, so that the checkout's is not seen."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("M2F2BENCH_")} | {"PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-m", "m2f2bench", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def outside(site: Path, folder: Path, *words: str) -> str:
    """What the installed command line prints."""
    done = called(site, folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["detectors", "datasets", "protocols", "leaderboards"])
def test_every_card_of_the_checkout_is_there(site: Path, tmp_path: Path, kind: str) -> None:
    rows = json.loads(outside(site, tmp_path, "list", kind, "--json"))
    folder = ROOT / ("metrics" if kind == "protocols" else kind)
    assert {row["name"] for row in rows} == {p.stem for p in folder.glob("*.yaml")} - {"published"}
    assert all(row["path"].startswith(str(site)) for row in rows)


def test_cards_are_read_and_run(site: Path, tmp_path: Path) -> None:
    assert "value: 0.5" in outside(site, tmp_path, "describe", "constant")
    (tmp_path / "rows.csv").write_text("id,label,score\na,0,0.2\nb,1,0.7\n")
    found = json.loads(outside(site, tmp_path, "score", "rows.csv", "--json"))
    assert found["metrics"]["auc"]["value"] == 1.0


def test_it_is_small_and_carries_no_results(wheel: Path, site: Path) -> None:
    assert wheel.stat().st_size <= MAX_BYTES
    cards = sorted(path.relative_to(site) for path in (site / "m2f2bench" / "_cards").rglob("*") if path.is_file())
    assert {path.suffix for path in cards} == {".yaml"}
    folders = {path.parent.relative_to("m2f2bench/_cards").as_posix() for path in cards}
    assert folders == {"detectors", "datasets", "datasets/crops", "metrics", "leaderboards"}


def test_a_board_without_results_says_where_to_look(site: Path, tmp_path: Path) -> None:
    done = called(site, tmp_path, "leaderboard", "ddvqa-c40")
    assert done.returncode == 2 and "has no row" in done.stderr and done.stderr.count("\n") == 1


def test_a_board_is_drawn_from_a_folder_of_results(site: Path, tmp_path: Path) -> None:
    results = str(ROOT / "leaderboards" / "results")
    text = outside(site, tmp_path, "leaderboard", "ddvqa-c40", results, "--format", "html", "--with-published")
    assert text.startswith("<!doctype html>") and "<style" in text and "efficientnet-lite0" in text
    assert "Published" in text


def test_the_quickstart_and_the_checks_find_their_cards(site: Path, tmp_path: Path) -> None:
    result = ROOT / "leaderboards" / "results" / "random--ddvqa-c40--frame.json"
    assert "valid" in outside(site, tmp_path, "validate", str(result))
    assert "small-cnn" in outside(site, tmp_path, "describe", "quickstart")


def test_no_card_folder_is_importable(site: Path) -> None:
    assert not any((site / name).exists() for name in ("detectors", "datasets", "metrics", "leaderboards"))


def test_every_public_name_is_in_the_typed_program() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "m2f2bench"
    }
    assert used == set(m2f2bench.__all__)


@pytest.mark.slow
def test_every_public_name_is_there_and_listed(installed: Path, tmp_path: Path) -> None:
    code = "import m2f2bench as m; print([n for n in m.__all__ if getattr(m, n) is None], dir(m) == m.__all__)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "True"], done.stderr


def test_import_loads_none_of_the_rooms(installed: Path, tmp_path: Path) -> None:
    code = "import sys, m2f2bench; print(m2f2bench.__file__, [n for n in sys.modules if n.startswith('m2f2bench.')])"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    file, modules = done.stdout.split(" ", 1)
    assert file.startswith(str(tmp_path.parent)) and modules.strip() == "[]"


@pytest.mark.slow
@pytest.mark.timeout(900)  # torch and transformers would take mypy most of a minute
def test_every_public_name_has_a_type_for_users(installed: Path, tmp_path: Path) -> None:
    names = [f"reveal_type(m2f2bench.{name})" for name in m2f2bench.__all__]
    mistakes = [  # that mypy must find, or the comment is an error
        "m2f2bench.run(detector='constant')  # type: ignore[call-arg]",
        "m2f2bench.no_such_name  # type: ignore[attr-defined]",
        "number: int = m2f2bench.localize('small', 'synthetic')  # type: ignore[assignment]",
    ]
    program = tmp_path / "program.py"
    program.write_text("\n".join([PROGRAM.read_text(encoding="utf-8"), *names, *mistakes, ""]), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    (tmp_path / "settings.ini").write_text(
        "[mypy]\nstrict = true\n[mypy-torch.*,transformers.*]\nfollow_imports = skip\n"
    )
    words = ["--no-incremental", "--config-file=settings.ini", "--python-executable", str(installed), program.name]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    revealed = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(revealed) == len(names) and not [line for line in revealed if 'is "Any"' in line]
