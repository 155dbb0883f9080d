"""Detection metrics against values computed by hand, and what they do where something is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_units import make_units, plain_values, score_all

from m2f2bench.metrics.detection.values import Cut, all_metrics
from m2f2bench.stats.delong import auc_or_none

Pairs = list[tuple[int, float]]
SCORES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda v: v / 8)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)
REALS, FAKES = (0.1, 0.4, 0.4, 0.6), (0.4, 0.7, 0.9)
LABELS, VALUES = [0] * 4 + [1] * 3, [*REALS, *FAKES]


def by_name(rows: Pairs, cut: Cut | None = None) -> dict[str, float | None]:
    return plain_values([label for label, _ in rows], [score for _, score in rows], cut)


def test_ranking_by_hand() -> None:
    """Of 12 pairs 9 are right, .4 ties twice (1 in all), .4 < .6 once; the steps of the curve are .9 .7 .6 .4 .1."""
    found = plain_values(LABELS, VALUES)
    assert found["auc"] == pytest.approx(10 / 12, abs=1e-15)
    # precision 1, 1, 2/3, 3/6 at .9, .7, .6, .4; recall rises by a third at .9, .7 and .4
    assert found["ap"] == pytest.approx(1 / 3 + 1 / 3 + (1 / 3) * (3 / 6), abs=1e-15)
    assert found["tpr_at_fpr1"] == found["tpr_at_fpr01"] == pytest.approx(2 / 3), ".9 and .7 stand above all reals"
    # at FPR .1 the curve is still at TPR 2/3: area .1 * 2/3; McClish: least .005, greatest .1
    assert found["pauc"] == pytest.approx(0.5 * (1 + (0.1 * 2 / 3 - 0.005) / 0.095), abs=1e-15)
    # FNR - FPR: at .6 1/3 - 1/4 > 0, at .4 0 - 3/4: zero at (1/12) / (10/12) of the way from FPR 1/4 to 3/4
    assert found["eer"] == pytest.approx(1 / 4 + (1 / 2) * (1 / 10), abs=1e-15)


def test_decisions_by_hand() -> None:
    found = plain_values(LABELS, VALUES)
    tp, fn, fp, tn = 2, 1, 1, 3
    assert found["accuracy"] == pytest.approx(5 / 7, abs=1e-15)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 2 / 3) / 2, abs=1e-15)
    assert found["precision"] == pytest.approx(2 / 3) and found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3, abs=1e-15)
    assert found["mcc"] == pytest.approx((tp * tn - fp * fn) / math.sqrt(3 * 3 * 4 * 4), abs=1e-15)
    at = plain_values(LABELS, VALUES, Cut(value=0.4))
    assert at["accuracy"] == pytest.approx(4 / 7), "a score at the threshold is called fake"


def test_calibration_by_hand() -> None:
    found = plain_values([0, 1, 1], [0.25, 0.5, 1.0])
    assert found["brier"] == pytest.approx((0.0625 + 0.25 + 0.0) / 3, abs=1e-15)
    assert found["log_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 3, abs=1e-12)
    assert found["ece"] == pytest.approx((0.25 + 0.5 + 0.0) / 3, abs=1e-15), "three bins of one unit"
    # .61 and .66 share the bin (.6, .667]: mean score .635, share of fakes one half; .2 is the upper edge of its bin
    scored = score_all(make_units([0, 1, 0], [0.61, 0.66, 0.2]))
    assert scored.overall["ece"].value == pytest.approx((2 * abs(0.635 - 0.5) + 0.2) / 3, abs=1e-15)
    filled = {i: (b["n"], b["score"], b["fake"]) for i, b in enumerate(scored.reliability) if b["n"]}
    assert filled == {2: (1, 0.2, 0.0), 9: (2, pytest.approx(0.635), 0.5)}


def test_eer_is_interpolated() -> None:
    """Trap 8: between the ROC points the crossing is at 1/3; the nearest point says 0.4."""
    reals, fakes = [0.1, 0.2, 0.3, 0.6, 0.8], [0.4, 0.6, 0.7, 0.9]
    # ROC points (FPR, TPR): (0,0) (0,.25) (.2,.25) (.2,.5) (.4,.75) (.4,1): the segment (.2,.5)-(.4,.75) is one of
    # tied scores; there FNR - FPR goes from .3 to -.15, zero at two thirds: FPR = .2 + .2*2/3 = 1/3
    found = plain_values([0] * 5 + [1] * 4, reals + fakes)["eer"]
    assert found == pytest.approx(1 / 3, abs=1e-15)


def test_constant_scores() -> None:
    found = plain_values([0, 0, 1], [0.5, 0.5, 0.5])
    assert found["auc"] == 0.5 and found["eer"] == 0.5 and found["pauc"] == pytest.approx(0.5)
    assert found["ap"] == pytest.approx(1 / 3) and found["mcc"] == 0.0 and found["tpr_at_fpr1"] == 0.0


@given(SCORES)
def test_auc_is_the_share_of_pairs(rows: Pairs) -> None:
    pairs = [(f > r) + 0.5 * (f == r) for y, f in rows if y for z, r in rows if not z]
    assert by_name(rows)["auc"] == pytest.approx(np.mean(pairs), abs=1e-12)
    assert by_name([(y, 1.0 - s) for y, s in rows])["auc"] == pytest.approx(1.0 - np.mean(pairs), abs=1e-12)


@given(SCORES, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(rows: Pairs, random) -> None:
    """Traps 9 and 10: AP of tied scores and class-wise numbers must not depend on the order."""
    mixed = list(rows)
    random.shuffle(mixed)
    assert by_name(rows) == by_name(mixed)


@given(SCORES)
def test_eer_is_the_same_from_both_sides(rows: Pairs) -> None:
    value = by_name(rows)["eer"]
    assert value is not None and 0.0 <= value <= 1.0
    mirrored = by_name([(1 - y, 1.0 - s) for y, s in rows])["eer"]
    assert mirrored == pytest.approx(value, abs=1e-9), "mirrored classes, the same error rate"


@pytest.mark.parametrize(("label", "missing"), [(0, "no fake unit"), (1, "no real unit")])
def test_one_class_gives_null_with_the_reason(label: int, missing: str) -> None:
    found = score_all(make_units([label, label], [0.2, 0.9])).overall
    for name in ("auc", "pauc", "tpr_at_fpr1", "ap", "eer", "balanced_accuracy", "f1", "precision", "mcc"):
        assert found[name].value is None and missing in str(found[name].reason), name
    assert found["accuracy"].value == 0.5 and found["brier"].value == pytest.approx(
        (0.04 + 0.81) / 2 if not label else (0.64 + 0.01) / 2
    )
    assert found["recall"].value == (None if label == 0 else 0.5)
    assert found["auc"].to_json()["reason"]


def test_nothing_scored_gives_null_everywhere() -> None:
    for cut in (Cut(), Cut("eer"), Cut("best")):
        scored = score_all(make_units([], []), cut)
        assert all(score.value is None and score.reason for score in scored.overall.values())
        assert sum(int(bin["n"] or 0) for bin in scored.reliability) == 0


def test_methods_are_each_against_all_reals_and_averaged() -> None:
    scored = score_all(make_units([0, 0, 1, 1], [0.3, 0.5, 0.9, 0.4], ["original", "original", "easy", "hard"]))
    assert scored.methods["easy"]["auc"].value == 1.0 and scored.methods["hard"]["auc"].value == 0.5
    assert (scored.methods["hard"]["auc"].n_real, scored.methods["hard"]["auc"].n_fake) == (2, 1)
    assert scored.average["auc"].value == 0.75 and scored.overall["auc"].value == 0.75


def test_a_method_none_of_whose_fakes_has_a_score() -> None:
    """Its accuracy is not that of the reals, and there is no average over methods."""
    units = make_units([0, 0, 1], [0.3, 0.6, 0.9], ["original", "original", "easy"])
    units = type(units)(**{**vars(units), "methods": ("easy", "gone")})
    scored = score_all(units)
    assert scored.methods["gone"]["accuracy"].value is None and scored.methods["gone"]["auc"].value is None
    assert scored.average["accuracy"].value is None and "a method" in str(scored.average["accuracy"].reason)
    assert scored.overall["accuracy"].value == pytest.approx(2 / 3)


def test_no_unit_called_fake_has_no_precision() -> None:
    found = score_all(make_units([0, 1], [0.1, 0.2])).overall
    assert found["precision"].value is None and found["precision"].reason == "no unit is called fake"
    assert found["f1"].value == 0.0 and found["recall"].value == 0.0


@pytest.mark.parametrize(
    ("cut", "threshold", "accuracy"),
    [
        # .4 .6 | .7: above .6 two of three fakes are called and no real: midway .65
        (Cut("best", maximise="accuracy"), 0.65, 6 / 7),
        (Cut("best", maximise="balanced_accuracy"), 0.65, 6 / 7),
        (Cut("best", maximise="f1"), 0.65, 6 / 7),
    ],
)
def test_a_threshold_picked_on_the_scores(cut: Cut, threshold: float, accuracy: float) -> None:
    scored = score_all(make_units(LABELS, VALUES), cut)
    assert scored.threshold == pytest.approx(threshold) and cut.oracle
    assert scored.overall["accuracy"].value == pytest.approx(accuracy)
    assert scored.overall["accuracy@0.5"].value == pytest.approx(5 / 7), "the decisions at 0.5 stand beside it"


@pytest.mark.slow
@given(SCORES, st.sampled_from(["accuracy", "balanced_accuracy", "f1"]))
def test_the_best_threshold_is_best_and_is_a_threshold(rows: Pairs, maximise: str) -> None:
    """No threshold does better, and deciding by the threshold that is told gives the very numbers that are told."""
    labels, scores = [y for y, _ in rows], [s for _, s in rows]
    scored = score_all(make_units(labels, scores), Cut("best", maximise=maximise))
    found = scored.overall[maximise].value
    assert scored.threshold is not None and found is not None
    assert plain_values(labels, scores, Cut(value=scored.threshold))[maximise] == found
    for other in [-1.0, *scores, 2.0]:
        assert (plain_values(labels, scores, Cut(value=other))[maximise] or 0.0) <= found + 1e-12


@given(SCORES)
def test_the_eer_threshold_decides_as_it_says(rows: Pairs) -> None:
    labels, scores = [y for y, _ in rows], [s for _, s in rows]
    scored = score_all(make_units(labels, scores), Cut("eer"))
    assert scored.threshold is not None
    assert plain_values(labels, scores, Cut(value=scored.threshold))["accuracy"] == scored.overall["accuracy"].value


def test_no_threshold_between_neighbouring_floats_but_on_one() -> None:
    low = 0.5
    high = float(np.nextafter(low, 1.0))
    scored = score_all(make_units([0, 1], [low, high]), Cut("best", maximise="accuracy"))
    assert scored.threshold == high and scored.overall["accuracy"].value == 1.0
    assert plain_values([0, 1], [low, high], Cut(value=high))["accuracy"] == 1.0


def test_decisions_at_half_are_named_where_the_threshold_differs() -> None:
    assert all_metrics(["auc", "f1"], Cut()) == ["auc", "f1"]
    assert all_metrics(["auc", "f1"], Cut("eer")) == ["auc", "f1", "f1@0.5"]


def test_auc_or_none() -> None:
    assert auc_or_none([0, 1], [0.1, 0.2]) == 1.0
    assert auc_or_none([1, 1], [0.1, 0.2]) is None
    assert auc_or_none([0, 1], [float("nan"), 0.2]) is None
