"""Resampling of clusters, and intervals from the resamples."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from ..cards.protocols import Bootstrap
from ..core.arrays import Floats
from ..core.rows import People

A = TypeVar("A")
T = TypeVar("T")
CHUNK = 1 << 18
"""Elements of one [T, B] array: the limit on the memory of resampling."""
AT_ONCE = 1 << 15
"""Clusters that are drawn by one call of numpy, which takes as long as a hundred draws."""
FEWEST_DEFINED = 0.5
"""Lowest share of resamples in which a metric must be defined to get an interval."""
AT_END = 1e-7
"""A value this near to an end of its range counts as at the end: BLEU's constants move a perfect value by 1e-9."""
THREADS = 2


def over_draws(draws: Iterable[A], values: Callable[[A], T]) -> list[T]:
    """Return `values` of the weights [C, B] of each piece of the resamples, in order; THREADS pieces at a time."""
    pieces = iter(draws)
    begun = list(islice(pieces, 2))
    if len(begun) < 2:  # to start threads takes longer than one small piece
        return [values(weights) for weights in begun]
    found: list[T] = []
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="resample") as pool:
        for weights in chain(begun, pieces):
            waiting.append(pool.submit(values, weights))
            if len(waiting) > THREADS:  # keep few weights in memory
                found.append(waiting.popleft().result())
        return found + [piece.result() for piece in waiting]


def percentile_interval(
    value: float,
    drawn: Floats | None,
    groups: int,
    resampling: Bootstrap,
    ends: tuple[float, float] | None = None,
    clusters: float | None = None,
) -> tuple[tuple[float, float] | None, str | None]:
    """Return the expanded percentile interval of resampled values [B], or why there is none.

    `groups` is the number of clusters with a value, `clusters` that of all (default: the same), which expands the
    interval; see `expanded_tail`. If the value and all resamples are at one of `ends` (of the range), the interval is
    Clopper and Pearson's over `groups`; see `boundary`.
    """
    if resampling.resamples == 0:
        return None, None
    if drawn is None or groups < 2:
        return None, "no interval: all scored items are in one cluster"
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < FEWEST_DEFINED * len(drawn):
        return None, f"no interval: defined in {len(defined)} of {len(drawn)} resamples"
    tail = expanded_tail(resampling.level, groups if clusters is None else clusters)
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    if ends and high - low < AT_END and min(value - ends[0], ends[1] - value) < AT_END:
        return boundary(value, groups, resampling.level, *ends), None
    return (min(float(low), value), max(float(high), value)), None


def expanded_tail(level: float, groups: float) -> float:
    """Return the share of resampled values that an interval at `level` leaves out at each end.

    With few clusters resamples vary too little: they divide by the number n of clusters, not by n - 1, and know nothing
    of the variance's own chance. So the share is Φ(-√(n / (n - 1)) t), with t the quantile of n - 1 degrees of freedom
    at (1 + level) / 2: the expanded percentile interval (Hesterberg, The American Statistician 69 (2015), section
    5.3). `groups` is n; an effective number need not be whole. Below 2 it is 0: all resamples are inside.
    """
    from scipy.special import ndtr, stdtrit

    if groups < 2.0:
        return 0.0
    return float(ndtr(-math.sqrt(groups / (groups - 1.0)) * stdtrit(groups - 1.0, 0.5 + level / 2.0)))


def expanded_p(p: float, groups: float) -> float:
    """Return the two-sided p with which the expanded interval over so many `groups` just reaches zero.

    `p` is that of the plain percentile interval; see `expanded_tail`. Below 2 groups it is 1.
    """
    from scipy.special import ndtri, stdtr

    if groups < 2.0:
        return 1.0
    return float(min(1.0, 2.0 * stdtr(groups - 1.0, math.sqrt((groups - 1.0) / groups) * ndtri(min(p, 1.0) / 2.0))))


def boundary(
    value: float, trials: int, level: float, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """Return an interval for a value at an end of its range, where variance and resamples show no spread.

    `trials` disjoint pairs of a real and a fake cluster (or clusters, for a metric of one class) are independent trials
    with the same outcome: Clopper & Pearson's bound (1 - level) / 2 = p^trials of a probability, scaled to [low, high].
    None if `trials` is 0.
    """
    if trials == 0:
        return None
    bound, width = ((1.0 - level) / 2.0) ** (1.0 / trials), high - low
    return (low + bound * width, high) if value > (low + high) / 2.0 else (low, high - bound * width)


def cluster_draws(n_clusters: int, resamples: int, seed: int, width: int = 0, skip: int = 0) -> Iterator[Floats]:
    """Yield weights of C clusters in pieces, float64 [C, B]: how often each is drawn in C draws with replacement.

    The draws depend only on C and the seed (not on the `width` of the pieces; 0: as memory allows), so all detectors on
    the same data get the same draws, and a longer sequence starts with the shorter one. `skip` is the number of
    `resamples` to leave out at the start.
    """
    rng = np.random.default_rng(seed)
    width = max(1, width or CHUNK // max(n_clusters, 1))
    step = max(1, AT_ONCE // max(n_clusters, 1))
    for first in range(0, skip, step):
        rng.integers(0, n_clusters, (min(step, skip - first), n_clusters))
    for start in range(skip, resamples, width):
        weights = np.empty((n_clusters, min(width, resamples - start)))
        for first in range(0, weights.shape[1], step):
            part = weights[:, first : first + step]
            drawn = rng.integers(0, n_clusters, part.shape[::-1])  # the same numbers as draw by draw
            drawn += n_clusters * np.arange(len(drawn))[:, None]
            part[:] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).T
        yield weights


def people_draws(
    people: People, n_clusters: int, resamples: int, seed: int, width: int = 0, skip: int = 0
) -> Iterator[Floats]:
    """Yield weights of C clusters that share people: the product of how often each of a cluster's people is drawn.

    As `cluster_draws`, which draws the people (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007).
    """
    order = np.argsort(people.cluster, kind="stable")
    first = np.searchsorted(people.cluster[order], np.arange(n_clusters))
    for weights in cluster_draws(people.n, resamples, seed, width, skip):
        yield np.multiply.reduceat(weights[people.person[order]], first, axis=0)
