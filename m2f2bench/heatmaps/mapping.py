"""Mapping of frames: read ahead with their masks, from batches of pictures to heat maps and rows."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..core.errors import FrameError
from ..core.records import FAKE, REAL, Frame
from ..core.seeds import generator
from ..datasets.base import Adapter
from ..datasets.read_ahead import ReadAhead, held_bytes, load_frame, read_mask
from ..metrics.heatmaps.localization import (
    centred_map,
    constant_map,
    measured,
    measured_curve,
    random_map,
    truth_on_grid,
)
from .frames import MappedFrame
from .mapper import HeatMapper

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image
    from .mapper import Heat


@dataclass
class Decoded:
    """A frame's row, its pixels (RGB uint8 [H, W, 3]) and its mask (bool [H, W]); without both if unreadable."""

    row: MappedFrame
    image: Image | None = None
    mask: npt.NDArray[np.bool_] | None = None


def read_batches(adapter: Adapter, rows: Sequence[MappedFrame], size: int, masks: bool) -> Iterator[list[Decoded]]:
    """Yield frames in batches of at most `size`, read ahead in threads.

    With `masks`, fakes have their mask, bool [H, W], if the dataset has one. Raises DataError for a mask that differs
    in size from its image, and otherwise as `read_ahead.load_frame` does.
    """
    ahead = ReadAhead(
        lambda row: _read(adapter, row, masks),
        rows,
        count=2 * size,
        size=lambda item: held_bytes((item.image, item.mask)),
        threads=2,
    )
    return ahead.batches(size)


def _read(adapter: Adapter, row: MappedFrame, masks: bool) -> Decoded:
    loaded = load_frame(adapter, row.frame)
    row.stamp = loaded.stamp
    try:
        if loaded.image is None:
            raise FrameError(row.frame.id, loaded.reason)
        mask = read_mask(adapter, row.frame, loaded.image) if masks and row.frame.label == FAKE else None
    except FrameError as error:
        row.outcome, row.message = "unreadable", error.reason
        return Decoded(row)
    row.digest, row.mask_digest = loaded.digest, mask_digest(mask)
    return Decoded(row, loaded.image, mask)


def mask_digest(mask: npt.NDArray[np.bool_] | None) -> str:
    """Return 16 hex digits over a mask, bool [H, W]; empty without a mask."""
    if mask is None:
        return ""
    bits = np.packbits(mask).tobytes()
    return hashlib.blake2b(repr(mask.shape).encode() + bits, digest_size=8).hexdigest()


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


class MaskTest(MapTest):
    """Measures of a map and of the controls against the frame's mask; for a real frame only the map's mean value."""

    masks = True

    def measure(self, item: Decoded, heat: Heat | str) -> None:
        """See `MapTest.measure`."""
        row, mask = item.row, item.mask
        assert item.image is not None
        wide = None
        if isinstance(heat, str):
            row.outcome, row.message = "error", heat
        else:
            wide = heat.astype(np.float64)
            row.level, row.shape = float(wide.mean()), (wide.shape[0], wide.shape[1])
        if row.frame.label == REAL:
            return
        if mask is None or not mask.any():
            if wide is not None:
                row.outcome = "no_mask" if mask is None else "empty_mask"
            return
        grid = row.shape or self.mapper.grid
        truth = truth_on_grid(mask, grid, self.mapper.seen(item.image))
        if wide is not None and truth.area <= 0.0:
            row.outcome = "unseen_mask"
        elif wide is not None and not wide.any():
            row.outcome = "zero_map"
        maps = {"detector": wide, "constant": constant_map(grid), "centre": centred_map(grid)}
        maps["random"] = random_map(grid, generator("heat map control", self.seed, row.frame.id))
        row.values = {name: measured(one, truth) for name, one in maps.items()}
        row.curves = {name: measured_curve(one, truth) for name, one in maps.items()}
        if mask.all():  # no pixel is outside the mask, whatever region a detector sees
            for values in row.values.values():
                del values["pixel_auc"]
