"""Methods that were trained several times, from rows: how they are named, what is refused, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_pairs import rows, videos

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.scoring.trainings import method_of


@pytest.fixture()
def six(tmp_path: Path) -> list[Path]:
    """Three trainings of each of two methods, on the same 40 videos."""
    made = []
    for k, method in enumerate(("good", "poor")):
        for seed in range(3):
            units = videos(40, 2, np.random.default_rng(10 * k + seed), 3.0 - 2.4 * k)
            made.append(rows(tmp_path / f"{method}-seed{seed}.csv", units))
    return made


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("x-seed0", "x"),
        ("x_seed=12", "x"),
        ("runs.seed3", "runs"),
        ("m2f2det-small", "m2f2det-small"),
        ("seed1", "seed1"),
    ],
)
def test_a_method_is_its_name_without_the_seed(name: str, method: str) -> None:
    assert method_of(name) == method


def test_means_over_trainings_are_compared(cli, six: list[Path]) -> None:
    text = cli("compare", "--seeds", *six).out
    assert "good is better than poor in AUC by" in text and "DeLong, over trainings" in text
    assert "good: 3 trainings, AUC" in text and "poor: 3 trainings, AUC" in text
    found = json.loads(cli("compare", "--seeds", *six, "--json").out)
    alone = [m2f2bench.score(path).metrics["auc"].value for path in six]
    one = found["trainings"]["good"]
    assert one["values"] == alone[:3] and one["mean"] == pytest.approx(np.mean(alone[:3]))
    assert one["deviation"] == pytest.approx(np.std(alone[:3], ddof=1))
    (auc,) = [d for d in found["differences"] if d["metric"] == "auc" and d["group"] is None]
    assert auc["difference"] == pytest.approx(np.mean(alone[:3]) - np.mean(alone[3:])) and auc["p"] < 0.05
    tested = {d["metric"]: d["test"] for d in found["differences"] if d["p"] is not None}
    assert tested["ap"] == tested["accuracy"] == "resampling, over trainings"


def test_one_training_is_said_to_be_one(cli, six: list[Path]) -> None:
    assert "poor: one training" in cli("compare", "--seeds", *six[:4]).out


def test_what_is_refused(cli, one_line, six: list[Path], tmp_path: Path) -> None:
    copy = tmp_path / "good-seed7.csv"
    copy.write_bytes(six[0].read_bytes())
    assert "same scores in two of its 4 trainings" in one_line(cli("compare", "--seeds", *six, copy))
    assert "give those of another method too" in one_line(cli("compare", "--seeds", *six[:3]))
    assert "no two of" in one_line(cli("compare", "--seeds", six[0], six[3]))
    other = rows(tmp_path / "good-seed8.csv", videos(30, 2, np.random.default_rng(0), 1.0))
    assert "cannot be compared: they differ in" in one_line(cli("compare", "--seeds", *six, other))
    with pytest.raises(ScoreError, match="give each training once"):
        m2f2bench.compare(*six, copy, seeds=True)
