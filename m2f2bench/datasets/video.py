"""Frames of a video file, through PyAV: decoded once, turned upright as in players, with a remark on missing frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..core.errors import FrameError, M2F2BenchError, first_line, refuse_machine_fault
from .base import Sampler
from .limits import MAX_PIXELS, VIDEO_BYTES, check_size

if TYPE_CHECKING:
    from ..core.records import Image

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
        if self.promised is None:
            return f"{self.damaged} pieces are damaged, {self.readable} frames could be read" if self.damaged else ""
        missing = self.promised - self.readable
        if missing > max(1, self.promised // MISSED) or (self.damaged and missing > 0):
            return f"the container promises {self.promised} frames, {self.readable} could be read"
        return ""


def read_video(path: Path, sampler: Sampler) -> Video:
    """Return the frames that `sampler` picks from the video's length, which is counted without decoding.

    Only picked frames are kept. If fewer (or more) frames can be decoded than the file has pieces, it is decoded again
    with the right number. After a damaged piece, frames are left out up to the next whole picture. Raises FrameError
    for a file that is not a video, has no pictures (only sound), or no picture that can be decoded, for pictures over
    the limits of `limits` and picked frames over `VIDEO_BYTES`, and MachineError for a fault of the machine.
    """
    if not path.is_file():  # checked first: opening a pipe would wait forever
        raise FrameError(str(path), "is a folder" if path.is_dir() else "is not a regular file, or does not exist")
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


def _open(path: Path) -> Any:
    """Open a video file by its content, not its name. A list of other files, or of addresses, is refused."""
    import av

    # Without `file:`, a name such as `http:x.mp4` would be an address.
    return av.open(f"file:{path}", options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})


def _pictures(container: Any, path: Path) -> Any:
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
    with _open(path) as container:
        stream = _pictures(container, path)
        shown = hidden = 0
        for packet in _packets(container, stream):
            shown, hidden = shown + (not packet.is_discard), hidden + packet.is_discard
        seconds = _seconds(container, stream)
        rate = stream.average_rate
        known = [stream.frames - hidden] if stream.frames else []  # a trimmed file also counts hidden frames
        known += [round(seconds * rate)] if seconds and rate else []
    return shown, min(known, default=None)


def _seconds(container: Any, stream: Any) -> Fraction | None:
    """Return the length of the pictures in seconds, as the container states it."""
    import av

    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    if found := _DURATION.match(stream.metadata.get("DURATION", "")):
        return 3600 * int(found[1]) + 60 * int(found[2]) + Fraction(found[3])
    return Fraction(container.duration, av.time_base) if container.duration else None


def _packets(container: Any, stream: Any) -> Iterator[Any]:
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
    with _open(path) as container:
        stream = _pictures(container, path)
        _set_up(stream.codec_context, path)
        for frame in _frames(container, stream):
            if frame is None:
                damaged += 1
                continue
            if readable in wanted:
                check_size(frame.height, frame.width, str(path))
                held += 3 * frame.height * frame.width
                if held > VIDEO_BYTES:
                    _refuse_frames(path, frame, len(wanted))
                images.append(_upright(frame))
            readable += 1
    return images, readable, damaged


def _set_up(context: Any, path: Path) -> None:
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

    whole = True
    for packet in _packets(container, stream):
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
            yield None if frame.is_corrupt else frame
    try:
        yield from stream.decode(None)  # the rest in the decoder
    except av.error.FFmpegError:
        yield None


def _upright(frame: Any) -> Image:
    """Return a decoded frame as RGB uint8 [H, W, 3], turned and mirrored by its display matrix, by right angles."""
    image: Image = frame.to_ndarray(format="rgb24")
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()  # x' = a x + c y, y' = b x + d y
    if abs(b) > abs(a):  # rows become columns
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    image = image[:, ::-1] if across < 0 else image
    return np.ascontiguousarray(image[::-1] if down < 0 else image)
