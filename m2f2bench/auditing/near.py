"""Pairs of similar hashes between two lists, found by an index of parts of the hashes and not by comparing all.

Source of the idea: Norouzi, Punjani and Fleet, Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014. The
64 bits are cut into four parts of 16. If two hashes differ in at most 8 bits, they differ in at most 2 bits of the
first part or in at most 1 of another: only hashes with such a part are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from .duplicates import BLOCK, Codes

Hashes = npt.NDArray[np.uint64]
PARTS, WIDTH = 4, 16
INDEXED = 11
"""Bits up to which the index is used: with more, a part has so many neighbours that comparing all is as fast."""
FEW = 1 << 22
"""Comparisons up to which the index is not worth building."""


def near_between(first: Hashes, second: Hashes, most: int) -> Iterator[tuple[Codes, Codes, Codes]]:
    """Yield all pairs of rows of `first` [N] and `second` [M] whose hashes differ in at most `most` bits, in blocks.

    Each pair comes once, with the number of bits. Of two lists of 100,000 hashes of faces (made from those of DD-VQA
    c40) one pair in 54 is compared.
    """
    if not len(first) or not len(second):
        return
    if most > INDEXED or len(first) * len(second) <= FEW:
        yield from _all(first, second, most)
        return
    radii = [(most + 1) // PARTS + (part < (most + 1) % PARTS) - 1 for part in range(PARTS)]
    one, other = _parts(first), _parts(second)
    for part, radius in enumerate(radii):
        order = np.argsort(other[part], kind="stable")
        starts = np.searchsorted(other[part][order], np.arange((1 << WIDTH) + 1))
        for flips in _neighbours(radius):
            key = one[part] ^ flips
            low, counts = starts[key], starts[key + 1] - starts[key]
            for rows, found in _candidates(low, counts):
                mate = order[found]
                bits = np.bitwise_count(first[rows] ^ second[mate])
                kept = np.flatnonzero(bits <= most)
                rows, mate, bits = rows[kept], mate[kept], bits[kept]
                new = _not_before(one, other, rows, mate, radii[:part])
                yield rows[new], mate[new], bits[new].astype(np.int64)


def _all(first: Hashes, second: Hashes, most: int) -> Iterator[tuple[Codes, Codes, Codes]]:
    """Yield the pairs by comparing all hashes."""
    step = max(1, BLOCK // len(second))
    for start in range(0, len(first), step):
        bits = np.bitwise_count(first[start : start + step, None] ^ second[None])
        one, other = np.nonzero(bits <= most)
        yield one + start, other, bits[one, other].astype(np.int64)


def _parts(hashes: Hashes) -> list[Codes]:
    """Return four numbers of 16 bits for each hash, [N] each: every fourth bit, so that all parts vary alike."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    weights = (1 << np.arange(WIDTH)).astype(np.int64)
    return [bits[:, part::PARTS].astype(np.int64) @ weights for part in range(PARTS)]


@cache
def _neighbours(radius: int) -> tuple[int, ...]:
    """Return all numbers of 16 bits with at most `radius` ones; none for a negative radius."""
    chosen = (places for n in range(radius + 1) for places in combinations(range(WIDTH), n))
    return tuple(sum(1 << place for place in places) for places in chosen)


def _candidates(low: Codes, counts: Codes) -> Iterator[tuple[Codes, Codes]]:
    """Yield each row with each of its `counts` places from `low` on, in blocks; a row may be in two blocks."""
    rows = np.flatnonzero(counts)
    ends = np.cumsum(counts[rows])
    total = int(ends[-1]) if len(rows) else 0
    for start in range(0, total, BLOCK):
        number = np.arange(start, min(start + BLOCK, total))
        place = np.searchsorted(ends, number, side="right")
        row = rows[place]
        yield row, low[row] + number - (ends[place] - counts[row])


def _not_before(
    one: list[Codes], other: list[Codes], rows: Codes, mates: Codes, radii: list[int]
) -> npt.NDArray[np.bool_]:
    """Return whether each pair is found by none of the earlier parts."""
    new = np.ones(len(rows), dtype=np.bool_)
    for part, radius in enumerate(radii):
        new &= np.bitwise_count(one[part][rows] ^ other[part][mates]) > radius
    return new
