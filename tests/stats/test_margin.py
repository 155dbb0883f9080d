"""Margins and the smallest difference that is found: against closed forms and simulated tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from few_people import Design, crossed, gap_of, influences, people, powered, videos
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from scipy.stats import t as student

from m2f2bench.stats.clustered import OnScale, Tested, auc_difference
from m2f2bench.stats.margin import Scaled, distance, one_sided, smallest_found, smallest_margin

DESIGNS: dict[str, Design] = {"40 videos": videos(40), "40 people": people(40), "30 people in pairs": crossed(30)}


def pair(first: float, second: float, error: float = 0.03, alike: float = 0.6) -> OnScale:
    x, y = (math.asin(math.sqrt(auc)) for auc in (first, second))
    return OnScale(x, y, error**2, error**2, alike * error**2)


def scaled(found: OnScale, freedom: float = 40.0) -> Scaled:
    error = math.sqrt(found.first_variance + found.second_variance - 2 * found.shared)
    return Scaled(found.first - found.second, error, freedom, found)


@pytest.mark.parametrize("auc", [0.6, 0.9, 0.99])
def test_without_a_margin_the_distance_is_the_plain_statistic(auc: float) -> None:
    """The edge of no difference is the straight line x = y: the distance is (x - y) / its error."""
    found = pair(auc, auc - 0.03)
    assert distance(found, 0.0) == pytest.approx(scaled(found).apart / scaled(found).error, rel=1e-6)


@pytest.mark.parametrize(("first", "second", "difference"), [(0.9, 0.91, -0.05), (0.98, 0.97, 0.04), (0.7, 0.9, -0.3)])
def test_the_distance_is_that_of_a_search(first: float, second: float, difference: float) -> None:
    found = pair(first, second)
    v = np.array([[found.first_variance, found.shared], [found.shared, found.second_variance]])
    inverse = np.linalg.inv(v)

    def square(y: float) -> float:
        x = math.asin(math.sqrt(min(max(math.sin(y) ** 2 + difference, 0.0), 1.0)))
        gap = np.array([found.first - x, found.second - y])
        return float(gap @ inverse @ gap)

    ends = (math.asin(math.sqrt(max(-difference, 0))), math.asin(math.sqrt(1 - max(difference, 0))))
    best = minimize_scalar(square, bounds=ends, method="bounded", options={"xatol": 1e-10})
    sign = 1 if first - second > difference else -1
    assert distance(found, difference) == pytest.approx(sign * math.sqrt(best.fun), rel=1e-4)


@given(st.floats(0.55, 0.99), st.floats(-0.05, 0.009), st.floats(0.005, 0.1), st.floats(2, 200), st.floats(0.002, 0.2))
@settings(max_examples=40, deadline=None)
def test_equivalence_is_the_interval_within_the_margin(
    auc: float, gap: float, error: float, freedom: float, margin: float
) -> None:
    found = one_sided(scaled(pair(auc, auc + gap, error), freedom), margin)
    assert found.ci[0] <= -gap + 1e-6 and found.ci[1] >= -gap - 1e-6
    if min(abs(margin - abs(end)) for end in found.ci) > 1e-6:
        assert (max(found.low, found.high) <= 0.05) == (-margin < found.ci[0] and found.ci[1] < margin)


def test_turning_the_two_round_mirrors_everything() -> None:
    one = one_sided(scaled(pair(0.95, 0.93)), 0.02)
    other = one_sided(scaled(pair(0.93, 0.95)), 0.02)
    assert (one.low, one.high) == pytest.approx((other.high, other.low))
    assert one.ci == pytest.approx((-other.ci[1], -other.ci[0]), abs=1e-6)


def test_on_a_metrics_own_scale_it_is_the_t_test() -> None:
    found = one_sided(Scaled(0.002, 0.004, 17.0), 0.01)
    assert found.low == pytest.approx(student.sf(3.0, 17)) and found.high == pytest.approx(student.sf(2.0, 17))
    reach = student.ppf(0.95, 17) * 0.004
    assert found.ci == pytest.approx((0.002 - reach, 0.002 + reach))
    assert smallest_margin(Scaled(0.0, 0.004)) == pytest.approx((norm.ppf(0.95) + norm.ppf(0.8)) * 0.004, rel=1e-6)
    assert smallest_found(Scaled(0.0, 0.004)) == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * 0.004, rel=1e-6)
    more = smallest_found(Scaled(0.0, 0.004), 0.05 / 10)  # Bonferroni's, for ten pairs
    assert more == pytest.approx((norm.ppf(0.9975) + norm.ppf(0.8)) * 0.004, rel=1e-6)


def test_below_chance_nothing_is_found() -> None:
    assert math.isinf(smallest_found(scaled(pair(0.9, 0.9, 0.4), 10.0)))


def cases(design: Design, aucs: tuple[float, float], n: int, seed: int, alike: float = 0.8) -> list[Tested]:
    rng, gaps, out = np.random.default_rng(seed), np.array([gap_of(auc) for auc in aucs]), []
    for _ in range(n):
        case = design(rng, 0.0, 2, alike)
        found = auc_difference(*influences(case._replace(scores=case.scores + gaps[:, None] * case.label)), 0.95)
        assert found is not None
        out.append(found)
    return out


def of_test(found: Tested) -> Scaled:
    return Scaled(found.apart, found.deviation, found.freedom, found.on_scale)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "auc"), [("40 videos", 0.8), ("40 people", 0.95), ("30 people in pairs", 0.95)])
def test_a_detector_worse_by_the_margin_passes_in_five_of_a_hundred(name: str, auc: float) -> None:
    """At the margin's end itself, 300 cases: at most 8.5% (5% and three standard errors); well within, most pass."""
    margin = 0.04
    at = cases(DESIGNS[name], (auc - margin, auc), 300, 1)
    assert np.mean([one_sided(of_test(one), margin).low <= 0.05 for one in at]) <= 0.085
    wide = float(np.median([smallest_margin(of_test(one)) for one in cases(DESIGNS[name], (auc, auc), 100, 2)]))
    shown = np.mean([one_sided(of_test(one), wide).low <= 0.05 for one in cases(DESIGNS[name], (auc, auc), 300, 3)])
    assert 0.68 <= shown <= 0.92, "of equal detectors that margin is shown in 80% of cases"


@pytest.mark.parametrize(("name", "auc"), [("40 videos", 0.93), ("40 people", 0.8), ("30 people in pairs", 0.93)])
def test_what_a_comparison_says_would_be_found_is_found(name: str, auc: float) -> None:
    """The median of what two equal detectors are told, against simulated tests: at 90% of it fewer than 80% are found,
    at 110% more, of 400."""
    said = float(np.median([smallest_found(of_test(one)) for one in cases(DESIGNS[name], (auc, auc), 150, 4)]))
    below, above = (powered(DESIGNS[name], (auc, auc - factor * said), 0.8, 400) for factor in (0.9, 1.1))
    assert below < 0.8 < above, (said, below, above)
