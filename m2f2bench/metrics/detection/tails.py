"""Tails of the bootstrap: additional resamples for p-values that the protocol's number of resamples cannot resolve.

A p-value from R resamples is at least 2 / (R + 1), and more with few clusters. Holm's correction multiplies it by the
number of tests, so with many tests no difference, however large, could be significant. Here a difference that reaches
zero in very few resamples gets more of them, from the same sequence, until the smallest possible p is a twentieth of
what the correction needs, or the work reaches its limit. If the difference still reaches zero in no resample, p stays
an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.arrays import Codes, Floats
from ...stats.bootstrap import expanded_tail, over_draws
from ..names import OVERALL
from ..registry import metric_of
from . import values as detection
from .intervals import NO_SPREAD, sample_of
from .paired import BOOTSTRAP, Difference, Judged, Paired, sides, tail_p
from .sample import Sample
from .tally import SLOW

ALPHA = 0.05
FINE = 20
"""The smallest possible corrected p should be this many times smaller than the level."""
FEW = 10
"""A p with fewer resamples beyond zero than this gets more resamples."""
MOST = 10
"""Times the resamples that many clusters need, at most, where there are few."""
GROWTH = 4
"""Each stage multiplies the number of resamples by this, then checks which differences need more."""
LEVELS = 2048
"""More distinct scores are joined to about this many; the change in the plain difference is subtracted."""
PIECE = 1 << 16
"""Elements of one [T, B] array: small enough for a core's cache, which is three times as fast."""
WORK = 8_000_000_000
"""Limit of scores × resamples × metrics for finding which p-values are significant: 90 seconds of one core."""
FINE_WORK = 1_000_000_000
"""The same limit for making p-values finer than that."""
Key = tuple[str, str]
"""Group and metric."""


@dataclass
class _Tail:
    """Difference of one pair in one metric of one group: in how many resamples it is on each side of zero."""

    pair: int
    key: Key
    below: int
    above: int
    n: int
    drawn: int
    """Number of resamples so far, including those in which the difference is undefined."""
    shift: float
    """Bias that is subtracted from the difference in each resample."""
    groups: float
    """Effective number of clusters behind it."""

    @property
    def count(self) -> int:
        """Number of resamples in which the difference reaches or crosses zero."""
        return min(self.below, self.above)


def differences(
    pairs: Sequence[Paired], keys: Sequence[Key] = (), tests: int = 0, alpha: float = ALPHA
) -> list[list[Difference]]:
    """Return each pair's differences in the groups and metrics `keys` (empty: all that the pair shares), in that order.

    `tests` is the number of p-values that are corrected together at the level `alpha` (0: one for each pair). Raises
    ScoreError unless all pairs have the same units.
    """
    for pair in pairs[1:]:
        Paired(pairs[0].first, pair.first)
    found = [[pair.difference(*key) for key in keys or pair.shared] for pair in pairs]
    tails = _tails(pairs, found)
    if tails:
        order = list(keys) or list(dict.fromkeys(key for pair in pairs for key in pair.shared))
        _draw_further(pairs, tails, min((tail.key for tail in tails), key=order.index), tests or len(pairs), alpha)
    by = {(tail.pair, tail.key): tail for tail in tails}
    return [[_updated(d, by.get((i, (d.group, d.metric)))) for d in own] for i, own in enumerate(found)]


def needed(tests: int, alpha: float, groups: float, fine: int = FINE) -> int:
    """Return the number of resamples with which the smallest p, times `tests`, is at most alpha / `fine`.

    With few `groups` no number would do: it is at most MOST times the one that many groups need.
    """
    plain = 2.0 * tests * fine / alpha
    tail = expanded_tail(1.0 - alpha / (tests * fine), groups)
    return math.ceil(min(1.0 / tail, MOST * plain) if tail > 0.0 else MOST * plain)


def _updated(d: Difference, tail: _Tail | None) -> Difference:
    if tail is None or tail.n == d.draws:
        return d
    return replace(d, p=tail_p(tail.count, tail.n, tail.groups), bound=tail.count == 0, draws=tail.n)


def _tails(pairs: Sequence[Paired], found: Sequence[Sequence[Difference]]) -> list[_Tail]:
    """Return the differences that were tested by bootstrap, without those whose resamples all agree."""
    tails = []
    for i, (pair, own) in enumerate(zip(pairs, found, strict=True)):
        for d in own:
            drawn = pair.drawn(d.group, d.metric) if d.test == BOOTSTRAP and d.ci and not pair.same else None
            if drawn is not None and d.difference is not None:
                shift = pair.shift(d.group, d.metric, drawn, d.difference)
                key = (d.group, d.metric)
                tails.append(_Tail(i, key, *sides(drawn - shift), len(drawn), shift, pair.groups(*key)))
    return tails


def _draw_further(pairs: Sequence[Paired], tails: Sequence[_Tail], first: Key, tests: int, alpha: float) -> None:
    """Draw more resamples where needed: until p can be significant, then until p is fine enough.

    The work goes first to the metric `first`, then to all metrics of all fakes together, then to each group.
    """
    reach: tuple[Callable[[_Tail], bool], ...] = (
        lambda t: t.key == first,
        lambda t: t.key[0] == OVERALL,
        lambda t: True,
    )
    judged = _Judges(pairs)
    for fine, left in ((1, WORK), (FINE, FINE_WORK)):
        for within in reach:
            own = [tail for tail in tails if within(tail)]
            for start in sorted({tail.drawn for tail in own}):
                begun = [tail for tail in own if tail.drawn == start]
                goal = max(needed(tests, alpha, tail.groups, fine) for tail in begun)
                left -= _stages(judged, begun, start, goal, left)


def _stages(judged: _Judges, tails: list[_Tail], start: int, goal: int, left: int) -> int:
    """Draw from `start` towards `goal` in growing stages, with at most `left` work; return the work done."""
    spent = 0
    while start < goal and (tails := [tail for tail in tails if tail.count < FEW]):
        cost = judged.cost(tails)
        stop = min(goal, start * GROWTH, start + (left - spent) // cost)
        if stop <= start:
            break
        spent += cost * (stop - start)
        judged.draw(tails, start, stop)
        start = stop
    return spent


class _Judges:
    """Detectors of all pairs, each prepared once for the additional resamples."""

    def __init__(self, pairs: Sequence[Paired]) -> None:
        self._pairs = pairs
        self._samples: dict[int, Sample] = {}

    def _asked(self, tails: Iterable[_Tail]) -> dict[int, tuple[Judged, dict[Key, None]]]:
        """Return the detectors of tails by identity, each with the groups and metrics that are needed from it."""
        found: dict[int, tuple[Judged, dict[Key, None]]] = {}
        for tail in tails:
            for one in (self._pairs[tail.pair].first, self._pairs[tail.pair].second):
                found.setdefault(id(one), (one, {}))[1][tail.key] = None
        return found

    def _sample(self, one: Judged) -> Sample:
        if id(one) not in self._samples:
            self._samples[id(one)] = sample_of(one.units, one.cut, one.resampling.seed, LEVELS)
        return self._samples[id(one)]

    def cost(self, tails: Iterable[_Tail]) -> int:
        """Return the cost of one more resample, in scores × metrics; a curve costs about as much as two metrics."""
        total = 0
        for one, keys in self._asked(tails).values():
            groups = 1 if all(group == OVERALL for group, _ in keys) else 2 + len(one.units.methods)
            names = {name for _, name in keys}
            slow = SLOW * sum(metric_of(name).fast is None for name in names)
            total += groups * (len(self._sample(one).levels) * (2 + len(names)) + slow)
        return total

    def draw(self, tails: Sequence[_Tail], start: int, stop: int) -> None:
        """Count the resamples on each side of zero from `start` to `stop`."""
        parts = [(one, *self._part(one, keys)) for one, keys in self._asked(tails).values()]

        def drawn(weights: Floats) -> list[Floats]:
            found = {id(one): detection.evaluate(sample, weights, names, one.cut) for one, sample, names in parts}
            pairs = [(tail.key, self._pairs[tail.pair]) for tail in tails]
            return [found[id(p.first)][g][name] - found[id(p.second)][g][name] for (g, name), p in pairs]

        # Joined scores change the plain difference slightly; this change is subtracted in every resample.
        whole = drawn(np.ones((parts[0][1].n_clusters, 1)))
        shifts = [t.shift + self._moved(t, float(one[0])) for t, one in zip(tails, whole, strict=True)]

        def counts(weights: Floats) -> Codes:
            return np.array([sides(one - shift) for one, shift in zip(drawn(weights), shifts, strict=True)])

        widest = max((sample for _, sample, _ in parts), key=lambda sample: len(sample.levels))
        pieces = over_draws(widest.draws(stop, parts[0][0].resampling.seed, PIECE, skip=start), counts)
        for tail, (below, above, n) in zip(tails, np.sum(pieces, axis=0).tolist(), strict=True):
            tail.below, tail.above, tail.n, tail.drawn = tail.below + below, tail.above + above, tail.n + n, stop

    def _part(self, one: Judged, keys: Mapping[Key, None]) -> tuple[Sample, list[str]]:
        """Return the needed part of a detector's sample (all fakes together if that is enough) and the metrics."""
        sample = self._sample(one)
        names = list(dict.fromkeys(name for _, name in keys))
        return sample.together() if all(group == OVERALL for group, _ in keys) else sample, names

    def _moved(self, tail: _Tail, joined: float) -> float:
        pair, (group, name) = self._pairs[tail.pair], tail.key
        moved = joined - (pair.first.values[group][name] - pair.second.values[group][name])
        return moved if abs(moved) > NO_SPREAD else 0.0
