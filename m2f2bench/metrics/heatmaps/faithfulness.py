"""Faithfulness of a heat map to a detector's score: order of pixels, steps of a curve, area under it.

Deletion and insertion of Petsiuk et al. (RISE, BMVC 2018): pixels are removed from the picture, or put back into the
filled picture, first where the map is highest. No masks and no detector are needed here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...core.arrays import Codes, Floats, Image

BLUR = 0.05
"""Standard deviation of the Gaussian that blurs a picture, as a share of its shorter side."""
Ranks = npt.NDArray[np.int32]
"""Each pixel's place in the order, int32 [H, W]: 0 for the first."""


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
