"""Limits on what is read as pixels: the same for image files, frames of videos and HDF5 files, and masks.

They are held against headers and shapes, before memory is taken for what these announce.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import FrameError

MAX_BYTES = 1 << 29
"""Bytes of an image file, and of a chunk of an HDF5 file once it is decompressed: 50 million pixels of 16-bit RGB are
300 MB."""
MAX_PIXELS = 50_000_000
"""Width times height of a picture or mask."""
MIN_SIDE = 8
"""Pixels that the shorter side of a picture must have at least to hold a face."""
MAX_SCANS = 64
"""Passes over a progressive JPEG file; encoders write about ten, and each takes as long as a decoding."""
MAX_FRAMES = 1_000_000
"""Frames of one video in an HDF5 file: eleven hours at 25 a second."""
VIDEO_BYTES = 1 << 30
"""Decoded frames of one video file that are judged together."""
AHEAD_BYTES = 1 << 29
"""Decoded pictures that are held in memory together: those that are judged, and those that are read ahead of them."""
BATCH_BYTES = AHEAD_BYTES // 2
"""What a batch holds of them; it has fewer pictures than it was asked for where these are larger."""
DECODING_BYTES = 1 << 29
"""What decoders use together while they work; a larger picture is decoded alone."""


def check_size(height: int, width: int, frame_id: str) -> None:
    """Raise FrameError for a picture of too many pixels, or of too few a side."""
    if height * width > MAX_PIXELS:
        raise FrameError(frame_id, f"{width}x{height} pixels are over the limit of {MAX_PIXELS // 1_000_000} million")
    if min(height, width) < MIN_SIDE:
        raise FrameError(frame_id, f"{width}x{height} pixels are too small to hold a face (at least {MIN_SIDE} a side)")


class Gate:
    """What may be done at the same time, in bytes of memory. What is larger than the limit is done alone."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes, for one process."""
        self._limit = limit
        self._here: dict[int, _Used] = {}  # a forked process begins with nothing under way

    @contextmanager
    def taking(self, count: int) -> Iterator[None]:
        """Wait until there is room for `count` bytes, and hold them while the block runs. Never within another."""
        used = self._here.setdefault(os.getpid(), _Used())  # atomic: all threads get the same object
        with used.changed:
            used.changed.wait_for(lambda: used.bytes == 0 or used.bytes + count <= self._limit)
            used.bytes += count
        try:
            yield
        finally:
            with used.changed:
                used.bytes -= count
                used.changed.notify_all()


class _Used:
    """The bytes that one process has in use."""

    def __init__(self) -> None:
        self.bytes = 0
        self.changed = threading.Condition()


DECODING = Gate(DECODING_BYTES)
