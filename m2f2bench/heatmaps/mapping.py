"""Mapping of a dataset: from a protocol's frames to rows, for reports and runs alike."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..cards.protocols import HeatMapRules
from ..core.errors import DataError
from ..core.records import FAKE, Frame
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset
from ..datasets.planning import plan_frames
from .frames import MappedFrame
from .mapper import HeatMapper
from .read_maps import Decoded, read_batches

if TYPE_CHECKING:
    from ..detectors.base import Detector
    from .mapper import Heat

MAPPING = 1
"""Raised whenever this package's own maps, measures or controls give other values for a frame."""


class MapTest(abc.ABC):
    """A way to measure a detector's heat maps, frame by frame."""

    masks: ClassVar[bool]
    """Whether it takes true masks."""

    def __init__(self, mapper: HeatMapper, seed: int, at_once: int) -> None:
        """`at_once` frames are mapped together; `seed` is that of random controls."""
        self.mapper, self.seed, self.at_once = mapper, seed, at_once
        self.passes = 0
        """How many pictures the detector has judged."""

    def announce(self, n: int) -> None:  # noqa: B027
        """Log how much work `n` frames are, where that is much."""

    @abc.abstractmethod
    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """Fill in the row of a frame that was read, from its map or from the reason why there is none."""

    def rows(self, adapter: Adapter, frames: Sequence[Frame]) -> Iterator[list[MappedFrame]]:
        """Yield the frames' rows in order, one list a batch; a row whose frame cannot be read says so."""
        for batch in read_batches(adapter, [MappedFrame(frame) for frame in frames], self.at_once, self.masks):
            ready = [item for item in batch if item.image is not None]
            images = [item.image for item in ready if item.image is not None]
            maps = self.mapper.maps(images, [item.row.frame.id for item in ready])
            for item, heat in zip(ready, maps, strict=True):
                self.measure(item, heat)
            yield [item.row for item in batch]


def make_test(judge: Detector, mapper: HeatMapper, rules: HeatMapRules, batch_size: int) -> MapTest:
    """Return what measures a detector's maps under a protocol."""
    seed = rules.bootstrap.seed
    if rules.measure == "masks":
        from .masks import MaskTest

        return MaskTest(mapper, seed, batch_size)
    from .pixels import PixelTest, settings_of

    return PixelTest(judge, mapper, settings_of(rules), seed, batch_size)


def plan_maps(dataset: Dataset, rules: HeatMapRules, split: str, limit: int | None) -> list[Frame]:
    """Return the frames to be mapped. Raises DataError for a split that is not there or empty, and, where masks are
    needed, for a dataset without them or a split without fakes."""
    dataset.check_split(split)
    masks = rules.measure == "masks"
    if masks and type(dataset.adapter).mask is Adapter.mask:
        raise DataError(
            f"dataset '{dataset.name}' has no true masks to hold heat maps against: take one whose adapter gives them, "
            f"such as synthetic, or test without masks (--faithfulness)"
        )
    frames = plan_frames(dataset.adapter, split, rules.frames, limit)
    if masks and not any(frame.label == FAKE for frame in frames):
        raise DataError(f"split '{split}' of '{dataset.name}' has no fake frame among {len(frames)}: nothing to find")
    return frames
