"""Mapping of frames: from batches of pictures to heat maps and rows."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..core.records import Frame
from ..datasets.base import Adapter
from .frames import MappedFrame
from .mapper import HeatMapper
from .read_maps import Decoded, read_batches

if TYPE_CHECKING:
    from .mapper import Heat


class MapTest(abc.ABC):
    """A way to measure a detector's heat maps, frame by frame."""

    masks: ClassVar[bool]
    """Whether it needs true masks."""

    def __init__(self, mapper: HeatMapper, seed: int, at_once: int) -> None:
        """`at_once` frames are mapped together; `seed` decides the random controls."""
        self.mapper, self.seed, self.at_once = mapper, seed, at_once
        self.passes = 0
        """How many pictures the detector has judged."""

    def announce(self, n: int) -> None:  # noqa: B027
        """Log how much work `n` frames are, if it is much."""

    @abc.abstractmethod
    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """Fill in the row of a frame that was read, from its map or from the reason why it has none."""

    def rows(self, adapter: Adapter, frames: Sequence[Frame]) -> Iterator[list[MappedFrame]]:
        """Yield the frames' rows in order, one list a batch; an unreadable frame has a row with that outcome."""
        for batch in read_batches(adapter, [MappedFrame(frame) for frame in frames], self.at_once, self.masks):
            ready = [item for item in batch if item.image is not None]
            images = [item.image for item in ready if item.image is not None]
            maps = self.mapper.maps(images, [item.row.frame.id for item in ready])
            for item, heat in zip(ready, maps, strict=True):
                self.measure(item, heat)
            yield [item.row for item in batch]
