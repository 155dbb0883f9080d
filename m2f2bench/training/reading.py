"""Reader of training frames: decodes them once if they fit into memory, and counts unreadable ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, FrameError
from ..core.records import Frame
from ..datasets.read_ahead import ReadAhead, held_bytes, read_pixels

if TYPE_CHECKING:
    from ..core.records import Image

CACHE_BYTES = 1 << 30
"""Memory for decoded images; frames that do not fit are decoded each time they are needed."""
UNREADABLE_SHARE = 0.05
"""Largest share of unreadable frames with which a training goes on."""


class FrameReader:
    """Reads frames for training, with a cache that is filled once, before the first step.

    Filling it also finds unreadable frames before the first step. It happens in the parent process, so that forked
    workers share the images. Frames beyond the budget are read when they are needed.
    """

    def __init__(self, read: Callable[[Frame], Image], budget: int = CACHE_BYTES) -> None:
        """`read` returns a frame's pixels or raises FrameError; `budget` is in bytes."""
        self._read, self._budget = read, budget
        self._images: dict[str, Image] = {}
        self.unreadable: dict[str, str] = {}
        """Frame id to reason."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the images: workers that are not forked read for themselves."""
        return {**self.__dict__, "_images": {}}

    def fill(self, frames: Sequence[Frame]) -> None:
        """Decode frames in order until the budget is spent (in up to four threads). Raises as `check`."""
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
        """Return the frame's pixels, RGB uint8 [H, W, 3]; None, with an entry in `unreadable`, if it is unreadable."""
        image = self._images.get(frame.id)
        if image is not None or frame.id in self.unreadable:
            return image
        try:
            return read_pixels(self._read, frame)
        except FrameError as error:
            self.unreadable[frame.id] = error.reason
        return None

    def check(self, total: int) -> None:
        """Raise DataError as `check_unreadable`."""
        check_unreadable(self.unreadable, total)


def check_unreadable(unreadable: Mapping[str, str], total: int) -> None:
    """Raise DataError if more than UNREADABLE_SHARE of `total` frames are `unreadable` (frame id to reason)."""
    if len(unreadable) > UNREADABLE_SHARE * total:
        frame, reason = min(unreadable.items())
        raise DataError(
            f"{len(unreadable)} of {total} training and validation frames cannot be read, first '{frame}': {reason}; "
            f"at most {UNREADABLE_SHARE:.0%} may be: repair the dataset"
        )


def unreadable_notes(unreadable: Mapping[str, str]) -> list[str]:
    """Return a note about unreadable frames (frame id to reason); empty if there are none."""
    if not unreadable:
        return []
    frame, reason = min(unreadable.items())
    return [f"{len(unreadable)} unreadable frames left out of training, first '{frame}': {reason}"]
