"""Frames decoded ahead of a detector's heat maps, with their true masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import FrameError
from ..core.records import FAKE
from ..datasets.base import Adapter
from ..datasets.read_ahead import ReadAhead, held_bytes, load_frame, read_mask
from .frames import MappedFrame

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image


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
