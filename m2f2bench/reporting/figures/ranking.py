"""Ranking of detectors over many datasets: mean ranks, Friedman's test, Nemenyi's critical difference.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ScoreError

if TYPE_CHECKING:
    from ...core.records import Floats

FEWEST = 3
"""The smallest number of detectors, and of datasets, for the test."""
ALPHA = 0.05
"""Level of significance."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks float64 [k] (1 is best, ties get the mean rank) over `n` datasets; Friedman's chi-squared and its p.

    Two detectors differ if p < `alpha` and their mean ranks differ by more than `difference`.
    """

    ranks: Floats
    n: int
    chi2: float
    p: float
    difference: float
    alpha: float = ALPHA

    @property
    def differ(self) -> bool:
        """Whether Friedman's test finds any difference."""
        return self.p < self.alpha

    def alike(self) -> list[tuple[int, int]]:
        """Return (first, last) in the order of ranks for each largest group without a significant difference."""
        ordered = np.sort(self.ranks)
        if not self.differ:
            return [(0, len(ordered) - 1)]
        groups: list[tuple[int, int]] = []
        for i, low in enumerate(ordered):
            last = int(np.searchsorted(ordered, low + self.difference + 1e-12, side="right")) - 1
            if last > i and (not groups or last > groups[-1][1]):
                groups.append((i, last))
        return groups


def critical_difference(k: int, n: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's q sqrt(k (k + 1) / 6 n) for k detectors on n datasets; q: studentized range over sqrt(2)."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - alpha, k, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(k * (k + 1) / (6.0 * n))


def rank(values: Sequence[Sequence[float]], lower_is_better: bool = False, alpha: float = ALPHA) -> Ranking:
    """Rank detectors (rows) by their values on datasets (columns), float [k, n].

    Friedman's statistic is corrected for ties. Raises ScoreError with fewer than three of either.
    """
    from scipy.stats import friedmanchisquare, rankdata

    table = np.asarray(values, dtype=np.float64)
    k, n = table.shape if table.ndim == 2 else (0, 0)
    if min(k, n) < FEWEST:
        raise ScoreError(
            f"ranks need at least {FEWEST} detectors and {FEWEST} datasets; here {k} detectors have a value on all "
            f"{n} datasets: give more results, or use methods or compare"
        )
    ranks = rankdata(table if lower_is_better else -table, axis=0).mean(axis=1)
    if (table == table[0]).all():  # the statistic is 0 / 0
        chi2, p = 0.0, 1.0
    else:
        chi2, p = (float(v) for v in friedmanchisquare(*table))
    return Ranking(np.asarray(ranks), n, chi2, p, critical_difference(k, n, alpha), alpha)
