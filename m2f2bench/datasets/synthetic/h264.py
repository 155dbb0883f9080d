"""H.264 streams of the drawn videos: encoding, decoding, and the step from YUV to RGB.

Decoding H.264 to YUV is exact by its standard: every decoder gives the same samples. The step to RGB is not part of the
standard, and libraries differ in it; so it is done here, in integers, and frames are the same bits on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ...core.records import Image

    Plane = npt.NDArray[np.uint8]

RATE = 25
SEI = 6
"""Type of the NAL units with remarks: x264 writes its settings into one of 700 bytes, which no decoder needs."""


def yuv_to_rgb(y: Plane, u: Plane, v: Plane) -> Image:
    """Return RGB uint8 [H, W, 3] from 8-bit YUV 4:2:0, y [H, W] and u, v [H/2, W/2] (BT.601, limited range).

    In 16.16 fixed point, rounded half up, clipped to [0, 255]:

        R = 1.164383 (Y-16)                     + 1.596027 (V-128)
        G = 1.164383 (Y-16) - 0.391762 (U-128)  - 0.812968 (V-128)
        B = 1.164383 (Y-16) + 2.017232 (U-128)

    Chroma is not interpolated: each sample of u and v counts for its four pixels.
    """
    light = (y.astype(np.int32) - 16) * 76309 + 32768
    blue, red = (np.repeat(np.repeat(one.astype(np.int32) - 128, 2, axis=0), 2, axis=1) for one in (u, v))
    rgb = np.stack((light + 104597 * red, light - 25675 * blue - 53279 * red, light + 132201 * blue), axis=-1)
    return np.asarray(np.clip(rgb >> 16, 0, 255), np.uint8)


def planes(frame: Any) -> tuple[Plane, Plane, Plane]:
    """Return the samples of a decoded frame of even size: y [H, W], u and v [H/2, W/2]. Raises ValueError."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        raise ValueError(f"a stream of format {frame.format.name}; it should be yuv420p")
    height, width = frame.height, frame.width
    samples = frame.to_ndarray().reshape(-1)  # the three planes, one after the other
    luma, chroma = height * width, (height // 2) * (width // 2)
    y, u, v = np.split(samples, (luma, luma + chroma))
    half = (height // 2, width // 2)
    return y.reshape(height, width), u.reshape(half), v.reshape(half)


def without_remarks(stream: bytes) -> bytes:
    """Return an Annex B stream without its SEI units; it decodes to the same samples."""
    starts = []
    at = stream.find(b"\0\0\1")
    while at >= 0:
        starts.append(at - 1 if at and stream[at - 1] == 0 else at)
        at = stream.find(b"\0\0\1", at + 3)
    units = [stream[a:b] for a, b in zip(starts, [*starts[1:], len(stream)], strict=True)]
    return b"".join(unit for unit in units if unit[unit.index(1) + 1] & 31 != SEI)


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

    decoder = cast("av.VideoCodecContext", av.CodecContext.create("h264", "r"))
    decoder.thread_count = 1
    packets = [*decoder.parse(stream), *decoder.parse(b"")]
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [yuv_to_rgb(*planes(frame)) for frame in frames]
