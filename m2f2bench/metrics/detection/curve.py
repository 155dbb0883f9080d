"""Ranking metrics from counts at each distinct score, for many weightings of the same scores at once.

All functions take `real` and `fake`, float64 [T, B]: the number of real and fake units at the t-th distinct score,
**highest score first**, in each of B weightings (resamples; B = 1 for the plain value). Counts need not be integers.
A value that is undefined for a weighting (a class without units) is NaN. Because the functions use counts, tied scores
are one step of the curve, in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...core.arrays import Bools, Floats
from ...stats.statistic import ratio
from ..facts import PAUC_MAX_FPR

Steps = np.ndarray[Any, np.dtype[np.int64]]
"""Number of levels, from the top, that are called fake, [B] or several of each weighting [K, B]."""
TINY = float(np.finfo(np.float64).tiny)
"""Smallest normal number."""


class Curve(NamedTuple):
    """ROC curve of each weighting: cumulative counts at each threshold, and the total of each class.

    `tp`, `fp` float64 [T, B]: fakes and reals with the t-th score or a higher one; `n_fake`, `n_real` float64 [B].
    """

    real: Floats
    fake: Floats
    tp: Floats
    fp: Floats
    n_real: Floats
    n_fake: Floats


def curve(real: Floats, fake: Floats, fp: Floats | None = None) -> Curve:
    """Return the ROC curve of counts [T, B]; T is at least 1. `fp`: the running sum of `real`, if it is known."""
    tp, fp = np.cumsum(fake, axis=0), np.cumsum(real, axis=0) if fp is None else fp
    return Curve(real, fake, tp, fp, fp[-1], tp[-1])


def after(values: Floats, steps: Steps) -> Floats:
    """Return values[steps - 1] of each column, zero where steps is 0; values [T, B], steps [B] or [K, B]."""
    return np.where(steps > 0, values[np.maximum(steps - 1, 0), np.arange(values.shape[1])], 0.0)


def fewest(enough: Callable[[Steps], Bools], most: int, shape: tuple[int, ...]) -> Steps:
    """Return the fewest steps, 0 … `most`, that are `enough`, int64 of a shape [B] or [K, B]; `most` if none are.

    `enough` says it of steps of this shape, less than `most`; where some are, more are too. So halving finds them with
    a look at a few levels in place of all.
    """
    low, high = np.zeros(shape, dtype=np.int64), np.full(shape, most)
    while (searched := low < high).any():
        middle = (low + high) // 2
        found = enough(np.minimum(middle, most - 1))
        low, high = np.where(searched & ~found, middle + 1, low), np.where(searched & found, middle, high)
    return low


def auc(c: Curve) -> Floats:
    """Return the area under the ROC curve [B]: P(a fake scores above a real), ties count half (Mann-Whitney U / mn)."""
    below = c.n_real - c.fp + c.real / 2.0
    return ratio(np.einsum("tb,tb->b", c.fake, below), c.n_real * c.n_fake)


def average_precision(c: Curve) -> Floats:
    """Return the average precision [B] with fake as positive class: sum of precision times the increase in recall."""
    called = c.tp + c.fp
    precision = np.divide(c.tp, np.maximum(called, TINY, out=called), out=called)  # 0 where nothing is called
    value = ratio(np.einsum("tb,tb->b", c.fake, precision), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def tpr_at_fpr(c: Curve, most: float) -> Floats:
    """Return the highest TPR [B] at a threshold with FPR of at most `most`; thresholds are not interpolated."""
    value = ratio(after(c.tp, within(c, most)), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def within(c: Curve, most: float) -> Steps:
    """Return how many levels, from the top, can be called fake with an FPR of at most `most`, int64 [B]."""
    allowed = most * c.n_real * (1.0 + 1e-12)  # 0.01 * 2900 must allow 29
    return fewest(lambda steps: after(c.fp, steps + 1) > allowed, len(c.fp), c.n_real.shape)


def partial_auc(c: Curve, most: float = PAUC_MAX_FPR) -> Floats:
    """Return the standardised area under the ROC curve for FPR in [0, most], [B]: 0.5 is chance, 1 is perfect.

    McClish (1989): (1 + (A - least) / (greatest - least)) / 2 with least = most²/2 and greatest = most. Between points
    the curve is a straight line.
    """
    # Later levels add nothing. Of one weighting all are taken: numpy adds up a single column in another order.
    kept = slice(None if len(c.n_real) == 1 else int(within(c, most).max(initial=0)) + 1)
    width = ratio(c.real[kept], c.n_real)  # of each step along FPR
    start = ratio(c.fp[kept], c.n_real) - width
    covered = np.clip(most - start, 0.0, width)
    rise = ratio(c.fake[kept], c.n_fake)
    at_start = ratio(c.tp[kept], c.n_fake) - rise
    share = np.divide(covered, width, out=np.zeros_like(width), where=width > 0)
    area = (covered * (at_start + rise * share / 2.0)).sum(axis=0)
    least = most * most / 2.0
    return np.asarray(0.5 * (1.0 + (area - least) / (most - least)))


class Crossing(NamedTuple):
    """Point where FPR = FNR: the rate, the step at or after it, and its position (0 to 1) from the step before."""

    rate: Floats
    step: Steps
    share: Floats


def equal_error(c: Curve) -> Crossing:
    """Return the equal error rate [B], in [0, 1]: FPR = FNR on the ROC curve, with straight lines between points.

    The ROC point nearest to the crossing can be far off with few scores (0.40 instead of 0.333 in a small case).
    """

    def fpr(called: Steps) -> Floats:
        return ratio(after(c.fp, called), c.n_real)

    def gap(called: Steps) -> Floats:  # FNR - FPR, falling from 1 (nothing called fake) to -1
        return np.asarray(1.0 - ratio(after(c.tp, called), c.n_fake) - fpr(called))

    both = (c.n_real > 0) & (c.n_fake > 0)
    step = np.where(both, fewest(lambda steps: gap(steps + 1) <= 0.0, len(c.fp), both.shape), 0)
    share = ratio(gap(step), gap(step) - gap(step + 1))
    rate = fpr(step) + share * (fpr(step + 1) - fpr(step))
    return Crossing(np.where(both, rate, np.nan), step, share)
