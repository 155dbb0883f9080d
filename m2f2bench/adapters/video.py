"""Frames of a video file, through PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FrameError, first_line
from .base import Sampler

if TYPE_CHECKING:
    from ..records import Image

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})


def read_video(path: Path, sampler: Sampler) -> list[Image]:
    """The frames of a video that `sampler` picks from its length: RGB uint8 [H, W, 3], in order.

    The length is counted by decoding, since containers often lie about it; only picked frames are kept. Raises
    FrameError for a file that is not a video or has no frames.
    """
    import av

    try:
        with av.open(str(path)) as container:
            n = sum(1 for _ in container.decode(video=0))
        wanted = set(sampler(n))
        with av.open(str(path)) as container:
            decoded = enumerate(container.decode(video=0))
            images = [frame.to_ndarray(format="rgb24") for i, frame in decoded if i in wanted]
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise FrameError(str(path), f"not a readable video: {first_line(error)}") from None
    if not images:
        raise FrameError(str(path), "a video without frames")
    return images
