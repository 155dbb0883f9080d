"""Metrics of sets of items (questions with their answers) that can be resampled without touching a text again.

A metric is turned once into what each item adds to it; after that any group of items, and any resample of clusters, is
arithmetic on sums.
"""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
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
    if np.all(np.asarray(below) > 0.0):  # a division without a mask takes a third of the time
        return np.asarray(np.divide(above, below))
    out = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0.0)
    return out


Means = Mapping[str, Floats]
"""A column's name to its mean in each resample, float64 [B]; NaN if no item in the resample has a value."""


class Columns:
    """Values of N items, float64 [N] a column, NaN for an item without one.

    Its statistics share one sum over all columns, which is computed once for each batch of resamples.
    """

    def __init__(self, columns: Mapping[str, Floats]) -> None:
        """`columns` map names to arrays of equal length."""
        self.names = list(columns)
        values = np.stack(list(columns.values()), axis=1)
        self._has = ~np.isnan(values)
        self._values = np.where(self._has, values, 0.0)
        self._last: tuple[Bools, Codes, Callable[[Floats], Means]] | None = None

    def has(self, name: str) -> Bools:
        """Return which items have a value in a column, bool [N]."""
        return np.asarray(self._has[:, self.names.index(name)])

    def means(self, kept: Bools, cluster: Codes, n_clusters: int) -> Callable[[Floats], Means]:
        """Return the columns' means over the items `kept` [N] as a function of the clusters' weights [C, B]."""
        if self._last is not None and self._last[0] is kept and self._last[1] is cluster:
            return self._last[2]
        sums, counts = (np.zeros((n_clusters, len(self.names))) for _ in range(2))
        np.add.at(sums, cluster[kept], self._values[kept])
        np.add.at(counts, cluster[kept], self._has[kept])
        last = threading.local()  # statistics are computed one after the other; each thread has its own weights

        def means(weights: Floats) -> Means:
            if getattr(last, "weights", None) is not weights:
                total, n = sums.T @ weights, counts.T @ weights
                found = ratio(total, n)
                last.weights, last.found = weights, dict(zip(self.names, found, strict=True))
            found_last: Means = last.found
            return found_last

        self._last = kept, cluster, means
        return means

    def mean(self, column: str) -> OfMeans:
        """Return the statistic of a column's mean, in [0, 1]."""
        return OfMeans(self, (column,), lambda means: means[column], (0.0, 1.0))

    def difference(self, first: str, second: str) -> OfMeans:
        """Return the statistic of the first column's mean minus the second's."""
        return OfMeans(self, (first, second), lambda means: means[first] - means[second])

    def ratio(self, first: str, second: str) -> OfMeans:
        """Return the statistic of the first column's mean over the second's (not the mean of ratios)."""
        return OfMeans(self, (first, second), lambda means: ratio(means[first], means[second]))

    def best(self, columns: Sequence[str]) -> OfMeans:
        """Return the statistic of the highest column mean: an oracle, picked over all items."""

        def of(means: Means) -> Floats:
            return np.asarray(np.stack([means[name] for name in columns]).max(axis=0))

        return OfMeans(self, tuple(columns), of, (0.0, 1.0), picked=True)

    def best_at(self, columns: Sequence[str], places: Floats) -> OfMeans:
        """Return the place in [0, 1] of the column with the highest mean, the first if equal; `places` float64 [T]."""

        def of(means: Means) -> Floats:
            stacked = np.stack([means[name] for name in columns])
            return np.where(np.isnan(stacked).any(axis=0), np.nan, places[stacked.argmax(axis=0)])

        return OfMeans(self, tuple(columns), of)


class OfMeans(Statistic):
    """A statistic of column means: `of` computes it, `needs` are the columns that it uses.

    `picked` means the best of several columns: the best is picked again in each resample, and the bias of that, the
    resamples' mean minus the value, is subtracted twice (once for the value, once for the resamples), as for thresholds
    that are picked on scores.
    """

    undefined = "no frame has a value"

    def __init__(
        self,
        table: Columns,
        needs: tuple[str, ...],
        of: Callable[[Means], Floats],
        ends: tuple[float, float] | None = None,
        picked: bool = False,
    ) -> None:
        """`ends` are the range of the value; None if it may be zero in every resample."""
        self.table, self.needs, self.of, self.ends, self.picked = table, needs, of, ends, picked
        self.has = np.any([table.has(name) for name in needs], axis=0)

    def n_held(self, kept: Bools, cluster: Codes) -> int:
        """See `Statistic.n_held`; the column with the fewest clusters decides."""
        return min(len(np.unique(cluster[kept & self.table.has(name)])) for name in self.needs)

    def corrected(self, drawn: Floats, value: float) -> Floats:
        """See `Statistic.corrected`."""
        return np.clip(drawn - 2.0 * (np.nanmean(drawn) - value), 0.0, 1.0) if self.picked else drawn

    def over(self, kept: Bools, cluster: Codes, n_clusters: int) -> Callable[[Floats], Floats]:
        """See `Statistic.over`."""
        means = self.table.means(kept, cluster, n_clusters)
        return lambda weights: self.of(means(weights))


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
    """Return every metric of every group of items with its expanded percentile interval.

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
            ci, why = percentile_interval(value, drawn.get((group, name)), held, resampling, one.ends, n_clusters)
            score = Score(value, n_real, n_fake, ci, why)
        scores.setdefault(group, {})[name] = score
    by_group: dict[G, dict[str, Floats]] = {}
    for (group, name), values in drawn.items():
        by_group.setdefault(group, {})[name] = values
    return Estimate(scores, by_group)
