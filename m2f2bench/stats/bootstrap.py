"""Resampling of clusters, and intervals from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..cards.models import ExplanationCard, ProtocolCard

if TYPE_CHECKING:
    from ..core.records import Floats

T = TypeVar("T")
CHUNK = 1 << 18
"""Elements of one [T, B] array; what bounds the memory of resampling."""
FEWEST_DEFINED = 0.5
"""An interval is given where the metric is defined in at least this share of the resamples."""


AT_END = 1e-7
"""So near to the end of its range a value stands at it: BLEU's small constants keep a perfect one off by 1e-9."""


THREADS = 2


@dataclass(frozen=True)
class Resampling:
    """How it is found how sure a value is: number of resamples (0: no intervals), seed, level of the interval."""

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95


def over_draws(draws: Iterable[Floats], values: Callable[[Floats], T]) -> list[T]:
    """`values` of the weights [C, B] of each piece of the resamples, in order; THREADS pieces at a time."""
    found: list[T] = []
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="resample") as pool:
        for weights in draws:
            waiting.append(pool.submit(values, weights))
            if len(waiting) > THREADS:  # not all weights at once in memory
                found.append(waiting.popleft().result())
        return found + [piece.result() for piece in waiting]


def percentile_interval(
    value: float, drawn: Floats | None, groups: int, resampling: Resampling, ends: tuple[float, float] | None = None
) -> tuple[tuple[float, float] | None, str | None]:
    """The percentile interval of resampled values [B], or why there is none. `groups` counts the clusters with a value.

    Where the value stands at one of `ends` (of its range) and so do all resamples, the interval is Clopper and
    Pearson's over the clusters; see `boundary`.
    """
    if resampling.resamples == 0:
        return None, None
    if drawn is None or groups < 2:
        return None, "no interval: all scored items are in one cluster"
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < FEWEST_DEFINED * len(drawn):
        return None, f"no interval: defined in {len(defined)} of {len(drawn)} resamples"
    tail = (1.0 - resampling.level) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    if ends and high - low < AT_END and min(value - ends[0], ends[1] - value) < AT_END:
        return boundary(value, groups, resampling.level, *ends), None
    return (min(float(low), value), max(float(high), value)), None


def boundary(
    value: float, trials: int, level: float, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """An interval for a value at an end of its range, where neither a variance nor resamples show any spread.

    `trials` disjoint pairs of a real and a fake cluster (or clusters, for a metric of one class) are independent
    trials that all came out the same: Clopper & Pearson's bound (1 - level) / 2 = p^trials, for a chance, stretched to
    [low, high]. None without a trial.
    """
    if trials == 0:
        return None
    bound, width = ((1.0 - level) / 2.0) ** (1.0 / trials), high - low
    return (low + bound * width, high) if value > (low + high) / 2.0 else (low, high - bound * width)


def cluster_draws(n_clusters: int, resamples: int, seed: int, width: int = 0, skip: int = 0) -> Iterator[Floats]:
    """Weights of C clusters, float64 [C, B] in pieces: how often each is drawn, with replacement, C in all.

    The draws depend on C and the seed alone (not on the `width` of the pieces; 0: what memory allows), so that all
    detectors on the same data get the same, and the first of many are those of few. `skip`: how many of the
    `resamples` are left out at the start.
    """
    rng = np.random.default_rng(seed)
    width = max(1, width or CHUNK // max(n_clusters, 1))
    for _ in range(skip):
        rng.integers(0, n_clusters, n_clusters)
    for start in range(skip, resamples, width):
        drawn = [
            np.bincount(rng.integers(0, n_clusters, n_clusters), minlength=n_clusters)
            for _ in range(min(width, resamples - start))
        ]
        yield np.stack(drawn, axis=1).astype(np.float64)


def resampling(protocol: ProtocolCard | ExplanationCard) -> Resampling:
    """The protocol's bootstrap, as the statistics take it."""
    return Resampling(protocol.bootstrap.resamples, protocol.bootstrap.seed, protocol.bootstrap.level)
