"""Intervals and p-values from resamples: by hand, at the ends of a range, and one as the other says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_units import outside, widened

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.stats.bootstrap import boundary, expanded_p, expanded_tail, percentile_interval

FEW = Bootstrap(resamples=100)


@pytest.mark.parametrize(("off", "at_end"), [(0.0, True), (1e-9, True), (1e-8, True), (1e-6, False), (1e-3, False)])
@pytest.mark.parametrize("high", [True, False])
def test_f4_how_near_to_the_end_a_value_stands_at_it(off: float, at_end: bool, high: bool) -> None:
    """BLEU's small constants keep a perfect one off its end by 1e-9; one that is off by 1e-6 is not perfect."""
    value = 1.0 - off if high else off
    ci, why = percentile_interval(value, np.full(50, value), 8, FEW, (0.0, 1.0))
    wanted = (boundary(value, 8, 0.95) if at_end else (value, value), None)
    assert (ci, why) == wanted
    assert percentile_interval(value, np.full(50, value), 8, FEW, None)[0] == (value, value), "a difference has no ends"


def test_f4_percentile_intervals_by_hand() -> None:
    drawn = np.array([*np.linspace(0.2, 0.6, 101), *[np.nan] * 101])
    ci, why = percentile_interval(0.4, drawn, 5, Bootstrap(resamples=202, level=0.9), (0.0, 1.0))
    low = 0.2 + 0.4 * 0.00857497  # t with 4 degrees of freedom at .95 is 2.131847; Φ(-√(5/4) × that) is .008575
    assert ci == pytest.approx((low, 0.8 - low), abs=1e-7) and why is None, "defined in just half of the resamples"
    assert percentile_interval(0.7, drawn, 5, Bootstrap(resamples=202, level=0.9))[0] == pytest.approx(
        (low, 0.7), abs=1e-7
    )
    assert percentile_interval(0.1, drawn, 5, Bootstrap(resamples=202, level=0.9))[0] == pytest.approx(
        (0.1, 0.8 - low), abs=1e-7
    )
    few = np.append(drawn, np.nan)
    assert percentile_interval(0.4, few, 5, FEW) == (None, "no interval: defined in 101 of 203 resamples")
    one = (None, "no interval: all scored items are in one cluster")
    assert percentile_interval(0.4, drawn, 1, FEW) == percentile_interval(0.4, None, 5, FEW) == one
    assert percentile_interval(0.4, drawn, 2, FEW)[0] is not None
    assert percentile_interval(0.4, None, 0, Bootstrap(resamples=0)) == (None, None)


@given(st.floats(4.0, 500.0), st.floats(0.5, 0.99))
def test_the_expanded_tail_and_p_are_those_of_scipy_and_of_each_other(groups: float, level: float) -> None:
    """An interval that just reaches zero has the p of its level; with many groups both are the plain ones."""
    tail = expanded_tail(level, groups)
    assert tail == pytest.approx(outside(level, groups), rel=1e-6) and tail <= (1.0 - level) / 2.0
    assert expanded_p(2.0 * tail, groups) == pytest.approx(1.0 - level, rel=1e-6)
    assert expanded_p(0.3, groups) == pytest.approx(widened(0.3, groups), rel=1e-6)
    assert expanded_tail(level, 1e9) == pytest.approx((1.0 - level) / 2.0, rel=1e-4)


def test_of_fewer_than_two_groups_nothing_is_known() -> None:
    assert expanded_tail(0.95, 1.5) == 0.0 and expanded_p(0.001, 1.5) == 1.0 == expanded_p(1.0, 30)
