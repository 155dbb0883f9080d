"""DeLong's variance and covariance against the definition, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.stats.delong import auc_covariance, auc_or_none, auc_variance, logit_wald, placements, wald

SCORES = st.lists(st.integers(0, 6).map(float), min_size=2, max_size=25)


def direct_covariance(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """DeLong et al. (1988), from the whole matrix psi of pairs: 1 where the fake is above the real, 1/2 where tied."""
    parts = []
    for real, fake in (first, second):
        psi = (fake[:, None] > real[None, :]) + 0.5 * (fake[:, None] == real[None, :])
        area = psi.mean()
        parts.append((psi.mean(axis=1) - area, psi.mean(axis=0) - area))
    (v10, v01), (w10, w01) = parts
    m, n = len(v10), len(v01)
    return float((v10 * w10).sum() / (m - 1) / m + (v01 * w01).sum() / (n - 1) / n)


def arrays(*values: list[float]) -> list[np.ndarray]:
    return [np.array(v, dtype=float) for v in values]


def test_a_small_case_by_hand() -> None:
    """Reals 1 2, fakes 2 3 0: psi is (1, 1/2), (1, 1), (0, 0)."""
    places = placements(*arrays([1, 2], [2, 3, 0]))
    assert places.fake.tolist() == [0.75, 1.0, 0.0]
    assert places.real.tolist() == pytest.approx([2 / 3, 1 / 2])
    area = 7 / 12
    assert places.fake.mean() == pytest.approx(area, abs=1e-15) and places.real.mean() == pytest.approx(area, abs=1e-15)
    s10 = ((0.75 - area) ** 2 + (1 - area) ** 2 + area**2) / 2
    s01 = 2 * (1 / 12) ** 2
    assert auc_variance(places) == pytest.approx(s10 / 3 + s01 / 2, abs=1e-15)


def test_two_detectors_by_hand() -> None:
    """One ranks all rightly, the other errs on one pair: only the second's placements vary, so nothing is shared."""
    perfect = placements(*arrays([1, 2], [3, 4]))
    erring = placements(*arrays([1, 3], [2, 4]))
    assert auc_variance(perfect) == 0.0 and auc_covariance(perfect, erring) == 0.0
    # fakes' placements 1/2, 1 and reals' 1, 1/2: variance 1/8 of each, over two each
    assert auc_variance(erring) == pytest.approx(1 / 8 / 2 + 1 / 8 / 2, abs=1e-15)
    reversed_ = placements(*arrays([3, 1], [4, 2]))
    # the other fake and the other real err: the deviations have opposite signs
    assert auc_covariance(erring, reversed_) == pytest.approx(-1 / 8, abs=1e-15)


@given(SCORES, SCORES, st.integers(0, 2**32 - 1))
def test_the_definition_with_ties_and_in_pairs(real: list[float], fake: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = arrays(real, fake)
    second = [s + rng.integers(-2, 3, len(s)) for s in first]  # correlated, with ties of its own
    one, other = placements(*first), placements(*second)
    assert auc_variance(one) == pytest.approx(direct_covariance(tuple(first), tuple(first)), abs=1e-12)
    assert auc_covariance(one, other) == pytest.approx(direct_covariance(tuple(first), tuple(second)), abs=1e-12)
    assert auc_covariance(one, other) == auc_covariance(other, one)


def test_infinite_scores_have_places() -> None:
    """A unit without a score that counts as wrong: a real above all, a fake below all."""
    places = placements(*arrays([0.2, math.inf], [0.7, -math.inf]))
    assert places.fake.tolist() == [0.5, 0.0] and places.real.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(("real", "fake"), [([1.0], [2.0, 3.0]), ([1.0, 2.0], [2.0])])
def test_one_unit_of_a_class_has_no_variance(real: list[float], fake: list[float]) -> None:
    assert math.isnan(auc_variance(placements(*arrays(real, fake))))


def test_large_samples_agree_with_the_null_variance() -> None:
    """Scores that tell nothing, without ties: the variance of U / mn is (m + n + 1) / (12 m n)."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=20_000), rng.normal(size=30_000)
    assert auc_variance(placements(real, fake)) == pytest.approx(50_001 / (12 * 20_000 * 30_000), rel=0.02)


def test_intervals_by_hand() -> None:
    assert wald(0.8, 0.0025, 0.95) == pytest.approx((0.8 - 1.959963984540054 * 0.05, 0.8 + 1.959963984540054 * 0.05))
    assert wald(0.95, 0.0025, 0.95)[1] == 1.0 and wald(0.7, 0.0, 0.95) == (0.7, 0.7)
    low, high = logit_wald(0.8, 0.0025, 0.95)
    reach = 1.959963984540054 * 0.05 / 0.16
    assert math.log(low / (1 - low)) == pytest.approx(math.log(4) - reach)
    assert math.log(high / (1 - high)) == pytest.approx(math.log(4) + reach)
    mirrored = logit_wald(0.2, 0.0025, 0.95)
    assert mirrored == pytest.approx((1 - high, 1 - low))
    assert 0.0 < low < 0.8 < high < 1.0


@pytest.mark.parametrize(
    ("label", "score", "auc"),
    [
        ([0, 0, 1, 1], [0.1, 0.6, 0.6, 0.9], 0.875),  # three pairs won, one tied
        ([1, 1, 0, 0], [0.1, 0.6, 0.6, 0.9], 0.125),
        ([0, 0], [0.1, 0.2], None),
        ([1, 1], [0.1, 0.2], None),
        ([0, 1, 2], [0.1, 0.2, 0.3], None),
        ([0, 1], [math.nan, 0.2], None),
        ([0, 1], [0.1, math.inf], None),
        ([], [], None),
    ],
)
def test_f4_auc_of_plain_sequences(label: list[int], score: list[float], auc: float | None) -> None:
    assert auc_or_none(label, score) == auc


def test_f4_a_negative_variance_of_rounding_is_none_and_two_units_are_enough() -> None:
    assert wald(0.5, -1e-18, 0.95) == (0.5, 0.5)
    assert auc_variance(placements(*arrays([1.0, 2.0], [2.0, 3.0]))) == pytest.approx(1 / 32)
    assert wald(0.1, 0.01, 0.95, -1.0, 1.0)[0] == pytest.approx(0.1 - 1.959963984540054 * 0.1)
