"""Columns of a board are split by what touches their numbers alone; each metric's numbers have a version."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_units import PLAIN, make_units

import m2f2bench
from m2f2bench import version
from m2f2bench.core.errors import ScoreError
from m2f2bench.leaderboards.render import render
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.metric import from_note
from m2f2bench.metrics.registry import builtin
from m2f2bench.results.signature import MEASURE, differing, touching
from m2f2bench.version import numbers_version

FIELDS = {key: f"{key}-a" for key in MEASURE} | {"v": "0.6.0", "own": "mine@0123456789abcdef+other@1123456789abcdef"}


def rows(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    lines = [f"f{i},{i % 2},{np.clip(rng.normal(0.4 + 0.2 * (i % 2), 0.2), 0, 1):.3f}" for i in range(60)]
    path.write_text("id,label,score\n" + "\n".join(lines) + "\n")
    return path


def card(folder: Path, more: str = "") -> str:
    folder.mkdir()
    path = folder / "rules.yaml"
    path.write_text(f"name: rules\nlevel: frame\nmetrics: [auc, accuracy]\n{more}\n")
    return str(path)


@pytest.mark.parametrize("name", sorted(builtin()))
def test_no_metric_depends_on_how_intervals_are_computed(name: str) -> None:
    about = builtin()[name]
    other = FIELDS | {"ci": "99%-frame-5-seed1"}
    assert touching(FIELDS, name, about) == touching(other, name, about)
    for key in ("data", "split", "hash", "n", "level", "frames", "agg", "missing", "limit", "crop", "ask"):
        assert differing(FIELDS, FIELDS | {key: "b"}, {name: about}) == [key], "a sibling of the fields left out"


@pytest.mark.parametrize(
    ("key", "moved"),
    [
        ("thr", {"accuracy", "balanced_accuracy", "f1", "precision", "recall", "mcc"}),
        ("cider", {"cider"}),
        ("bert", {"bertscore_f1"}),
        ("verdict", {name for name, one in builtin().items() if one.part == "verdicts" and one.of == "answers"}),
        ("altered", {"region_precision", "region_recall", "region_f1"}),
    ],
)
def test_which_metrics_a_field_moves(key: str, moved: set[str]) -> None:
    asked = {name: one for name, one in builtin().items() if one.of == ("scores" if key == "thr" else "answers")}
    changed = FIELDS | {key: "other"}
    assert {name for name, one in asked.items() if differing(FIELDS, changed, {name: one})} == moved
    assert not differing(FIELDS, FIELDS | {"thr": "b"}, {"accuracy@0.5": builtin()["accuracy"]}), "it has its own"


def test_code_of_another_metric_splits_nothing() -> None:
    other = FIELDS | {"own": "mine@0123456789abcdef+other@2223456789abcdef"}
    assert not differing(FIELDS, other, {"auc": builtin()["auc"]}) and not differing(FIELDS, other, {"mine": MINE})
    assert differing(FIELDS, FIELDS | {"own": "mine@3333456789abcdef"}, {"mine": MINE}) == ["own"]


def test_what_may_use_the_threshold_is_split_by_it() -> None:
    """A user's `fast` function may read decisions, and of a metric that a result describes the code is not there."""
    fast = m2f2bench.Metric("mine", better="higher", fast=lambda tally: tally.tp)
    for about in (fast, from_note("mine", MINE.note)):
        assert differing(FIELDS, FIELDS | {"thr": "b"}, {"mine": about}) == ["thr"]
    assert not differing(FIELDS, FIELDS | {"thr": "b"}, {"mine": MINE})


MINE = m2f2bench.Metric("mine", better="higher", compute=lambda label, score: 0.5)


def test_a_board_joins_what_differs_in_resamples_alone(tmp_path: Path) -> None:
    """Two runs with other resamples and thresholds: one column of AUCs, two of accuracies; the board says it."""
    first = m2f2bench.score(rows(tmp_path / "a.csv", 0), protocol=card(tmp_path / "one"))
    again = card(tmp_path / "two", "bootstrap: {resamples: 200}\nthreshold: 0.4")
    second = m2f2bench.score(rows(tmp_path / "b.csv", 1), protocol=again)
    board = m2f2bench.leaderboard([first, second])
    columns = [(one.metric, one.note) for one in board.table.columns]
    assert columns == [("auc", ""), ("accuracy", ""), ("accuracy", "thr:0.4"), ("accuracy@0.5", "")]
    assert [[cell is not None for cell in row.cells] for row in sorted(board.table.rows, key=lambda r: r.detector)] == [
        [True, True, False, False],
        [True, False, True, True],
    ]
    text = render(board, "md")
    assert (
        "thr:0.5 or 0.4|" in text
        and "intervals that were computed in several ways: 95%-frame-1000-seed0-expanded or" in text
    )


def test_compare_takes_what_touches_none_of_the_metrics(tmp_path: Path) -> None:
    first = m2f2bench.score(rows(tmp_path / "a.csv", 0), protocol=card(tmp_path / "one"))
    again = card(tmp_path / "two", "bootstrap: {resamples: 200}\nthreshold: 0.4")
    second = m2f2bench.score(rows(tmp_path / "b.csv", 1), protocol=again)
    found = m2f2bench.compare(first, second, metrics=["auc"])
    assert "threshold (thr), bootstrap (ci)" in found.notes[0] and "that of 'a'" in found.notes[0]
    (auc,) = [d for d in found.pairs[0].differences if not d.group]
    same = m2f2bench.compare(tmp_path / "a.csv", tmp_path / "b.csv", metrics=["auc"]).pairs[0].differences[0]
    assert (auc.difference, auc.ci, auc.p) == (same.difference, same.ci, same.p)
    with pytest.raises(ScoreError, match=r"threshold \(thr: 0.5 / 0.4\)"):
        m2f2bench.compare(first, second)


def test_a_baseline_with_other_intervals_is_still_a_baseline(cli, tmp_path: Path) -> None:
    """Of an older version, whose intervals were plain percentiles of fewer resamples: points and rows are the same."""
    for name, seed in (("then", 0), ("now", 0), ("worse", 5)):
        cli("score", rows(tmp_path / f"{name}.csv", seed), "--out", tmp_path / name)
    then, now, worse = (next((tmp_path / name).glob("*--*")) for name in ("then", "now", "worse"))
    text = (then / "result.json").read_text()
    assert "-1000-seed0-expanded" in text
    (then / "result.json").write_text(text.replace("-1000-seed0-expanded", "-200-seed0"))
    for run, status in ((now, 0), (worse, None)):
        outcome = cli("check", then, "--run", run)
        assert "signature has changed" not in outcome.out + outcome.err and "auc" in outcome.out
        assert status is None or outcome.status == status, outcome
    (then / "result.json").write_text(text.replace("thr:0.5|", "thr:0.4|").replace('"thr": "0.5"', '"thr": "0.4"'))
    assert "threshold (thr) was 0.4, is 0.5" in cli("check", then, "--run", now).err, "accuracy depends on it"
    assert cli("check", then, "--run", now, "-m", "auc").status == 0, "AUC does not"


# Versions of numbers


def test_a_metric_that_moved_splits_its_own_column_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(version.MOVED, "scores", {"ece": ("0.7.0", "0.9.0")})
    told = [numbers_version("ece", "scores", v) for v in ("0.4.9", "0.5.1", "0.6.3", "0.7.0", "0.8.2", "0.10.0")]
    assert told == ["0.4.9", "0.5.1", "0.5.1", "0.7.0", "0.7.0", "0.9.0"]
    assert {numbers_version("auc", "scores", v) for v in ("0.5.1", "0.7.0", "0.10.0")} == {"0.5.1"}
    old, new = FIELDS | {"v": "0.5.1"}, FIELDS | {"v": "0.9.0"}
    assert differing(old, new, {"ece": builtin()["ece"]}) == ["v"] and not differing(
        old, new, {"auc": builtin()["auc"]}
    )


def test_the_tasks_versions_are_those_of_their_newest_numbers() -> None:
    for of, own in (("scores", version.DETECTION), ("answers", version.ANSWERS), ("maps", version.HEATMAPS)):
        newest = [version.WHOLE[of], *(one for moved in version.MOVED[of].values() for one in moved)]
        assert own == max(newest, key=lambda text: [int(part) for part in text.split(".")])
        known = {name for name, one in builtin().items() if one.of == of}
        assert set(version.MOVED[of]) <= known, "a metric by its name"


def test_numbers_of_detection_move_with_their_version_alone() -> None:
    """The stored values of a fixed case: whoever moves a number gives its metric a new version in MOVED."""
    rng = np.random.default_rng(20261127)
    label = np.arange(200) % 2
    score = np.round(1 / (1 + np.exp(-(1.2 * label - 0.6 + rng.normal(size=200)))), 4)
    found = score_units(make_units(label, score), list(NUMBERS), Cut(), PLAIN).overall
    assert set(NUMBERS) == {name for name, one in builtin().items() if one.of == "scores"}
    moved = [name for name, (_, value) in NUMBERS.items() if abs((found[name].value or 0.0) - value) > 1e-9]
    assert not moved, f"the numbers of {moved} moved: add the coming version to MOVED['scores'] for each, then NUMBERS"
    old = [name for name, (v, _) in NUMBERS.items() if v != numbers_version(name, "scores", version.DETECTION)]
    assert not old, f"NUMBERS of {old} are of an older version: take the new values"


NUMBERS: dict[str, tuple[str, float]] = json.loads(
    (Path(__file__).parent / "numbers_of_detection.json").read_text(encoding="utf-8")
)
"""Version and value of each metric of `test_numbers_of_detection_move_with_their_version_alone`'s case."""
