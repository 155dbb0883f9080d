"""The committed boards of quick trainings: every number again from rows and records, three trainings for each row."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from paths import ROOT

import m2f2bench
from m2f2bench.cards.columns import TrainStep
from m2f2bench.cards.quick import trained_name
from m2f2bench.leaderboards.board import gather, read_evidence
from m2f2bench.leaderboards.render import render
from m2f2bench.loading import load_leaderboard
from m2f2bench.results.stored import read_stored

FOLDER = ROOT / "leaderboards"
METHODS = ("deepfakes", "face2face", "faceswap", "neuraltextures")
BOARDS = {
    "ddvqa-c40-trained": FOLDER / "trained",
    "synthetic-trained": FOLDER / "synthetic-trained",
    "synthetic-networks": FOLDER / "synthetic-networks",
    **{f"ddvqa-c40-without-{method}": FOLDER / "without" / method for method in METHODS},
}


def trained(step: TrainStep) -> str:
    """The name of what a step of a suite trains."""
    return trained_name(step.detector, step.quick, step.size)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_a_committed_board_of_trainings_is_made_of_its_rows(name: str) -> None:
    card, folder = load_leaderboard(name), BOARDS[name]
    stored = read_stored([folder / "results"])
    columns = {(column.dataset, column.protocol) for column in card.columns}
    trainings = [f"{trained(step)}-seed{seed}" for step in card.train for seed in step.seeds]
    assert Counter(one.result.detector for one in stored) == dict.fromkeys(trainings, len(columns))
    assert len(read_evidence(stored)) == len(stored), "all have their rows"
    for file in sorted((folder / "results").glob("*-seed0--*.json")):
        assert m2f2bench.validate_result(file) == [], file
    board = gather([name, str(folder / "results")], seeds=True)
    for format in ("md", "csv"):
        assert render(board, format) == (folder / f"board.{format}").read_text(encoding="utf-8"), format


@pytest.mark.parametrize("name", BOARDS)
def test_each_row_has_the_record_of_its_training(name: str) -> None:
    card, folder = load_leaderboard(name), BOARDS[name]
    steps = {f"{trained(step)}-seed{seed}": (step, seed) for step in card.train for seed in step.seeds}
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (folder / "training").glob("*.json")}
    assert set(records) == set(steps)
    for one, (step, seed) in steps.items():
        record = records[one]
        assert (record["dataset"], record["seed"]) == (step.dataset, seed), one
        assert record["settings"]["precision"] == (step.precision or "fp32"), one
        assert record["seconds"] > 0 and not record["commit"].endswith("dirty"), one


@pytest.mark.parametrize(
    ("script", "words", "table"),
    [
        *(("training_cost", [folder / "training"], folder / "cost.md") for folder in BOARDS.values()),
        ("left_out", [FOLDER / "trained" / "results", FOLDER / "without"], FOLDER / "without" / "left-out.md"),
    ],
)
def test_their_tables_are_made_of_them(script: str, words: list[Path], table: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == table.read_text(encoding="utf-8")
