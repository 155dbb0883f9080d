"""Measures of heat maps against true masks: by hand, their bounds, and on the grid of a map."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from m2f2bench.metrics.heatmaps import (
    Truth,
    above_area,
    centred_map,
    energy_in_mask,
    overlaps,
    pointing,
    truth_on_grid,
)


def test_measures_by_hand() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2, :3] = True
    truth = truth_on_grid(mask, (2, 2))
    assert truth.share.tolist() == [[1.0, 0.5], [0.0, 0.0]] and truth.area == 6 / 16
    assert truth.centre.tolist() == [[True, False], [False, False]], "the centre is where four pixels meet: the last"
    heat = np.array([[0.2, 0.4], [0.1, 0.1]])
    assert energy_in_mask(heat, truth) == pytest.approx((0.2 + 0.4 * 0.5) / 0.8)
    assert pointing(heat, truth) == 0.0 and pointing(heat.T, truth) == 0.0
    assert pointing(heat[:, ::-1], truth) == 1.0
    assert pointing(np.ones((2, 2)), truth) == 0.25, "ties: the chance that one picked at random hits"
    assert above_area(heat, truth) == 1.0 and above_area(np.ones((2, 2)), truth) == 0.0
    assert energy_in_mask(np.zeros((2, 2)), truth) is None and pointing(np.zeros((2, 2)), truth) is None


def test_cells_that_cut_pixels() -> None:
    """Three cells over two pixels, and two cells over the middle two thirds of three."""
    third = 1 / 3
    np.testing.assert_allclose(overlaps(3, 2), [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(overlaps(2, 3, 0.5 * third, 2.5 * third), [[0.5, 0.5, 0], [0, 0.5, 0.5]], atol=1e-12)
    mask = np.array([[True, False, False]])
    truth = truth_on_grid(mask, (1, 2), (0.0, 0.5 * third, 1.0, 2.5 * third))
    np.testing.assert_allclose(truth.share, [[0.5, 0.0]], atol=1e-12)
    assert truth.area == pytest.approx(0.25), "of the part that is seen, a quarter is masked"


def test_cut_to_a_seen_part_is_the_same_as_a_smaller_picture() -> None:
    mask = np.random.default_rng(3).random((40, 60)) < 0.3
    cut = truth_on_grid(mask, (5, 4), (0.0, 10 / 60, 1.0, 50 / 60))
    alone = truth_on_grid(mask[:, 10:50], (5, 4))
    np.testing.assert_allclose(cut.share, alone.share, atol=1e-12)
    assert (cut.centre == alone.centre).all()
    upright = truth_on_grid(mask.T, (4, 5), (10 / 60, 0.0, 50 / 60, 1.0))
    np.testing.assert_allclose(upright.share, alone.share.T, atol=1e-12)
    assert (upright.centre == alone.centre.T).all()
    blocks = mask[:, 10:50].reshape(5, 8, 4, 10).mean(axis=(1, 3))
    np.testing.assert_allclose(alone.share, blocks, atol=1e-12)


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
edges = st.tuples(st.floats(0.0, 0.45), st.floats(0.55, 1.0))


@settings(max_examples=150, deadline=None)
@given(st.data(), hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=23)), shapes, edges, edges)
def test_bounds(data: st.DataObject, mask: np.ndarray, shape: tuple[int, int], rows, columns) -> None:
    truth = truth_on_grid(mask, shape, (rows[0], columns[0], rows[1], columns[1]))
    assert truth.share.shape == truth.centre.shape == shape
    assert (truth.share >= 0).all() and (truth.share <= 1).all()
    heat = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0.0, 1.0, width=32))).astype(np.float64)
    energy, point = energy_in_mask(heat, truth), pointing(heat, truth)
    assert (energy is None) == (point is None) == (not heat.any())
    if energy is not None and point is not None:
        assert truth.share.min() - 1e-9 <= energy <= truth.share.max() + 1e-9 and 0.0 <= point <= 1.0
    assert energy_in_mask(np.full(shape, 0.3), truth) == pytest.approx(truth.area, abs=1e-12)
    if mask.all():
        assert truth.area == pytest.approx(1.0) and truth.centre.all()


def test_centred_map() -> None:
    heat = centred_map((5, 3))
    assert heat.max() == heat[2, 1] == 1.0 and np.allclose(heat, heat[::-1, ::-1])
    assert heat[0, 1] == pytest.approx(math.exp(-(0.4**2) / (2 * 0.25**2)))


def test_a_truth_of_one_cell() -> None:
    truth = Truth(np.array([[0.25]]), np.array([[True]]))
    assert energy_in_mask(np.array([[0.5]]), truth) == 0.25 and pointing(np.array([[0.5]]), truth) == 1.0
