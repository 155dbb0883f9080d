"""Pairs of frames with the same picture, counted by the relation of the two frames.

Memory does not grow with the number of pairs: they come in blocks, are counted, and a few of each kind are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..core.connected import factorize
from ..core.records import Frame

Codes = npt.NDArray[np.int64]
SAME_VIDEO, SHARED, APART, UNKNOWN = range(4)
PEOPLE = ("same video", "someone in common", "no one in common", "people not known")
"""Relations of two frames' people. Not known: one of the two has no identities."""
KEPT = 20
"""Examples kept of each kind, those with the least distance first."""
BLOCK = 1 << 21
"""Comparisons at a time: about 40 MB."""


class Kind(NamedTuple):
    """A kind of pairs: whether in two splits, whether of two labels, and one of the four relations of `PEOPLE`."""

    across: bool
    mixed: bool
    people: int


@dataclass(frozen=True)
class Table:
    """Frames as codes, all [N] int64 except `people`, [N, K] with -1 where a frame has fewer identities."""

    split: Codes
    video: Codes
    label: Codes
    people: Codes

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> Table:
        """Return the codes of frames; the same manipulation and video name is the same video in every split."""
        codes, _ = factorize(p for f in frames for p in f.identities)
        counts = np.array([len(f.identities) for f in frames], dtype=np.int64)
        people = np.full((len(frames), max(1, int(counts.max(initial=0)))), -1, dtype=np.int64)
        people[np.arange(people.shape[1]) < counts[:, None]] = codes
        split, _ = factorize(f.split for f in frames)
        video, _ = factorize(f.clip for f in frames)
        label = np.array([f.label for f in frames], dtype=np.int64)
        return cls(split, video, label, people)

    def relation(self, first: Codes, second: Codes) -> Codes:
        """Return the index in `PEOPLE` of each pair of rows."""
        one, other = self.people[first], self.people[second]
        unknown = (one[:, 0] < 0) | (other[:, 0] < 0)
        shared = np.zeros(len(first), dtype=np.bool_)
        for column in range(one.shape[1]):
            known = one[:, column] >= 0
            shared |= known & (one[:, column, None] == other).any(axis=1)
        same = self.video[first] == self.video[second]
        return np.where(same, SAME_VIDEO, np.where(unknown, UNKNOWN, np.where(shared, SHARED, APART)))


@dataclass(frozen=True)
class Pair:
    """Two frames by row, the first before the second, and how far apart they are (bits; 0 for equal pixels)."""

    first: int
    second: int
    distance: int


class Counter:
    """Counts pairs by kind, keeps examples, and joins frames into groups."""

    def __init__(self, table: Table, joining: Sequence[int]) -> None:
        """Start with no pairs. Joined are pairs in two splits, and within a split those of the `joining` relations.

        `joining` are indices in `PEOPLE`.
        """
        self.table, self.joining = table, joining
        self.counts: dict[Kind, int] = {}
        self.examples: dict[Kind, list[Pair]] = {}
        self._group = np.arange(len(table.label), dtype=np.int64)

    def add(self, first: Codes, second: Codes, distance: Codes) -> None:
        """Count a block of pairs of rows, first < second."""
        if not len(first):
            return
        rows = self.table
        across = rows.split[first] != rows.split[second]
        mixed = rows.label[first] != rows.label[second]
        people = rows.relation(first, second)
        code = across * 8 + mixed * 4 + people
        for number in np.unique(code).tolist():
            kind = Kind(bool(number & 8), bool(number & 4), number & 3)
            here = np.flatnonzero(code == number)
            self.counts[kind] = self.counts.get(kind, 0) + len(here)
            least = here[np.lexsort((second[here], first[here], distance[here]))[:KEPT]]
            found = [Pair(int(first[i]), int(second[i]), int(distance[i])) for i in least]
            merged = sorted(self.examples.get(kind, []) + found, key=lambda p: (p.distance, p.first, p.second))
            self.examples[kind] = merged[:KEPT]
        matters = across | np.isin(people, self.joining)
        self._join(first[matters], second[matters])

    def groups(self) -> list[list[int]]:
        """Return the rows of each group of two or more, the largest group first."""
        sizes = np.bincount(self._group, minlength=len(self._group))
        rows = np.flatnonzero(sizes[self._group] > 1)
        order = rows[np.argsort(self._group[rows], kind="stable")]
        cuts = np.flatnonzero(np.diff(self._group[order])) + 1
        found = [part.tolist() for part in np.split(order, cuts) if len(part)]
        return sorted(found, key=lambda group: (-len(group), group))

    def _join(self, first: Codes, second: Codes) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(first):
            return
        n = len(self._group)
        edges = (self._group[first], self._group[second])
        graph = coo_array((np.ones(len(first), dtype=np.int8), edges), shape=(n, n))
        _, joined = connected_components(graph, directed=False)
        self._group = joined[self._group].astype(np.int64)


def equal_pairs(codes: Codes) -> Iterator[tuple[Codes, Codes]]:
    """Yield all pairs of rows [N] with equal codes, in blocks; a negative code equals no other."""
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    for group in np.split(order, cuts):
        step = max(1, BLOCK // max(1, len(group)))
        for start in range(0, len(group) - 1, step):
            above = np.arange(start, min(start + step, len(group) - 1))
            one, other = np.nonzero(np.arange(len(group)) > above[:, None])
            yield group[above[one]], group[other]


def near_pairs(hashes: npt.NDArray[np.uint64], most: int) -> Iterator[tuple[Codes, Codes, Codes]]:
    """Yield all pairs of rows whose hashes [N] differ in at most `most` bits, in blocks, with the number of bits."""
    n = len(hashes)
    step = max(1, BLOCK // max(1, n))
    for start in range(0, n - 1, step):
        rows = hashes[start : start + step]
        bits = np.bitwise_count(rows[:, None] ^ hashes[None, start:])
        one, other = np.nonzero(bits <= most)
        kept = other > one
        one, other = one[kept], other[kept]
        yield one + start, other + start, bits[one, other].astype(np.int64)
