"""Counts of units by score, cluster and group, with which many resamples are a few matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arrays import Codes, Floats
from ...core.records import FAKE, REAL
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

    `parts` holds sparse [T, C] matrices: first the reals, then one for each of `methods`. `n_clusters` is C. `people`
    are those of clusters that share people.
    """

    levels: Levels
    parts: tuple[Any, ...]
    methods: tuple[str, ...]
    n_clusters: int
    people: People | None = None

    def counts(self, weights: Floats) -> tuple[Floats, list[Floats]]:
        """Return counts of reals and of each method's fakes, [T, B] each, with the clusters' weights [C, B]."""
        real, *fakes = [np.asarray(part @ weights) for part in self.parts]
        return real, fakes

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
        return replace(self, parts=(self.parts[0], sum(self.parts[2:], self.parts[1])), methods=("",))


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
    groups = [units.label == REAL]
    groups += [(units.label == FAKE) & (units.method == method) for method in units.methods]
    parts = []
    for kept in groups:
        entries = (np.ones(int(kept.sum())), (level[kept], cluster[kept]))
        parts.append(coo_array(entries, shape=(len(levels), n)).tocsr())
    return Sample(levels, tuple(parts), units.methods, n)
