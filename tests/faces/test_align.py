"""Transforms between a picture and a crop of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core.errors import DataError
from m2f2bench.faces.align import inverse, moved, put_back, similarity, warp, warp_mask
from m2f2bench.faces.crops import load_crop

POINTS = [[210.3, 141.9], [288.1, 155.2], [246.7, 199.4], [207.9, 229.1], [268.4, 240.8]]


def by_least_squares(source: list[list[float]], target: np.ndarray) -> np.ndarray:
    """The same similarity by another way: x' = a x - b y + c and y' = b x + a y + d are linear in a, b, c, d."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, c, d = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


def test_a_similarity_is_the_least_squares_one() -> None:
    target = np.asarray(load_crop("deepfakebench").template) * 256
    assert np.abs(similarity(POINTS, target) - by_least_squares(POINTS, target)).max() < 1e-9


def test_a_similarity_is_that_of_scikit_image() -> None:
    transform = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    target = np.asarray(load_crop("deepfakebench").template) * 256
    theirs = transform.SimilarityTransform()
    with warnings.catch_warnings():  # of its newer constructor, which the lowest version does not have
        warnings.simplefilter("ignore")
        assert theirs.estimate(np.array(POINTS), target)
    assert np.abs(similarity(POINTS, target) - theirs.params[:2]).max() < 1e-6
    corners = [[0, 0], [640, 0], [0, 480], [640, 480]]
    assert np.abs(moved(similarity(POINTS, target), corners) - theirs(np.array(corners))).max() < 1e-6


@given(
    st.floats(-np.pi, np.pi),
    st.floats(0.05, 20),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_a_turn_a_scale_and_a_shift_are_found_again(angle: float, scale: float, shift: tuple[float, float]) -> None:
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, shift])
    assert np.allclose(similarity(POINTS, moved(matrix, POINTS)), matrix, atol=1e-6 * max(1, scale))
    assert np.allclose(moved(inverse(matrix), moved(matrix, POINTS)), POINTS, atol=1e-6)


def test_a_similarity_never_mirrors() -> None:
    mirrored = [[-x, y] for x, y in POINTS]
    assert np.linalg.det(similarity(POINTS, mirrored)[:, :2]) > 0


def test_points_in_one_place_are_refused() -> None:
    with pytest.raises(DataError, match="all in one place"):
        similarity([[5, 5]] * 5, POINTS)
    with pytest.raises(DataError, match="without width or height"):
        inverse([[0, 0, 1], [0, 0, 1]])


def ramp(height: int = 60, width: int = 80) -> np.ndarray:
    """A picture whose red is the column and whose green is the row, times three."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 3 * np.arange(width)[None], 3 * np.arange(height)[:, None]
    return picture


@pytest.mark.parametrize("smooth", [True, False])
def test_a_part_at_its_own_size_is_copied(smooth: bool) -> None:
    crop = warp(ramp(), [[1, 0, -10], [0, 1, -20]], 30, smooth=smooth)
    assert np.array_equal(crop, ramp()[20:50, 10:40])


def test_twice_as_large_lies_between_the_pixels() -> None:
    crop = warp(ramp(), [[2, 0, -20], [0, 2, -40]], 40)
    # The crop's pixel 7 has its centre at 7.5 / 2 + 10 = 13.75 of the picture, the pixel that covers 13 to 14 at 13.5.
    assert abs(int(crop[20, 7, 0]) - 3 * 13.25) <= 1 and abs(int(crop[9, 20, 1]) - 3 * (9.5 / 2 + 19.5)) <= 1


def test_a_quarter_turn() -> None:
    crop = warp(ramp(), [[0, -1, 50], [1, 0, -10]], 30, smooth=False)  # x' = 50 - y, y' = x - 10
    assert np.array_equal(crop, np.rot90(ramp()[20:50, 10:40], -1))


def test_a_fine_pattern_is_averaged_unless_told_otherwise() -> None:
    lines = np.zeros((300, 300, 3), np.uint8)
    lines[::2] = 255
    small = [[0.2, 0, 0], [0, 0.2, 0]]
    assert np.ptp(warp(lines, small, 60)[2:-2].astype(int)) <= 60
    assert np.ptp(warp(lines, small, 60, smooth=False)[2:-2].astype(int)) >= 120


def test_beyond_the_edge_there_is_black_or_the_picture_mirrored() -> None:
    shifted = [[1, 0, 10], [0, 1, 10]]
    black, mirrored = warp(ramp(), shifted, 40), warp(ramp(), shifted, 40, border="reflect")
    assert not black[:9].any() and not black[:, :9].any()
    assert np.array_equal(mirrored[10:, 9], mirrored[10:, 10]) and np.array_equal(mirrored[10:, 5], mirrored[10:, 14])
    assert np.array_equal(black[11:, 11:], mirrored[11:, 11:])
    assert not warp(ramp(), [[1, 0, 500], [0, 1, 0]], 40).any()


def test_one_pixel_fills_a_mirrored_crop() -> None:
    one = np.full((1, 1, 3), 77, np.uint8)
    assert (warp(one, [[16, 0, 0], [0, 16, 0]], 16, border="reflect") == 77).all()


def test_a_crop_of_far_more_than_the_picture_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit a picture"):
        warp(ramp(), [[0.001, 0, 0], [0, 0.001, 0]], 224)


def test_a_heat_map_comes_back_to_its_place() -> None:
    transform = [[0.5, 0, -10], [0, 0.5, -5]]  # the crop of 20 pixels shows the picture from (20, 10) to (60, 50)
    heat = np.zeros((20, 20))
    heat[4:6, 8:10] = 1
    back = put_back(heat, transform, (60, 80))
    assert back.shape == (60, 80) and back.dtype == np.float32
    rows, columns = np.nonzero(back >= 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 21, 36, 39)
    full = put_back(np.ones((20, 20)), transform, (60, 80, 3))
    assert full[10:50, 20:60].min() == 1 and full.sum() == 40 * 40
    coarse = put_back(np.ones((5, 5)), transform, (60, 80), size=20)
    assert np.array_equal(coarse, full)


def test_a_turned_heat_map_comes_back_to_its_place() -> None:
    matrix = similarity(POINTS, np.asarray(load_crop("deepfakebench").template) * 256)
    y, x = np.mgrid[0:256, 0:256] + 0.5
    hill = np.exp(-((x - 140) ** 2 + (y - 100) ** 2) / 200)
    back = put_back(hill, matrix, (480, 640))
    row, column = np.unravel_index(back.argmax(), back.shape)
    assert np.hypot(*(moved(inverse(matrix), [[140, 100]])[0] - (column + 0.5, row + 0.5))) < 1


def test_a_mask_is_cut_like_its_picture() -> None:
    mask = np.zeros((60, 80), bool)
    mask[30:40, 20:30] = True
    found = warp_mask(mask, [[1, 0, -10], [0, 1, -20]], 30)
    assert found.dtype == bool and np.array_equal(found, mask[20:50, 10:40])
