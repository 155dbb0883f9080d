"""Calibration error without the part that chance alone makes, and what a calibrated detector would read.

The expected calibration error (ECE) is a mean of absolute values: with few units in a bin it is above zero for a
perfectly calibrated detector too, and more so the fewer there are. Two answers: an estimate that is zero on average for
such a detector, and the ECE that one with the same scores would have.
"""

from __future__ import annotations

import numpy as np

from ...core.arrays import Bools, Floats
from ...stats.statistic import ratio
from .curve import Steps, after, fewest
from .sample import BINS, EDGES
from .tally import Tally

DRAWS = 400
"""Simulated sets of labels."""
SIMULATED = 20_000
"""Largest number of units whose labels are simulated; of more the bins' sums are as good as normal."""


def debiased_calibration_error(g: Tally) -> Floats:
    """Return the debiased squared calibration error over BINS bins of equal numbers of units, float64 [B], in [-1, 1].

    It is the mean over units of (s - y)² of their bin, with its mean score s and its share y of fakes, less what the
    chance of y adds to that: y (1 - y) / (n - 1) in a bin of n units (Kumar, Liang & Ma, "Verified Uncertainty
    Calibration", NeurIPS 2019, section 4); in a bin of one, where that is not known, s (1 - s). So it is zero on
    average for a calibrated detector, and below zero for half of them; its square root compares with the ECE. Equal
    scores are in one bin. Units are taken as independent: frames of one video are not, and make it larger.
    """
    # A unit without a score that counts as wrong has the score 1 or 0 here, and the bin of those that gave that score.
    ends = np.append(0, np.flatnonzero(np.diff(g.levels.score, append=np.nan) != 0.0) + 1)
    running = g.curve.tp + g.curve.fp
    total, inner = np.maximum(g.n_real + g.n_fake, 1e-9), np.arange(1, BINS)[:, None]

    def reached(steps: Steps) -> Bools:
        middle = (after(running, ends[steps]) + after(running, ends[steps + 1])) / 2.0  # of a level among all units
        return BINS * middle / total >= inner

    found = fewest(reached, len(ends) - 1, (BINS - 1, len(total)))
    edges = ends[np.pad(found, ((1, 1), (0, 0)), constant_values=((0, len(ends) - 1), (0, 0)))]

    def by_bin(sums: Floats) -> Floats:
        return np.diff(after(sums, edges), axis=0)

    n, fake = by_bin(running), by_bin(g.curve.tp)
    score, fakes = ratio(by_bin(np.cumsum(g.scored, axis=0)), n), ratio(fake, n)
    chance = np.where(n > 1.0, fakes * (1.0 - fakes) / np.maximum(n - 1.0, 1e-9), score * (1.0 - score))
    value = ratio(np.nansum(n * ((score - fakes) ** 2 - chance), axis=0), g.n_real + g.n_fake)
    return np.asarray(value)


def calibrated_ece(score: Floats) -> float:
    """Return the ECE that a calibrated detector with these scores, P(fake) of N units, has on average.

    Labels are drawn from the scores DRAWS times, for independent units; for many units the mean size of a normal number
    is taken in each bin.
    """
    p = np.clip(score, 0.0, 1.0)
    place = np.searchsorted(EDGES[1:-1], p, side="left")
    if len(p) > SIMULATED:
        spread = np.sqrt(np.bincount(place, p * (1.0 - p), BINS))
        return float(spread.sum() * np.sqrt(2.0 / np.pi) / len(p))
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(DRAWS):
        total += float(np.abs(np.bincount(place, p - (rng.random(len(p)) < p), BINS)).sum())
    return total / DRAWS / len(p)
