"""Equivalence within a margin, and the smallest difference that a test would have found, from one t test.

Two one-sided tests (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987): a detector is shown to be no worse
by the margin or more if the hypothesis that it is has p ≤ 5%, and two are equivalent if both such hypotheses are
rejected. That is so just if the 90% interval lies within the margin.

The margin of an AUC is one of the AUC, and the test is made on the scale of asin √AUC, on which the variances hardly
depend on the AUCs (see `stats.clustered`). There the hypothesis A - B ≤ -margin is a region whose edge is curved: .01
is a longer way at .99 than at .9. The statistic is the distance of the two measured AUCs from the nearest point of that
edge, in standard errors (the signed root of the likelihood ratio of two normal numbers), compared with t. To shift by
the margin where the AUCs happen to be measured would not do: where both are high by luck, the shift is too large, and
at an AUC of .95 a detector that is worse by the margin passes in 12% of cases.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .clustered import OnScale
from .power import LEVEL, POWER, quantiles
from .student import t_above, t_quantile

MANY = 1e9
"""Degrees of freedom of a normal distribution."""
POINTS, ZOOMS, HALVINGS = 101, 3, 30
"""Points of the edge that are looked at, how often nearer ones are taken, and halvings of an interval's end."""


class Scaled(NamedTuple):
    """A difference on the scale of its test, with its standard error and degrees of freedom.

    `pair`: the two AUCs, if the scale is that of asin √AUC; None on the metric's own scale.
    """

    apart: float
    error: float
    freedom: float = MANY
    pair: OnScale | None = None


class OneSided(NamedTuple):
    """One-sided p of two hypotheses: the difference is -margin or less, and it is margin or more. The interval holds
    just the margins that neither rejects."""

    low: float
    high: float
    ci: tuple[float, float]


def of_interval(ci: tuple[float, float], difference: float, level: float, groups: float) -> Scaled:
    """Return a difference with the standard error that its interval over so many `groups` at `level` has."""
    freedom = max(groups - 1.0, 0.5)
    return Scaled(difference, (ci[1] - ci[0]) / 2.0 / t_quantile(0.5 + level / 2.0, freedom), freedom)


def distance(pair: OnScale, difference: float) -> float:
    """Return how many standard errors two AUCs are above the points with `difference` (in -1 … 1); negative below."""
    if difference > 0.0:
        return -distance(
            OnScale(pair.second, pair.first, pair.second_variance, pair.first_variance, pair.shared), -difference
        )
    x, y, v, w, c = pair
    low, high = math.asin(math.sqrt(-difference)), math.pi / 2.0
    least = math.inf
    for _ in range(ZOOMS):
        second = np.linspace(low, high, POINTS)
        first = np.arcsin(np.sqrt(np.maximum(np.sin(second) ** 2 + difference, 0.0)))
        squares = (w * (x - first) ** 2 - 2.0 * c * (x - first) * (y - second) + v * (y - second) ** 2) / (
            v * w - c * c
        )
        nearest = int(np.argmin(squares))
        least = min(least, float(squares[nearest]))
        low, high = float(second[max(nearest - 1, 0)]), float(second[min(nearest + 1, POINTS - 1)])
    return math.copysign(math.sqrt(max(least, 0.0)), math.sin(x) ** 2 - math.sin(y) ** 2 - difference)


def one_sided(found: Scaled, margin: float, alpha: float = LEVEL) -> OneSided:
    """Return the two one-sided tests of a margin, and the interval at 1 - 2 alpha."""
    reach = t_quantile(1.0 - alpha, found.freedom)
    if found.pair is None:
        low, high = (margin + found.apart) / found.error, (margin - found.apart) / found.error
        ci = (found.apart - reach * found.error, found.apart + reach * found.error)
    else:
        low, high = distance(found.pair, -margin), -distance(found.pair, margin)
        ci = (_where(found.pair, reach), _where(found.pair, -reach))
    return OneSided(t_above(low, found.freedom), t_above(high, found.freedom), ci)


def _where(pair: OnScale, reach: float) -> float:
    """Return the difference from which two AUCs are `reach` standard errors above."""
    low, high = -1.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if distance(pair, middle) > reach else (low, middle)
    return (low + high) / 2.0


def smallest_margin(found: Scaled, alpha: float = LEVEL) -> float:
    """Return the margin by which an equal detector is shown to be no worse in 80% of cases."""
    times = t_quantile(1.0 - alpha, found.freedom) + t_quantile(POWER, found.freedom)
    if found.pair is None:
        return times * found.error
    middle = (found.pair.first + found.pair.second) / 2.0
    return -_where(found.pair._replace(first=middle, second=middle), times)


def smallest_found(found: Scaled, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test at `level` finds in 80% of cases; infinite if none does.

    Of AUCs it is how much worse a detector must be than one between both, as `power.smallest_from` says it. A detector
    is never worse than chance: what exceeds this cannot be found at all.
    """
    apart = quantiles(found.freedom, level) * found.error
    if found.pair is None:
        return apart
    middle = (found.pair.first + found.pair.second) / 2.0
    top = max(middle, math.pi / 2.0 - middle)
    low = top - apart
    return math.sin(top) ** 2 - math.sin(low) ** 2 if low >= math.pi / 4.0 else math.inf
