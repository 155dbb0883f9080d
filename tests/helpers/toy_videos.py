"""Small real H.264 videos in which a frame's number can be read from its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt


def picture_of(number: int, width: int = 64, height: int = 48, tint: int = 0) -> npt.NDArray[np.uint8]:
    """Return the picture of a frame: eight bars, dark or light, are the bits of its number; the rest is grey.

    RGB, uint8, [height, width, 3]. `tint` (0 to 60) is added to the grey, so that videos differ.
    """
    image = np.full((height, width, 3), 100 + tint, dtype=np.uint8)
    bar = width // 8
    for bit in range(8):
        image[: height // 2, bit * bar : (bit + 1) * bar] = 230 if number >> bit & 1 else 20
    return image


def number_in(image: npt.NDArray[np.uint8]) -> int:
    """Return the number of the frame that a picture, or its decoded copy, shows."""
    height, width = image.shape[:2]
    bar = width // 8
    rows = image[height // 8 : 3 * height // 8]
    return sum(1 << bit for bit in range(8) if rows[:, bit * bar + 1 : (bit + 1) * bar - 1].mean() > 125)


def write_video(
    path: Path, count: int = 10, width: int = 64, height: int = 48, gop: int = 12, rate: int = 25, tint: int = 0
) -> Path:
    """Write an mp4 of `count` frames of `picture_of` and return its path; see `write_pictures`."""
    pictures = [picture_of(number, width, height, tint) for number in range(count)]
    return write_pictures(path, pictures, gop=gop, rate=rate)


def write_pictures(
    path: Path, pictures: Sequence[npt.NDArray[np.uint8]], gop: int = 12, rate: int = 25, crf: int = 18
) -> Path:
    """Write an mp4 (H.264, yuv420p) of pictures, RGB uint8 [H, W, 3], and return its path; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": str(gop), "preset": "ultrafast", "crf": str(crf)}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
