"""Frames of a video file, through PyAV: decoded once, turned upright as in players, with a remark on missing frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ...core.errors import FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..base import Sampler
from ..limits import MAX_PIXELS, VIDEO_BYTES, check_size

if TYPE_CHECKING:
    from ...core.records import Image

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"})
FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,ivf,flv,asf,ogg,gif,apng,yuv4mpegpipe"
"""FFmpeg's names of the containers that are read: those that contain a whole video."""
MISSED = 50
"""One frame in this many (at least one) may be missing without a remark: a container's length is rounded."""

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True, eq=False)
class Video(Sequence["Image"]):
    """The picked frames of a video: RGB uint8 [H, W, 3], in order.

    `numbers` are their numbers among the `readable` frames, from 0. `promised` is the number of frames that the
    container states, None if it states none; `damaged` counts the pieces of the stream that could not be decoded.
    """

    images: list[Image]
    numbers: list[int]
    readable: int
    promised: int | None
    damaged: int

    def __getitem__(self, index: Any) -> Any:
        """Return one picked frame, or a list of several."""
        return self.images[index]

    def __len__(self) -> int:
        """Return the number of picked frames."""
        return len(self.images)

    @property
    def remark(self) -> str:
        """A remark on a video that is cut short or damaged; empty for a complete one."""
        return remark_on(self.readable, self.promised, self.damaged)


def remark_on(readable: int, promised: int | None, damaged: int = 0) -> str:
    """Return a remark on a video that is cut short or has damaged pieces; empty for a complete one."""
    if promised is None:
        return f"{damaged} pieces are damaged, {readable} frames could be read" if damaged else ""
    missing = promised - readable
    if missing > max(1, promised // MISSED) or (damaged and missing > 0):
        return f"the container promises {promised} frames, {readable} could be read"
    return ""


def read_video(path: Path, sampler: Sampler) -> Video:
    """Return the frames that `sampler` picks from the video's length, which is counted without decoding.

    Only picked frames are kept. If fewer (or more) frames can be decoded than the file has pieces, it is decoded again
    with the right number. After a damaged piece, frames are left out up to the next whole picture. Raises FrameError
    for a file that is not a video, has no pictures (only sound), or no picture that can be decoded, for pictures over
    the limits of `limits` and picked frames over `VIDEO_BYTES`, and MachineError for a fault of the machine.
    """
    check_regular(path)
    try:
        n, promised = _length(path)
        while True:
            numbers = list(sampler(n))
            images, readable, damaged = _decode(path, frozenset(numbers))
            if readable == n:
                break
            n = readable
    except M2F2BenchError:
        raise
    except Exception as error:  # FFmpegError, OSError, and other errors of PyAV for odd headers
        refuse_machine_fault(error, f"'{path}'")
        raise FrameError(str(path), f"not a readable video: {first_line(error)}") from None
    if not images:
        raise FrameError(str(path), "a video without frames that can be decoded: it is empty, cut short or damaged")
    return Video(images, numbers, readable, promised, damaged)


def check_regular(path: Path) -> None:
    """Raise FrameError unless there is such a file; opening a pipe would wait for ever."""
    if not path.is_file():
        raise FrameError(str(path), "is a folder" if path.is_dir() else "is not a regular file, or does not exist")


def open_video(path: Path) -> Any:
    """Open a video file by its content, not its name. A list of other files, or of addresses, is refused."""
    import av

    # Without `file:`, a name such as `http:x.mp4` would be an address.
    return av.open(f"file:{path}", options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})


def pictures_of(container: Any, path: Path) -> Any:
    """Return the stream of moving pictures, not a sound file's cover. Raises FrameError if there is no such stream."""
    import av

    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    there = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    reason = f"not a readable video: it holds {there} and no pictures; it is sound alone or cut short"
    raise FrameError(str(path), reason)


def _length(path: Path) -> tuple[int, int | None]:
    """Return the number of packets of pictures (frames, in most files) and of frames that the container states."""
    with open_video(path) as container:
        stream = pictures_of(container, path)
        shown = hidden = 0
        for packet in packets_of(container, stream):
            shown, hidden = shown + (not packet.is_discard), hidden + packet.is_discard
        return shown, promised_of(container, stream, hidden)


def promised_of(container: Any, stream: Any, hidden: int) -> int | None:
    """Return the number of frames that a container states, None if it states none; `hidden` ones are not shown."""
    seconds = seconds_of(container, stream)
    rate = stream.average_rate
    known = [stream.frames - hidden] if stream.frames else []  # a trimmed file also counts hidden frames
    known += [round(seconds * rate)] if seconds and rate else []
    return min(known, default=None)


def seconds_of(container: Any, stream: Any) -> Fraction | None:
    """Return the length of the pictures in seconds, as the container states it."""
    import av

    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    if found := _DURATION.match(stream.metadata.get("DURATION", "")):
        return 3600 * int(found[1]) + 60 * int(found[2]) + Fraction(found[3])
    return Fraction(container.duration, av.time_base) if container.duration else None


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets that are not empty, up to the end or until the file cannot be read."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        refuse_machine_fault(error, "a video")


def _decode(path: Path, wanted: frozenset[int]) -> tuple[list[Image], int, int]:
    """Return the wanted frames, the number of all frames, and the number of damaged packets."""
    images: list[Image] = []
    readable = damaged = held = 0
    with open_video(path) as container:
        stream = pictures_of(container, path)
        set_up(stream.codec_context, path)
        for frame in _frames(container, stream):
            if frame is None:
                damaged += 1
                continue
            if readable in wanted:
                check_size(frame.height, frame.width, str(path))
                held += 3 * frame.height * frame.width
                if held > VIDEO_BYTES:
                    _refuse_frames(path, frame, len(wanted))
                images.append(upright(frame))
            readable += 1
    return images, readable, damaged


def set_up(context: Any, path: Path) -> None:
    """Set a decoder to refuse damaged pieces, instead of concealing them, and pictures over the limits."""
    context.options = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}
    if context.name == "h264":
        context.thread_count = 1  # with several threads damaged pieces are not reported
    if context.width and context.height:
        check_size(context.height, context.width, str(path))


def _refuse_frames(path: Path, frame: Any, wanted: int) -> NoReturn:
    fit = VIDEO_BYTES // (3 * frame.height * frame.width)
    raise FrameError(
        str(path),
        f"{wanted} frames of {frame.width}x{frame.height} pixels take more memory than the limit of "
        f"{VIDEO_BYTES // 2**20:,} MiB: take {fit} at most (--frames)",
    )


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the decoded frames in the order in which they are shown; None for each packet that cannot be decoded."""
    import av

    whole, begun = True, False
    for packet in packets_of(container, stream):
        if not whole and not packet.is_keyframe:
            continue  # it depends on lost frames
        try:
            decoded = packet.decode()
            whole = True
        except av.error.FFmpegError as error:
            refuse_machine_fault(error, "a video")
            whole = False
            yield None
            continue
        for frame in decoded:
            # What depends on it looks whole to the decoder. Before the first whole frame nothing is known to be lost: a
            # stream without key frames begins so.
            whole = whole and not (begun and frame.is_corrupt)
            begun = begun or not frame.is_corrupt
            yield None if frame.is_corrupt else frame
    try:
        yield from stream.decode(None)  # the rest in the decoder
    except av.error.FFmpegError:
        yield None


def upright(frame: Any) -> Image:
    """Return a decoded frame as RGB uint8 [H, W, 3], turned and mirrored by its display matrix, by right angles."""
    return turned(frame.to_ndarray(format="rgb24"), frame.side_data.get("DISPLAYMATRIX"))


def turned(image: Image, matrix: Any) -> Image:
    """Return a picture [H, W, 3], turned and mirrored by a display matrix, by right angles; as it is without one."""
    if matrix is None:
        return image
    a, b, _, c, d = _entries(matrix)
    if is_sideways(matrix):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    image = image[:, ::-1] if across < 0 else image
    return np.ascontiguousarray(image[::-1] if down < 0 else image)


def is_sideways(matrix: Any) -> bool:
    """Return whether rows become columns by a display matrix; False without one."""
    if matrix is None:
        return False
    a, b = _entries(matrix)[:2]
    return abs(b) > abs(a)


def _entries(matrix: Any) -> list[int]:
    """Return a, b, -, c, d of a display matrix: x' = a x + c y, y' = b x + d y."""
    found: list[int] = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    return found
