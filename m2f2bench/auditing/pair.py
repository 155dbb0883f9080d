"""Two datasets of an audit, what they share by pairs of splits, and the direction in which it is a leak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.records import FAKE, REAL
from .facts import Facts
from .people import Common, Names, Person, common
from .pictures import Pictures

SEEN = ("train", "val")
"""Splits that a training sees: it learns from the first and picks its epoch by the second."""


@dataclass(frozen=True)
class Side:
    """One dataset of the audit: its name, its people and videos by split, its read frames, its absent splits."""

    name: str
    names: Names
    facts: Sequence[Facts]
    absent: dict[str, Exception]


@dataclass(frozen=True)
class Pairing:
    """Two datasets with the pictures that they share; what they share by name is computed once."""

    first: Side
    second: Side
    pictures: Pictures

    @cached_property
    def common(self) -> list[Common]:
        """People and videos in common, by pair of splits."""
        return common(self.first.names, self.second.names)

    def directions(self) -> Iterator[Direction]:
        """Yield both directions: trained on the first and tested on the second, and the reverse."""
        yield Direction(self, False)
        yield Direction(self, True)


@dataclass(frozen=True)
class Shared:
    """What is shared, counted in the tested dataset: `n` of `total`, in its splits `tested`, and in `trained`."""

    n: int
    total: int
    trained: list[str]
    tested: list[str]


@dataclass(frozen=True)
class Direction:
    """A training on one dataset and a test on the other; `back`: trained on the second of the pair."""

    pair: Pairing
    back: bool

    @property
    def sides(self) -> tuple[Side, Side]:
        """The dataset that is trained on, and the one that is tested on."""
        own = (self.pair.first, self.pair.second)
        return (own[1], own[0]) if self.back else own

    def turned(self, splits: tuple[str, ...]) -> tuple[str, str]:
        """Return a split of the first and one of the second dataset as (trained on, tested on)."""
        return (splits[1], splits[0]) if self.back else (splits[0], splits[1])

    def leaks(self, splits: tuple[str, ...]) -> bool:
        """Return whether a training sees the one split, and not the other."""
        trained, tested = self.turned(splits)
        return trained in SEEN and tested not in SEEN

    def people(self) -> tuple[Shared, set[Person]]:
        """Return the shared people, and how many of those in the tested splits they are."""
        found = [one for one in self.pair.common if one.people and self.leaks(one.splits)]
        names = {person for one in found for person in one.people}
        return self._shared(len(names), self.sides[1].names.people, found), names

    def videos(self) -> tuple[Shared, set[str]]:
        """Return the videos with the same name in one corpus, and how many of those in the tested splits they are."""
        found = [one for one in self.pair.common if one.videos and self.leaks(one.splits)]
        names = {video for one in found for video in one.videos}
        return self._shared(len(names), self.sides[1].names.videos, found), names

    def pictures(self, near: bool) -> tuple[Shared, tuple[int, int], str]:
        """Return the shared pictures, (real, fake) in the tested splits, and the nearest pair.

        Near duplicates have the same label: a fake is like the real video that it was made from.
        """
        every = self.pair.pictures.near if near else self.pair.pictures.equal
        found = {key: match for key, match in every.items() if self.leaks(key[:2]) and not (near and key[2])}
        frames = self.pair.pictures.first if self.back else self.pair.pictures.second
        rows = np.zeros(len(frames), dtype=np.bool_)
        for match in found.values():
            rows |= match.first if self.back else match.second
        labels = [frames[row].label for row in np.flatnonzero(rows).tolist()]
        best = min(found.values(), key=lambda match: match.nearest, default=None)
        trained, tested = self._splits([key[:2] for key in found])
        shown = "" if best is None else self.pair.pictures.example(best, near)
        return Shared(len(labels), len(frames), trained, tested), (labels.count(REAL), labels.count(FAKE)), shown

    def _shared(self, n: int, tested: dict[str, set[Person]] | dict[str, set[str]], found: list[Common]) -> Shared:
        trained, splits = self._splits([one.splits for one in found])
        return Shared(n, len({name for split in splits for name in tested[split]}), trained, splits)

    def _splits(self, pairs: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str]]:
        turned = [self.turned(one) for one in pairs]
        return list(dict.fromkeys(one for one, _ in turned)), list(dict.fromkeys(other for _, other in turned))
