"""Frames decoded ahead of a detector's heat maps, with their true masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from .adapters.base import Adapter
from .errors import DataError, FrameError, M2F2BenchError, first_line
from .localization import MappedFrame
from .records import FAKE

if TYPE_CHECKING:
    import numpy.typing as npt

    from .records import Image

Row = TypeVar("Row", bound=MappedFrame)


@dataclass
class Decoded(Generic[Row]):
    """A frame's row, its pixels and its mask; where it cannot be read the row says why and there are none."""

    row: Row
    image: Image | None = None
    mask: npt.NDArray[np.bool_] | None = None


def read_batches(adapter: Adapter, rows: Sequence[Row], size: int, masks: bool) -> Iterator[list[Decoded[Row]]]:
    """Frames in batches of `size`, read in threads, the next batch while the one before is worked on.

    With `masks` fakes have theirs, bool [H, W], where the dataset has one. Raises DataError for a mask of another size
    than its image.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
        ahead = [pool.submit(_read, adapter, row, masks) for row in rows[:size]]
        for start in range(size, len(rows) + size, size):
            current = ahead
            ahead = [pool.submit(_read, adapter, row, masks) for row in rows[start : start + size]]
            yield [future.result() for future in current]


def _read(adapter: Adapter, row: Row, masks: bool) -> Decoded[Row]:
    frame = row.frame
    try:
        image = adapter.read(frame)
        row.digest = adapter.digest(frame, image)
        mask = adapter.mask(frame) if masks and frame.label == FAKE else None
    except FrameError as error:
        row.outcome, row.message = "unreadable", error.reason
        return Decoded(row)
    except M2F2BenchError:
        raise
    except Exception as error:  # an adapter of somebody's own: one bad frame does not end the work
        row.outcome, row.message = "unreadable", first_line(error)
        return Decoded(row)
    if mask is not None and (mask.dtype != bool or mask.shape != image.shape[:2]):
        raise DataError(
            f"the dataset gave a mask of {mask.dtype} {list(mask.shape)} for frame '{frame.id}' of "
            f"{list(image.shape[:2])} pixels: a mask is bool [H, W], as large as its image"
        )
    if mask is not None:
        bits = np.packbits(mask).tobytes()
        row.mask_digest = hashlib.blake2b(repr(mask.shape).encode() + bits, digest_size=8).hexdigest()
    return Decoded(row, image, mask)
