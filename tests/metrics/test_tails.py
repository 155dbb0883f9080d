"""p-values of the bootstrap: as small as a correction asks for, and bounds that are printed as bounds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_pairs import FEW, judged, rows, videos
from toy_units import outside, widened

import m2f2bench
from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap
from m2f2bench.leaderboards.board import build_board
from m2f2bench.leaderboards.render import render
from m2f2bench.leaderboards.report import describe_comparison
from m2f2bench.metrics.detection import sample, tails
from m2f2bench.metrics.detection.intervals import resample
from m2f2bench.metrics.detection.paired import Difference, Paired, corrected, p_text, sides
from m2f2bench.metrics.detection.tails import differences, needed
from m2f2bench.metrics.detection.values import Cut, all_metrics
from m2f2bench.results.stored import read_stored
from m2f2bench.stats.bootstrap import cluster_draws
from m2f2bench.stats.multiplicity import bounds as which_bounds
from m2f2bench.stats.multiplicity import holm


def many(folder: Path, n: int, n_videos: int = 60, frames: int = 2) -> list[Path]:
    """Files of `n` detectors of rising strength on the same clustered frames; the last but one has AUC near 1."""
    folder.mkdir()
    gaps = [0.1 * i / n for i in range(n - 1)] + [8.0]
    return [
        rows(folder / f"d{i:02d}.csv", videos(n_videos, frames, np.random.default_rng(i), g))
        for i, g in enumerate(gaps)
    ]


@pytest.mark.slow
def test_a3_one_of_36_is_told_from_all_others_by_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """630 tests: 1,000 resamples leave Holm's p at 630 × 2/1001 = 1.26. A difference of .48 in AP is significant."""
    monkeypatch.setattr(tails, "FINE_WORK", 0)  # it need not be told finer here
    card = tmp_path / "by-ap.yaml"
    card.write_text("name: by-ap\nlevel: frame\nmetrics: [auc, ap]\nprimary: ap\n")
    found = m2f2bench.compare(*many(tmp_path / "rows", 36), metrics=["ap"], protocol=str(card))
    assert len(found.pairs) == 630 and not found.clusters["independent"]
    large = [d for pair in found.pairs for d in pair.differences if not d.group and abs(d.difference or 0) >= 0.45]
    assert large and min(abs(d.difference or 0) for d in large) < 0.5
    for d in large:
        assert d.bound and d.corrected_bound and d.holm is not None and d.holm <= 0.05, d
        assert d.draws >= 2 * 630 / 0.05 and d.p == pytest.approx(widened(2 / (d.draws + 1), 59)), "no value, a bound"
        assert 630 * 2 / 1001 > 1.0
    text = describe_comparison(found)
    assert "≤" not in text.split("\n- ")[0] or "≤." in text
    assert "≤: p is at most this; in all of" in text
    data = [d for d in found.to_json()["differences"] if d["metric"] == "ap" and d["group"] is None]
    assert {d["p_is_bound"] for d in data} == {True, False} and max(d["resamples"] for d in data) >= 25_200
    small = [d for pair in found.pairs for d in pair.differences if abs(d.difference or 0) < 0.01]
    assert small and all((d.corrected or 0) > 0.05 and not d.bound for d in small)


@pytest.mark.slow
@pytest.mark.parametrize("n", [27, 36])
def test_a3_a_board_of_many_clustered_rows_has_a_best(tmp_path: Path, n: int) -> None:
    """Better than every other is an intersection-union test: each p is enough, however many there are."""
    for path in many(tmp_path / "rows", n):
        result = m2f2bench.score(path)
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "predictions").mkdir(exist_ok=True)
        (tmp_path / "results" / f"{path.stem}.json").write_text(json.dumps(result.to_json()))
        pd.read_csv(path, float_precision="round_trip").to_parquet(tmp_path / "predictions" / f"{path.stem}.parquet")
    board = build_board(read_stored([tmp_path / "results"]))
    column = [c.metric for c in board.table.columns].index("auc")
    assert [row.detector for row in board.table.rows if row.cells[column].best] == [f"d{n - 1:02d}"]
    _, lead, text = render(board, "md").split("\n\n", 2)  # the sentence on all pairs has a correction of its own
    assert f"d{n - 1:02d} is better than" in lead and "Holm's correction for 66 pairs" in lead
    assert "by a paired test against each (p ≤ .05 in all)" in text and "Holm" not in text


def test_a3_two_detectors_that_no_resample_brings_together(cli, tmp_path: Path) -> None:
    a, b = (videos(60, 2, np.random.default_rng(i), g) for i, g in ((0, 4.0), (1, 0.0)))
    paths = [rows(tmp_path / f"{name}.csv", units) for name, units in (("a", a), ("b", b))]
    text = cli("compare", *paths, "-m", "ap").out
    (found,) = [
        d for d in json.loads(cli("compare", *paths, "-m", "ap", "--json").out)["differences"] if not d["group"]
    ]
    n = found["resamples"]
    assert found["p_is_bound"] and found["p_corrected_is_bound"]
    assert found["p"] == pytest.approx(widened(2 / (n + 1), 59))
    assert n > 1000 and found["p"] < 0.05 / 20 and f"≤{np.ceil(found['p'] * 1e4) / 1e4:.4f}".replace("0.", ".") in text
    assert f"≤: p is at most this; in all of {n:,} resamples the difference has the same sign" in text


@pytest.mark.slow
@pytest.mark.parametrize("cut", [Cut(), Cut("best", maximise="accuracy")])
def test_a3_further_draws_are_those_of_one_longer_bootstrap(cut: Cut) -> None:
    """Against the resamples drawn in one go, for every metric and group that a bootstrap tests."""
    units = [videos(40, 2, np.random.default_rng(i), g, methods=2) for i, g in ((0, 1.4), (1, 0.9))]
    metrics = [m for m in DETECTION_METRICS if not m.startswith(("tpr", "accuracy"))]
    pair = Paired(*(judged(u, metrics, FEW, cut) for u in units))
    plain = [pair.difference(*key) for key in pair.shared]
    (found,) = differences([pair], tests=8)
    total = max(needed(8, tails.ALPHA, pair.groups(*key)) for key in pair.shared)
    assert total > 6400 and max(d.draws for d in found) > 200
    names = all_metrics(metrics, cut)
    one, other = (resample(u, names, cut, Bootstrap(resamples=total)) for u in units)
    further = 0
    for d, before in zip(found, plain, strict=True):
        assert (d.ci, d.difference, d.test) == (before.ci, before.difference, before.test), "intervals do not move"
        if d.draws == before.draws:
            assert d.p == before.p
            continue
        further += 1
        drawn = one[d.group][d.metric][: d.draws] - other[d.group][d.metric][: d.draws]
        drawn = drawn[~np.isnan(drawn)]
        biased = d.metric == "ece" or (
            cut.oracle and d.metric in ("balanced_accuracy", "f1", "precision", "recall", "mcc")
        )
        if biased:  # by the protocol's own
            drawn = drawn - (drawn[:200].mean() - d.difference)
        tail = min((drawn <= 1e-12).sum(), (drawn >= -1e-12).sum())
        assert d.p == pytest.approx(
            widened(2 * (1 + tail) / (1 + len(drawn)), pair.groups(d.group, d.metric)), rel=1e-9
        ), d
        assert d.bound == (tail == 0)
    assert further >= 5


def test_a3_those_with_enough_beyond_zero_are_not_drawn_further() -> None:
    units = [videos(40, 2, np.random.default_rng(i), 0.5) for i in range(2)]
    pair = Paired(*(judged(u, ["eer", "ap"]) for u in units))
    (found,) = differences([pair], tests=100)
    for d in found:
        drawn = pair.drawn(d.group, d.metric)
        assert drawn is not None
        enough = min(sides(drawn)[:2]) >= tails.FEW
        assert (d.draws == 200) == enough, d
    assert {d.draws > 200 for d in found} == {True, False}, "else this test would not see it"


@pytest.mark.parametrize("tests", [1, 2, 15, 630])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_a3_the_floor_is_below_a_twentieth_of_the_level(tests: int, alpha: float) -> None:
    for groups in (1e9, 300, 150):
        n = needed(tests, alpha, groups)
        least, before = (widened(2 / (n + i), groups) for i in (1, -1))
        assert tests * least < alpha / 20 * (1 + 1e-6) and alpha / 20 * (1 - 1e-6) <= tests * before, groups
    assert needed(tests, alpha, 3) == 10 * 2 * tests * 20 / alpha, "with hardly any groups no number would do"


def test_a3_work_is_bounded_and_what_is_not_reached_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "WORK", 80 * 2 * 3 * 300)  # levels, detectors, a curve and one metric, 300 resamples
    monkeypatch.setattr(tails, "FINE_WORK", 0)
    units = [videos(40, 2, np.random.default_rng(i), g) for i, g in ((0, 5.0), (1, 0.0))]
    pair = Paired(*(judged(u, ["ap"]) for u in units))
    (found,) = differences([pair], [("", "ap")], tests=1000)
    assert (
        found[0].draws == 500
        and found[0].bound
        and found[0].p == pytest.approx(widened(2 / 501, pair.groups("", "ap")))
    )


def test_f4_further_draws_are_made_in_pieces_that_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []

    def recorded(n_clusters: int, stop: int, seed: int, width: int, skip: int):
        widths.extend([width] * bool(skip))
        return cluster_draws(n_clusters, stop, seed, width, skip)

    monkeypatch.setattr(sample, "cluster_draws", recorded)
    monkeypatch.setattr(tails, "PIECE", 1000)
    units = [videos(40, 2, np.random.default_rng(i), g) for i, g in ((0, 5.0), (1, 0.0))]
    differences([Paired(*(judged(u, ["ap"]) for u in units))], tests=3)
    assert widths and max(widths) <= 1000 // 40


def test_a3_joined_scores_do_not_move_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two detectors that differ by less than joining moves them: further draws keep to the true difference."""
    rng = np.random.default_rng(3)
    first = videos(60, 4, rng, 1.0)
    score = first.score + np.where(first.label == 1, 2e-3, 0.0)
    second = replace(first, score=score / score.max())
    pair = Paired(*(judged(u, ["ap"]) for u in (second, first)))
    (exact,) = differences([pair], [("", "ap")], tests=50)[0]
    monkeypatch.setattr(tails, "LEVELS", 64)
    (joined,) = differences([pair], [("", "ap")], tests=50)[0]
    assert exact.draws > 200 and joined.draws > 200
    tails_of = [outside(1.0 - (d.p or 0.0), pair.groups("", "ap")) for d in (joined, exact)]
    assert tails_of[0] == pytest.approx(tails_of[1], rel=0.5, abs=12 / joined.draws), (exact, joined)


@given(st.integers(2, 40), st.integers(0, 50), st.integers(1, 50), st.integers(0, 9), st.integers(1, 20))
@settings(deadline=None, max_examples=50)
def test_a3_the_first_of_many_resamples_are_those_of_few(n: int, few: int, more: int, seed: int, width: int) -> None:
    whole = np.concatenate([np.zeros((n, 0)), *cluster_draws(n, few + more, seed)], axis=1)
    first = np.concatenate([np.zeros((n, 0)), *cluster_draws(n, few, seed)], axis=1)
    rest = np.concatenate([np.zeros((n, 0)), *cluster_draws(n, few + more, seed, width, skip=few)], axis=1)
    assert (np.concatenate([first, rest], axis=1) == whole).all() and rest.shape[1] == more


def test_a3_holm_of_bounds_by_hand() -> None:
    # .001 may be anything below: its own is a bound; .002 × 2 = .004 stands by itself; 3 × .002 … see below
    assert which_bounds([0.001, 0.002, 0.5], [True, False, False]) == [True, False, False]
    # 3 × .004 = .012 is carried on to .005 × 2 = .010: without the bound that would be .010
    assert holm([0.004, 0.005, 0.5]) == pytest.approx([0.012, 0.012, 0.5])
    assert which_bounds([0.004, 0.005, 0.5], [True, False, False]) == [True, True, False]
    # the bound may be the smallest of all, and then .001 is multiplied by 2 only
    assert which_bounds([0.001, 0.002, 0.5], [False, True, False]) == [True, True, False]
    assert which_bounds([None, 0.2], [False, True]) == [False, True]
    assert which_bounds([None, 0.2], [False, False]) == [False, False]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_a3_what_is_no_bound_after_holm_is_a_value(given_: list[tuple[float, bool]], random) -> None:
    """Whatever smaller values stand behind the bounds: all corrected ones are at most that, and values stay."""
    ps, bounds = [p for p, _ in given_], [bound for _, bound in given_]
    shown, marked = holm(ps), which_bounds(ps, bounds)
    for _ in range(5):
        true = [p * random.random() if bound else p for p, bound in given_]
        for told, real, bound in zip(shown, holm(true), marked, strict=True):
            assert told is not None and real is not None
            assert real <= told and (bound or real == told)


def test_a3_corrected_keeps_all_else() -> None:
    family = [
        Difference("", "auc", 0.9, 0.5, 0.4, p=p, bound=b) for p, b in ((0.004, True), (0.005, False), (None, False))
    ]
    found = corrected(family)
    assert [d.holm for d in found] == [pytest.approx(0.008), pytest.approx(0.008), None]
    assert [d.corrected_bound for d in found] == [True, True, False]
    assert [replace(d, holm=None, corrected_bound=False) for d in found] == family


def test_a3_a_bound_is_printed_as_one_and_never_below_itself() -> None:
    assert (
        p_text(2 / 1001, True) == "≤ 0.0020"
        and p_text(0.00123, True) == "≤ 0.0013"
        and p_text(0.0012, True) == "≤ 0.0012"
    )
    assert (
        p_text(0.00123) == "= 0.0012" and p_text(5e-5) == p_text(5e-5, True) == "< 0.0001" and p_text(1.0) == "= 1.0000"
    )
    assert p_text(1e-4) == "= 0.0001" and p_text(1e-4, True) == "≤ 0.0001"


@given(st.floats(1e-4, 1.0))
def test_a3_rounding_never_makes_a_bound_smaller(p: float) -> None:
    told = float(p_text(p, True).removeprefix("≤ "))
    assert p - 1e-12 <= told <= p + 1e-4


@pytest.mark.slow
def test_a3_check_prints_a_bound(cli, tmp_path: Path) -> None:
    for name, gap in (("then", 4.0), ("now", 0.0)):
        folder = tmp_path / name
        folder.mkdir()
        path = rows(tmp_path / f"{name}.csv", videos(60, 2, np.random.default_rng(len(name)), gap))
        pd.read_csv(path, float_precision="round_trip").to_parquet(folder / "predictions.parquet")
        (folder / "result.json").write_text(json.dumps(m2f2bench.score(folder / "predictions.parquet").to_json()))
    words = ["check", tmp_path / "then", "--run", tmp_path / "now", "-m", "ap"]
    outcome = cli(*words)
    assert outcome.status == 1 and re.search(r"p ≤ 0\.00\d\d \(cluster bootstrap\)", outcome.out)
    found = json.loads(cli(*words, "--json").out)[0]["checked"][0]
    assert found["bound"] and found["p"] < 0.05 / 20
    strict = cli(*words, "--chance", "0.0001")
    assert strict.status == 1 and "FAIL ap " in strict.out, "more resamples are drawn for a smaller chance"
    other = cli("check", tmp_path / "now", "--run", tmp_path / "then", "-m", "ap")
    assert other.status == 0 and "p = 1.0000" in other.out, "of what got better a bound says nothing"
