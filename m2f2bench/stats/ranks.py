"""Detectors over many datasets: Friedman's test by Iman and Davenport, and signed ranks of each pair with Holm.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006). Friedman's chi-squared is too
careful; Iman and Davenport's F (Communications in Statistics A9, 1980) is not. Whether two detectors differ is decided
by Wilcoxon's signed ranks of that pair: by mean ranks (Nemenyi) it would also depend on which other detectors are in
the comparison (Benavoli, Corani & Mangili, JMLR 17 (2016)). Nemenyi's critical difference is given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..core.arrays import Floats
from ..core.errors import ScoreError
from .multiplicity import holm

FEWEST = 3
"""The smallest number of detectors, and of datasets, for the test of all detectors."""
ALPHA = 0.05
"""Level of significance."""


@dataclass(frozen=True)
class SignedRanks:
    """Wilcoxon's test of detectors `first` and `second` (by number), the two-sided p and that after Holm's correction.

    `plus` and `minus` are the sums of ranks of datasets on which the first, or the second, is better; datasets without
    a difference count for neither. `n` counts those with one.
    """

    first: int
    second: int
    plus: float
    minus: float
    n: int
    p: float
    holm: float


@dataclass(frozen=True)
class Ranking:
    """Mean ranks float64 [k] (1 is best, ties get the mean rank) over `n` datasets; Friedman's chi-squared; Iman and
    Davenport's F with its degrees of freedom, and p; and signed ranks of each pair.

    `difference` is Nemenyi's critical difference of mean ranks.
    """

    ranks: Floats
    n: int
    chi2: float
    f: float
    degrees: tuple[int, int]
    p: float
    difference: float
    pairs: tuple[SignedRanks, ...]

    @property
    def differ(self) -> bool:
        """Whether Iman and Davenport's test finds any difference."""
        return self.p <= ALPHA

    def alike(self) -> list[tuple[int, int]]:
        """Return (first, last) in the order of ranks for each largest group in which no pair is told apart."""
        k = len(self.ranks)
        if not self.differ:
            return [(0, k - 1)]
        place = np.empty(k, dtype=np.int64)
        place[np.argsort(self.ranks, kind="stable")] = np.arange(k)
        apart = {
            tuple(sorted((int(place[one.first]), int(place[one.second])))) for one in self.pairs if one.holm <= ALPHA
        }
        groups: list[tuple[int, int]] = []
        for i in range(k):
            last = i
            while last + 1 < k and not any((j, last + 1) in apart for j in range(i, last + 1)):
                last += 1
            if last > i and (not groups or last > groups[-1][1]):
                groups.append((i, last))
        return groups


def critical_difference(k: int, n: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's q sqrt(k (k + 1) / 6 n) for k detectors on n datasets; q: studentized range over sqrt(2)."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1.0 - alpha, k, np.inf)) / math.sqrt(2.0)
    return q * math.sqrt(k * (k + 1) / (6.0 * n))


def rank(values: Sequence[Sequence[float]], lower_is_better: bool = False) -> Ranking:
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
    chi2 = 0.0 if (table == table[0]).all() else float(friedmanchisquare(*table)[0])  # else it is 0 / 0
    f, degrees, p = iman_davenport(chi2, k, n)
    pairs = pairwise(table, lower_is_better)
    return Ranking(np.asarray(ranks), n, chi2, f, degrees, p, critical_difference(k, n), pairs)


def iman_davenport(chi2: float, k: int, n: int) -> tuple[float, tuple[int, int], float]:
    """Return F = (n - 1) χ² / (n (k - 1) - χ²), its degrees of freedom and its p, from Friedman's χ² of k over n.

    Where all datasets agree, F is infinite; p is then, and never less than, the chance of that: (1 / k!)^(n - 1).
    """
    from scipy.stats import f as fisher

    degrees = k - 1, (k - 1) * (n - 1)
    rest = n * (k - 1) - chi2
    least = math.factorial(k) ** -(n - 1.0)
    if rest <= 1e-9 * n * k:
        return math.inf, degrees, least
    value = (n - 1) * chi2 / rest
    return value, degrees, max(float(fisher.sf(value, *degrees)), least)


def pairwise(table: Floats, lower_is_better: bool = False) -> tuple[SignedRanks, ...]:
    """Return signed ranks of each pair of detectors, the rows of values float64 [k, n], with Holm's correction."""
    gain = -table if lower_is_better else table
    tested = [(i, j, *signed_ranks(gain[i] - gain[j])) for i, j in combinations(range(len(gain)), 2)]
    adjusted = holm([one[5] for one in tested])
    return tuple(SignedRanks(*one, p) for one, p in zip(tested, adjusted, strict=True) if p is not None)


def signed_ranks(differences: Floats) -> tuple[float, float, int, float]:
    """Return Wilcoxon's sums of positive and negative ranks, the number of differences, and the exact two-sided p.

    Differences of zero are left out, equal ones get their mean rank. p is over all signs of these ranks, each as
    probable: no normal approximation, also with ties.
    """
    from scipy.stats import rankdata

    known = differences[np.abs(differences) > 1e-12]
    if not len(known):
        return 0.0, 0.0, 0, 1.0
    doubled = np.rint(2.0 * rankdata(np.round(np.abs(known), 12))).astype(np.int64)  # mean ranks are whole or halves
    plus, total = int(doubled[known > 0].sum()), int(doubled.sum())
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for one in doubled:  # the distribution of the positive sum
        moved = np.zeros_like(chances)
        moved[one:] = chances[: total + 1 - one]
        chances = (chances + moved) / 2.0
    tail = min(plus, total - plus)
    return plus / 2.0, (total - plus) / 2.0, len(known), min(1.0, 2.0 * float(chances[: tail + 1].sum()))


def by_source(values: Mapping[str, Floats], source: Mapping[str, str]) -> dict[str, Floats]:
    """Return values by source: datasets of one source, such as two compressions of the same videos, are one, with the
    mean of their values. `values` are arrays [k] by dataset; a dataset without a source is its own."""
    groups: dict[str, list[Floats]] = {}
    for name, own in values.items():
        groups.setdefault(source.get(name) or name, []).append(own)
    return {name: np.mean(own, axis=0) for name, own in groups.items()}


def fewest_for_a_pair(pairs: int) -> int:
    """Return how many datasets signed ranks need so that the clearest of so many pairs can be told apart."""
    n = 1
    while pairs * 2.0 ** (1 - n) > ALPHA:
        n += 1
    return n
