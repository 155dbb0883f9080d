"""Lists of frames that hold columns and make a frame when it is asked for, and columns of any frames.

A million `Frame` objects take a gigabyte; the texts that are different in each take a tenth of it.
"""

from __future__ import annotations

import abc
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from .records import Frame

if TYPE_CHECKING:
    from typing_extensions import Self

COLUMNS = ("id", "video", "label", "method", "split", "identities", "picture")
"""The fields of a frame that are columns."""


class FrameList(Sequence[Frame]):
    """Base of lists whose frames are made each time they are asked for. Equal to a list of the same frames."""

    @abc.abstractmethod
    def frame(self, position: int) -> Frame:
        """Return the frame at a position, from 0."""

    @abc.abstractmethod
    def take(self, positions: Sequence[int]) -> Self:
        """Return the frames at some positions, in the order given. Positions are from 0 and may not repeat."""

    @abc.abstractmethod
    def column(self, name: str) -> list[Any]:
        """Return one of `COLUMNS`, a value for each frame, without making frames."""

    @abc.abstractmethod
    def labels(self) -> Iterator[tuple[str, int]]:
        """Yield videos with their labels, each video once or several times."""

    @abc.abstractmethod
    def examples(self) -> Iterator[Frame]:
        """Yield at least one frame of each video."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, each made anew."""
        for position in range(len(self)):
            yield self.frame(position)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Frame | Self:
        """Return one frame, or the frames of a slice."""
        whole = range(len(self))
        return self.take(whole[index]) if isinstance(index, slice) else self.frame(whole[index])

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a sequence of equal frames."""
        if not isinstance(other, (FrameList, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Sequence[Frame]) -> list[Frame]:
        """Return a list of these frames and others."""
        return [*self, *other]

    def __radd__(self, other: Sequence[Frame]) -> list[Frame]:
        """Return a list of other frames and these."""
        return [*other, *self]

    def by_method(self) -> list[int]:
        """Return the positions of all frames, ordered by label and method and within these as listed."""
        keys = list(zip(self.column("label"), self.column("method"), strict=True))
        return sorted(range(len(keys)), key=keys.__getitem__)

    def repeated(self) -> str:
        """Return the id of a frame that stands for two frames; empty if all ids are different."""
        return twice(self.column("id"))


def twice(names: Iterable[str]) -> str:
    """Return the first name that was there before; empty if all are different."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def column(frames: Sequence[Frame], name: str) -> list[Any]:
    """Return one of `COLUMNS` of frames, a value for each."""
    return frames.column(name) if isinstance(frames, FrameList) else [getattr(frame, name) for frame in frames]


def only(frames: Sequence[Frame], ids: Container[str]) -> Sequence[Frame]:
    """Return the frames with some ids, in their order."""
    if not isinstance(frames, FrameList):
        return [frame for frame in frames if frame.id in ids]
    positions = [position for position, name in enumerate(frames.column("id")) if name in ids]
    return frames if len(positions) == len(frames) else frames.take(positions)
