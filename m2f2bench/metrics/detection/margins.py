"""Margins: whether a detector is shown to be no worse than another by a margin or more, or two to be equivalent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arrays import Floats
from ...core.errors import ScoreError
from ...stats.bootstrap import expanded_p, expanded_tail
from ...stats.margin import Scaled, of_interval, one_sided, smallest_margin
from ...stats.power import LEVEL
from ..registry import known_metric

EQUIVALENT, FIRST, SECOND, UNDECIDED = "equivalent", "first no worse", "second no worse", "undecided"


@dataclass(frozen=True)
class Margin:
    """Two one-sided tests of a difference against a margin, at 5%.

    `first` is p of the hypothesis that the first detector is worse than the second by the margin or more; `second` that
    of the reverse. `ci` is the 90% interval of the difference: two are equivalent if it lies within the margin.
    `smallest`: the margin by which an equal detector is shown to be no worse in 80% of cases. `first_corrected` and
    `second_corrected` are after the correction over the pairs; None before it.
    """

    margin: float
    first: float
    second: float
    ci: tuple[float, float]
    smallest: float
    first_corrected: float | None = None
    second_corrected: float | None = None

    @property
    def decided(self) -> tuple[float, float]:
        """The two p after the correction, if there was one."""
        one = self.first if self.first_corrected is None else self.first_corrected
        other = self.second if self.second_corrected is None else self.second_corrected
        return one, other

    @property
    def p(self) -> float:
        """The p of equivalence, before any correction: the larger one."""
        return max(self.first, self.second)

    @property
    def p_corrected(self) -> float:
        """The p of equivalence after the correction."""
        return max(self.decided)

    @property
    def outcome(self) -> str:
        """What is shown: `equivalent`, `first no worse`, `second no worse` or `undecided`."""
        first, second = (p <= LEVEL for p in self.decided)
        return EQUIVALENT if first and second else FIRST if first else SECOND if second else UNDECIDED

    def corrected(self, first: float | None, second: float | None) -> Margin:
        """Return it with corrected p-values."""
        return replace(self, first_corrected=first, second_corrected=second)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        one, other = self.decided
        return {
            "margin": self.margin,
            "outcome": self.outcome,
            "p_equivalent": self.p,
            "p_equivalent_corrected": self.p_corrected,
            "p_first_no_worse": self.first,
            "p_first_no_worse_corrected": one,
            "p_second_no_worse": self.second,
            "p_second_no_worse_corrected": other,
            "ci90": list(self.ci),
            "smallest_margin_of_equals": self.smallest,
        }


def wanted_margin(margin: Any) -> float | None:
    """Return a margin, None for none. Raises ScoreError unless it is a number above 0 and below 1."""
    if margin is None:
        return None
    number = float(margin) if isinstance(margin, (int, float, np.number)) and margin is not True else math.nan
    if 0.0 < number < 1.0:
        return number
    raise ScoreError(
        f"margin is {margin!r:.40}: a number above 0 and below 1 is wanted, the largest difference that does not "
        f"matter, such as 0.01"
    )


def margin_of(found: Scaled, margin: float, metric: str, alpha: float = LEVEL) -> Margin:
    """Return the tests of a margin from a t test."""
    tested = one_sided(found, margin, alpha)
    return Margin(margin, *_directed(metric, tested.low, tested.high), tested.ci, smallest_margin(found, alpha))


def margin_of_draws(drawn: Floats, margin: float, metric: str, groups: float, alpha: float = LEVEL) -> Margin | None:
    """Return the tests of a margin from a difference in each resample [B]; None without any.

    They are those of expanded percentile intervals over so many `groups` (see `stats.bootstrap.expanded_tail`).
    """
    defined = drawn[~np.isnan(drawn)]
    n = len(defined)
    if not n:
        return None
    low, high = (
        _expanded((1 + int(beyond.sum())) / (1 + n), groups) for beyond in (defined <= -margin, defined >= margin)
    )
    tail = expanded_tail(1.0 - 2.0 * alpha, groups)
    ends = np.quantile(defined, [tail, 1.0 - tail])
    ci = (float(ends[0]), float(ends[1]))
    smallest = smallest_margin(of_interval(ci, 0.0, 1.0 - 2.0 * alpha, groups), alpha)
    return Margin(margin, *_directed(metric, low, high), ci, smallest)


def _expanded(p: float, groups: float) -> float:
    """Return a one-sided p of the expanded interval from that of the plain one."""
    return expanded_p(2.0 * p, groups) / 2.0 if p <= 0.5 else 1.0 - expanded_p(2.0 * (1.0 - p), groups) / 2.0


def _directed(metric: str, low: float, high: float) -> tuple[float, float]:
    """Return p of "the first is worse" and of "the second is worse"."""
    known = known_metric(metric)
    return (high, low) if known is not None and known.lower_is_better else (low, high)
