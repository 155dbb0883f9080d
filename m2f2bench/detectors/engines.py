"""Engines: where a detector judges, in this process or by workers on a Ray cluster."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

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
        return work(self.detector, [item for group in groups for item in group], 0)


class OnCluster(Engine):
    """Workers, each of which has the detector."""

    def __init__(self, pool: Pool[Any]) -> None:
        """Take the workers."""
        self.pool = pool

    def each(self, work: DetectorWork[T, R], groups: Sequence[Sequence[T]]) -> Iterator[list[R]]:
        """See `Engine.each`."""
        return self.pool.each(work, groups)


def in_groups(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return the items in groups of `size`, the last of which may be smaller."""
    return [items[first : first + size] for first in range(0, len(items), size)]
