"""Limits on pixels that are read: the same for image files, frames of videos and HDF5 files, and masks.

Headers and shapes are checked against them before memory is taken.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext

from ..core.errors import FrameError

MAX_BYTES = 1 << 29
"""Bytes of an image file, and of a decompressed chunk of an HDF5 file: 50 million pixels of 16-bit RGB are
300 MB."""
MAX_PIXELS = 50_000_000
"""Width times height of a picture or mask."""
MIN_SIDE = 8
"""Least pixels of the shorter side of a picture with a face."""
MAX_SCANS = 64
"""Passes over a progressive JPEG file; encoders write about ten, and each takes as long as a full decoding."""
MAX_FRAMES = 1_000_000
"""Frames of one video in an HDF5 file: eleven hours at 25 a second."""
VIDEO_BYTES = 1 << 30
"""Decoded frames of one video file that are judged together."""
AHEAD_BYTES = 1 << 29
"""Bytes of decoded pictures in memory: those that are judged, and those that are read ahead."""
BATCH_BYTES = AHEAD_BYTES // 2
"""Bytes of decoded pictures in a batch; a batch of larger pictures has fewer of them."""
DECODING_BYTES = 1 << 29
"""Bytes that all decoders use together; a larger picture is decoded alone."""


def check_size(height: int, width: int, frame_id: str) -> None:
    """Raise FrameError for a picture with too many pixels, or too few per side."""
    if height * width > MAX_PIXELS:
        raise FrameError(frame_id, f"{width}x{height} pixels are over the limit of {MAX_PIXELS // 1_000_000} million")
    if min(height, width) < MIN_SIDE:
        raise FrameError(frame_id, f"{width}x{height} pixels are too small to hold a face (at least {MIN_SIDE} a side)")


_FREE = nullcontext()


class Gate:
    """Limit on memory that is used at the same time. Work that needs more than the limit is done alone."""

    def __init__(self, limit: int) -> None:
        """Make a gate with a `limit` in bytes for each process."""
        self._limit = limit
        self._here: dict[int, _Used] = {}  # a forked process starts with nothing in use

    def taking(self, count: int) -> AbstractContextManager[None]:
        """Wait until `count` bytes are free, and hold them while the block runs. Must not be nested.

        Less than a thousandth of the limit is free at any time: to hold it would take longer than it matters.
        """
        if 1000 * count < self._limit:
            return _FREE
        return _Taking(self._here.setdefault(os.getpid(), _Used()), count, self._limit)  # atomic: one for all threads


class _Taking:
    """Bytes that are held while a block runs; a generator would take three times as long."""

    __slots__ = ("count", "limit", "used")

    def __init__(self, used: _Used, count: int, limit: int) -> None:
        self.used, self.count, self.limit = used, count, limit

    def __enter__(self) -> None:
        used = self.used
        with used.changed:
            if used.bytes and used.bytes + self.count > self.limit:
                used.waiting += 1
                used.changed.wait_for(lambda: used.bytes == 0 or used.bytes + self.count <= self.limit)
                used.waiting -= 1
            used.bytes += self.count

    def __exit__(self, *_: object) -> None:
        with self.used.changed:
            self.used.bytes -= self.count
            if self.used.waiting:
                self.used.changed.notify_all()


class _Used:
    """The bytes that one process has in use."""

    def __init__(self) -> None:
        self.bytes = self.waiting = 0
        self.changed = threading.Condition()


DECODING = Gate(DECODING_BYTES)
