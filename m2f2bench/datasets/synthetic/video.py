"""H.264 compression through PyAV; real and fake frames go through the same steps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from ...core.records import Image

RATE = 25
CRF = {"c23": 23, "c40": 40}
"""FaceForensics++'s two compression levels as x264's constant rate factor."""


def encoder_version() -> str:
    """Return the encoder's version for the cache's key: PyAV and its libavcodec."""
    import av

    return f"av{av.__version__}-lavc{'.'.join(map(str, av.library_versions['libavcodec']))}"


def encode(frames: Sequence[Image], crf: int) -> bytes:
    """Encode RGB uint8 frames [H, W, 3], H and W even, as H.264 Annex B (yuv420p, one thread, constant `crf`)."""
    import av

    height, width = frames[0].shape[:2]
    encoder = cast("av.VideoCodecContext", av.CodecContext.create("libx264", "w"))
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, RATE), Fraction(RATE, 1)
    encoder.thread_count = 1
    # Without its assembly: with it the stream of 160-pixel frames depended on the memory's old content, and so
    # differed between runs (that of 128-pixel frames did not).
    encoder.options = {"crf": str(crf), "preset": "medium", "x264-params": "threads=1:lookahead-threads=1:asm=0"}
    stream = b""
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts = number
        stream += b"".join(bytes(packet) for packet in encoder.encode(frame))
    return stream + b"".join(bytes(packet) for packet in encoder.encode(None))


def decode(stream: bytes) -> list[Image]:
    """Decode an H.264 Annex B stream to frames, RGB uint8 [H, W, 3], in the order in which they are shown."""
    import av
    from av.video.reformatter import VideoReformatter

    decoder = cast("av.VideoCodecContext", av.CodecContext.create("h264", "r"))
    decoder.thread_count = 1
    packets = [*decoder.parse(stream), *decoder.parse(b"")]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    converter = VideoReformatter()  # one for all frames: setting it up costs more than using it
    return [cast("Image", converter.reformat(frame, format="rgb24").to_ndarray()) for frame in frames]


def compress(frames: Sequence[Image], compression: str) -> list[Image]:
    """Return a video's frames after the compression `raw` (nothing is lost), `c23` or `c40`."""
    if compression == "raw":
        return list(frames)
    decoded = decode(encode(frames, CRF[compression]))
    if len(decoded) != len(frames):
        raise RuntimeError(f"{len(frames)} frames were encoded and {len(decoded)} decoded")
    return decoded
