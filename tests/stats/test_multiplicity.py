"""Corrections of several p-values, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from m2f2bench.stats.multiplicity import benjamini_hochberg, bounds, holm


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_benjamini_and_hochbergs_is_scipys(ps: list[float]) -> None:
    assert benjamini_hochberg(ps) == pytest.approx(false_discovery_control(ps).tolist())


def test_what_cannot_be_tested_is_not_counted() -> None:
    assert benjamini_hochberg([0.01, None, 0.04]) == pytest.approx([0.02, None, 0.04])
    assert benjamini_hochberg([]) == []


def test_of_two_hypotheses_that_exclude_each_other_one_counts() -> None:
    """Two pairs have four one-sided hypotheses, and at most two are true: 2, 2, 2, 1 times, by hand (Shaffer)."""
    assert holm([0.01, 0.02, 0.03, 0.04], most=2) == pytest.approx([0.02, 0.04, 0.06, 0.06])
    assert holm([0.03, 0.9], most=1) == pytest.approx([0.03, 0.9])
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])


def test_bounds_of_the_false_discovery_rate() -> None:
    """By hand: .01 × 3, .02 × 3/2 and .5; if .01 may be less, its own and nothing else changes."""
    assert benjamini_hochberg([0.01, 0.02, 0.5]) == pytest.approx([0.03, 0.03, 0.5])
    assert bounds([0.01, 0.02, 0.5], [True, False, False], benjamini_hochberg) == [True, False, False]
    # .02 is carried back to .01: if .02 may be less, so may that
    assert bounds([0.01, 0.02, 0.5], [False, True, False], benjamini_hochberg)[0]


def test_holms_family_is_wrong_in_five_of_a_hundred() -> None:
    """2,000 families of ten true hypotheses, all p uniform: 5% ± 1.6 points (three and a half standard errors)."""
    rng = np.random.default_rng(0)
    wrong = sum(min(p for p in holm(rng.random(10).tolist()) if p is not None) <= 0.05 for _ in range(2000))
    assert 0.034 <= wrong / 2000 <= 0.066
