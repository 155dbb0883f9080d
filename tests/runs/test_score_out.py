"""`score --out`: rows of another program as a folder that is validated, compared and put on a board like a run's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import m2f2bench


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of `random` on some faces of `synthetic`."""
    out = tmp_path_factory.mktemp("runs")
    m2f2bench.run(detectors=["random"], datasets="synthetic", out=out)
    return out / "random--synthetic--frame"


@pytest.fixture
def mine(run: Path, tmp_path: Path) -> Path:
    """A CSV of scores for the same frames, two without a score."""
    rows = pd.read_parquet(run / "predictions.parquet")[["frame", "label"]].rename(columns={"frame": "id"})
    rows["score"] = np.random.default_rng(0).beta(2 + 3 * rows["label"], 2)
    rows.loc[[3, 5], "score"] = np.nan
    rows.to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def test_rows_of_another_program_become_a_result_that_is_valid_and_compared_with_a_run(
    cli, run: Path, mine: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = cli("score", mine, "-s", "synthetic", "-p", "frame", "--out", out)
    assert outcome.status == 0 and f"written to {out}" in outcome.out
    folder = out / "mine--synthetic--frame"
    assert m2f2bench.validate_result(folder) == []
    direct = m2f2bench.score(mine, dataset="synthetic", protocol="frame")
    again = m2f2bench.score(folder)
    assert again.metrics == direct.metrics and again.signature == direct.signature
    assert again.frame_coverage == 430 / 432 and again.statuses["missing"] == 2
    assert "| mine" in cli("leaderboard", out, run, "--no-signatures").out


def test_such_a_folder_is_compared_with_a_run_on_the_same_frames(cli, run: Path, mine: Path, tmp_path: Path) -> None:
    pd.read_csv(mine).fillna({"score": 0.5}).to_csv(mine, index=False)
    assert cli("score", mine, "-s", "synthetic", "--out", tmp_path / "out").status == 0
    compared = cli("compare", tmp_path / "out" / "mine--synthetic--frame", run, "-m", "auc")
    assert compared.status == 0 and "mine is better than random in AUC" in compared.out


def test_without_a_dataset_the_folder_is_named_for_rows(cli, mine: Path, tmp_path: Path) -> None:
    assert cli("score", mine, "--out", tmp_path / "out").status == 0
    assert m2f2bench.validate_result(tmp_path / "out" / "mine--rows--frame--none") == []


def test_the_rows_of_the_threshold_are_kept_too(cli, mine: Path, tmp_path: Path) -> None:
    card = tmp_path / "picked.yaml"
    card.write_text(
        "name: picked\nlevel: frame\nmetrics: [auc]\nthreshold: {how: best, split: val, maximise: accuracy}\n"
    )
    outcome = cli("score", mine, "-p", card, "--validation", mine, "--out", tmp_path / "out")
    assert outcome.status == 0, outcome
    assert m2f2bench.validate_result(tmp_path / "out" / "mine--rows--picked--none") == []
    (tmp_path / "out" / "mine--rows--picked--none--val" / "predictions.parquet").unlink()
    assert m2f2bench.validate_result(tmp_path / "out" / "mine--rows--picked--none") != []


def test_a_folder_of_a_run_and_two_results_of_one_name_are_refused(
    cli, one_line, run: Path, mine: Path, tmp_path: Path
) -> None:
    before = (run / "predictions.parquet").read_bytes()
    args = ("score", mine, "-s", "synthetic", "--name", "random", "--out", run.parent)
    assert "holds the rows of a run: give another --out or --name" in one_line(cli(*args))
    assert (run / "predictions.parquet").read_bytes() == before
    other = tmp_path / "other.csv"
    other.write_bytes(mine.read_bytes())
    line = one_line(cli("score", mine, other, "--name", "x", "--out", tmp_path / "out"))
    assert "two results would be written to" in line and not (tmp_path / "out").exists()
