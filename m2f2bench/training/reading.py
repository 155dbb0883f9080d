"""Reading training frames: decoded once where they fit into memory, and unreadable ones counted, not replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, FrameError
from ..core.records import Frame
from ..datasets.read_ahead import ReadAhead, held_bytes, read_pixels

if TYPE_CHECKING:
    from ..core.records import Image

CACHE_BYTES = 1 << 30
"""Decoded images held in memory, in all; what does not fit is decoded anew whenever it is needed."""
UNREADABLE_SHARE = 0.05
"""A training with a larger share of unreadable frames stops: something is wrong with the dataset."""


class FrameReader:
    """Reads frames for training, with a cache that is filled once, up front.

    Filling it also tells unreadable frames before the first step. It happens in the parent process, so that
    forked workers share the images. Frames beyond the budget are tried when their turn comes.
    """

    def __init__(self, read: Callable[[Frame], Image], budget: int = CACHE_BYTES) -> None:
        """`read` gives a frame's pixels or raises FrameError; `budget` is in bytes."""
        self._read, self._budget = read, budget
        self._images: dict[str, Image] = {}
        self.unreadable: dict[str, str] = {}
        """Frame id to reason."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the images: workers that are not forked read for themselves."""
        return {**self.__dict__, "_images": {}}

    def fill(self, frames: Sequence[Frame]) -> None:
        """Decode frames in order until the budget is spent (by up to four threads). Raises as `check` does."""
        used = 0
        for start in range(0, len(frames), 64):
            chunk = frames[start : start + 64]
            ahead = ReadAhead(self.get, chunk, count=len(chunk), size=held_bytes)
            with closing(ahead.each()) as images:
                for frame, image in zip(chunk, images, strict=True):
                    if image is not None:
                        self._images[frame.id] = image
                        used += image.nbytes
                    if used >= self._budget:
                        return
            self.check(len(frames))

    def get(self, frame: Frame) -> Image | None:
        """The frame's pixels, RGB uint8 [H, W, 3]; None (and noted) if it cannot be read."""
        image = self._images.get(frame.id)
        if image is not None or frame.id in self.unreadable:
            return image
        try:
            return read_pixels(self._read, frame)
        except FrameError as error:
            self.unreadable[frame.id] = error.reason
        return None

    def check(self, total: int) -> None:
        """Raise DataError when more than UNREADABLE_SHARE of `total` frames are unreadable."""
        bad = len(self.unreadable)
        if bad > UNREADABLE_SHARE * total:
            frame, reason = min(self.unreadable.items())
            raise DataError(
                f"{bad} of {total} training and validation frames cannot be read, first '{frame}': {reason}; "
                f"at most {UNREADABLE_SHARE:.0%} may be: mend the dataset"
            )

    def notes(self) -> list[str]:
        """One line on the unreadable frames; none where there are none."""
        if not self.unreadable:
            return []
        frame, reason = min(self.unreadable.items())
        return [f"{len(self.unreadable)} unreadable frames left out of training, first '{frame}': {reason}"]
