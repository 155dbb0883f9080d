"""DeLong's variance of an AUC and covariance of two AUCs, exact with ties, in O(n log n).

DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves: a nonparametric approach", Biometrics 44 (1988). Units (frames, videos) must be independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ..core.arrays import Codes, Floats
from ..core.records import FAKE, REAL


class Placements(NamedTuple):
    """Placement of each unit among the units of the other class; the mean of either array is the AUC.

    `fake` float64 [m]: the share of reals that score below this fake, ties count half (V10). `real` float64 [n]:
    the share of fakes that score above this real (V01).
    """

    fake: Floats
    real: Floats


def placements(real: Floats, fake: Floats) -> Placements:
    """Return the placements of scores [n] of reals and [m] of fakes, in the given order; n and m are at least 1."""
    orders = np.argsort(real), np.argsort(fake)
    ordered = real[orders[0]], fake[orders[1]]  # sorted keys: the search reads memory in order
    below = _share_below(ordered[1], ordered[0], orders[1])
    return Placements(below, 1.0 - _share_below(ordered[0], ordered[1], orders[0]))


def _share_below(of: Floats, among: Floats, order: Codes) -> Floats:
    """Return the share of one class's scores below each of the other's, both sorted, in the order before sorting."""
    twice = np.searchsorted(among, of, "left") + np.searchsorted(among, of, "right")
    out = np.empty(len(of))
    out[order] = twice / (2.0 * len(among))
    return out


def weighted_above(real: Floats, fake: Floats, weight: Floats) -> Floats:
    """Return the share of fakes [m] that score above each real [n], by the weights of fakes, which add up to 1.

    Ties count half; with equal weights it is `Placements.real`.
    """
    order = np.argsort(fake, kind="stable")
    ordered, sums = fake[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    below, upto = sums[np.searchsorted(ordered, real, "left")], sums[np.searchsorted(ordered, real, "right")]
    return np.asarray(sums[-1] - (below + upto) / 2.0)


def auc_variance(places: Placements) -> float:
    """Return the variance of one AUC; NaN if a class has fewer than two units."""
    return auc_covariance(places, places)


def auc_covariance(first: Placements, second: Placements) -> float:
    """Return the covariance of two AUCs over the same units; NaN if a class has fewer than two."""
    m, n = len(first.fake), len(first.real)
    if min(m, n) < 2:
        return math.nan
    return _covariance(first.fake, second.fake) / m + _covariance(first.real, second.real) / n


def _covariance(x: Floats, y: Floats) -> float:
    return float(np.dot(x - x.mean(), y - y.mean()) / (len(x) - 1))


def wald(value: float, variance: float, level: float, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
    """Return the normal interval at `level`, e.g. 0.95, clipped to [low, high]."""
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(max(variance, 0.0))
    return max(low, value - reach), min(high, value + reach)


def logit_wald(value: float, variance: float, level: float) -> tuple[float, float]:
    """Return the normal interval of log(value / (1 - value)), mapped back; `value` strictly between 0 and 1.

    It covers where `wald` is too short. Of 2,000 simulated 95% intervals with 100 reals and 100 fakes, at a true AUC of
    .8 / .9 / .95 / .99: 95 / 95 / 95 / 94% against 94 / 94 / 92 / 87%; with 50 and 50: 94 / 95 / 95 / 93% against
    93 / 92 / 91 / 83%. (Pepe, The Statistical Evaluation of Medical Tests for Classification and Prediction, 2003.)
    """
    from scipy.special import expit

    centre, slope = math.log(value / (1.0 - value)), 1.0 / (value * (1.0 - value))
    low, high = wald(centre, slope * slope * variance, level, -math.inf, math.inf)
    return float(expit(low)), float(expit(high))


def auc_or_none(labels: Sequence[int], scores: Sequence[float]) -> float | None:
    """Return the AUC of plain sequences; None if a class is missing or a score is not finite."""
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    if len(set(y.tolist())) != 2 or not bool(np.isfinite(s).all()):
        return None
    return float(placements(s[y == REAL], s[y == FAKE]).fake.mean())
