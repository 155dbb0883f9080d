"""A user's metric of scores, computed for each resample by itself: slower than this package's own, and as right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ScoreError, first_line
from ...core.guests import bounded
from ...core.records import FAKE, REAL
from ..metric import Metric

if TYPE_CHECKING:
    from ...core.records import Floats
    from .tally import Tally

SLOW = 100_000
"""What one call costs, in scores of one resample that a metric of this package gets through in that time."""
BEYOND = 1e-9
"""A value may lie this far outside of the metric's range, by rounding."""


def values_of(metric: Metric, tally: Tally) -> Floats:
    """The metric under each of B weightings, float64 [B]; NaN where the classes that it needs are not there.

    `compute` gets one entry for each distinct score of each class, with its weight; without `weight` among its
    parameters each is repeated. Joined levels (see `sample.make_levels`) have their middle as score. Raises ScoreError,
    in one line, for what fails, is no number, or lies outside of the metric's range.
    """
    if metric.fast is None and metric.compute is None:
        raise ScoreError(f"metric '{metric.name}' is not of scores, or its code is not here: it cannot be computed")
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
        raise ScoreError(f"metric '{metric.name}' gave an array of shape {found.shape}, and not a float a resample")
    if out := found[(found < metric.low - BEYOND) | (found > metric.high + BEYOND)].tolist():
        raise ScoreError(
            f"metric '{metric.name}' is {out[0]:.6g}, which is not in its range [{metric.low:g}, {metric.high:g}]: "
            f"give it range=(lowest, highest)"
        )
    return np.where(there, found, np.nan)


def _one(metric: Metric, tally: Tally, b: int) -> float:
    """The metric under the b-th weighting."""
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
