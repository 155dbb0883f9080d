"""Transforms of the plane between a picture and a crop of it, and the pixels of either in the other's place.

A transform is a matrix [2, 3]: a point (x, y) of the picture goes to `matrix @ (x, y, 1)` of the crop. Points are as in
`faces.face`: the first pixel covers 0 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from ..core.errors import DataError

if TYPE_CHECKING:
    from ..core.arrays import Bools, Floats, Image

Border: TypeAlias = Literal["zeros", "reflect"]
"""What is beyond the picture's edge: black, or the picture mirrored."""
LARGEST = 6
"""How many times as long as the picture a region of it may be that becomes a crop."""
FLAT = 1e-9
"""Points closer together than this, in pixels, give no transform."""


def similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> Floats:
    """Return the transform [2, 3] of turn, scale and shift that brings points `source` [n, 2] nearest to `target`.

    Least squares by Umeyama (1991), which never mirrors. Raises DataError for points that are all in one place.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
    from_a, from_b = a - middle_a, b - middle_b
    spread = float((from_a**2).sum())
    if not np.isfinite(spread) or spread <= FLAT**2:
        raise DataError("the points of a face are all in one place: they give no turn and no size")
    left, values, right = np.linalg.svd(from_b.T @ from_a)
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    linear = (left * sign) @ right * (float(values @ sign) / spread)
    return np.column_stack([linear, middle_b - linear @ middle_a])


def moved(transform: npt.ArrayLike, points: npt.ArrayLike) -> Floats:
    """Return points [n, 2] after a transform."""
    matrix = np.asarray(transform, np.float64)
    found: Floats = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return found


def inverse(transform: npt.ArrayLike) -> Floats:
    """Return the transform back, from the crop to the picture. Raises DataError if there is none."""
    matrix = np.asarray(transform, np.float64)
    size = abs(float(np.linalg.det(matrix[:, :2])))
    if not size > 0 or not np.isfinite(matrix).all():
        raise DataError("a face without width or height cannot be cut out")
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def warp(image: Image, transform: npt.ArrayLike, size: int, border: Border = "zeros", smooth: bool = True) -> Image:
    """Return the crop, uint8 [size, size, 3], whose transform from the picture is given, by bilinear interpolation.

    With `smooth`, a part of the picture that has more pixels than the crop is averaged first. The face may lie beyond
    the picture's edge. Raises DataError for a transform whose crop would be of far more than the picture.
    """
    back = inverse(transform)
    corners = moved(back, [[0, 0], [size, 0], [0, size], [size, size]])
    low, high = np.floor(corners.min(axis=0)).astype(int) - 2, np.ceil(corners.max(axis=0)).astype(int) + 2
    if (high - low).max() > LARGEST * max(*image.shape[:2], 8):
        raise DataError(f"a face's box of {max(high - low)} pixels does not fit a picture of {list(image.shape[:2])}")
    region = Pillow.fromarray(_region(image, low, high, border))
    back[:, 2] -= low
    shrink = np.sqrt(abs(np.linalg.det(back[:, :2])))
    if back[0, 1] == back[1, 0] == 0 and min(back[0, 0], back[1, 1]) > 0 and smooth:
        box = (back[0, 2], back[1, 2], back[0, 2] + size * back[0, 0], back[1, 2] + size * back[1, 1])
        return np.array(region.resize((size, size), Pillow.Resampling.BILINEAR, box=box))
    if smooth and shrink >= 2:
        whole = int(shrink)
        region = region.reduce(whole)
        back = back / whole
    return np.array(_affine(region, back, (size, size), Pillow.Resampling.BILINEAR))


def warp_mask(mask: Bools, transform: npt.ArrayLike, size: int) -> Bools:
    """Return a mask [H, W] of the picture as the mask [size, size] of the crop; nothing is marked beyond the edge."""
    picture = Pillow.fromarray(mask.astype(np.uint8) * 255)
    found = np.asarray(_affine(picture, inverse(transform), (size, size), Pillow.Resampling.BILINEAR))
    marked: Bools = found > 127
    return marked


def put_back(
    heatmap: npt.ArrayLike, transform: npt.ArrayLike, shape: tuple[int, ...], size: int | None = None
) -> npt.NDArray[np.float32]:
    """Return a heat map of the crop in the place of the whole picture, float32 [H, W]; 0 outside the crop.

    `heatmap` is float [h, w] and covers the crop, `shape` is the picture's (its first two numbers count). `size` is the
    crop's side in pixels, by default the map's: a coarser map covers the same crop.
    """
    values = np.asarray(heatmap, np.float32)
    height, width = int(shape[0]), int(shape[1])
    side = values.shape[1] if size is None else size
    scale = np.array([[values.shape[1] / side], [values.shape[0] / side]])
    forth = np.asarray(transform, np.float64) * scale
    # A rim of repeated values: bilinear interpolation would lose half a place at the crop's edge.
    padded = Pillow.fromarray(np.pad(values, 1, mode="edge"))
    forth[:, 2] += 1
    found: npt.NDArray[np.float32] = np.array(
        _affine(padded, forth, (width, height), Pillow.Resampling.BILINEAR), np.float32
    )
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = np.ones((height, width), bool)
    for row, length in zip(forth, (values.shape[1], values.shape[0]), strict=True):
        place = row[0] * x + row[1] * y + row[2] - 1
        inside &= (place >= 0) & (place <= length)
    found[~inside] = 0
    return found


def _affine(picture: Any, back: Floats, size: tuple[int, int], how: Pillow.Resampling) -> Any:
    """Return a picture of (width, height) `size`, each of whose points is at `back` in the given one."""
    return picture.transform(size, Pillow.Transform.AFFINE, tuple(back.reshape(-1).tolist()), how)


def _region(image: Image, low: Any, high: Any, border: Border) -> Image:
    """Return the pixels from `low` to `high` (x, y), which may be outside of the picture."""
    height, width = image.shape[:2]
    if border == "reflect":
        return image[np.ix_(_mirrored(low[1], high[1], height), _mirrored(low[0], high[0], width))]
    found = np.zeros((high[1] - low[1], high[0] - low[0], 3), np.uint8)
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    if x0 < x1 and y0 < y1:
        found[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = image[y0:y1, x0:x1]
    return found


def _mirrored(low: int, high: int, length: int) -> npt.NDArray[np.int64]:
    """Return the pixels' numbers of a line that is mirrored at both ends, as often as needed."""
    places = np.mod(np.arange(low, high), 2 * length)
    found: npt.NDArray[np.int64] = np.minimum(places, 2 * length - 1 - places)
    return found
