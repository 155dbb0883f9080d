"""Metrics of sets of items (questions with their answers) that can be resampled without touching a text again.

A metric is turned once into what each item adds to it; after that any group of items, and any resample of clusters, is
arithmetic on sums.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ..cards.protocols import Bootstrap
from ..core.arrays import Bools, Codes, Floats
from ..core.records import FAKE, REAL, Score
from .bootstrap import cluster_draws, over_draws, percentile_interval

ALONE = "not defined on these questions alone"
G = TypeVar("G", bound=Hashable)


class Statistic(abc.ABC):
    """One metric over N items. `has`, bool [N], says which items it is defined of; the others add nothing."""

    has: Bools
    ends: tuple[float, float] | None = (0.0, 1.0)
    """The metric's range; None for a difference, which may be zero in every resample."""
    undefined: str = ALONE
    """Why there is no value where there are items, as a result says it."""

    def n_held(self, kept: Bools, cluster: Codes) -> int:
        """Return how many clusters have a value among the items `kept` [N]."""
        return len(np.unique(cluster[kept & self.has]))

    def corrected(self, drawn: Floats, value: float) -> Floats:
        """Return the values in the resamples, float64 [resamples], without a bias that is known of them: here as is."""
        return drawn

    @abc.abstractmethod
    def over(self, kept: Bools, cluster: Codes, n_clusters: int) -> Callable[[Floats], Floats]:
        """Return the metric of the items `kept` [N] as a function of the clusters' weights, [C, B] → [B].

        `cluster` [N] is in 0 … C - 1. NaN where no item has any weight.
        """


@dataclass(frozen=True, eq=False)
class Sums(Statistic):
    """A metric that is a function `of` sums over the items: `items` [N, K] → sums [K, B] → values [B].

    Rows of items without `has` are not looked at.
    """

    items: Floats
    of: Callable[[Floats], Floats]
    has: Bools
    ends: tuple[float, float] | None = (0.0, 1.0)
    undefined: str = ALONE

    def over(self, kept: Bools, cluster: Codes, n_clusters: int) -> Callable[[Floats], Floats]:
        """See `Statistic.over`."""
        used = kept & self.has
        held = np.zeros((n_clusters, self.items.shape[1] + 1))
        np.add.at(held, cluster[used], np.column_stack([self.items[used], np.ones(int(used.sum()))]))

        def values(weights: Floats) -> Floats:
            sums = held.T @ weights
            return np.asarray(np.where(sums[-1] > 0.0, self.of(sums[:-1]), np.nan))

        return values


def mean_of(values: Floats, ends: tuple[float, float] | None = (0.0, 1.0)) -> Sums:
    """Return the mean of the items' own values, float64 [N]; NaN for an item without one."""
    has = ~np.isnan(values)
    items = np.column_stack([np.where(has, values, 0.0), has.astype(np.float64)])
    return Sums(items, lambda sums: ratio(sums[0], sums[1]), has, ends)


def ratio(above: Floats, below: Floats) -> Floats:
    """Return above / below, two arrays that broadcast; NaN where `below` is not positive."""
    out = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0.0)
    return out


@dataclass(frozen=True)
class Estimate(Generic[G]):
    """Each group's metrics with their intervals, and their values in each resample, float64 [resamples]."""

    scores: dict[G, dict[str, Score]]
    drawn: dict[G, dict[str, Floats]]


def estimate(
    statistics: Mapping[str, Statistic],
    groups: Mapping[G, Bools],
    label: Codes,
    cluster: Codes,
    n_clusters: int,
    resampling: Bootstrap,
    nothing: str = "no answer has a value",
) -> Estimate[G]:
    """Return every metric of every group of items with its percentile interval.

    `groups` are masks [N]; `label` [N] (0 real, 1 fake) only counts; `cluster` [N] is in 0 … `n_clusters` - 1. Clusters
    are drawn with replacement, as many as there are; the draws depend on their number and the seed alone: all groups,
    metrics and explainers on the same questions get the same ones, so that differences are paired. `nothing` is the
    reason of a value that rests on no item.
    """
    made = {
        (group, name): one.over(kept, cluster, n_clusters)
        for group, kept in groups.items()
        for name, one in statistics.items()
    }
    plain = {key: float(values(np.ones((n_clusters, 1)))[0]) for key, values in made.items()}
    drawn: dict[tuple[G, str], Floats] = {}
    if resampling.resamples > 0 and n_clusters > 1:
        draws = cluster_draws(n_clusters, resampling.resamples, resampling.seed)
        pieces = over_draws(draws, lambda weights: {key: values(weights) for key, values in made.items()})
        drawn = {key: np.concatenate([piece[key] for piece in pieces]) for key in made}
    scores: dict[G, dict[str, Score]] = {}
    for (group, name), value in plain.items():
        one = statistics[name]
        used = groups[group] & one.has
        n_real, n_fake = int((used & (label == REAL)).sum()), int((used & (label == FAKE)).sum())
        if np.isnan(value):
            score = Score(None, n_real, n_fake, reason=nothing if n_real + n_fake == 0 else one.undefined)
        else:
            if (group, name) in drawn:
                drawn[group, name] = one.corrected(drawn[group, name], value)
            held = one.n_held(groups[group], cluster)
            ci, why = percentile_interval(value, drawn.get((group, name)), held, resampling, one.ends)
            score = Score(value, n_real, n_fake, ci, why)
        scores.setdefault(group, {})[name] = score
    by_group: dict[G, dict[str, Floats]] = {}
    for (group, name), values in drawn.items():
        by_group.setdefault(group, {})[name] = values
    return Estimate(scores, by_group)
