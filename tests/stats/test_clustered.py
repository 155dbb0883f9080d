"""Clustered DeLong against its definition, its edges, and how often it holds and rejects in simulated cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from few_people import DESIGNS, gap_of, influences, people, trained, videos
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from m2f2bench.core.rows import People
from m2f2bench.stats.bootstrap import cluster_draws, people_draws
from m2f2bench.stats.clustered import (
    PRIOR,
    Between,
    Spread,
    auc_difference,
    auc_interval,
    counts_of,
    effective,
    influence,
    mean_influence,
    spread,
    trainings_difference,
    trainings_interval,
    with_trainings,
)
from m2f2bench.stats.delong import Placements, auc_variance, placements

CASES, SEED = 400, 20261127


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 30))
@settings(deadline=None, max_examples=50)
def test_units_of_their_own_have_delongs_variance(seed: int, reals: int, fakes: int) -> None:
    rng = np.random.default_rng(seed)
    places = placements(rng.integers(0, 9, reals).astype(float), rng.integers(2, 12, fakes).astype(float))
    found = influence(places, np.arange(fakes), fakes + np.arange(reals), fakes + reals)
    assert spread(found.fake, found.real, found).variance == pytest.approx(auc_variance(places), abs=1e-12)
    assert counts_of(found) == pytest.approx((reals, fakes))


def test_obuchowskis_variance_of_clusters_of_one_size_by_hand() -> None:
    """Three people with a real and two fakes each: I / (I - 1) = 3 / 2 of the three sums of squares."""
    real, fake = np.array([0.1, 0.5, 0.45]), np.array([0.4, 0.7, 0.3, 0.9, 0.6, 0.2])
    places = placements(real, fake)
    found = influence(places, np.repeat(np.arange(3), 2), np.arange(3), 3)
    area = places.fake.mean()
    d1 = (places.fake - area).reshape(3, 2).sum(axis=1)
    d0 = places.real - area
    wanted = 1.5 * (d1**2).sum() / 36 + 1.5 * (d0**2).sum() / 9 + 2 * 1.5 * (d1 * d0).sum() / 18
    assert spread(found.fake, found.real, found).variance == pytest.approx(wanted, abs=1e-14)
    assert spread(found.fake, found.real, found).freedom <= 2.0


def test_the_interval_by_hand() -> None:
    rng = np.random.default_rng(0)
    places = placements(rng.normal(size=8), rng.normal(size=5) + 1)
    found = influence(places, np.arange(5), 5 + np.arange(8), 13)
    variance, freedom = spread(found.fake, found.real, found)
    bend = found.value * (1 - found.value)
    variance += PRIOR * bend * (1 / 25 + 1 / 64) / 2
    reach = student.ppf(0.9, freedom) * math.sqrt(variance) / bend
    low, high = auc_interval(found, 0.8)
    for end, sign in ((low, -1), (high, 1)):
        assert math.log(end / (1 - end)) == pytest.approx(math.log(found.value / (1 - found.value)) + sign * reach)


def test_effective_numbers_by_hand() -> None:
    assert effective(np.full(7, 1 / 7)) == pytest.approx(7)
    assert effective(np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1 / (0.25 + 2 * 0.0625))
    assert effective(np.zeros(3)) == 0.0
    two = People(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), 3)  # {a, b} and {b, c}: b is in all units
    found = influence(Placements(np.ones(4), np.ones(2)), np.array([0, 0, 1, 1]), np.array([0, 1]), 2, two)
    assert counts_of(found) == pytest.approx((4 / 1.5, 4 / 1.5))


def test_scores_that_are_all_equal_are_certain_and_perfect_ones_are_not() -> None:
    flat = influence(placements(np.zeros(9), np.zeros(9)), np.arange(9), 9 + np.arange(9), 18)
    assert auc_interval(flat, 0.95) == (0.5, 0.5)
    perfect = influence(placements(np.zeros(9), np.ones(9)), np.arange(9), 9 + np.arange(9), 18)
    assert auc_difference(perfect, perfect, 0.95) is None, "neither has any spread"
    tested = auc_difference(perfect, flat, 0.95)
    assert tested is None
    rng = np.random.default_rng(1)
    fair = influence(placements(rng.normal(size=9), rng.normal(size=9) + 1), np.arange(9), 9 + np.arange(9), 18)
    tested = auc_difference(perfect, fair, 0.95)
    assert tested is not None and 0.0 < tested.p < 1.0 and tested.error > 0.0
    other = auc_difference(fair, perfect, 0.95)
    assert other is not None and other.p == tested.p and other.ci == pytest.approx((-tested.ci[1], -tested.ci[0]))


@given(st.integers(0, 2**32 - 1), st.sampled_from(["10 people", "20 people in pairs", "60 videos, 2 to 300 frames"]))
@settings(deadline=None, max_examples=30)
def test_an_interval_of_a_difference_holds_zero_just_if_it_is_not_significant(seed: int, name: str) -> None:
    first, second = influences(DESIGNS[name](np.random.default_rng(seed), gap_of(0.75), 2, 0.7))
    tested = auc_difference(first, second, 0.9)
    assert tested is not None and (tested.ci[0] <= 0.0 <= tested.ci[1]) == (tested.p >= 0.1)
    assert tested.ci[0] < first.value - second.value < tested.ci[1]
    low, high = auc_interval(first, 0.9)
    assert 0.0 < low < first.value < high < 1.0


def test_the_mean_of_methods_is_that_of_their_influences() -> None:
    rng = np.random.default_rng(2)
    real, fakes, cluster = rng.normal(size=12), rng.normal(size=(2, 12)), np.arange(12)
    parts = [influence(placements(real, fake + k), cluster, cluster, 12) for k, fake in enumerate(fakes)]
    mean = mean_influence(parts)
    again = mean_influence([parts[0], parts[0]])
    assert mean.value == pytest.approx((parts[0].value + parts[1].value) / 2)
    assert spread(again.fake, again.real, again) == spread(parts[0].fake, parts[0].real, parts[0])


def test_a_person_in_two_clusters_joins_them_by_hand() -> None:
    """Clusters {a}, {b}, {a, b}, {c}: all pairs but those with c, and b with a alone, have a person in common."""
    who = People(np.array([0, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 2]), 3)
    fake, real = np.array([0.0, 0.0, 0.03, -0.03]), np.array([0.01, 0.02, 0.0, -0.03])
    shares = np.array([0.0, 0.0, 0.5, 0.5]), np.array([1 / 3, 1 / 3, 0.0, 1 / 3])
    found = influence(Placements(np.array([0.5, 0.5]), np.full(3, 0.5)), np.array([2, 3]), np.array([0, 1, 3]), 4, who)
    assert (found.fake_share == shares[0]).all() and (found.real_share == shares[1]).all()
    lever = [1 / math.sqrt(1 - 0.5), 1 / math.sqrt(1 - 1 / 3)]
    a, b, c = np.array([0.03, 0.03, -0.03]) * lever[0] + np.array([0.01, 0.02, -0.03]) * lever[1]
    assert spread(fake, real, found).variance == pytest.approx(a * a + b * b + c * c - 0.03**2)


def test_weights_of_a_pair_are_the_product_of_its_peoples_draws() -> None:
    who = People(np.array([2, 0, 1, 2, 3]), np.array([1, 0, 1, 0, 2]), 3)
    drawn = np.concatenate(list(cluster_draws(3, 50, 4)), axis=1)
    for width in (0, 7):
        found = np.concatenate(list(people_draws(who, 4, 50, 4, width)), axis=1)
        assert (found == np.stack([drawn[0], drawn[1], drawn[0] * drawn[1], drawn[2]])).all()
    later = np.concatenate(list(people_draws(who, 4, 50, 4, 0, skip=20)), axis=1)
    assert (later == found[:, 20:]).all()


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("auc", [0.8, 0.94])
def test_intervals_hold_the_truth(name: str, auc: float) -> None:
    """Asked are 93%, and 98% at most from 20 groups on; 400 cases know it to 1.3 points (one standard error).

    `benchmarks/inference.py` has 1,000 cases of each, at three AUCs.
    """
    rng, held = np.random.default_rng(SEED), []
    for _ in range(CASES):
        (found,) = influences(DESIGNS[name](rng, gap_of(auc), 1, 0.0))
        if 0.0 < found.value < 1.0:
            low, high = auc_interval(found, 0.95)
            held.append(low <= auc <= high)
    assert np.mean(held) >= 0.93 - 0.02
    assert np.mean(held) <= (1.0 if name.startswith(("10", "6 fakes")) else 0.98 + 0.01)


@pytest.mark.parametrize(
    ("name", "least"), [("10 people", 0.0), ("40 videos of 10 frames", 0.025), ("59 people in pairs", 0.025)]
)
@pytest.mark.parametrize("alike", [0.3, 0.8])
def test_equal_detectors_are_seldom_told_apart(name: str, least: float, alike: float) -> None:
    """Asked are at most 6% at 5% and 1.3% at 1%, and from 40 groups on at least 2.5%; 600 cases know 5% to 0.9."""
    rng, found = np.random.default_rng(SEED), []
    for _ in range(600):
        tested = auc_difference(*influences(DESIGNS[name](rng, gap_of(0.85), 2, alike)), 0.95)
        found.append(1.0 if tested is None else tested.p)
    p = np.array(found)
    assert (p <= 0.05).mean() <= 0.06 + 0.015 and (p <= 0.01).mean() <= 0.013 + 0.008
    assert (p <= 0.05).mean() >= least - 0.01


def test_there_is_no_floor_under_p() -> None:
    strong, weak = (influences(videos(200)(np.random.default_rng(0), gap, 1, 0.0))[0] for gap in (4.0, 0.0))
    tested = auc_difference(strong, weak, 0.95)
    assert tested is not None and 0.0 < tested.p < 1e-12


def test_frames_taken_as_independent_hold_the_truth_far_too_seldom() -> None:
    """Trap 20: 40 videos of 10 frames. With one frame each it is right."""
    rng, held = np.random.default_rng(SEED), np.zeros((2, 200))
    for i in range(200):
        for row, frames in enumerate((10, 1)):
            case = videos(40, frames)(rng, gap_of(0.8), 1, 0.0)
            (naive,) = influences(case._replace(cluster=np.arange(len(case.label))))
            low, high = auc_interval(naive, 0.95)
            held[row, i] = low <= 0.8 <= high
    assert held[0].mean() < 0.75 and held[1].mean() > 0.92


@pytest.mark.parametrize("deviation", [0.0, 0.02, 0.04])
def test_equal_methods_of_three_trainings_are_seldom_told_apart(deviation: float) -> None:
    """Asked are 3 to 7%; 400 cases know it to 1.1 points. `benchmarks/inference.py --trainings` has more of them.

    As if the trainings were one detector each, 12% and 29% of cases were significant with .02 and .04.
    """
    rng, found = np.random.default_rng(SEED), []
    for _ in range(400):
        own = influences(trained(people(60, fakes=2, frames=3), rng, 0.85, deviation))
        tested = trainings_difference(own[:3], own[3:], 0.95)
        assert tested is not None
        found.append(tested.p)
    assert 0.03 - 0.02 <= (np.array(found) <= 0.05).mean() <= 0.07 + 0.02


def test_trainings_by_hand() -> None:
    """Without any spread over clusters the test is that of the trainings alone; one training each is a plain test."""
    own = influences(trained(people(40), np.random.default_rng(0), 0.8, 0.03))
    plain, other = auc_difference(own[0], own[3], 0.95), trainings_difference(own[:1], own[3:4], 0.95)
    assert plain == other
    low, high = trainings_interval(own[:3], 0.95)
    assert low < np.mean([one.value for one in own[:3]]) < high
    assert trainings_interval(own[:1], 0.9) == auc_interval(own[0], 0.9)
    sure = Spread(1e-9, 50.0)
    found = with_trainings(sure, [Between(3, 0.02, 0.0), Between(3, 0.04, 0.0)])
    assert found.variance == pytest.approx(0.03 * 2 / 3, rel=1e-6) and found.freedom == pytest.approx(4.0, rel=1e-6)
    assert with_trainings(sure, [Between(1, 0.0, 0.0)] * 2) == sure
    alone = with_trainings(sure, [Between(3, 0.03, 0.0), Between(1, 0.0, 0.0)])
    assert alone.variance == pytest.approx(0.03 * (1 + 1 / 3), rel=1e-6), "one training may differ as much"
