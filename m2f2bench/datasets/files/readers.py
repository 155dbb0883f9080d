"""Readers of one video file: several threads decode behind different keyframes at the same time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .seeking import VideoFile, size_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ...core.records import Image

REORDER = 4
"""Frames that a decoder may be ahead of the one that it gave: within this distance the same reader goes on."""


@dataclass(eq=False)
class Reader:
    """One decoder of the file. `last` is the frame that was asked for last, `end` is set when that one is decoded."""

    file: VideoFile
    last: int = -1
    end: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Make a reader that is free."""
        self.end.set()


class Place:
    """A frame's place in the queue of a reader; the thread that took it decodes the frame, or drops the place."""

    def __init__(self, reader: Reader, number: int, sizes: dict[int, tuple[int, int]]) -> None:
        """Take the place behind those before it; the caller holds the lock of the readers."""
        self._file, self._number, self._sizes = reader.file, number, sizes
        self._before, self._end = reader.end, threading.Event()
        reader.last, reader.end = number, self._end

    def frame(self) -> Any:
        """Wait for the places before it, and return the decoded frame. Raises errors as `VideoFile.frame`."""
        try:
            self._before.wait()
            frame = self._file.frame(self._number)
            self._sizes[self._number] = size_of(frame)
            return frame
        finally:
            self._end.set()

    def __del__(self) -> None:
        """Let the next one go on, if the frame was never decoded."""
        self._end.set()


class VideoReaders:
    """A video file with as many decoders as are at work at the same time, at most `most`, and fewer of large pictures.

    Frames that are asked for in ascending order are decoded in this order where one is built on another, and at the
    same time where a keyframe lies between them. One thread alone opens one decoder.
    """

    def __init__(self, path: Path, most: int, pixels: int = 1 << 24) -> None:
        """Open the file. Pictures of all decoders together have at most `pixels`, but one decoder is always allowed.

        Raises FrameError if it is no video, and MachineError.
        """
        first = VideoFile(path)
        self._most = max(1, min(most, pixels // max(1, first.pixels)))
        self._path = path
        self._first = first
        self._readers = [Reader(first)]
        self._ahead = REORDER if first.reorders else 0
        self._sizes: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    @property
    def frames(self) -> int:
        """The number of frames, by the list of packets."""
        return self._first.frames

    @property
    def pixels(self) -> int:
        """Width times height of the pictures of all decoders that are open."""
        return self._first.pixels * len(self._readers)

    @property
    def remark(self) -> str:
        """A remark on a file that is cut short; empty for a complete one."""
        return self._first.remark

    @property
    def decoded(self) -> int:
        """Packets that were given to the decoders."""
        return sum(reader.file.decoded for reader in self._readers)

    def queue(self, number: int) -> Place:
        """Return a place for frame `number` with the reader that comes to it first. Nothing is decoded yet."""
        with self._lock:
            return Place(self._reader_for(number), number, self._sizes)

    def read(self, number: int) -> tuple[Image, str]:
        """Return frame `number`, from 0, and its digest, as `VideoFile.pixels_of` does."""
        return self.pixels_of(self.queue(number).frame())

    def pixels_of(self, frame: Any) -> tuple[Image, str]:
        """Return a decoded frame's pixels and digest, as `VideoFile.pixels_of` does."""
        return self._first.pixels_of(frame)

    def grey_of(self, frame: Any) -> npt.NDArray[np.uint8]:
        """Return a decoded frame in grey, as `VideoFile.grey_of` does."""
        return self._first.grey_of(frame)

    def size(self, number: int) -> tuple[int, int]:
        """Return the height and width of frame `number`, upright. Raises FrameError as `VideoFile.frame` does."""
        return self._sizes.get(number) or size_of(self.queue(number).frame())

    def close(self) -> None:
        """Close the decoders; reading again opens them."""
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.file.close()

    def _reader_for(self, number: int) -> Reader:
        for reader in self._readers:
            if reader.file.one_pass:  # only the whole file, from the beginning, is sure
                return reader
        start = self._first.start_of(number)
        for reader in self._readers:
            if reader.last <= number and start - reader.last <= self._ahead:
                return reader
        for reader in self._readers:
            if reader.end.is_set():
                return reader
        if len(self._readers) < self._most:
            self._readers.append(Reader(VideoFile(self._path, self._first)))
            return self._readers[-1]
        return min(self._readers, key=lambda reader: reader.last)
