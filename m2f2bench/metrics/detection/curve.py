"""Ranking metrics from counts at each distinct score, for many weightings of the same scores at once.

All functions take `real` and `fake`, float64 [T, B]: the number of real and fake units at the t-th distinct score,
**highest score first**, in each of B weightings (resamples; B = 1 for the plain value). Counts need not be integers.
A value that is undefined for a weighting (a class without units) is NaN. Because the functions use counts, tied scores
are one step of the curve, in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...core.arrays import Floats
from ...stats.statistic import ratio
from ..facts import PAUC_MAX_FPR

Steps = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Number of levels, from the top, that are called fake [B]."""


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


def curve(real: Floats, fake: Floats) -> Curve:
    """Return the ROC curve of counts [T, B]; T is at least 1."""
    tp, fp = np.cumsum(fake, axis=0), np.cumsum(real, axis=0)
    return Curve(real, fake, tp, fp, fp[-1], tp[-1])


def after(values: Floats, steps: Steps, first: float = 0.0) -> Floats:
    """Return values[steps - 1] of each column, `first` where steps is 0; [T, B] and [B] to [B]."""
    found = np.take_along_axis(values, np.maximum(steps - 1, 0)[None], axis=0)[0]
    return np.where(steps > 0, found, first)


def auc(c: Curve) -> Floats:
    """Return the area under the ROC curve [B]: P(a fake scores above a real), ties count half (Mann-Whitney U / mn)."""
    below = c.n_real - c.fp + c.real / 2.0
    return ratio(np.einsum("tb,tb->b", c.fake, below), c.n_real * c.n_fake)


def average_precision(c: Curve) -> Floats:
    """Return the average precision [B] with fake as positive class: sum of precision times the increase in recall."""
    called = c.tp + c.fp
    precision = np.divide(c.tp, called, out=np.zeros_like(called), where=called > 0)
    value = ratio(np.einsum("tb,tb->b", c.fake, precision), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def tpr_at_fpr(c: Curve, most: float) -> Floats:
    """Return the highest TPR [B] at a threshold with FPR of at most `most`; thresholds are not interpolated."""
    value = ratio(after(c.tp, within(c, most)), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def within(c: Curve, most: float) -> Steps:
    """Return how many levels, from the top, can be called fake with an FPR of at most `most`, int64 [B]."""
    allowed = most * c.n_real * (1.0 + 1e-12)  # 0.01 * 2900 must allow 29
    return np.asarray((c.fp <= allowed).sum(axis=0))


def partial_auc(c: Curve, most: float = PAUC_MAX_FPR) -> Floats:
    """Return the standardised area under the ROC curve for FPR in [0, most], [B]: 0.5 is chance, 1 is perfect.

    McClish (1989): (1 + (A - least) / (greatest - least)) / 2 with least = most²/2 and greatest = most. Between points
    the curve is a straight line.
    """
    width = ratio(c.real, c.n_real)  # of each step along FPR
    start = ratio(c.fp, c.n_real) - width
    covered = np.clip(most - start, 0.0, width)
    rise = ratio(c.fake, c.n_fake)
    at_start = ratio(c.tp, c.n_fake) - rise
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
    fpr, tpr = ratio(c.fp, c.n_real), ratio(c.tp, c.n_fake)
    gap = 1.0 - tpr - fpr  # FNR - FPR, falling from 1 (nothing called fake) to -1
    step = np.argmax(gap <= 0.0, axis=0)
    gap_before, fpr_before = after(gap, step, 1.0), after(fpr, step)
    share = ratio(gap_before, gap_before - after(gap, step + 1))
    rate = fpr_before + share * (after(fpr, step + 1) - fpr_before)
    return Crossing(np.where((c.n_real > 0) & (c.n_fake > 0), rate, np.nan), step, share)
