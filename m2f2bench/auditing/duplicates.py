"""Duplicate pictures: equal pixels, and near duplicates that were scaled, compressed or brightened again.

The meaning of a pair depends on its people. Frames of one video are similar by nature, and a fake and its real video by
design. The same picture in two splits, with two labels, or with different people is an error.
Memory does not grow with the number of pairs: they come in blocks, are counted, and a few of each kind are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..core.connected import factorize
from ..core.records import Frame
from .facts import THUMB, Facts
from .report import Finding, Section, Severity, first_few, plural

Codes = npt.NDArray[np.int64]
Thumbs = npt.NDArray[np.float32]
SAME_VIDEO, SHARED, APART, UNKNOWN = range(4)
PEOPLE = ("same video", "someone in common", "no one in common", "people not known")
"""Relations of two frames' people. Not known: one of the two has no identities."""
KEPT = 20
"""Examples kept of each kind, those with the least distance first."""
BLOCK = 1 << 21
"""Comparisons at a time: about 40 MB."""
NEAR = 8
"""Bits of 64 in which two hashes of one picture may differ. Of aligned 224×224 face crops (FaceForensics++ c40), copies
at JPEG quality 30 to 90, at 256 and at 112 pixels differ in at most 6 bits, copies brightened by a sixth in at most 8.
Of 1.04 million pairs of crops of different people 13 are that similar, and `ALIKE` excludes all of them.
"""
ALIKE = 0.95
"""Least correlation of the 16×16 thumbnails of near duplicates: a second test, against hashes that agree by chance. On
the same crops such copies have .998 or more, copies brightened by a sixth .967 or more, and pairs of different people
that are at most 8 bits apart .85 or less.
"""
CHUNK = 1 << 14


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


class Pair(NamedTuple):
    """Two frames by row, the first before the second, and how far apart they are (bits; 0 for equal pixels)."""

    distance: int
    first: int
    second: int


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
            found = [Pair(int(distance[i]), int(first[i]), int(second[i])) for i in least]
            self.examples[kind] = sorted(self.examples.get(kind, []) + found)[:KEPT]
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


@dataclass(frozen=True)
class Duplicates:
    """Counted pairs with equal pixels and near duplicates; `same_bytes` counts the former with equal files.

    `repeats` counts frames with the pixels of an earlier frame of the same video in the same split, `unknown_files` the
    pairs with equal pixels of which one frame, or both, is of no image or video file.
    """

    exact: Counter
    near: Counter
    same_bytes: int
    repeats: int
    unknown_files: int = 0


def find(facts: Sequence[Facts], near: int) -> tuple[Duplicates, list[Frame]]:
    """Return the duplicates among the readable frames, and these frames in the order of row numbers.

    `near` is the greatest Hamming distance in bits (0 to 64). A near duplicate is never also an exact one. Time grows
    with the square of the number of frames (20,000: a few seconds); memory does not.
    """
    kept = [(f.frame, f.pixels, f.file) for f in facts if f.pixels is not None]
    frames = [frame for frame, _, _ in kept]
    table = Table.of(frames)
    pixels, _ = factorize(look.pixels for _, look, _ in kept)
    known = np.array([file is not None for _, _, file in kept], dtype=np.bool_)
    files, _ = factorize(None if file is None else file.digest for _, _, file in kept)
    exact, same_bytes, unknown = Counter(table, (SHARED, APART, UNKNOWN)), 0, 0
    for first, second in equal_pairs(pixels):
        counted = _counted(table, first, second)
        first, second = first[counted], second[counted]
        exact.add(first, second, np.zeros(len(first), dtype=np.int64))
        same_bytes += int(((files[first] == files[second]) & known[first] & known[second]).sum())
        unknown += int((~(known[first] & known[second])).sum())
    seen = pd.DataFrame({"split": table.split, "video": table.video, "pixels": pixels})
    hashes = np.array([look.phash for _, look, _ in kept], dtype=np.uint64)
    thumbs = standardised([look.thumb for _, look, _ in kept])
    alike = Counter(table, (APART, UNKNOWN))
    for first, second, distance in near_pairs(hashes, near):
        counted = _counted(table, first, second) & (pixels[first] != pixels[second])
        first, second, distance = first[counted], second[counted], distance[counted]
        looks = correlation(thumbs, first, thumbs, second) >= ALIKE
        alike.add(first[looks], second[looks], distance[looks])
    return Duplicates(exact, alike, same_bytes, int(seen.duplicated().sum()), unknown), frames


def _counted(table: Table, first: Codes, second: Codes) -> npt.NDArray[np.bool_]:
    """Return whether each pair counts: all pairs except those of one video in one split."""
    same = (table.video[first] == table.video[second]) & (table.split[first] == table.split[second])
    return np.asarray(~same)


def standardised(thumbs: Sequence[bytes]) -> Thumbs:
    """Return thumbnails as [N, 256] with mean 0 and length 1; a flat thumbnail is all 0."""
    rows = np.frombuffer(b"".join(thumbs), dtype=np.uint8).reshape(len(thumbs), THUMB * THUMB).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True) if len(rows) else 0
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def correlation(thumbs: Thumbs, first: Codes, others: Thumbs, second: Codes) -> npt.NDArray[np.float32]:
    """Return the correlation of each pair of rows of standardised thumbnails, computed in chunks."""
    out = np.empty(len(first), dtype=np.float32)
    for start in range(0, len(first), CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = np.einsum("ij,ij->i", thumbs[first[part]], others[second[part]])
    return out


def findings(found: Duplicates, frames: Sequence[Frame]) -> list[Finding]:
    """Return findings on duplicates, each with the number of pairs and the nearest pair."""
    out = []

    def add(severity: Severity, counter: Counter, what: str, wanted: Callable[[Kind], bool]) -> None:
        n = sum(count for kind, count in counter.counts.items() if wanted(kind))
        if n:
            nearest = min(pair for kind, kept in counter.examples.items() if wanted(kind) for pair in kept)
            shown = _pair_text(nearest, frames, counter is found.near)
            out.append(Finding(severity, "duplicates", f"{what.format(plural(n, 'pair'))}, first {shown}"))

    exact, near = found.exact, found.near
    add("leak", exact, "{} of frames with equal pixels across splits", lambda kind: kind.across)
    add("leak", near, "{} of near duplicates across splits", lambda kind: kind.across)
    add("warning", exact, "{} of equal pixels labelled both real and fake", lambda k: not k.across and k.mixed)
    add("warning", exact, "{} of equal pixels in different videos", lambda k: not k.across and not k.mixed)
    apart = "{} of near duplicates with no identity in common"
    add("warning", near, apart, lambda k: not k.across and k.people == APART)
    unknown = "{} of near duplicates of unknown people (give videos and identities, so that they stay together)"
    add("note", near, unknown, lambda k: not k.across and k.people == UNKNOWN)
    if found.repeats:
        text = f"{plural(found.repeats, 'frame')} with the same pixels as an earlier frame of the same video"
        out.append(Finding("note", "duplicates", text))
    return out


def to_json(found: Duplicates, frames: Sequence[Frame]) -> dict[str, Any]:
    """Return both kinds of duplicates by kind of pair, with examples and groups by frame id."""

    def counter(one: Counter) -> dict[str, Any]:
        groups = one.groups()
        return {
            "pairs": sum(one.counts.values()),
            "groups": len(groups),
            "frames_in_groups": sum(map(len, groups)),
            "kinds": [
                {
                    "across_splits": kind.across,
                    "labels_differ": kind.mixed,
                    "people": PEOPLE[kind.people],
                    "pairs": n,
                    "examples": [_example(pair, frames) for pair in one.examples[kind]],
                }
                for kind, n in _ordered(one)
            ],
            "first_groups": [[name_of(frames[row]) for row in group] for group in groups[:100]],
        }

    exact = counter(found.exact) | {"pairs_of_equal_files": found.same_bytes, "repeats_in_a_video": found.repeats}
    exact |= {"pairs_of_unknown_files": found.unknown_files}
    return {"exact": exact, "near": counter(found.near)}


def section(found: Duplicates, frames: Sequence[Frame], near: int) -> Section:
    """Return both kinds of duplicates as one table."""
    rows = []
    for name, counter in (("equal pixels", found.exact), (f"near (up to {near} of 64 bits)", found.near)):
        for kind, n in _ordered(counter):
            place = "across splits" if kind.across else "within a split"
            labels = "real and fake" if kind.mixed else "same label"
            example = "; ".join(_pair_text(pair, frames, counter is found.near) for pair in counter.examples[kind][:2])
            rows.append((name, place, labels, PEOPLE[kind.people], f"{n:,}", example))
    lines = []
    if found.exact.counts:
        line = f"Of the pairs with equal pixels {found.same_bytes:,} have equal files, byte by byte"
        if found.unknown_files:
            line += f"; of {found.unknown_files:,} that is unknown: their frames are not image or video files"
        lines.append(f"{line}.")
    for what, counter in (("equal pixels", found.exact), ("near duplicates", found.near)):
        groups = counter.groups()
        if groups:
            shown = first_few([" = ".join(name_of(frames[r]) for r in group[:4]) for group in groups])
            frames_in = plural(sum(map(len, groups)), "frame")
            lines.append(f"{plural(len(groups), 'group')} of {what} ({frames_in}): {shown}.")
    lines.append("Frames of one video in one split are similar by nature and are not counted.")
    header = ("what", "where", "labels", "people", "pairs", "first examples (bits apart)")
    return Section("Duplicates", tuple(lines), header, tuple(rows))


def _ordered(counter: Counter) -> list[tuple[Kind, int]]:
    """Return kinds with their counts, the worst first."""
    return sorted(counter.counts.items(), key=lambda item: (not item[0].across, -item[0].people, not item[0].mixed))


def name_of(frame: Frame) -> str:
    """Return the frame's id with its split in front, unless the id itself begins with it."""
    return frame.id if frame.id.startswith(f"{frame.split}/") else f"{frame.split}:{frame.id}"


def _pair_text(pair: Pair, frames: Sequence[Frame], near: bool) -> str:
    """Return `train:a = test:b`, or for near duplicates `train:a ~ test:b (4)` with the differing bits."""
    first, second = name_of(frames[pair.first]), name_of(frames[pair.second])
    return f"{first} ~ {second} ({pair.distance})" if near else f"{first} = {second}"


def _example(pair: Pair, frames: Sequence[Frame]) -> dict[str, Any]:
    first, second = frames[pair.first], frames[pair.second]
    return {
        "frames": [first.id, second.id],
        "splits": [first.split, second.split],
        "methods": [first.method, second.method],
        "distance": pair.distance,
    }
