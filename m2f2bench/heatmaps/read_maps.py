"""Frames decoded ahead of a detector's heat maps, with their true masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from ..core.errors import FrameError
from ..core.records import FAKE
from ..datasets.base import Adapter
from ..datasets.read_ahead import ReadAhead, held_bytes, load_frame, read_mask
from .frames import MappedFrame

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image

Row = TypeVar("Row", bound=MappedFrame)


@dataclass
class Decoded(Generic[Row]):
    """A frame's row, its pixels and its mask; where it cannot be read the row says why and there are none."""

    row: Row
    image: Image | None = None
    mask: npt.NDArray[np.bool_] | None = None


def read_batches(adapter: Adapter, rows: Sequence[Row], size: int, masks: bool) -> Iterator[list[Decoded[Row]]]:
    """Frames in batches of `size` at most, read in threads, the next batch while the one before is worked on.

    With `masks` fakes have theirs, bool [H, W], where the dataset has one. Raises DataError for a mask of another size
    than its image, and otherwise as `read_ahead.load_frame`.
    """
    ahead = ReadAhead(
        lambda row: _read(adapter, row, masks),
        rows,
        count=2 * size,
        size=lambda item: held_bytes((item.image, item.mask)),
        threads=2,
    )
    return ahead.batches(size)


def _read(adapter: Adapter, row: Row, masks: bool) -> Decoded[Row]:
    loaded = load_frame(adapter, row.frame)
    try:
        if loaded.image is None:
            raise FrameError(row.frame.id, loaded.reason)
        mask = read_mask(adapter, row.frame, loaded.image) if masks and row.frame.label == FAKE else None
    except FrameError as error:
        row.outcome, row.message = "unreadable", error.reason
        return Decoded(row)
    row.digest = loaded.digest
    if mask is not None:
        bits = np.packbits(mask).tobytes()
        row.mask_digest = hashlib.blake2b(repr(mask.shape).encode() + bits, digest_size=8).hexdigest()
    return Decoded(row, loaded.image, mask)
