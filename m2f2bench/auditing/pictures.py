"""Pictures that two datasets share: equal pixels, and near duplicates, by split and label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ..core.connected import factorize
from ..core.records import FAKE, REAL, Frame
from .duplicates import ALIKE, Codes, Pair, correlation, name_of, standardised
from .facts import Facts
from .near import near_between

Place = tuple[str, str, bool]
"""A split of the first dataset, one of the second, and whether the two labels differ."""


@dataclass
class Match:
    """Similar pictures of two splits: the number of `pairs`, the rows of each dataset, and the nearest pair."""

    pairs: int
    first: npt.NDArray[np.bool_]
    second: npt.NDArray[np.bool_]
    nearest: Pair

    def add(self, first: Codes, second: Codes, distance: Codes) -> None:
        """Add pairs of rows, each once."""
        self.pairs += len(first)
        self.first[first] = True
        self.second[second] = True
        least = np.lexsort((second, first, distance))[0]
        found = Pair(int(distance[least]), int(first[least]), int(second[least]))
        self.nearest = min(self.nearest, found)


@dataclass(frozen=True)
class Pictures:
    """The readable frames of two datasets, and what they share by `Place`; an equal pair is never also a near one."""

    first: Sequence[Frame]
    second: Sequence[Frame]
    equal: dict[Place, Match]
    near: dict[Place, Match]

    def example(self, match: Match, near: bool) -> str:
        """Return `train:a = test:b`, or for near duplicates `train:a ~ test:b (4)` with the differing bits."""
        pair = match.nearest
        one, other = name_of(self.first[pair.first]), name_of(self.second[pair.second])
        return f"{one} ~ {other} ({pair.distance})" if near else f"{one} = {other}"


def compare(first: Sequence[Facts], second: Sequence[Facts], near: int) -> Pictures:
    """Return the pictures that two datasets share; `near` is the greatest distance of two hashes in bits.

    Memory does not grow with the number of pairs, and time hardly with the product of the two numbers of frames.
    """
    both = [[one for one in facts if one.pixels is not None] for facts in (first, second)]
    frames = [[one.frame for one in facts] for facts in both]
    looks = [[one.pixels for one in facts if one.pixels is not None] for facts in both]
    codes, _ = factorize(look.pixels for looked in looks for look in looked)
    pixels = codes[: len(looks[0])], codes[len(looks[0]) :]
    hashes = [np.array([look.phash for look in looked], dtype=np.uint64) for looked in looks]
    thumbs = [standardised([look.thumb for look in looked]) for looked in looks]
    tables = _Table(frames[0]), _Table(frames[1])
    alike: dict[Place, Match] = {}
    for one, other, bits in near_between(hashes[0], hashes[1], near):
        kept = pixels[0][one] != pixels[1][other]
        one, other, bits = one[kept], other[kept], bits[kept]
        looks_alike = correlation(thumbs[0], one, thumbs[1], other) >= ALIKE
        _count(alike, tables, one[looks_alike], other[looks_alike], bits[looks_alike])
    return Pictures(frames[0], frames[1], _equal(tables, pixels), alike)


class _Table:
    """Splits and labels of frames as codes, int64 [N]; `splits` are the names by code."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.split, self.splits = factorize(frame.split for frame in frames)
        self.label = np.array([frame.label for frame in frames], dtype=np.int64)


def _count(found: dict[Place, Match], tables: tuple[_Table, _Table], one: Codes, other: Codes, bits: Codes) -> None:
    first, second = tables
    mixed = first.label[one] != second.label[other]
    place = (first.split[one] * len(second.splits) + second.split[other]) * 2 + mixed
    for number in np.unique(place).tolist():
        rows = np.flatnonzero(place == number)
        split, own = divmod(number // 2, len(second.splits))
        key = (first.splits[split], second.splits[own], bool(number % 2))
        _match(found, key, tables).add(one[rows], other[rows], bits[rows])


def _match(found: dict[Place, Match], key: Place, tables: tuple[_Table, _Table]) -> Match:
    rows = [np.zeros(len(table.label), dtype=np.bool_) for table in tables]
    return found.setdefault(key, Match(0, rows[0], rows[1], Pair(65, 0, 0)))


def _equal(tables: tuple[_Table, _Table], pixels: tuple[Codes, Codes]) -> dict[Place, Match]:
    """Return pairs of equal pixels, counted without listing them: a black frame may be there a thousand times."""
    found: dict[Place, Match] = {}
    size = 1 + max((int(codes.max(initial=-1)) for codes in pixels), default=-1)
    for key, one, other in _groups(tables):
        counts = [np.bincount(codes[rows], minlength=size) for codes, rows in zip(pixels, (one, other), strict=True)]
        pairs = int(counts[0] @ counts[1])
        if not pairs:
            continue
        common = (counts[0] > 0) & (counts[1] > 0)
        one, other = one[common[pixels[0][one]]], other[common[pixels[1][other]]]
        match = _match(found, key, tables)
        match.pairs += pairs
        match.first[one], match.second[other] = True, True
        mate = other[pixels[1][other] == pixels[0][one[0]]][0]
        match.nearest = min(match.nearest, Pair(0, int(one[0]), int(mate)))
    return found


def _groups(tables: tuple[_Table, _Table]) -> Iterator[tuple[Place, Codes, Codes]]:
    """Yield the rows of both datasets for each pair of splits and each pair of labels."""
    one, other = tables
    for (i, split), (j, own) in product(enumerate(one.splits), enumerate(other.splits)):
        for label, theirs in product((REAL, FAKE), repeat=2):
            rows = np.flatnonzero((one.split == i) & (one.label == label))
            yield (split, own, label != theirs), rows, np.flatnonzero((other.split == j) & (other.label == theirs))
