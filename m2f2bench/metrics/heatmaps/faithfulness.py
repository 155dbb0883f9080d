"""Whether a heat map shows what a detector's score rests on: order of pixels, steps of a curve, area under it.

Deletion and insertion of Petsiuk et al. (RISE, BMVC 2018): pixels are taken away from the picture, or put into what is
left of it, those first where the map is highest. No masks are needed, and nothing here knows of a detector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ...core.records import Floats, Image

BLUR = 0.05
"""Standard deviation of the Gaussian that blurs a picture away, as a share of its shorter side."""
Ranks = npt.NDArray[np.int32]
"""Each pixel's place in the order, int32 [H, W]: 0 for the first."""


def ranked(heat: Floats, ties: npt.NDArray[np.int64]) -> Ranks:
    """The place of each pixel when the highest values come first; of equal ones that with the lower `ties`.

    `heat` [H, W] has a value for each pixel, `ties` [H · W] is a permutation. A map of one value gives the permutation.
    """
    order = np.lexsort((ties, -heat.ravel()))
    ranks = np.empty(order.size, dtype=np.int32)
    ranks[order] = np.arange(order.size, dtype=np.int32)
    return ranks.reshape(heat.shape)


def counts(pixels: int, steps: int) -> npt.NDArray[np.int64]:
    """How many of so many pixels are replaced at each point of a curve, int64 [steps + 1], from none to all."""
    return np.rint(np.linspace(0.0, 1.0, steps + 1) * pixels).astype(np.int64)


def replaced(image: Image, by: Image, ranks: Ranks, first: int) -> Image:
    """The picture [H, W, 3] with the `first` so many pixels of the order taken from `by` [H, W, 3]."""
    return np.where((ranks < first)[..., None], by, image)


def area_under(curve: Floats, at: npt.NDArray[np.int64]) -> float:
    """The area under scores [T] by the trapezoid rule, over the share of pixels replaced; `at` as `counts` gives it.

    In [0, 1] for scores in [0, 1].
    """
    return float(np.trapezoid(curve, at / at[-1]))


def proven(low_is_better: bool, ci: tuple[float, float] | None) -> bool:
    """Whether an interval of detector less control lies wholly on the better side of 0."""
    return ci is not None and (ci[1] < 0.0 if low_is_better else ci[0] > 0.0)
