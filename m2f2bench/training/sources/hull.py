"""Hulls of landmarks as masks, and the deformation and softening of masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Floats = npt.NDArray[np.float32]

COARSE = 4
"""Side of the blocks for which an elastic deformation is drawn, in pixels."""
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
"""How much of the source is mixed in; one is drawn (Shiohara and Yamasaki, section 3.2)."""


def hull_mask(points: npt.ArrayLike, height: int, width: int) -> Floats:
    """Return 1 inside the convex hull of points (x, y) in pixels, 0 outside, float32 [height, width].

    Raises ValueError for points that are not [K >= 3, 2], not finite, or on one line.
    """
    given = np.asarray(points, dtype=np.float64)
    if given.ndim != 2 or given.shape[1:] != (2,) or len(given) < 3 or not np.isfinite(given).all():
        raise ValueError(f"landmarks must be at least three finite points (x, y), not an array of shape {given.shape}")
    try:
        corners = given[ConvexHull(given).vertices]
    except QhullError:
        raise ValueError("landmarks must not lie on one line") from None
    picture = Pillow.new("L", (width, height))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    return np.asarray(picture, dtype=np.float32)


def shape_of(landmarks: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the points whose hull is blended: with 68 or 81 landmarks at random all of them (p 0.5), the first
    68 (0.25), or brows, eyes, nose and mouth without the jaw (0.25); other landmarks as they are."""
    if len(landmarks) not in (68, 81):
        return landmarks
    kind = rng.random()
    if kind < 0.25:
        return landmarks[:68]
    return landmarks[17:68] if kind < 0.5 else landmarks


def elastic(mask: Floats, rng: np.random.Generator, alpha: float = 50.0, sigma: float = 7.0) -> Floats:
    """Return the mask with its pixels moved by `alpha` × noise in [-1, 1] that is blurred by `sigma` pixels.

    The noise is drawn for blocks of COARSE² pixels, whose mean has the deviation of one pixel / COARSE, and is blurred
    before it is enlarged: the blur is so wide that the result has the same distribution, for a fifth of the time.
    """
    height, width = mask.shape
    size = (-(-height // COARSE), -(-width // COARSE))
    moves = []
    for _ in range(2):
        drawn = rng.uniform(-1, 1, size).astype(np.float32) / COARSE
        blurred = ndimage.gaussian_filter(drawn, sigma / COARSE, mode="constant") * alpha
        moves.append(_resized(blurred, (width, height)))
    rows, columns = np.indices(mask.shape, dtype=np.float32)
    return np.asarray(ndimage.map_coordinates(mask, [rows + moves[0], columns + moves[1]], order=1), dtype=np.float32)


def affine(planes: npt.NDArray[np.float32], scale: float, down: float, right: float) -> npt.NDArray[np.float32]:
    """Return float32 [H, W] or [H, W, C] scaled about its middle and moved by pixels; the edge is repeated."""
    middle = (np.array(planes.shape[:2]) - 1) / 2
    offset = middle - (middle + np.array([down, right])) / scale
    flat = planes[..., None] if planes.ndim == 2 else planes
    layers = [
        ndimage.affine_transform(flat[..., c], np.full(2, 1 / scale), offset, order=1, mode="nearest")
        for c in range(flat.shape[2])
    ]
    return np.stack(layers, axis=2).reshape(planes.shape).astype(np.float32)


def softened(mask: Floats, rng: np.random.Generator) -> Floats:
    """Return a soft mask in [0, 1]: resized to 192-256 a side, blurred, cut where below 1, blurred again, resized back.

    The widths of the blurs are odd, 5 to 25 pixels, as OpenCV's kernels of that size have them. A mask that the cut
    would empty keeps its first blur. Multiplied by one of `RATIOS`.
    """
    height, width = mask.shape
    size = (int(rng.integers(192, 257)), int(rng.integers(192, 257)))
    first, second = (_sigma(int(rng.integers(2, 13)) * 2 + 1) for _ in range(2))
    large = _resized(mask, size)
    blurred = ndimage.gaussian_filter(large, first, mode="constant", truncate=3)
    core = np.where(blurred < 1 - 1e-4, 0.0, 1.0).astype(np.float32)
    soft = ndimage.gaussian_filter(core, second, mode="constant", truncate=3) if core.any() else blurred
    back = np.clip(_resized(soft.astype(np.float32), (width, height)), 0, 1)
    back[back < 1 / 512] = 0  # less than half a grey level: untouched
    return np.asarray(back * float(rng.choice(RATIOS)), dtype=np.float32)


def _sigma(kernel: int) -> float:
    return 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8


def _resized(mask: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(Pillow.fromarray(mask).resize(size, Pillow.Resampling.BILINEAR), dtype=np.float32)
