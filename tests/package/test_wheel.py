"""The wheel carries the cards: built, installed elsewhere, listed and read outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (work / "dist").glob("m2f2bench-*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(work / "site")]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return work / "site"


def outside(site: Path, folder: Path, *words: str) -> str:
    """Run with the installed package first on the path, so that the checkout's is not seen."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("M2F2BENCH_")} | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-m", "m2f2bench", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["detectors", "datasets", "metrics", "leaderboards"])
def test_every_card_of_the_checkout_is_there(site: Path, tmp_path: Path, kind: str) -> None:
    rows = json.loads(outside(site, tmp_path, "list", kind, "--json"))
    assert {row["name"] for row in rows} == {p.stem for p in (ROOT / kind).glob("*.yaml")} - {"published"}
    assert all(row["path"].startswith(str(site)) for row in rows)


def test_cards_are_read_and_run(site: Path, tmp_path: Path) -> None:
    assert "value: 0.5" in outside(site, tmp_path, "describe", "constant")
    (tmp_path / "rows.csv").write_text("id,label,score\na,0,0.2\nb,1,0.7\n")
    found = json.loads(outside(site, tmp_path, "score", "rows.csv", "--json"))
    assert found["metrics"]["auc"]["value"] == 1.0


def test_the_board_is_drawn(site: Path, tmp_path: Path) -> None:
    text = outside(site, tmp_path, "leaderboard", "ddvqa-c40", "--format", "html")
    assert text.startswith("<!doctype html>") and "<style" in text and "efficientnet-lite0" in text


def test_no_card_folder_is_importable(site: Path) -> None:
    assert not any((site / name).exists() for name in ("detectors", "datasets", "metrics", "leaderboards"))
