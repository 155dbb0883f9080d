"""IoU and pixel AUC of heat maps: by hand, against scikit-learn, and the best threshold picked in each resample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score
from toy_means import estimated
from toy_units import outside

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.records import Score
from m2f2bench.metrics.heatmaps import (
    GRID,
    MEASURES,
    Truth,
    iou,
    iou_curve,
    pixel_auc,
    thresholds,
    truth_on_grid,
)
from m2f2bench.stats.statistic import Columns


def truth_of(share: list[list[float]]) -> Truth:
    cells = np.array(share)
    return Truth(cells, cells > 0.5)


def test_iou_by_hand() -> None:
    truth = truth_of([[1.0, 0.5], [0.0, 0.0]])
    heat = np.array([[0.4, 0.2], [0.1, 0.8]])
    # Half of 0.8 is 0.4: the cells of 0.4 and 0.8 are in. In both 1.0; together 2 + 1.5 - 1.0.
    assert iou(heat, truth) == pytest.approx(1.0 / 2.5)
    curve = iou_curve(heat, truth)
    assert curve is not None and curve.shape == (GRID,) == thresholds().shape
    assert curve[0] == pytest.approx(1.5 / 4.0), "at 0 every cell is in: the mask's area"
    assert curve[12] == curve[0] and curve[13] == pytest.approx(1.5 / 3.0), "0.1 of 0.8 is 0.125"
    assert curve[25] == pytest.approx(1.5 / 3.0) and curve[26] == pytest.approx(1.0 / 2.5)
    assert curve[50] == iou(heat, truth) and curve[51] == 0.0 == curve[100], "the highest cell alone is outside"


def test_iou_of_pixels_is_that_of_areas() -> None:
    """A map of cells over a mask of pixels: as if both were drawn in the picture."""
    rng = np.random.default_rng(2)
    mask, heat = rng.random((24, 36)) < 0.3, rng.random((4, 6))
    drawn = np.repeat(np.repeat(heat, 6, axis=0), 6, axis=1)
    chosen = drawn >= 0.5 * heat.max()
    expected = (mask & chosen).sum() / (mask | chosen).sum()
    assert iou(heat, truth_on_grid(mask, (4, 6))) == pytest.approx(expected, abs=1e-12)


def test_maps_that_say_nothing() -> None:
    truth = truth_of([[1.0, 0.25], [0.0, 0.5]])
    for value in (1.0, 0.3, 1e-30):
        flat = np.full((2, 2), value)
        assert iou(flat, truth) == pytest.approx(truth.area) and pixel_auc(flat, truth) == 0.5
    nothing = np.zeros((2, 2))
    assert iou(nothing, truth) is None and iou_curve(nothing, truth) is None and pixel_auc(nothing, truth) == 0.5
    for share in (np.ones((2, 2)), np.zeros((2, 2))):
        assert pixel_auc(np.eye(2), Truth(share, share > 0.5)) is None
    assert iou(np.eye(2), Truth(np.zeros((2, 2)), np.zeros((2, 2), bool))) is None


def test_pixel_auc_by_hand() -> None:
    truth = truth_of([[1.0, 0.5], [0.0, 0.0]])
    # Masked: 1 at 0.4, ½ at 0.2. Not: ½ at 0.2, 1 at 0.1, 1 at 0.4.
    heat = np.array([[0.4, 0.2], [0.1, 0.4]])
    wins = 1.0 * (0.5 + 1.0 + 0.5 * 1.0) + 0.5 * (1.0 + 0.5 * 0.5)
    assert pixel_auc(heat, truth) == pytest.approx(wins / (1.5 * 2.5))
    assert pixel_auc(-heat, truth) == pytest.approx(1.0 - wins / (1.5 * 2.5))
    assert pixel_auc(np.array([[3.0, 2.0], [1.0, 0.0]]), truth_of([[1.0, 1.0], [0.0, 0.0]])) == 1.0


shares = st.sampled_from([0.0, 0.125, 0.5, 0.75, 1.0]) | st.floats(0.0, 1.0)
values = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0.0, 1.0, width=32)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_pixel_auc_is_scikit_learns(data: st.DataObject, shape: tuple[int, int]) -> None:
    share = data.draw(hnp.arrays(np.float64, shape, elements=shares))
    heat = data.draw(hnp.arrays(np.float64, shape, elements=values))
    found = pixel_auc(heat, Truth(share, share > 0.5))
    weights = np.concatenate([share.ravel(), 1.0 - share.ravel()])
    labels = np.repeat([1, 0], share.size)
    if found is None:
        assert min(share.sum(), (1.0 - share).sum()) < 1e-6
    elif min(share.sum(), (1.0 - share).sum()) > 1e-6:
        expected = roc_auc_score(labels, np.tile(heat.ravel(), 2), sample_weight=weights)
        assert found == pytest.approx(expected, abs=1e-9) and 0.0 <= found <= 1.0


@settings(max_examples=100, deadline=None)
@given(st.data(), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.floats(0.01, 100.0))
def test_iou_curve_is_its_definition(data: st.DataObject, shape: tuple[int, int], gain: float) -> None:
    share = data.draw(hnp.arrays(np.float64, shape, elements=shares))
    heat = data.draw(hnp.arrays(np.float64, shape, elements=values)) * gain
    curve = iou_curve(heat, Truth(share, share > 0.5))
    if curve is None:
        assert not heat.any() or not share.any()
        return
    scaled = heat / heat.max()
    for place, threshold in enumerate(thresholds().tolist()):
        chosen = scaled >= threshold
        inside = share[chosen].sum()
        assert curve[place] == pytest.approx(inside / (chosen.sum() + share.sum() - inside), abs=1e-9)
    half = iou(heat, Truth(share, share > 0.5))
    assert half == pytest.approx(min(curve[50], 1.0))


def test_the_best_threshold_is_one_for_all_and_picked_again_in_each_resample() -> None:
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(15), 4)
    table = rng.random((60, 3)) * 0.2 + np.array([0.5, 0.52, 0.3])
    table[7] = np.nan
    columns = {f"at{i}": table[:, i] for i in range(3)}
    places = np.array([0.0, 0.5, 1.0])

    def best(table: Columns) -> dict[str, Score]:
        statistics = {"best": table.best(tuple(columns)), "at": table.best_at(tuple(columns), places)}
        return estimated(statistics, np.zeros(60, bool), cluster, 15, Bootstrap(resamples=400, seed=9, level=0.9))

    found = best(Columns(columns))
    means = np.nanmean(table, axis=0)
    assert found["best"].value == pytest.approx(means.max()) and found["at"].value == places[means.argmax()]
    drawn, picked = [], []
    source = np.random.default_rng(9)
    for _ in range(400):
        frames = np.concatenate([np.flatnonzero(cluster == c) for c in source.integers(0, 15, 15)])
        again = np.nanmean(table[frames], axis=0)
        drawn.append(again.max())
        picked.append(places[again.argmax()])
    assert len(set(picked)) > 1, "another threshold is the best in some resamples"
    moved = np.array(drawn) - 2.0 * (np.mean(drawn) - means.max())
    low, high = np.quantile(moved, [outside(0.9, 15), 1 - outside(0.9, 15)])
    assert found["best"].ci == pytest.approx((min(low, means.max()), max(high, means.max())), abs=1e-12)
    assert found["at"].ci == (min(picked), max(picked)) and found["best"].n_fake == 59
    none = best(Columns({name: np.full(60, np.nan) for name in columns}))
    assert none["best"].value is None and none["at"].value is None


def test_every_measure_is_reported() -> None:
    from m2f2bench.heatmaps.localization_report import CONTROL_TABLE, REPORTED, TABLES

    assert set(MEASURES) == {"energy_in_mask", "mask_area", "energy_above_area", "pointing", "iou", "pixel_auc"}
    shown = {name for table in TABLES for name in table}
    assert set(MEASURES) <= set(REPORTED) and set(REPORTED) <= shown
    assert {"iou", "pixel_auc", "pixel_auc_less_control"} <= set(CONTROL_TABLE)
