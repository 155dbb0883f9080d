"""Equivalence within a margin, and the smallest difference that a test would have found, from one t test.

Two one-sided tests (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987): a detector is shown to be no worse
by the margin or more if the hypothesis that it is has p ≤ 5%, and two are equivalent if both such hypotheses are
rejected. That is so just if the 90% interval lies within the margin.

The margin of an AUC is one of the AUC, and the test is made on the scale of asin √AUC (see `stats.clustered`). So the
margin is brought to that scale where the two AUCs are: with their mean m held fixed, a difference of d is one of
asin √(m + d/2) - asin √(m - d/2). Where m + d/2 would exceed 1, the pair is 1 and 1 - d.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .power import LEVEL, POWER, quantiles

MANY = 1e9
"""Degrees of freedom of a normal distribution."""


class Scaled(NamedTuple):
    """A difference on the scale of its test, with its standard error and degrees of freedom.

    `middle`: the mean of the two AUCs, if the scale is that of asin √AUC; None on the metric's own scale.
    """

    apart: float
    error: float
    freedom: float = MANY
    middle: float | None = None


class OneSided(NamedTuple):
    """One-sided p of two hypotheses: the difference is -margin or less, and it is margin or more. The interval holds
    just the margins that neither rejects."""

    low: float
    high: float
    ci: tuple[float, float]


def scaled_gap(middle: float, difference: float) -> float:
    """Return the difference of asin √ of two AUCs around `middle` that differ by `difference`."""
    high = min(middle + abs(difference) / 2.0, 1.0)
    low = max(high - abs(difference), 0.0)
    high = min(low + abs(difference), 1.0)
    return math.copysign(math.asin(math.sqrt(high)) - math.asin(math.sqrt(low)), difference)


def plain_gap(middle: float, apart: float) -> float:
    """Return the difference of two AUCs around `middle` that differ by `apart` on the scale: undoes `scaled_gap`."""
    u, off = min(abs(apart), math.pi / 2.0), abs(1.0 - 2.0 * middle)
    # sin²x - sin²y = sin(x + y) sin(x - y) and sin²x + sin²y = 1 - cos(x + y) cos(x - y), with x - y = u.
    if math.cos(u) ** 2 <= off:
        return math.copysign(math.sin(u) ** 2, apart)
    return math.copysign(math.sin(u) * math.sqrt(1.0 - (off / math.cos(u)) ** 2), apart)


def one_sided(found: Scaled, margin: float, alpha: float = LEVEL) -> OneSided:
    """Return the two one-sided tests of a margin, and the interval at 1 - 2 alpha."""
    from scipy.stats import t

    def to_scale(difference: float) -> float:
        return difference if found.middle is None else scaled_gap(found.middle, difference)

    low = float(t.sf((found.apart + to_scale(margin)) / found.error, found.freedom))
    high = float(t.sf((to_scale(margin) - found.apart) / found.error, found.freedom))
    reach = float(t.ppf(1.0 - alpha, found.freedom)) * found.error
    return OneSided(low, high, (_plain(found, found.apart - reach), _plain(found, found.apart + reach)))


def smallest_margin(found: Scaled, alpha: float = LEVEL) -> float:
    """Return the margin by which an equal detector is shown to be no worse in 80% of cases."""
    from scipy.stats import t

    times = float(t.ppf(1.0 - alpha, found.freedom) + t.ppf(POWER, found.freedom))
    return _plain(found, times * found.error)


def smallest_found(found: Scaled, level: float = LEVEL) -> float:
    """Return the difference that a two-sided test at `level` finds in 80% of cases; infinite if none does.

    Of AUCs it is how much worse a detector must be than one with the mean of both AUCs, as `power.smallest_from` says
    it. A detector is never worse than chance: what exceeds this cannot be found at all.
    """
    apart = quantiles(found.freedom, level) * found.error
    if found.middle is None:
        return apart
    top = max(found.middle, 1.0 - found.middle)
    low = math.asin(math.sqrt(top)) - apart
    worse = math.sin(low) ** 2 if low > 0.0 else 0.0
    return top - worse if worse >= 0.5 else math.inf


def _plain(found: Scaled, apart: float) -> float:
    return apart if found.middle is None else plain_gap(found.middle, apart)
