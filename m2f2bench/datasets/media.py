"""Base of adapters whose videos are video files, folders of pictures, or single pictures."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.clips import Clip
from ..core.errors import FrameError
from ..core.records import Frame
from .base import ClipAdapter, OptionsT
from .images import FileAdapter
from .video import read_video

if TYPE_CHECKING:
    from ..core.records import Image


class MediaAdapter(ClipAdapter[OptionsT], FileAdapter[OptionsT]):
    """Files of pictures and videos, listed as clips; a subclass implements `listed`.

    A frame whose locator has an index is that frame of a video file, upright; another is a picture's file.
    """

    @abc.abstractmethod
    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split in order. A clip with the items `()` is a video file whose frames are counted.

        Raises `DataError` as `frames` does. No video file is opened.
        """

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split with the numbers of their frames; one that cannot be opened has one frame."""
        return [
            clip if len(clip.items) else replace(clip, items=range(self._length(clip))) for clip in self.listed(split)
        ]

    def _length(self, clip: Clip) -> int:
        try:
            return max(1, read_video(Path(clip.place.path), lambda n: [0]).readable)
        except FrameError:
            return 1

    def read(self, frame: Frame) -> Image:
        """Return a picture's file, or a frame of a video file, RGB uint8 [H, W, 3]."""
        index = frame.locator.index
        if index is None:
            return super().read(frame)
        return read_video(Path(frame.locator.path), lambda n: [index]).images[0]
