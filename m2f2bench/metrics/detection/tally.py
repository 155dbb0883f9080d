"""Metrics of decisions and calibration, computed from counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats
from ...stats.statistic import ratio
from .curve import Curve
from .sample import BINS, Levels


@dataclass(frozen=True)
class Tally:
    """Counts of one group under B weightings: its curve [T, B], the levels of its scores, its decisions [B].

    `tp` and `fp` are the numbers of fakes and reals that are called fake at `threshold` [B].
    """

    curve: Curve
    levels: Levels
    tp: Floats
    fp: Floats
    threshold: Floats

    @property
    def n_fake(self) -> Floats:
        """Number of fakes, [B]."""
        return self.curve.n_fake

    @property
    def n_real(self) -> Floats:
        """Number of reals, [B]."""
        return self.curve.n_real


def accuracy(g: Tally) -> Floats:
    """Return the share of right decisions, in [0, 1]."""
    return ratio(g.tp + g.n_real - g.fp, g.n_real + g.n_fake)


def recall(g: Tally) -> Floats:
    """Return the share of fakes that are called fake, in [0, 1]."""
    return ratio(g.tp, g.n_fake)


def specificity(g: Tally) -> Floats:
    """Return the share of reals that are called real, in [0, 1]."""
    return ratio(g.n_real - g.fp, g.n_real)


def balanced_accuracy(g: Tally) -> Floats:
    """Return the mean of recall and specificity, in [0, 1]."""
    return (recall(g) + specificity(g)) / 2.0


def precision(g: Tally) -> Floats:
    """Return the share of units called fake that are fake, in [0, 1]; NaN if no unit is called fake."""
    return ratio(g.tp, g.tp + g.fp)


def f1(g: Tally) -> Floats:
    """Return 2 TP / (2 TP + FP + FN), in [0, 1], with fake as positive class; NaN without fakes."""
    return np.where(g.n_fake > 0, ratio(2.0 * g.tp, g.tp + g.fp + g.n_fake), np.nan)


def mcc(g: Tally) -> Floats:
    """Return Matthews' correlation of decision and label, in [-1, 1]; 0 if all decisions are the same."""
    tn, fn = g.n_real - g.fp, g.n_fake - g.tp
    spread = np.sqrt((g.tp + g.fp) * (tn + fn)) * np.sqrt(g.n_fake * g.n_real)
    value = np.divide(g.tp * tn - g.fp * fn, spread, out=np.zeros_like(g.tp), where=spread > 0)
    value = np.clip(value, -1.0, 1.0)  # rounding can put a perfect value 2e-16 above 1
    return np.where((g.n_real > 0) & (g.n_fake > 0), value, np.nan)


def mean_loss(name: str, g: Tally) -> Floats:
    """Return the mean over units of a loss of score and label: log-loss (nats) or Brier score."""
    real, fake = g.levels.losses[name]
    return ratio(real @ g.curve.real + fake @ g.curve.fake, g.n_real + g.n_fake)


def reliability(g: Tally) -> tuple[Floats, Floats, Floats]:
    """Return each bin's number of units, mean score and share of fakes, float64 [BINS, B]; NaN in an empty bin."""
    starts = np.searchsorted(-g.levels.bin, -np.arange(BINS)[::-1])

    def by_bin(values: Floats) -> Floats:
        # A bin without a level starts where the next one starts: reduceat would give it the level of the next.
        padded = np.concatenate([values, np.zeros_like(values[:1])])
        sums = np.add.reduceat(padded, starts, axis=0)
        present = np.isin(np.arange(BINS)[::-1], g.levels.bin)
        return np.where(present[:, None], sums, 0.0)[::-1]

    both = g.curve.real + g.curve.fake
    n = by_bin(both)
    return n, ratio(by_bin(both * g.levels.score[:, None]), n), ratio(by_bin(g.curve.fake), n)


def expected_calibration_error(g: Tally) -> Floats:
    """Return the mean over units of |mean score - share of fakes| of their bin (Guo et al. 2017), in [0, 1]."""
    n, score, fakes = reliability(g)
    return ratio(np.nansum(n * np.abs(score - fakes), axis=0), n.sum(axis=0))
