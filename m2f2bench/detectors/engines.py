"""Engines: where a detector judges, in this process or by workers on a Ray cluster."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

from ..core.workers import Pool
from .base import Detector

T = TypeVar("T")
R = TypeVar("R")
DetectorWork = Callable[[Detector, Sequence[T], int], Iterator[list[R]]]
"""Work on consecutive items with a detector, and the number of items before them: one result for each item, in order,
in lists that end where a group of items ends."""


class Engine(abc.ABC):
    """Where work with a detector is done."""

    @abc.abstractmethod
    def each(self, work: DetectorWork[T, R], groups: Sequence[Sequence[T]]) -> Iterator[list[R]]:
        """Yield what the work finds, as it comes; what it finds of a group must depend on nothing outside it."""


class Here(Engine):
    """This process."""

    def __init__(self, detector: Detector) -> None:
        """Take the detector that judges."""
        self.detector = detector

    def each(self, work: DetectorWork[T, R], groups: Sequence[Sequence[T]]) -> Iterator[list[R]]:
        """See `Engine.each`."""
        whole = groups.items if isinstance(groups, Groups) else [item for group in groups for item in group]
        return work(self.detector, whole, 0)


class OnCluster(Engine):
    """Workers, each of which has the detector."""

    def __init__(self, pool: Pool[Any]) -> None:
        """Take the workers."""
        self.pool = pool

    def each(self, work: DetectorWork[T, R], groups: Sequence[Sequence[T]]) -> Iterator[list[R]]:
        """See `Engine.each`."""
        return self.pool.each(work, groups)


class Groups(Sequence[Sequence[T]]):
    """Items in groups of `size`, the last of which may be smaller; a group is made when it is asked for."""

    def __init__(self, items: Sequence[T], size: int) -> None:
        """Take all items and the size of a group."""
        self.items, self._size = items, size

    def __len__(self) -> int:
        """Return the number of groups."""
        return -(-len(self.items) // self._size)

    @overload
    def __getitem__(self, index: int) -> Sequence[T]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sequence[T]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[T] | list[Sequence[T]]:
        """Return one group, or those of a slice."""
        found = range(len(self))[index]
        if isinstance(found, range):
            return [self[number] for number in found]
        return self.items[found * self._size : (found + 1) * self._size]
