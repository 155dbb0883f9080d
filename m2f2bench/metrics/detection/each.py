"""User metrics of scores, computed one resample at a time: slower than the built-in metrics, but just as accurate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.arrays import Floats
from ...core.errors import ScoreError, first_line
from ...core.guests import bounded
from ...core.records import FAKE, REAL
from ..metric import Metric

if TYPE_CHECKING:
    from .tally import Tally

SLOW = 100_000
"""Cost of one call: the number of scores in a resample that a built-in metric processes in the same time."""


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
