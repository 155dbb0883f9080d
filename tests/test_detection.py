"""Detection metrics against hand-computed values and independent definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.cards import DETECTION_METRICS
from m2f2bench.scoring.detection import (
    accuracy,
    auc,
    auc_or_none,
    average_precision,
    balanced_accuracy,
    eer,
    score_methods,
    score_units,
)
from m2f2bench.scoring.rows import Units

SCORES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda v: v / 8)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def arrays(*rows: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)


def units(labels: np.ndarray, scores: np.ndarray, methods: list[str] | None = None) -> Units:
    named = methods or ["original" if label == 0 else "m" for label in labels]
    method = np.array(named, dtype=object)
    planned = tuple(sorted(set(method[labels == 1].tolist())))
    return Units(labels, scores, method, np.arange(len(labels)).astype(str).astype(object), 1.0, planned)


def test_golden_by_hand() -> None:
    # reals .1 .4 .4 .6, fakes .4 .7 .9: of 12 pairs 9 right, and .4 ties twice (1 in all), .4 < .6 once
    labels, scores = arrays((0, 0.1), (0, 0.4), (0, 0.4), (0, 0.6), (1, 0.4), (1, 0.7), (1, 0.9))
    assert auc(labels, scores) == pytest.approx(10 / 12, abs=1e-12)
    # thresholds .9 .7 .6 .4: precision 1, 1, 2/3, 3/6; recall rises at .9, .7 and .4
    assert average_precision(labels, scores) == pytest.approx(1 / 3 + 1 / 3 + (1 / 3) * (3 / 6), abs=1e-12)
    assert accuracy(labels, scores, 0.5) == pytest.approx(5 / 7)
    assert balanced_accuracy(labels, scores, 0.5) == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert accuracy(labels, scores, 0.4) == pytest.approx(4 / 7), "a score at the threshold is called fake"


def test_eer_is_interpolated() -> None:
    """Trap 8: between the ROC points the crossing is at 1/3; the nearest point says 0.4."""
    labels, scores = arrays(*[(0, s) for s in (0.1, 0.2, 0.3, 0.6, 0.8)], *[(1, s) for s in (0.4, 0.6, 0.7, 0.9)])
    # ROC points (FPR, TPR): (0,0) (0,.25) (.2,.25) (.2,.5) (.4,.75) (.4,1): the segment (.2,.5)-(.4,.75) is one of
    # tied scores; there FNR - FPR goes from .3 to -.15, zero at two thirds: FPR = .2 + .2*2/3 = 1/3
    assert eer(labels, scores) == pytest.approx(1 / 3, abs=1e-12)
    nearest = 0.4
    assert abs(eer(labels, scores) - nearest) > 0.06


def test_constant_scores() -> None:
    labels, scores = arrays((0, 0.5), (0, 0.5), (1, 0.5))
    assert auc(labels, scores) == 0.5 and eer(labels, scores) == 0.5
    assert average_precision(labels, scores) == pytest.approx(1 / 3)


@given(SCORES)
def test_auc_is_the_share_of_pairs(rows: list[tuple[int, float]]) -> None:
    labels, scores = arrays(*rows)
    pairs = [(f > r) + 0.5 * (f == r) for f in scores[labels == 1] for r in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert auc(labels, 1.0 - scores) == pytest.approx(1.0 - np.mean(pairs), abs=1e-12)


@given(SCORES, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(rows: list[tuple[int, float]], random) -> None:
    """Traps 9 and 10: AP of tied scores and class-wise numbers must not depend on the order."""
    mixed = list(rows)
    random.shuffle(mixed)
    for metric in (auc, average_precision, eer):
        assert metric(*arrays(*rows)) == pytest.approx(metric(*arrays(*mixed)), abs=1e-12)
    assert balanced_accuracy(*arrays(*rows), 0.5) == pytest.approx(balanced_accuracy(*arrays(*mixed), 0.5))


@given(SCORES)
def test_eer_lies_on_both_error_curves(rows: list[tuple[int, float]]) -> None:
    labels, scores = arrays(*rows)
    value = eer(labels, scores)
    assert 0.0 <= value <= 1.0
    assert eer(1 - labels, 1.0 - scores) == pytest.approx(value, abs=1e-9), "mirrored classes, the same error rate"


def test_ap_of_ties_by_the_wrong_definition() -> None:
    """Trap 9: walking tied rows one by one gives 1.0 or 0.5 by their order; together they give 0.5."""
    labels, scores = arrays((1, 0.5), (0, 0.5))
    assert average_precision(labels, scores) == 0.5


@pytest.mark.parametrize(("label", "missing"), [(0, "no fake unit"), (1, "no real unit")])
def test_one_class_gives_null_with_the_reason(label: int, missing: str) -> None:
    found = score_units(units(*arrays((label, 0.2), (label, 0.9))), DETECTION_METRICS, 0.5)
    for name in ("auc", "ap", "eer", "balanced_accuracy"):
        assert found[name].value is None and missing in str(found[name].reason)
    assert found["accuracy"].value == 0.5
    assert found["auc"].to_json()["reason"]


def test_nothing_scored_gives_null_everywhere() -> None:
    empty = units(np.array([], dtype=int), np.array([]))
    found = score_units(empty, DETECTION_METRICS, 0.5)
    assert all(score.value is None and score.reason for score in found.values())


def test_methods_are_each_against_all_reals() -> None:
    labels, scores = arrays((0, 0.3), (0, 0.5), (1, 0.9), (1, 0.4))
    found = score_methods(units(labels, scores, ["original", "original", "easy", "hard"]), ["auc"], 0.5)
    assert found["easy"]["auc"].value == 1.0 and found["hard"]["auc"].value == 0.5
    assert (found["hard"]["auc"].n_real, found["hard"]["auc"].n_fake) == (2, 1)


def test_auc_or_none() -> None:
    assert auc_or_none([0, 1], [0.1, 0.2]) == 1.0
    assert auc_or_none([1, 1], [0.1, 0.2]) is None
    assert auc_or_none([0, 1], [float("nan"), 0.2]) is None
