"""Tests of the metric `skeleton`: `python -m pytest test_skeleton.py`."""

from pathlib import Path

import pytest

import m2f2bench

CARD = Path(__file__).with_name("skeleton.yaml")


def value(folder: Path, scores: dict[str, tuple[int, float]]) -> float | None:
    """The metric of a few frames, each with its label and its score."""
    rows = [f"{name},{label},{score}" for name, (label, score) in scores.items()]
    (folder / "rows.csv").write_text("\n".join(["id,label,score", *rows, ""]))
    return m2f2bench.score(folder / "rows.csv", protocol=str(CARD)).metrics["skeleton"].value


def test_values_computed_by_hand(tmp_path: Path) -> None:
    assert value(tmp_path, {"a": (0, 0.1), "b": (0, 0.7), "c": (1, 0.2), "d": (1, 0.9)}) == pytest.approx(0.5)
    assert value(tmp_path, {"a": (0, 0.1), "b": (0, 0.2), "c": (1, 0.5), "d": (1, 0.9)}) == 0.0


def test_a_run_shows_it_with_an_interval(tmp_path: Path) -> None:
    results = m2f2bench.run(detectors="random", datasets="synthetic", protocols=str(CARD), limit=40, out=tmp_path)
    score = results[0].metrics["skeleton"]
    assert score.value is not None and score.ci is not None and score.ci[0] <= score.value <= score.ci[1]
