"""Thousands of manipulations: the same numbers as one by one, and no resamples for what can have no interval."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.records import FAKE, REAL
from m2f2bench.core.rows import Units
from m2f2bench.loading import load_protocol
from m2f2bench.metrics.detection import intervals, values
from m2f2bench.metrics.detection.clusters import effective_counts, influence_of, members
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.sample import plain
from m2f2bench.metrics.detection.values import Cut, all_metrics, evaluate
from m2f2bench.metrics.names import AVERAGE, OVERALL
from m2f2bench.stats.delong import placements, weighted_above

METRICS = list(load_protocol("frame").metrics)
CUTS = [Cut(), Cut("fixed", 0.3, picked=True), Cut("eer"), Cut("best"), Cut("fpr", 0.1)]
RULES = Bootstrap(resamples=40, seed=1)


def units_of(rows: list[tuple[int, int, int]], methods: int, clusters: int) -> Units:
    """Units of (method, or 0 for a real; score in tenths; cluster)."""
    names = tuple(f"m{number}" for number in range(1, methods + 1))
    label = np.array([FAKE if method else REAL for method, _, _ in rows], dtype=np.int64)
    method = np.array([names[method - 1] if method else "original" for method, _, _ in rows], dtype=object)
    score = np.array([score / 10 for _, score, _ in rows], dtype=np.float64)
    cluster = np.array([cluster for _, _, cluster in rows], dtype=np.int64)
    return Units(label, score, method, np.array([""] * len(rows), dtype=object), cluster, clusters, 1.0, names)


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10), st.integers(0, 7)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from(CUTS))
def test_values_are_those_of_each_method_alone(rows: list[tuple[int, int, int]], cut: Cut) -> None:
    sample, names = plain(units_of(rows, 5, 8)), all_metrics(METRICS, cut)
    one = np.ones((1, 1))
    wanted = evaluate(sample, one, names, cut)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MANY", 1)
        patch.setattr(values, "CHUNK", 2 * len(sample.levels))  # two at a time
        found = evaluate(sample, one, names, cut)
    assert found.keys() == wanted.keys()
    for group, own in wanted.items():
        for name in names:
            assert np.allclose(found[group][name], own[name], atol=1e-12, equal_nan=True), (group, name)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_results_are_those_of_few_methods(rows: list[tuple[int, int, int]]) -> None:
    units = units_of(rows, 5, 8)
    few = score_units(units, METRICS, Cut(), RULES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MANY", 1)
        many = score_units(dataclasses.replace(units), METRICS, Cut(), RULES)
    assert many.threshold == few.threshold and many.reliability == few.reliability
    groups = {OVERALL: few.overall, **few.methods, AVERAGE: few.average}
    for group, own in {OVERALL: many.overall, **many.methods, AVERAGE: many.average}.items():
        for name, score in own.items():
            other = groups[group][name]
            if group == AVERAGE and "most resamples" in (score.reason or ""):
                assert score.ci is None
                score = dataclasses.replace(score, ci=other.ci, reason=other.reason)
            assert (score.reason, score.n_real, score.n_fake) == (other.reason, other.n_real, other.n_fake)
            assert (score.ci is None) == (other.ci is None)
            assert np.allclose(
                [score.value or 0.0, *(score.ci or ())], [other.value or 0.0, *(other.ci or ())], atol=1e-9
            )


@given(ROWS)
def test_counts_of_a_group(rows: list[tuple[int, int, int]]) -> None:
    units = units_of(rows, 5, 8)
    for group in (OVERALL, "m1", "m2", AVERAGE):
        fakes = [row for row in rows if row[0] and group in (OVERALL, AVERAGE, f"m{row[0]}")]
        reals = [row for row in rows if not row[0]]
        real, fake = {row[2] for row in reals}, {row[2] for row in fakes}
        wanted = len(reals), len(fakes), len(real), len(fake), len(real & fake)
        assert tuple(members(units, group)) == wanted
        if group != AVERAGE:
            few = effective_counts(units, group)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(values, "MANY", 1)
                assert effective_counts(units, group) == pytest.approx(few)


@given(ROWS.filter(lambda rows: {row[0] for row in rows} == set(range(6))))
@settings(max_examples=30, deadline=None)
def test_influence_on_the_average(rows: list[tuple[int, int, int]]) -> None:
    units = units_of(rows, 5, 8)
    wanted = influence_of(units, AVERAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "MANY", 1)
        found = influence_of(units, AVERAGE)
    for name in ("value", "fake", "real", "fake_share", "real_share"):
        assert np.allclose(getattr(found, name), getattr(wanted, name), atol=1e-12), name


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_equal_weights_are_none(real: list[int], fake: list[int]) -> None:
    scores = np.array(real, dtype=np.float64), np.array(fake, dtype=np.float64)
    found = weighted_above(*scores, np.full(len(fake), 1.0 / len(fake)))
    assert np.allclose(found, placements(*scores).real, atol=1e-12)


def test_a_thousand_methods_are_drawn_only_where_an_interval_can_come_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with fakes of several videos has one; the others have a fake each, and their average has none."""
    draws = np.random.default_rng(0)
    rows = [(0, int(score), number) for number, score in enumerate(draws.integers(0, 8, 300))]
    rows += [(1, int(score), 300 + number) for number, score in enumerate(draws.integers(3, 11, 50))]
    rows += [(2 + number, int(score), 350 + number) for number, score in enumerate(draws.integers(2, 11, 999))]
    evaluated: list[int] = []
    evaluate = values.evaluate

    def counting(*given: object, **more: object) -> object:
        found = evaluate(*given, **more)  # type: ignore[arg-type]
        evaluated.append(len(found))
        return found

    monkeypatch.setattr(intervals.detection, "evaluate", counting)
    found = score_units(units_of(rows, 1000, 1349), METRICS, Cut(), RULES)
    assert evaluated[0] == 1002 and set(evaluated[1:]) == {2}
    assert found.methods["m1"]["ap"].ci is not None and found.overall["ap"].ci is not None
    assert found.methods["m2"]["ap"].reason == "no interval: all fake units are in one cluster"
    assert found.average["ap"].reason == "no interval: in most resamples a method has no fake"
    assert found.average["auc"].ci is not None
