"""Clusters of a group of units: their counts and effective numbers, their influence on the AUC, independent trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...core.arrays import Codes, Floats
from ...core.records import REAL
from ...core.rows import Units
from ...stats.clustered import Influence, counts_of, effective, influence, mean_influence
from ...stats.delong import placements, weighted_above
from ..names import AT_HALF, AVERAGE
from ..registry import metric_of
from . import values as detection

FEW_CLUSTERS = 40
"""Effective number of clusters below which resampled intervals are too narrow: with 10, 20 and 40 videos, resampled 95%
intervals of the AUC held the true value in 86, 92 and 94% of 1,000 simulations."""
LISTED = 3
"""Groups that a warning names."""


Found = TypeVar("Found")


def remembered(of: Callable[[Units, str], Found]) -> Callable[[Units, str], Found]:
    """Return a function of units and a group that keeps what it found with the units, unless groups are many."""

    @wraps(of)
    def found(units: Units, group: str) -> Found:
        if len(units.methods) > detection.MANY:
            return of(units, group)
        key = (of.__name__, group)
        if key not in units.known:
            units.known[key] = of(units, group)
        value: Found = units.known[key]
        return value

    return found


class Members(NamedTuple):
    """Counts of a group: units and clusters of each class, and `mixed` clusters, which hold both classes."""

    n_real: int
    n_fake: int
    clusters_real: int
    clusters_fake: int
    mixed: int

    @property
    def clusters(self) -> int:
        """Number of clusters that hold a unit."""
        return self.clusters_real + self.clusters_fake - self.mixed

    @property
    def pairs(self) -> int:
        """Number of disjoint pairs of a real and a fake cluster."""
        return min(self.clusters_real, self.clusters_fake, self.clusters // 2)


@remembered
def members(units: Units, group: str) -> Members:
    """Return the counts of a group: all reals, and all fakes for OVERALL and AVERAGE, otherwise those of the method."""
    own = units.of("" if group == AVERAGE else group)
    clusters = _distinct(units.cluster[own], units.n_clusters)
    of_real, mixed = (int(np.count_nonzero(held)) for held in (units.reals_held, units.reals_held[clusters]))
    return Members(int(units.reals_held.sum()), len(own), of_real, len(clusters), mixed)


def _distinct(codes: Codes, n: int) -> Codes:
    """Return the distinct codes, of 0 … n - 1, ascending; sorting takes longer than counting, unless they are few."""
    return np.unique(codes) if len(codes) < n / 10 else np.flatnonzero(np.bincount(codes, minlength=n))


def in_one_cluster(m: Members, all_of_them: bool = False) -> str:
    """Return that all units of a class (or `all_of_them`) are in one cluster, as a reason; empty if they are not."""
    alone = [
        word for word, n, k in (("real", m.n_real, m.clusters_real), ("fake", m.n_fake, m.clusters_fake)) if n and k < 2
    ]
    if not alone and not all_of_them:
        return ""
    return f"no interval: all {' and all '.join(alone) or 'scored'} units are in one cluster"


def too_few(units: Units, m: Members) -> str:
    """Return why an AUC has no variance: a class has one unit, or one cluster; empty if it has one."""
    if units.independent and min(m.n_real, m.n_fake) < 2:
        return "no interval: at least two real and two fake units are needed"
    return in_one_cluster(m, m.clusters < 2)


def few_clusters(clusters: Mapping[str, Any]) -> list[str]:
    """Return a warning for a result's or a comparison's `clusters` if they are effectively few; else an empty list.

    Clusters of unequal size count for less than their number. Groups without a unit are not counted.
    """
    by, n = clusters.get("by"), clusters.get("n", 0)
    counts = clusters.get("effective")
    what = {"identity": "groups of people", "people": "people"}.get(str(by), f"{by}s")
    if not counts:  # results of older versions, answers and heat maps
        return [f"only {n} clusters: the intervals are probably too narrow"] if 1 < n < FEW_CLUSTERS else []
    named = {"reals": counts["real"], "fakes": counts["fake"]}
    named |= {f"fakes of {name}": count for name, count in counts.get("methods", {}).items()}
    few = {name: count for name, count in named.items() if 0.0 < count < FEW_CLUSTERS}
    if not few:
        return []
    least = sorted(few.items(), key=lambda one: one[1])
    text = ", ".join(f"{count:g} of {name}" for name, count in least[:LISTED])
    more = f" and {len(few) - LISTED} more groups" if len(few) > LISTED else ""
    return [
        f"few {what}, counted by their units (effective number: {text}{more}; {FEW_CLUSTERS} are enough): resampled "
        f"intervals are probably too narrow"
    ]


@remembered
def influence_of(units: Units, group: str) -> Influence:
    """Return each cluster's influence on the AUC of a group: all fakes, one method's, or the mean of the methods."""
    if group == AVERAGE and len(units.methods) > detection.MANY:
        return _influence_of_many(units)
    if group == AVERAGE and len(units.methods) > 1:
        return mean_influence([influence_of(units, method) for method in units.methods])
    real, fake = units.label == REAL, units.fakes("" if group == AVERAGE else group)
    places = placements(units.score[real], units.score[fake])
    return influence(places, units.cluster[fake], units.cluster[real], units.n_clusters, units.people)


def _influence_of_many(units: Units) -> Influence:
    """Return what `mean_influence` does of all methods, without looking at each: a fake counts by its method's size."""
    real, fake = np.flatnonzero(units.label == REAL), np.concatenate([units.of(method) for method in units.methods])
    sizes = [len(units.of(method)) for method in units.methods]
    number, weight = np.repeat(np.arange(len(sizes)), sizes), np.repeat(1.0 / np.maximum(sizes, 1), sizes) / len(sizes)
    below = placements(units.score[real], units.score[fake]).fake
    means = np.bincount(number, below * weight) * len(sizes)
    above = weighted_above(units.score[real], units.score[fake], weight)
    value, share = float(means.mean()), np.full(len(real), 1.0 / len(real))

    def of(kept: Codes, values: Floats) -> Floats:
        return np.bincount(units.cluster[kept], values, units.n_clusters).astype(np.float64)

    parts = of(fake, (below - means[number]) * weight), of(real, (above - value) * share)
    return Influence(value, *parts, of(fake, weight), of(real, share), units.people)


@remembered
def effective_counts(units: Units, group: str) -> tuple[float, float]:
    """Return the effective numbers of clusters (people, if clusters share them) of a group's reals and fakes.

    Clusters of very unequal size count for less than their number: (Σ n)² / Σ n² of their numbers n of units.
    """
    if units.people is None and len(units.methods) > detection.MANY:
        held = np.unique(units.cluster[units.of(group)], return_counts=True)[1]
        return effective(units.reals_held.astype(np.float64)), effective(held.astype(np.float64))
    real, fake = units.label == REAL, units.fakes(group)
    shares = [
        np.bincount(units.cluster[own], minlength=units.n_clusters) / max(int(own.sum()), 1) for own in (real, fake)
    ]
    return counts_of(Influence(0.5, shares[1], shares[0], shares[1], shares[0], units.people))


@remembered
def _held(units: Units, group: str) -> Codes:
    """Return the number of a group's units in each cluster, int64 [C]."""
    return np.bincount(units.cluster[(units.label == REAL) | units.fakes(group)], minlength=units.n_clusters)


def groups_of(units: Units, group: str, name: str) -> float:
    """Return the effective number of clusters behind the resamples of a metric in a group; see `effective_counts`.

    Of a mean over units they are those of all units, of a mean over fakes those of the fakes. Other metrics compare
    both classes: one more than Satterthwaite's degrees of freedom, as if clusters of reals and of fakes vary alike, and
    at most the number of all. The average over methods takes the lowest of any method.
    """
    if group == AVERAGE and len(units.methods) > 1:
        return min(groups_of(units, method, name) for method in units.methods)
    group = "" if group == AVERAGE else group
    real, fake = effective_counts(units, group)
    by = metric_of(name).trials
    if by in ("fakes", "called"):
        return fake
    sums = _held(units, group).astype(np.float64)
    of_all = effective(sums if units.people is None else units.people.per_person(sums))
    if by == "clusters" or min(real, fake) == 0.0:
        return of_all
    parts = sum(1.0 / (n * n * (n - 1.0)) if n > 1.0 else math.inf for n in (real, fake))
    return min(1.0 + (1.0 / real + 1.0 / fake) ** 2 / parts, of_all)


def trials(units: Units, group: str, name: str, threshold: float | None) -> int:
    """Return the number of independent trials behind a metric at an end of its range; 0 if `Metric.trials` is empty.

    If the true metric is θ, the chance that n clusters are all right is at most θ^n. For a mean over units, n counts
    their clusters: of all units (accuracy, Brier score), of fakes (recall), or of units called fake (precision). For a
    mean of the two classes' shares, n counts each mixed cluster, and each other cluster that has a partner of the other
    class. All other metrics compare a real with a fake: n counts disjoint pairs of clusters. The average over methods
    takes the lowest n of any method: the average is 1 only if each method is.
    """
    if group == AVERAGE and len(units.methods) > 1:
        return min(trials(units, method, name, threshold) for method in units.methods)
    m, by = members(units, group), metric_of(name).trials
    if not by:
        return 0
    if units.people is not None:  # clusters that share people are no independent trials
        return units.people.n // 2
    if not m.n_real or not m.n_fake or by == "clusters":
        return m.clusters
    if by == "fakes":
        return m.clusters_fake
    if by == "halves":
        return m.mixed + 2 * min(m.clusters_real - m.mixed, m.clusters_fake - m.mixed)
    if by == "called" and threshold is not None:
        kept = (units.label == REAL) | units.fakes("" if group == AVERAGE else group)
        called = kept & (units.score >= (0.5 if name.endswith(AT_HALF) else threshold))
        return len(_distinct(units.cluster[called], units.n_clusters))
    return m.pairs
