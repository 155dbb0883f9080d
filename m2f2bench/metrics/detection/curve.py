"""Ranking metrics of many weightings of the same scores at once, from counts at each distinct score.

Everything here takes `real` and `fake`, float64 [T, B]: how many real and fake units have the t-th distinct score,
**the highest score first**, in each of B weightings (resamples; B = 1 for the plain value). Counts need not be whole.
What is not defined for a weighting (a class without units) is NaN. Working on counts makes tied scores one step of the
curve, whatever their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ...core.records import Floats

PAUC_MAX_FPR = 0.1
"""Partial AUC covers false positive rates from 0 to this."""
PAUC_LEAST = 0.5 * (1.0 - PAUC_MAX_FPR / (2.0 - PAUC_MAX_FPR))
"""Standardised partial AUC of a curve that has found no fake by then; 0.5 is chance and 1 perfect."""


class Curve(NamedTuple):
    """The ROC curve of each weighting: cumulated counts at each threshold, and the classes' totals.

    `tp` and `fp` float64 [T, B]: fakes and reals with the t-th score or a higher one; `n_fake`, `n_real` float64 [B].
    """

    real: Floats
    fake: Floats
    tp: Floats
    fp: Floats
    n_real: Floats
    n_fake: Floats


def curve(real: Floats, fake: Floats) -> Curve:
    """The curve of counts [T, B], T of at least 1."""
    tp, fp = np.cumsum(fake, axis=0), np.cumsum(real, axis=0)
    return Curve(real, fake, tp, fp, fp[-1], tp[-1])


def ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, NaN where bottom is 0."""
    out = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), np.nan)
    np.divide(top, bottom, out=out, where=np.asarray(bottom) > 0)
    return out


def auc(c: Curve) -> Floats:
    """Area under the ROC curve [B]: P(a fake scores above a real), ties counting half (Mann-Whitney U / mn)."""
    below = c.n_real - c.fp + c.real / 2.0
    return ratio(np.einsum("tb,tb->b", c.fake, below), c.n_real * c.n_fake)


def average_precision(c: Curve) -> Floats:
    """Average precision [B], fake the positive class: precision times the rise of recall, summed over the scores."""
    called = c.tp + c.fp
    precision = np.divide(c.tp, called, out=np.zeros_like(called), where=called > 0)
    value = ratio(np.einsum("tb,tb->b", c.fake, precision), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def tpr_at_fpr(c: Curve, most: float) -> Floats:
    """The highest TPR [B] of a threshold whose FPR is at most `most`; no point between two thresholds is made up."""
    allowed = most * c.n_real * (1.0 + 1e-12)  # 0.01 * 2900 must allow 29
    steps = (c.fp <= allowed).sum(axis=0)
    reached = np.take_along_axis(c.tp, np.maximum(steps - 1, 0)[None], axis=0)[0]
    value = ratio(np.where(steps > 0, reached, 0.0), c.n_fake)
    return np.where(c.n_real > 0, value, np.nan)


def partial_auc(c: Curve, most: float = PAUC_MAX_FPR) -> Floats:
    """Area under the ROC curve for FPR in [0, most], standardised [B]: 0.5 is chance, 1 is perfect.

    McClish (1989): (1 + (A - least) / (greatest - least)) / 2 with least = most²/2 and greatest = most. The curve is
    joined by straight lines.
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
    """Where FPR = FNR: the rate, and between which steps (`step` and the one before) at which share of the way."""

    rate: Floats
    step: np.ndarray[tuple[int], np.dtype[np.int64]]
    share: Floats


def equal_error(c: Curve) -> Crossing:
    """The equal error rate [B], in [0, 1]: where the ROC curve, joined by straight lines, has FPR = FNR.

    The nearest ROC point instead of the crossing can be far off with few scores (0.40 for 0.333 in a small case).
    """
    fpr, tpr = ratio(c.fp, c.n_real), ratio(c.tp, c.n_fake)
    gap = 1.0 - tpr - fpr  # FNR - FPR, falling from 1 (nothing called fake) to -1
    step = np.argmax(gap <= 0.0, axis=0)

    def at(values: Floats, first: float) -> tuple[Floats, Floats]:
        after = np.take_along_axis(values, step[None], axis=0)[0]
        before = np.take_along_axis(values, np.maximum(step - 1, 0)[None], axis=0)[0]
        return np.where(step > 0, before, first), after

    (gap_before, gap_after), (fpr_before, fpr_after) = at(gap, 1.0), at(fpr, 0.0)
    share = ratio(gap_before, gap_before - gap_after)
    rate = fpr_before + share * (fpr_after - fpr_before)
    return Crossing(np.where((c.n_real > 0) & (c.n_fake > 0), rate, np.nan), step, share)
