"""Calibration error without what chance adds to it, and what a calibrated detector would read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_units import PLAIN, make_units

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection import calibration
from m2f2bench.metrics.detection.calibration import calibrated_ece
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.sample import plain
from m2f2bench.metrics.detection.tally import Tally
from m2f2bench.metrics.detection.values import Cut, all_fakes

NAME = "calibration_debiased"


def debiased(label: np.ndarray, score: np.ndarray) -> float:
    found = score_units(make_units(label, score), [NAME], Cut(), PLAIN).overall[NAME]
    assert found.value is not None
    return found.value


def by_hand(label: np.ndarray, score: np.ndarray) -> float:
    """Fifteen groups of the sorted units, each by its place in the middle; equal scores in one."""
    order = np.argsort(-score, kind="stable")
    values, n = np.unique(-score[order], return_counts=True)
    middle = np.cumsum(n) - n / 2
    group = np.repeat(np.minimum((15 * middle / len(score)).astype(int), 14), n)
    total = 0.0
    for k in np.unique(group):
        y, s = label[order][group == k], score[order][group == k]
        chance = y.mean() * (1 - y.mean()) / (len(y) - 1) if len(y) > 1 else s.mean() * (1 - s.mean())
        total += len(y) * ((s.mean() - y.mean()) ** 2 - chance)
    assert len(values) == len(n)
    return total / len(score)


def test_two_bins_by_hand() -> None:
    """Four units at .25 with one fake, four at .75 with four: (0 - 3/16/3 + 1/16 - 0) / 2 of equal bins."""
    label = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    score = np.repeat([0.25, 0.75], 4)
    assert debiased(label, score) == pytest.approx((0.0 - 0.1875 / 3 + 0.0625 - 0.0) / 2, abs=1e-15)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40)), min_size=2, max_size=90))
@settings(deadline=None, max_examples=60)
def test_it_is_that_of_sorted_groups(units: list[tuple[int, int]]) -> None:
    label, score = np.array([y for y, _ in units]), np.array([s for _, s in units]) / 40
    assert debiased(label, score) == pytest.approx(by_hand(label, score), abs=1e-12)


@pytest.mark.parametrize(("off", "n"), [(0.0, 100), (0.0, 400), (0.1, 400)])
def test_it_is_right_on_average_where_the_ece_is_not(off: float, n: int) -> None:
    """Scores uniform on [0, 1]; fakes are nearer to .5 by `off` than they say. Also its intervals."""
    rng, found, held = np.random.default_rng(7), [], 0
    for seed in range(120):
        score = rng.random(n)
        label = (rng.random(n) < np.clip(score + off * np.sign(0.5 - score), 0, 1)).astype(int)
        both = score_units(make_units(label, score), ["ece", NAME], Cut(), Bootstrap(resamples=100, seed=seed)).overall
        found.append((both["ece"].value, both[NAME].value))
        low, high = both[NAME].ci or (0.0, 0.0)
        held += low <= off**2 <= high
    ece, squared = np.mean(found, axis=0)
    error = np.std([value for _, value in found]) / np.sqrt(len(found))
    assert squared == pytest.approx(off**2, abs=3.5 * error)
    assert ece > off + 0.008 and held >= 0.93 * len(found)


@pytest.mark.parametrize("n", [4, 10, 20, 40])
def test_of_few_units_too_it_is_zero_on_average(n: int) -> None:
    """With fewer than two units a bin, where the chance of a share is not known from the bin itself."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        score = rng.random(n)
        found.append(debiased((rng.random(n) < score).astype(int), score))
    assert abs(np.mean(found)) < 3.5 * np.std(found) / np.sqrt(len(found))


@pytest.mark.filterwarnings("error")
def test_where_no_unit_is_drawn_there_is_no_value() -> None:
    """A method of one cluster is in no unit of some resamples, which is not worth a warning."""
    label, score = np.array([0, 0, 0, 0, 1]), np.array([0.1, 0.2, 0.6, 0.7, 0.9])
    units = make_units(label[4:], score[4:], clusters=[0])
    assert debiased(label, score) == pytest.approx(by_hand(label, score))
    drawn = calibration.debiased_calibration_error(tally_of(units, np.array([[0.0, 1.0, 2.0]])))
    assert np.isnan(drawn[0]) and not np.isnan(drawn[1:]).any()


def tally_of(units: Units, weights: np.ndarray) -> Tally:
    sample = plain(units)
    curve = all_fakes(sample, weights)
    zero = np.zeros(weights.shape[1])
    return Tally(curve, sample.levels, zero, zero, zero)


@pytest.mark.parametrize("n", [60, 1000])
def test_what_a_calibrated_detector_would_read(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the ECE of labels that are drawn from the scores; of many units by the normal's mean size."""
    rng = np.random.default_rng(3)
    score = rng.beta(0.5, 0.5, n)
    drawn = [
        score_units(make_units((rng.random(n) < score).astype(int), score), ["ece"], Cut(), PLAIN).overall["ece"].value
        for _ in range(300)
    ]
    wanted = np.mean([one for one in drawn if one is not None])
    assert calibrated_ece(score) == pytest.approx(wanted, rel=0.04)
    assert calibrated_ece(score) == calibrated_ece(score), "always the same"
    monkeypatch.setattr(calibration, "SIMULATED", 10)
    assert n < 100 or calibrated_ece(score) == pytest.approx(wanted, rel=0.04)


def test_it_is_said_beside_the_ece() -> None:
    score = np.linspace(0.05, 0.95, 40)
    found = score_units(make_units(np.arange(40) % 2, score), ["ece"], Cut(), PLAIN).overall["ece"]
    assert found.value is not None
    assert found.calibrated == calibrated_ece(score) == found.to_json()["calibrated"]
    assert f"a calibrated detector with these scores would read {calibrated_ece(score):.3f}" in str(found.reason)
