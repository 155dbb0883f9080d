"""Data files (baselines, results, …) never cause an import: a canary writes a marker if it is imported."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import m2f2bench
from m2f2bench.core.errors import CardError, M2F2BenchError

CANARY = """
import pathlib
pathlib.Path({marker!r}).write_text("executed")
from m2f2bench.detectors.base import Detector
from m2f2bench.datasets.base import Adapter
class X(Adapter):
    splits = ("test", "val")
    def __init__(self, *args, **more): pathlib.Path({marker!r}).write_text("built")
    def predict(self, images): return [0.5] * len(images)
    def frames(self, split): return []
    def read(self, frame): raise RuntimeError
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a current folder with a canary as a file, a module, a pickle and in cards; with faces and a baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    marker = tmp_path / "marker"
    (tmp_path / "evil.py").write_text(CANARY.format(marker=str(marker)))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Bomb(str(marker))))
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Bomb(str(marker))))
    (tmp_path / "evil").mkdir()
    for place in (tmp_path / "card.yaml", tmp_path / "evil.yaml", tmp_path / "evil" / "card.yaml"):
        place.write_text("name: evil\nbackend: evil.py:X\n")
    (tmp_path / "data.yaml").write_text("name: data\nadapter: evil.py:X\n")
    for name, value in (("real", 60), ("fake", 90)):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(np.full((16, 16, 3), value + i, np.uint8)).save(tmp_path / "faces" / name / f"{i}.png")
    m2f2bench.run(detectors="constant", datasets="faces", out=tmp_path / "out")
    (tmp_path / "out" / "constant--faces--frame").rename(tmp_path / "baseline")
    return tmp_path


class Bomb:
    """A pickle that writes the marker."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.write_text, (Path(self.marker), "unpickled")


NAMES = (
    "evil.py:X",
    "{here}/evil.py:X",
    "./evil.py:X",
    "evil:X",
    "evil",
    "evil.yaml",
    "./evil",
    "evil.pkl",
    "evil.pth",
)
NAMES += (
    "evil.X",
    "{here}",
    "card.yaml",
    "../{name}/evil.py:X",
    "m2f2bench.cards.registry:load_from_file",
    "os:system",
    "",
)


def changed(world: Path, **changes: object) -> None:
    file = world / "baseline" / "result.json"
    data = json.loads(file.read_text())
    for key, value in changes.items():
        part, _, inner = key.partition("__")
        if inner:
            data[part][inner] = value
        else:
            data[part] = value
    file.write_text(json.dumps(data))


def attempts(world: Path) -> list[dict[str, object]]:
    names = [name.format(here=world, name=world.name) for name in NAMES]
    found: list[dict[str, object]] = [{"detector": name} for name in names]
    found += [{"dataset": name} for name in (*names, "data.yaml", "data")]
    found += [{"detector_card": {"name": "evil", "backend": name}} for name in names]
    return found


def test_e1_check_runs_nothing_that_a_baseline_names(cli, world: Path) -> None:
    original = (world / "baseline" / "result.json").read_text()
    for attempt in attempts(world):
        (world / "baseline" / "result.json").write_text(original)
        changed(world, **attempt)
        if attempt.get("detector_card"):  # only says what to give
            with pytest.raises(M2F2BenchError):
                m2f2bench.check(world / "baseline", detector="nothing")
            continue
        outcome = cli("check", world / "baseline")
        assert outcome.status in (0, 1, 2) and "Traceback" not in outcome.err, outcome
        assert len(outcome.err.strip().splitlines()) <= 1 or outcome.status != 2, outcome
        assert not (world / "marker").exists(), attempt


def test_e1_a_baselines_protocol_names_no_dataset_that_is_loaded(cli, one_line, world: Path) -> None:
    data = json.loads((world / "baseline" / "result.json").read_text())
    for name in ("evil.py:X", str(world / "evil.py:X"), "data.yaml"):
        card = data["protocol_card"] | {"threshold": {"how": "eer", "split": "val", "dataset": name}}
        changed(world, protocol_card=card)
        assert "files that a result names are not loaded" in one_line(cli("check", world / "baseline"))
        assert not (world / "marker").exists()


@pytest.mark.slow
def test_e1_nothing_else_that_reads_results_loads_what_they_name(cli, world: Path) -> None:
    original = (world / "baseline" / "result.json").read_text()
    for attempt in attempts(world)[::12]:
        (world / "baseline" / "result.json").write_text(original)
        changed(world, **attempt)
        for words in (
            ["leaderboard", "baseline"],
            ["validate", "baseline"],
            ["score", "baseline"],
            ["compare", "baseline", "baseline"],
            ["plot", "ranks", "baseline", "--out", "a.png"],
            ["plot", "roc", "baseline", "--out", "a.png"],
            ["report", "baseline"],
            ["merge", "baseline", "--out", "m"],
        ):
            outcome = cli(*words)
            assert "Traceback" not in outcome.err and not (world / "marker").exists(), (words, attempt, outcome)


def test_e1_the_pytest_plugin_runs_nothing_that_a_baseline_names(world: Path) -> None:
    changed(world, detector="evil.py:X", dataset="evil.py:X")
    (world / "tests").mkdir()
    (world / "tests" / "test_x.py").write_text(
        "def test_a(m2f2bench_check):\n    m2f2bench_check('constant', 'baseline')\n"
        "def test_b(m2f2bench_check):\n    m2f2bench_check(None, 'baseline')\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=world, env=environment, capture_output=True, text=True, timeout=120)
    assert "2 failed" in done.stdout and "Traceback" not in done.stdout, done.stdout
    assert not (world / "marker").exists()


def test_d8_the_message_says_what_to_give(cli, one_line, world: Path) -> None:
    (world / "mine.py").write_text("class Mine:\n    def predict(self, images):\n        return [0.5] * len(images)\n")
    assert cli("run", "-d", "mine.py:Mine", "-s", "faces", "--out", "o2").status == 0
    line = one_line(cli("check", "o2"))
    assert "names the detector 'mine.Mine'" in line and line.endswith("give -d mine.py:Mine")
    outcome = cli("check", "o2", "-d", "mine.py:Mine")
    assert outcome.status == 0 and "passed" in outcome.out


def test_d8_a_plain_folder_or_manifest_is_data_and_is_found(cli, one_line, world: Path) -> None:
    assert cli("check", "baseline").status == 0
    (world / "faces").rename(world / "elsewhere")
    line = one_line(cli("check", "baseline"))
    assert "names the dataset 'faces'" in line and line.endswith("give -s DATASET")
    assert cli("check", "baseline", "-s", "elsewhere").status == 1, "its name is in the signature"
    (world / "elsewhere").rename(world / "faces")
    rows = [f"faces/{name}/{i}.png,{name}" for name in ("real", "fake") for i in range(6)]
    (world / "list.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    assert cli("run", "-d", "constant", "-s", "list.csv", "--out", "o3").status == 0
    assert cli("check", "o3").status == 0


def test_d8_a_missing_path_is_missing(cli, one_line, world: Path) -> None:
    assert one_line(cli("check", "nowhere")) == "m2f2bench: there is no file or folder 'nowhere'"
    assert "no file or folder 'nowhere.json'" in one_line(cli("leaderboard", "nowhere.json"))
    assert one_line(cli("check", "/dev/null")) == "m2f2bench: '/dev/null' is neither a file nor a folder"
    assert "has no result.json in it" in one_line(cli("check", "faces"))


def test_e1_registered_names_are_those_of_cards_and_classes(world: Path) -> None:
    from m2f2bench.loading import measured_dataset, registered

    assert registered("detectors", "constant", world) == "constant"
    for name in ("evil.py:X", "evil", "../faces", ".", "/", "~"):
        with pytest.raises(CardError, match="files that a result names are not loaded"):
            registered("detectors", name, world)
        with pytest.raises(CardError, match="files that a result names are not loaded"):
            measured_dataset(name, world / "baseline" / "result.json")
