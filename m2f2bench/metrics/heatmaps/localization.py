"""Heat maps against true masks: how much of a map lies on what was altered, and is that more than chance.

A map [h, w] is coarse, a mask [H, W] is not. The mask is brought to the map's grid by area: a cell has the share of it
that is masked, exact for any two sizes. Measures of a single frame are in `MEASURES`, and what a frame without a map
counts as is in `SILENT`; adding one to both is enough for it to be reported with its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...core.records import Score
from ...stats.bootstrap import Resampling, cluster_draws, over_draws, percentile_interval

if TYPE_CHECKING:
    from ...core.records import Floats

Box = tuple[float, float, float, float]
"""Top, left, bottom, right as shares of a picture's height and width."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
SPREAD = 0.25
"""Standard deviation of the centred control's Gaussian, as a share of the map's height and width."""
ROUNDING = 1e-9
"""Energies closer to the area than this are equal to it."""
HALF = 0.5
"""The fixed threshold of `iou`, as a share of the map's own highest value."""
GRID = 101
"""How many thresholds `iou_curve` has: 0, 0.01, … 1, as shares of the map's own highest value."""


@dataclass(frozen=True)
class Truth:
    """What is altered, on a map's grid: the masked share of each cell, float64 [h, w] in [0, 1], and whether the pixel
    under the cell's centre is masked, bool [h, w]."""

    share: Floats
    centre: npt.NDArray[np.bool_]

    @property
    def area(self) -> float:
        """The masked share of the part of the picture that the map lies over."""
        return float(self.share.mean())


def overlaps(cells: int, pixels: int, start: float = 0.0, stop: float = 1.0) -> Floats:
    """The share of each cell that each pixel covers, float64 [cells, pixels]; rows sum to 1.

    The cells divide the stretch from `start` to `stop` (shares of the whole, 0 ≤ start < stop ≤ 1) into equal parts.
    """
    edges = (start + (stop - start) * np.arange(cells + 1) / cells) * pixels
    left = np.maximum(edges[:-1, None], np.arange(pixels)[None])
    right = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
    common = np.maximum(right - left, 0.0)
    return np.asarray(common / common.sum(axis=1, keepdims=True))


def truth_on_grid(mask: npt.NDArray[np.bool_], shape: tuple[int, int], seen: Box = WHOLE) -> Truth:
    """A mask, bool [H, W], on the grid of a map of `shape` (h, w) that lies over the part `seen` of the picture."""
    (height, width), (top, left, bottom, right) = mask.shape, seen
    down = overlaps(shape[0], height, top, bottom)
    across = overlaps(shape[1], width, left, right)
    share = np.clip(down @ mask.astype(np.float64) @ across.T, 0.0, 1.0)
    rows = _centres(shape[0], height, top, bottom)
    columns = _centres(shape[1], width, left, right)
    return Truth(share, mask[np.ix_(rows, columns)])


def _centres(cells: int, pixels: int, start: float, stop: float) -> npt.NDArray[np.int64]:
    """The pixel under each cell's centre, int64 [cells]; of two that meet there the later one."""
    centres = (start + (stop - start) * (np.arange(cells) + 0.5) / cells) * pixels
    return np.minimum(np.floor(centres + ROUNDING), pixels - 1).astype(np.int64)


def energy_in_mask(heat: Floats, truth: Truth) -> float | None:
    """Σ(map · masked share) / Σ(map): the share of the map's sum that lies in the mask, in [0, 1].

    It is the energy-based pointing game of Score-CAM (Wang et al., CVPR workshops 2020) with the mask averaged over
    each cell. A constant map gets the mask's area, whatever the constant. None for a map that is zero everywhere.
    """
    total = float(heat.sum())
    return min(float((heat * truth.share).sum()) / total, 1.0) if total > 0.0 else None


def pointing(heat: Floats, truth: Truth) -> float | None:
    """Whether the centre of the map's highest cell lies in the mask: 1 or 0, without a margin around the mask.

    The pointing game of Zhang et al. (ECCV 2016). Where several cells are equally high, the share of them that hit,
    which is what picking one at random comes to. None for a map that is zero everywhere: it points nowhere.
    """
    highest = float(heat.max())
    return float(truth.centre[heat == highest].mean()) if highest > 0.0 else None


def above_area(heat: Floats, truth: Truth) -> float | None:
    """1 where more of the map lies in the mask than of a constant one, else 0; None for a map of zeros."""
    energy = energy_in_mask(heat, truth)
    return None if energy is None else float(energy > truth.area + ROUNDING)


def thresholds() -> Floats:
    """The thresholds of `iou_curve`, float64 [GRID] from 0 to 1."""
    return np.linspace(0.0, 1.0, GRID)


def iou_curve(heat: Floats, truth: Truth, at: Floats | None = None) -> Floats | None:
    """Intersection over union of mask and thresholded map at each threshold `at` (see `thresholds`), float64 [T].

    A cell is in where its value is at least the threshold times the map's own highest value, whole; the mask counts
    with its share of each cell, so that it is the areas' IoU in the picture. A constant map gets the mask's area at
    every threshold. None for a map that is zero everywhere and where nothing is masked.
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
    """IoU of the mask and the cells with at least half of the map's highest value (see `iou_curve`), in [0, 1].

    The threshold does not look at the mask.
    """
    curve = iou_curve(heat, truth, np.array([HALF]))
    return None if curve is None else min(float(curve[0]), 1.0)


def pixel_auc(heat: Floats, truth: Truth) -> float | None:
    """The chance that a masked point has a higher value than one that is not, ties half: area under the ROC, in [0, 1].

    Each cell counts as masked with its masked share and as not masked with the rest. A constant map gets 0.5. None
    where all or nothing is masked.
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
"""What is measured of one frame: a map [h, w] ≥ 0 and its truth to a value in [0, 1], None where it is not defined."""
SILENT: dict[str, Callable[[Truth], float]] = {
    "energy_in_mask": lambda truth: truth.area,
    "mask_area": lambda truth: truth.area,
    "energy_above_area": lambda truth: 0.0,
    "pointing": lambda truth: 0.0,
    "iou": lambda truth: 0.0,
    "pixel_auc": lambda truth: 0.5,
}
"""The missing rule of maps: what a frame counts as without one, or where a measure of it is not defined. Who points
nowhere has not hit; energy and pixel AUC are those of a map that is the same everywhere. Were such frames left out,
to be silent wherever one would miss would pay."""


def measured(heat: Floats | None, truth: Truth) -> dict[str, float]:
    """Every measure of a frame's map [h, w] ≥ 0; of a map that is None or zero everywhere what `SILENT` says."""
    found = {name: None if heat is None else measure(heat, truth) for name, measure in MEASURES.items()}
    return {name: SILENT[name](truth) if value is None else value for name, value in found.items()}


def measured_curve(heat: Floats | None, truth: Truth) -> Floats:
    """The `iou_curve` of a frame's map, float64 [GRID]; zeros where there is none, as `SILENT` says of the IoU."""
    curve = None if heat is None else iou_curve(heat, truth)
    return np.zeros(GRID) if curve is None else curve


def constant_map(shape: tuple[int, int]) -> Floats:
    """The control that says nothing: ones [h, w]."""
    return np.ones(shape)


def centred_map(shape: tuple[int, int]) -> Floats:
    """The control that always points at the middle: a Gaussian, float64 [h, w] in (0, 1]; see SPREAD."""
    down, across = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    return np.asarray(np.exp(-(down[:, None] ** 2 + across[None] ** 2) / (2.0 * SPREAD**2)))


def random_map(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """The control by chance: uniform in [0, 1), float64 [h, w]."""
    return np.asarray(rng.random(shape))


Means = Mapping[str, "Floats"]
"""A column's name to its mean in each resample, float64 [B]; NaN where no frame that was drawn has a value."""


@dataclass(frozen=True)
class Formula:
    """A number made of columns' means: `of` computes it, `needs` are the columns it stands on.

    A `share` is in [0, 1] and gets an interval at the end of its range too. What is `picked` is the best of several
    columns: the best is picked again in each resample, and the bias of that, the resamples' mean less the value, is
    taken off the interval twice (once for the value, once for the resamples), as for thresholds picked on scores.
    """

    of: Callable[[Means], Floats]
    needs: tuple[str, ...]
    share: bool = False
    picked: bool = False

    @classmethod
    def mean(cls, column: str) -> Formula:
        """A column's mean, in [0, 1]."""
        return cls(lambda means: means[column], (column,), True)

    @classmethod
    def difference(cls, first: str, second: str) -> Formula:
        """The mean of the first less the mean of the second."""
        return cls(lambda means: means[first] - means[second], (first, second))

    @classmethod
    def ratio(cls, first: str, second: str) -> Formula:
        """The mean of the first over the mean of the second (not the mean of ratios)."""

        def of(means: Means) -> Floats:
            below = means[second]
            return np.divide(means[first], below, out=np.full_like(below, np.nan), where=below > 0.0)

        return cls(of, (first, second))

    @classmethod
    def best(cls, columns: Sequence[str]) -> Formula:
        """The highest of the columns' means: an oracle, picked over the whole set of frames."""
        return cls(lambda means: np.stack([means[name] for name in columns]).max(axis=0), tuple(columns), True, True)

    @classmethod
    def best_at(cls, columns: Sequence[str], places: Floats) -> Formula:
        """The place in [0, 1] of the column with the highest mean, the first of equal ones; `places` float64 [T]."""

        def of(means: Means) -> Floats:
            stacked = np.stack([means[name] for name in columns])
            return np.where(np.isnan(stacked).any(axis=0), np.nan, places[stacked.argmax(axis=0)])

        return cls(of, tuple(columns))


def estimate(
    columns: Mapping[str, Floats],
    real: npt.NDArray[np.bool_],
    cluster: npt.NDArray[np.int64],
    n_clusters: int,
    formulas: Mapping[str, Formula],
    resampling: Resampling,
) -> dict[str, Score]:
    """Each formula's value with its percentile interval, from frames' values.

    `columns` are float64 [N], NaN for a frame without a value; `real` [N] tells the frames apart only to be counted;
    `cluster` [N] is in 0 … `n_clusters` - 1. Clusters are drawn with replacement by `Sample.draws`, whose draws depend
    on their number and the seed alone: all formulas, all columns, all groups of frames and all detectors on the same
    frames get the same ones, so that differences are paired.
    """
    names = list(columns)
    values = np.stack([columns[name] for name in names], axis=1)
    has = ~np.isnan(values)
    sums, counts = (np.zeros((n_clusters, len(names))) for _ in range(2))
    np.add.at(sums, cluster, np.where(has, values, 0.0))
    np.add.at(counts, cluster, has)

    def means(weights: Floats) -> dict[str, Floats]:
        total, n = sums.T @ weights, counts.T @ weights
        found = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0.0)
        return dict(zip(names, found, strict=True))

    plain = means(np.ones((n_clusters, 1)))
    drawn = _draw(means, names, n_clusters, resampling)
    scores = {}
    for key, formula in formulas.items():
        used = np.any([has[:, names.index(name)] for name in formula.needs], axis=0)
        n_real, n_fake = int((used & real).sum()), int((used & ~real).sum())
        value = float(formula.of(plain)[0])
        if np.isnan(value):
            scores[key] = Score(None, n_real, n_fake, reason="no frame has a value")
            continue
        groups = min(int((counts[:, names.index(name)] > 0).sum()) for name in formula.needs)
        ends = (0.0, 1.0) if formula.share else None
        found = formula.of(drawn) if drawn else None
        if found is not None and formula.picked:
            found = np.clip(found - 2.0 * (np.nanmean(found) - value), 0.0, 1.0)
        ci, why = percentile_interval(value, found, groups, resampling, ends)
        scores[key] = Score(value, n_real, n_fake, ci, why)
    return scores


def _draw(
    means: Callable[[Floats], dict[str, Floats]], names: list[str], n_clusters: int, resampling: Resampling
) -> dict[str, Floats]:
    """Each column's mean in each resample; empty where there is nothing to resample."""
    if resampling.resamples == 0 or n_clusters < 2:
        return {}
    pieces = over_draws(cluster_draws(n_clusters, resampling.resamples, resampling.seed), means)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}
