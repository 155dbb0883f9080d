"""Counts of units by score, cluster and group, with which many resamples are a few matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...core.arrays import Codes, Floats
from ...core.records import REAL
from ...core.rows import People, Units
from ...stats.bootstrap import CHUNK, cluster_draws, people_draws

BINS = 15
"""Number of equal bins of [0, 1] (reliability diagram, calibration error); a bin includes its upper edge."""
MAX_LEVELS = 1 << 17
"""Highest number of distinct scores without joining; more are joined with neighbours, only for resampling."""
JOINED_LEVELS = 1 << 14
"""Approximate number of levels after joining; they have equal numbers of units."""
MAX_CLUSTERS = 10_000
"""Highest number of clusters; more are joined at random, only for resampling: a union of clusters is a cluster too."""
EDGES: Floats = np.linspace(0.0, 1.0, BINS + 1)
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Log-loss clips scores to [this, 1 - this], as scikit-learn does."""


def log_losses(score: Floats) -> tuple[Floats, Floats]:
    """Return the log-losses in nats, [N] each: first if the unit is real, then if it is fake."""
    p = np.clip(score, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return -np.log1p(-p), -np.log(p)


def squared_errors(score: Floats) -> tuple[Floats, Floats]:
    """Return the squared errors in [0, 1], [N] each: first if the unit is real, then if it is fake."""
    p = np.clip(score, 0.0, 1.0)
    return p**2, (1.0 - p) ** 2


@dataclass(frozen=True)
class Levels:
    """Distinct scores of a sample, highest first, and everything that depends only on the score. All arrays are [T].

    `high` and `low` are the ends of a level (equal unless scores were joined), `score` is its mean, `bin` its
    reliability bin (0 … BINS-1); `losses` has a pair for each metric (if the unit is real, if it is fake).
    """

    high: Floats
    low: Floats
    score: Floats
    bin: Codes
    losses: dict[str, tuple[Floats, Floats]]

    def __len__(self) -> int:
        return len(self.high)

    def take(self, kept: Codes) -> Levels:
        """Return the levels of these numbers, ascending."""
        losses = {name: (real[kept], fake[kept]) for name, (real, fake) in self.losses.items()}
        return Levels(self.high[kept], self.low[kept], self.score[kept], self.bin[kept], losses)

    def called(self, threshold: float) -> int:
        """Return how many levels, from the top, are called fake: those with a score of at least `threshold`."""
        return int(np.searchsorted(-self.high, -threshold, side="right"))


def make_levels(scores: Floats, cuts: tuple[float, ...], most: int) -> tuple[Levels, Codes]:
    """Return the levels of scores [N] and each unit's level, int64 [N].

    More than `most` distinct scores (0: no limit) are joined into about min(most, JOINED_LEVELS) levels with equal
    numbers of units; no level crosses a threshold of `cuts` or an edge of a reliability bin.
    """
    values, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if len(values) == 0:  # one level without units: all its metrics are undefined
        values, counts = np.array([0.5]), np.array([0])
    level = np.arange(len(values))
    if most and len(values) > most:
        rank = np.cumsum(counts) - counts
        wanted = min(most, JOINED_LEVELS)
        keys = [rank * wanted // len(scores), _bin(values), np.isinf(values).astype(np.int64)]
        keys += [(values >= cut).astype(np.int64) for cut in cuts]
        new = np.any([np.diff(key) != 0 for key in keys], axis=0)
        level = np.concatenate([[0], np.cumsum(new)])
    level = level[-1] - level  # highest first
    n = int(level[0]) + 1
    total = np.bincount(level, weights=counts, minlength=n)

    def mean(of: Floats) -> Floats:
        return np.asarray(np.bincount(level, weights=of * counts, minlength=n) / np.maximum(total, 1))

    last = np.flatnonzero(np.diff(level, append=-1))
    first = np.concatenate([[0], last[:-1] + 1])
    losses = {
        name: (mean(pair[0]), mean(pair[1]))
        for name, pair in (("log_loss", log_losses(values)), ("brier", squared_errors(values)))
    }
    high, low = values[last][::-1], values[first][::-1]
    levels = Levels(high, low, mean(np.clip(values, 0.0, 1.0)), _bin(high), losses)
    return levels, level[inverse]


def _bin(score: Floats) -> Codes:
    return np.searchsorted(EDGES[1:-1], score, side="left").astype(np.int64)


@dataclass(frozen=True)
class Sample:
    """Counts of units by level and cluster, separately for the reals and for each method's fakes.

    `real` is a sparse [T, C] matrix. `fake`, sparse [E, C], has a row for each method's fakes of one level: by method
    and then by level, `places` [E] are the levels, and those of the m-th method begin at `starts[m]` [M + 1].
    `n_clusters` is C. `people` are those of clusters that share people.
    """

    levels: Levels
    real: Any
    fake: Any
    places: Codes
    starts: Codes
    methods: tuple[str, ...]
    n_clusters: int
    people: People | None = None

    def counts(self, weights: Floats) -> tuple[Floats, list[Floats]]:
        """Return counts of reals and of each method's fakes, [T, B] each, with the clusters' weights [C, B]."""
        real, fake = np.asarray(self.real @ weights), np.asarray(self.fake @ weights)
        return real, [self.of_method(fake, number) for number in range(len(self.methods))]

    def of_method(self, fake: Floats, number: int) -> Floats:
        """Return the counts [T, B] of a method's fakes, from those of all rows of `fake` [E, B]."""
        own = slice(self.starts[number], self.starts[number + 1])
        found = np.zeros((len(self.levels), fake.shape[1]))
        found[self.places[own]] = fake[own]
        return found

    def of_all(self, fake: Floats) -> Floats:
        """Return the counts [T, B] of all fakes, from those of all rows of `fake` [E, B]."""
        return np.asarray(self._joining @ fake)

    def by_method(self) -> Any:
        """Return the number of each method's fakes in each cluster, sparse [M, C]."""
        from scipy.sparse import csr_array

        count = self.starts[-1]
        return csr_array((np.ones(count), np.arange(count), self.starts), shape=(len(self.methods), count)) @ self.fake

    @cached_property
    def _joining(self) -> Any:
        """The sparse [T, E] matrix that adds up the rows of a level."""
        from scipy.sparse import csr_array

        order = np.argsort(self.places, kind="stable")
        ends = np.searchsorted(self.places[order], np.arange(len(self.levels) + 1))
        return csr_array((np.ones(len(order)), order, ends), shape=(len(self.levels), len(order)))

    def draws(self, resamples: int, seed: int, chunk: int = CHUNK, skip: int = 0) -> Iterator[Floats]:
        """Return the clusters' weights in pieces of about `chunk` elements, float64 [C, B]; see `cluster_draws`."""
        width = max(1, chunk // max(len(self.levels), self.n_clusters, 1))
        if self.people is not None:
            return people_draws(self.people, self.n_clusters, resamples, seed, width, skip)
        return cluster_draws(self.n_clusters, resamples, seed, width, skip)

    def together(self) -> Sample:
        """Return the sample with all fakes under one name: metrics of all methods together then need only one curve."""
        if len(self.methods) < 2:
            return self
        levels = np.arange(len(self.levels))
        fake = (self._joining @ self.fake).tocsr()
        return replace(self, fake=fake, places=levels, starts=np.array([0, len(levels)]), methods=("",))


def plain(units: Units) -> Sample:
    """Return the units in one cluster and without joining scores: for the plain values, with weights [[1.0]]."""
    return _sample(units, np.zeros(len(units.score), dtype=np.int64), 1, (), 0)


def resampled(units: Units, cuts: tuple[float, ...], seed: int, most: int = 0) -> Sample:
    """Return the units for resampling; more than MAX_CLUSTERS clusters or `most` (0: MAX_LEVELS) scores are joined."""
    cluster, n = units.cluster, units.n_clusters
    if n > MAX_CLUSTERS and units.people is None:
        place = np.random.default_rng(seed).permutation(n) % MAX_CLUSTERS
        cluster, n = place[cluster], MAX_CLUSTERS
    return replace(_sample(units, cluster, n, cuts, most or MAX_LEVELS), people=units.people)


def _sample(units: Units, cluster: Codes, n: int, cuts: tuple[float, ...], most: int) -> Sample:
    from scipy.sparse import coo_array

    levels, level = make_levels(units.score, cuts, most)
    reals, fakes = np.flatnonzero(units.label == REAL), [units.of(method) for method in units.methods]
    real = coo_array((np.ones(len(reals)), (level[reals], cluster[reals])), shape=(len(levels), n)).tocsr()
    number = np.repeat(np.arange(len(fakes)), [len(own) for own in fakes])
    own = np.concatenate([*fakes, np.zeros(0, dtype=np.int64)])
    rows, row = np.unique(number * len(levels) + level[own], return_inverse=True)
    fake = coo_array((np.ones(len(own)), (row, cluster[own])), shape=(len(rows), n)).tocsr()
    starts = np.searchsorted(rows, np.arange(len(fakes) + 1) * len(levels))
    return Sample(levels, real, fake, rows % len(levels), starts, units.methods, n)
