"""Metrics of counts: decisions, calibration, and user metrics of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.arrays import Floats
from ...core.errors import ScoreError, first_line
from ...core.guests import bounded
from ...core.records import FAKE, REAL
from ...stats.statistic import ratio
from ..metric import Metric
from .curve import Curve
from .sample import BINS, Levels

SLOW = 100_000
"""Cost of one call: the number of scores in a resample that a built-in metric processes in the same time."""


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

    @cached_property
    def scored(self) -> Floats:
        """Each level's score times its number of units, [T, B]."""
        return np.asarray((self.curve.real + self.curve.fake) * self.levels.score[:, None])

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
    edges = np.searchsorted(-g.levels.bin, -np.arange(BINS)[::-1])  # the highest bin is first, as levels are
    edges = np.append(edges, len(g.levels))

    def by_bin(running: Floats) -> Floats:
        return np.diff(np.where(edges[:, None] > 0, running[edges - 1], 0.0), axis=0)[::-1]

    # A bin without a level starts where the next one starts: reduceat would give it the level of the next.
    present = np.diff(edges)[:, None] > 0
    padded = np.concatenate([g.scored, np.zeros_like(g.scored[:1])])
    scores = np.where(present, np.add.reduceat(padded, edges[:-1], axis=0), 0.0)[::-1]
    fakes = by_bin(g.curve.tp)
    n = by_bin(g.curve.fp) + fakes
    return n, ratio(scores, n), ratio(fakes, n)


def expected_calibration_error(g: Tally) -> Floats:
    """Return the mean over units of |mean score - share of fakes| of their bin (Guo et al. 2017), in [0, 1]."""
    n, score, fakes = reliability(g)
    return ratio(np.nansum(n * np.abs(score - fakes), axis=0), n.sum(axis=0))


def values_of(metric: Metric, tally: Tally) -> Floats:
    """Return the metric under each of B weightings, float64 [B]; NaN where a class that it needs is missing.

    `compute` gets one entry per distinct score and class, with its weight; if it has no parameter `weight`, entries are
    repeated instead. The score of joined levels (see `sample.make_levels`) is their midpoint. Raises ScoreError if the
    metric fails, does not return a number, or returns one outside its range.
    """
    if metric.fast is None and metric.compute is None:
        raise ScoreError(f"metric '{metric.name}' cannot be computed: it is not for scores, or its code is missing")
    real, fake = tally.n_real, tally.n_fake
    there = (real > 0) & (fake > 0) if metric.needs == "both" else fake > 0
    there = (real + fake > 0) if metric.needs == "any" else there
    try:
        with bounded():
            if metric.fast is not None:
                found = np.asarray(metric.fast(tally), dtype=np.float64)
            else:
                found = np.array([_one(metric, tally, b) if there[b] else math.nan for b in range(len(real))])
    except Exception as error:
        raise ScoreError(f"metric '{metric.name}' failed: {first_line(error)}") from error
    if found.shape != real.shape:
        raise ScoreError(f"metric '{metric.name}' returned shape {found.shape}: `fast` must return shape {real.shape}")
    metric.check_range(found)
    return np.where(there, found, np.nan)


def _one(metric: Metric, tally: Tally, b: int) -> float:
    """Return the metric under the b-th weighting."""
    high, low = tally.levels.high, tally.levels.low
    level = np.where(high == low, high, low / 2.0 + high / 2.0)
    counts = np.concatenate([tally.curve.real[:, b], tally.curve.fake[:, b]])
    kept = counts > 0
    label = np.repeat(np.array([REAL, FAKE], dtype=np.int64), len(level))[kept]
    score, weight = np.concatenate([level, level])[kept], counts[kept]
    if "weight" not in metric.inputs:
        times = np.rint(weight).astype(np.int64)
        label, score, weight = np.repeat(label, times), np.repeat(score, times), np.ones(int(times.sum()))
    given = {"label": label, "score": score, "weight": weight, "threshold": float(tally.threshold[b])}
    assert metric.compute is not None
    return float(metric.compute(**{name: given[name] for name in metric.inputs}))
