"""Metrics of heat maps: against the true mask of manipulated pixels, and against the score that they explain.

Localization: a map [h, w] is coarse, a mask [H, W] is not. The mask is brought to the map's grid by area: each cell has
its masked share, exact for any two sizes. `MEASURES` are those of a single frame, `SILENT` are the values that a frame
without a map counts as. A new measure needs an entry in both, and columns in `heatmaps/localization_report.py`.

Faithfulness: deletion and insertion of Petsiuk et al. (RISE, BMVC 2018): pixels are removed from the picture, or put
back into the filled picture, first where the map is highest. No masks and no detector are needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.arrays import Bools, Codes, Floats, Image

Box = tuple[float, float, float, float]
"""Top, left, bottom, right as shares of a picture's height and width."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
SPREAD = 0.25
"""Standard deviation of the centred control's Gaussian, as a share of the map's height and width."""
ROUNDING = 1e-9
"""An energy that differs from the area by less than this is equal to it."""
HALF = 0.5
"""The fixed threshold of `iou`, as a share of the map's own highest value."""
GRID = 101
"""How many thresholds `iou_curve` has: 0, 0.01, … 1, as shares of the map's own highest value."""
BLUR = 0.05
"""Standard deviation of the Gaussian that blurs a picture, as a share of its shorter side."""
Ranks = npt.NDArray[np.int32]
"""Each pixel's place in the order, int32 [H, W]: 0 for the first."""


@dataclass(frozen=True)
class Truth:
    """A true mask on a map's grid: the masked share of each cell, float64 [h, w] in [0, 1], and whether the pixel at
    the cell's centre is masked, bool [h, w]."""

    share: Floats
    centre: Bools

    @property
    def area(self) -> float:
        """Return the masked share of the region that the map covers."""
        return float(self.share.mean())


def overlaps(cells: int, pixels: int, start: float = 0.0, stop: float = 1.0) -> Floats:
    """Return the share of each cell that each pixel covers, float64 [cells, pixels]; rows sum to 1.

    The cells divide the range from `start` to `stop` (shares of the whole, 0 ≤ start < stop ≤ 1) into equal parts.
    """
    edges = (start + (stop - start) * np.arange(cells + 1) / cells) * pixels
    left = np.maximum(edges[:-1, None], np.arange(pixels)[None])
    right = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
    common = np.maximum(right - left, 0.0)
    return np.asarray(common / common.sum(axis=1, keepdims=True))


def truth_on_grid(mask: Bools, shape: tuple[int, int], seen: Box = WHOLE) -> Truth:
    """Return a mask, bool [H, W], on the grid of a map of `shape` (h, w) that covers the region `seen`."""
    (height, width), (top, left, bottom, right) = mask.shape, seen
    down = overlaps(shape[0], height, top, bottom)
    across = overlaps(shape[1], width, left, right)
    share = np.clip(down @ mask.astype(np.float64) @ across.T, 0.0, 1.0)
    rows = _centres(shape[0], height, top, bottom)
    columns = _centres(shape[1], width, left, right)
    return Truth(share, mask[np.ix_(rows, columns)])


def _centres(cells: int, pixels: int, start: float, stop: float) -> Codes:
    """Return the pixel at each cell's centre, int64 [cells]; the second of two pixels that meet there."""
    centres = (start + (stop - start) * (np.arange(cells) + 0.5) / cells) * pixels
    return np.minimum(np.floor(centres + ROUNDING), pixels - 1).astype(np.int64)


def energy_in_mask(heat: Floats, truth: Truth) -> float | None:
    """Return Σ(map · masked share) / Σ(map), the share of the map's sum inside the mask, in [0, 1].

    It is the energy-based pointing game of Score-CAM (Wang et al., CVPR workshops 2020) with the mask averaged over
    each cell. A constant map gets the mask's area. None for a map that is zero everywhere.
    """
    total = float(heat.sum())
    return min(float((heat * truth.share).sum()) / total, 1.0) if total > 0.0 else None


def pointing(heat: Floats, truth: Truth) -> float | None:
    """Return 1 if the centre of the map's highest cell is in the mask, else 0; there is no margin around the mask.

    The pointing game of Zhang et al. (ECCV 2016). If several cells are equally high, the share of them that hit, the
    expected value of picking one at random. None for a map that is zero everywhere: it points nowhere.
    """
    highest = float(heat.max())
    return float(truth.centre[heat == highest].mean()) if highest > 0.0 else None


def above_area(heat: Floats, truth: Truth) -> float | None:
    """Return 1 if more of the map is in the mask than of a constant map, else 0; None for a map of zeros."""
    energy = energy_in_mask(heat, truth)
    return None if energy is None else float(energy > truth.area + ROUNDING)


def thresholds() -> Floats:
    """Return the thresholds of `iou_curve`, float64 [GRID] from 0 to 1."""
    return np.linspace(0.0, 1.0, GRID)


def iou_curve(heat: Floats, truth: Truth, at: Floats | None = None) -> Floats | None:
    """Return the IoU of mask and thresholded map at each threshold `at` (see `thresholds`), float64 [T] in [0, 1].

    A whole cell is in if its value is at least the threshold times the map's own highest value; the mask counts with
    its share of each cell, so that this is the IoU of areas in the picture. A constant map gets the mask's area at
    every threshold. None for a map that is zero everywhere, and if nothing is masked.
    """
    highest, masked = float(heat.max()), float(truth.share.sum())
    if highest <= 0.0 or masked <= 0.0:
        return None
    scaled = (heat / highest).ravel()
    order = np.argsort(-scaled, kind="stable")
    inside = np.concatenate([[0.0], np.cumsum(truth.share.ravel()[order])])
    chosen = scaled.size - np.searchsorted(scaled[order][::-1], thresholds() if at is None else at, side="left")
    return np.asarray(inside[chosen] / (chosen + masked - inside[chosen]))


def iou(heat: Floats, truth: Truth) -> float | None:
    """Return the IoU of the mask and the cells with at least half of the map's highest value (see `iou_curve`).

    It is in [0, 1]. The threshold does not depend on the mask.
    """
    curve = iou_curve(heat, truth, np.array([HALF]))
    return None if curve is None else min(float(curve[0]), 1.0)


def pixel_auc(heat: Floats, truth: Truth) -> float | None:
    """Return the probability that a masked point has a higher value than an unmasked one (AUC), in [0, 1]; ties half.

    Each cell counts as masked with its masked share, and as unmasked with the rest. A constant map gets 0.5. None if
    all or nothing is masked.
    """
    share = truth.share.ravel()
    masked, bare = float(share.sum()), float((1.0 - share).sum())
    if min(masked, bare) <= ROUNDING:
        return None
    _, level = np.unique(heat.ravel(), return_inverse=True)
    above, below = np.bincount(level, weights=share), np.bincount(level, weights=1.0 - share)
    wins = above @ (np.cumsum(below) - below) + 0.5 * (above @ below)
    return min(float(wins / (above.sum() * below.sum())), 1.0)


MEASURES: dict[str, Callable[[Floats, Truth], float | None]] = {
    "energy_in_mask": energy_in_mask,
    "mask_area": lambda heat, truth: truth.area,
    "energy_above_area": above_area,
    "pointing": pointing,
    "iou": iou,
    "pixel_auc": pixel_auc,
}
"""Measures of one frame, from a map [h, w] ≥ 0 and its truth to a value in [0, 1]; None if it is not defined."""
SILENT: dict[str, Callable[[Truth], float]] = {
    "energy_in_mask": lambda truth: truth.area,
    "mask_area": lambda truth: truth.area,
    "energy_above_area": lambda truth: 0.0,
    "pointing": lambda truth: 0.0,
    "iou": lambda truth: 0.0,
    "pixel_auc": lambda truth: 0.5,
}
"""Values of a frame without a map, or for a measure that is not defined. A map that points nowhere misses; energy and
pixel AUC are those of a constant map. If such frames were left out, a detector would gain by making no map where it
would miss."""


def measured(heat: Floats | None, truth: Truth) -> dict[str, float]:
    """Return every measure of a frame's map [h, w] ≥ 0; if the map is None or zero everywhere, those of `SILENT`."""
    found = {name: None if heat is None else measure(heat, truth) for name, measure in MEASURES.items()}
    return {name: SILENT[name](truth) if value is None else value for name, value in found.items()}


def measured_curve(heat: Floats | None, truth: Truth) -> Floats:
    """Return the `iou_curve` of a frame's map, float64 [GRID]; zeros if there is none, as in `SILENT`."""
    curve = None if heat is None else iou_curve(heat, truth)
    return np.zeros(GRID) if curve is None else curve


def constant_map(shape: tuple[int, int]) -> Floats:
    """Return the constant control: ones, float64 [h, w]."""
    return np.ones(shape)


def centred_map(shape: tuple[int, int]) -> Floats:
    """Return the control that points at the centre: a Gaussian, float64 [h, w] in (0, 1]; see SPREAD."""
    down, across = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    return np.asarray(np.exp(-(down[:, None] ** 2 + across[None] ** 2) / (2.0 * SPREAD**2)))


def random_map(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return the random control: uniform in [0, 1), float64 [h, w]."""
    return np.asarray(rng.random(shape))


def ranked(heat: Floats, ties: Codes) -> Ranks:
    """Return the rank of each pixel, highest value first; of equal values the one with the lower `ties` is first.

    `heat` [H, W] has a value for each pixel, `ties` [H · W] is a permutation, which decides alone if all are equal.
    """
    order = np.lexsort((ties, -heat.ravel()))
    ranks = np.empty(order.size, dtype=np.int32)
    ranks[order] = np.arange(order.size, dtype=np.int32)
    return ranks.reshape(heat.shape)


def counts(pixels: int, steps: int) -> Codes:
    """Return the number of pixels replaced at each point of a curve, int64 [steps + 1], from 0 to `pixels`."""
    return np.rint(np.linspace(0.0, 1.0, steps + 1) * pixels).astype(np.int64)


def replaced(image: Image, by: Image, ranks: Ranks, first: int) -> Image:
    """Return the picture, uint8 [H, W, 3], with its `first` pixels in the order taken from `by` [H, W, 3]."""
    return np.where((ranks < first)[..., None], by, image)


def area_under(curve: Floats, at: Codes) -> float:
    """Return the area under scores [T] over the share of pixels replaced, by the trapezoid rule; `at` from `counts`.

    In [0, 1] for scores in [0, 1].
    """
    return float(np.trapezoid(curve, at / at[-1]))


def proven(low_is_better: bool, ci: tuple[float, float] | None) -> bool:
    """Return whether an interval of detector minus control is entirely on the better side of 0."""
    return ci is not None and (ci[1] < 0.0 if low_is_better else ci[0] > 0.0)
