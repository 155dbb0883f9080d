"""Statistics of column means: means, differences, ratios, and the best of several, from shared columns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..core.arrays import Bools, Codes, Floats
from .statistic import Statistic, ratio

Means = Mapping[str, "Floats"]
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
