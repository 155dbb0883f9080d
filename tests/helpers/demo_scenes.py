"""Photos and videos for the demo: two faces on a plain background, drawn or real."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
from face_scenes import Picture, background, drawn_face, pasted, real_faces

CENTRES = ((170.0, 240.0), (470.0, 240.0))


def two_faces(size: float = 220.0, shift: float = 0.0) -> Picture:
    """A picture with two faces: real ones where the research data lie, else drawn."""
    data = os.environ.get("M2F2BENCH_DATA", "")
    faces = real_faces(Path(data), 2) if data and (Path(data) / "ddvqa").is_dir() else []
    faces = faces or [drawn_face(number)[0] for number in range(2)]
    picture = background(np.random.default_rng(0), kind="plain")
    for face, (x, y) in zip(faces, CENTRES, strict=True):
        picture, _ = pasted(picture, face, (x + shift, y), size)
    return picture


def video(path: Path, seconds: int = 10, rate: int = 5) -> Path:
    """A video in which both faces move to the right and the light fades."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        first = two_faces().astype(np.float32)
        for number in range(seconds * rate):
            share = number / (seconds * rate)
            moved = np.roll(first, round(20 * share), axis=1) * (1 - 0.4 * share)
            for packet in stream.encode(av.VideoFrame.from_ndarray(moved.astype(np.uint8), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
