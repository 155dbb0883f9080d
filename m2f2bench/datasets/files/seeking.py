"""One video file that is kept open: frames by their numbers, each decoded from the nearest place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, MutableSequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..limits import DECODING, check_size
from .packets import Timeline, timeline_of
from .video import check_regular, is_sideways, open_video, packets_of, pictures_of, remark_on, set_up, turned

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Image

DAMAGED = "its video is damaged here: the frame cannot be decoded"
NO_FRAMES = "a video without frames that can be decoded: it is empty, cut short or damaged"
NEAR = 8
"""Packets before the wanted frame's that are all decoded; of those before, none whose frame no other is built on."""
SKIPPING = frozenset({"h264", "hevc"})
"""Codecs of which the decoder can leave out frames that no other is built on."""
COPIES = 5
"""Bytes per pixel that the copies of a frame take: its planes, and RGB."""
_CONVERTERS: dict[tuple[int, int], Any] = {}
"""By process and thread; a thread that has ended leaves its own to the next of its number."""


class VideoFile:
    """A video file, opened once and used by several threads, of which one decodes at a time.

    Its frames have the numbers, and are the pictures, that `video.read_video` gives for a file without damage: in the
    order in which they are shown, without hidden ones. Numbers that ascend are read in one pass: no frame is decoded
    twice, and what lies before a wanted frame's keyframe is not decoded at all. Where frames are missing or damaged,
    the others keep their numbers.
    """

    pixels: int
    """Width times height of its pictures."""
    reorders: bool
    """Whether frames may be decoded in another order than they are shown."""
    one_pass: bool
    """Whether every frame is decoded from the beginning of the file."""
    _line: Timeline
    _spots: dict[int, int]

    def __init__(self, path: Path, other: VideoFile | None = None) -> None:
        """Open the file and list its packets, or take the list of another one; the file is then opened when it is read.

        Raises FrameError if it is no video, and MachineError.
        """
        self.path = path
        self.decoded = 0
        """Packets that were given to the decoder."""
        self._lock = threading.RLock()
        self._container: Any = None
        self._run: _Run | None = None
        self._held: tuple[int, Any] = (-1, None)
        if other is not None:
            self._line, self._spots, self.one_pass = other._line, other._spots, other.one_pass
            self._fresh, self.pixels, self.reorders = False, other.pixels, other.reorders
            return
        check_regular(path)
        with _faults(path):
            self._open()
            self._list(complete=False)

    @property
    def frames(self) -> int:
        """The number of frames, by the list of packets."""
        return self._line.frames

    @property
    def remark(self) -> str:
        """A remark on a file that is cut short; empty for a complete one."""
        return remark_on(self.frames, self._line.promised)

    def read(self, number: int) -> tuple[Image, str]:
        """Return frame `number`, from 0, as `pixels_of` does. Raises FrameError as `frame` does."""
        return self.pixels_of(self.frame(number))

    def frame(self, number: int) -> Any:
        """Return the decoded frame of a number, from 0, as PyAV's object.

        Raises FrameError if it cannot be decoded or has a size outside the limits of `limits`, and MachineError.
        """
        with _faults(self.path), self._lock:
            if self._held[0] != number:
                self._held = (number, self._decoded(number))
            return self._held[1]

    def pixels_of(self, frame: Any) -> tuple[Image, str]:
        """Return a decoded frame as RGB uint8 [H, W, 3], upright, and its `planes_digest`; for any thread."""
        with _faults(self.path), DECODING.taking(COPIES * frame.height * frame.width):
            matrix = frame.side_data.get("DISPLAYMATRIX")
            return turned(_converted(frame, "rgb24"), matrix), planes_digest(frame, matrix)

    def grey_of(self, frame: Any) -> npt.NDArray[np.uint8]:
        """Return a decoded frame in grey, uint8 [H, W], upright; for any thread."""
        with _faults(self.path), DECODING.taking(COPIES * frame.height * frame.width):
            return turned(_converted(frame, "gray")[:, :, None], frame.side_data.get("DISPLAYMATRIX"))[:, :, 0]

    def start_of(self, number: int) -> int:
        """Return the number of the first frame that is decoded for frame `number`."""
        if self.one_pass or not 0 <= number < self.frames:
            return 0
        return self._line.before[self._line.key_for(number)]

    def close(self) -> None:
        """Close the file; reading again opens it."""
        with self._lock:
            if self._container is not None:
                self._container.close()
            self._container = self._run = None
            self._held = (-1, None)

    def _open(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = open_video(self.path)
        self._stream = pictures_of(self._container, self.path)
        set_up(self._stream.codec_context, self.path)
        context = self._stream.codec_context
        self._fresh = True
        self.pixels = context.width * context.height
        self.reorders = bool(context.has_b_frames)

    def _list(self, complete: bool) -> None:
        """List the packets, from the container's index or by reading all of them."""
        line = timeline_of(self._container, self._stream, self.path, complete)
        self._line, self._fresh = line, self._fresh and not line.complete
        self._spots = {position: number for number, position in enumerate(line.positions)}
        # Without times, and without places in the file, only decoding from the beginning is sure.
        placed = len(self._spots) == len(line.positions) and -1 not in self._spots
        self.one_pass = not placed or (line.complete and line.shown is None)

    def _decoded(self, number: int) -> Any:
        """Return a frame. Raises FrameError if there is none of this number, or it cannot be decoded."""
        if not self.frames:
            raise FrameError(str(self.path), NO_FRAMES)
        if not 0 <= number < self.frames:
            raise FrameError(str(self.path), f"its video has the frames 0 to {self.frames - 1}, and no {number}")
        try:
            found = self._sought(number)
        except _ShownBefore:
            self._open()
            self._list(complete=True)
            self._run = None
            found = self._sought(number)
        if found is None and self._run is not None and not self._run.whole:
            # What was left out may be needed after all: from now on everything is decoded.
            self.one_pass, self._run = True, None
            found = self._sought(number)
        if found is None:
            raise FrameError(str(self.path), DAMAGED)
        check_size(found.height, found.width, self.path.name)
        return found

    def _sought(self, number: int) -> Any:
        """Return the frame of a number; None if it does not come out of the decoder."""
        key = 0 if self.one_pass else self._line.key_for(number)
        run = self._run
        if run is None or number <= run.last or key > run.next:
            run = self._run = self._begin(key)
        fed = run.fed
        found = run.take(number, skip=not self.one_pass)
        self.decoded += run.fed - fed
        return found

    def _begin(self, key: int) -> _Run:
        """Go to a keyframe's packet; 0 is the beginning."""
        self._held = (-1, None)
        if self._container is None:
            self._open()
        if not self.one_pass and not (self._fresh and key == 0):
            self._fresh = False
            first = self._sought_packet(key)
            if first is not None:
                return _Run(self._stream, packets_of(self._container, self._stream), self._line, key, first)
        if not self._fresh:
            self._open()
        self.one_pass = self.one_pass or key > 0
        self._fresh = False
        return _Run(self._stream, packets_of(self._container, self._stream), self._line)

    def _sought_packet(self, key: int) -> Any:
        """Seek to a keyframe and return its packet; None if the container does not find it."""
        import av

        for time in dict.fromkeys(self._line.seek_times(key)):
            try:
                self._container.seek(time, stream=self._stream, backward=True)
            except av.error.FFmpegError as error:
                refuse_machine_fault(error, "a video")
                continue
            for packet in packets_of(self._container, self._stream):
                found = self._spots.get(packet.pos, key + 1)
                if found == key:
                    return packet
                if found > key:
                    break
        return None


class _ShownBefore(Exception):
    """A frame after a keyframe is shown before it: the frames' numbers need the times of all packets."""


class _Run:
    """Frames that come out of the decoder from one keyframe on, with their numbers.

    `next` is the next packet's number, `last` the number of the frame that came out last, and `fed` how many packets
    were decoded. `whole` is whether none was left out since the beginning of the file.
    """

    def __init__(self, stream: Any, packets: Iterator[Any], line: Timeline, key: int = 0, first: Any = None) -> None:
        """Decode from packet `key`, which is `first` if that was read already."""
        self._stream, self._packets, self._line, self._first = stream, packets, line, first
        self.next, self.last, self.fed, self.whole = key, -1, 0, key == 0
        self._key_time: int | None = None
        self._base = 0 if line.shown is not None else line.before[key]
        self._times: MutableSequence[int] = [] if line.shown is None else line.shown
        self._ready: deque[tuple[int, Any]] = deque()
        self._damaged = self._ended = self._begun = False
        self._lost = False
        self._count, self._before = line.before[key] - 1, -1
        self._shown_at: int | None = None
        self._skipping = False
        self._skips = stream.codec_context.name in SKIPPING

    def take(self, number: int, skip: bool) -> Any:
        """Return the frame of a number, which is above `last`; None if it does not come out of the decoder.

        With `skip`, frames far before it that no other is built on are not decoded.
        """
        while True:
            while self._ready:
                if self._ready[0][0] > number:
                    return None
                self.last, frame = self._ready.popleft()
                if self.last == number:
                    return frame
            if self._ended:
                return None
            self._step(number if skip else -1)

    def _step(self, number: int) -> None:
        """Give the next packet to the decoder, and at the end of the file none."""
        import av

        packet = self._packet()
        try:
            if packet is None:
                self._ended = True
                decoded = list(self._stream.decode(None))
            else:
                self._note(packet)
                if self._damaged and not packet.is_keyframe:
                    return  # it depends on lost frames
                self._set_skip(number)
                self.fed += 1
                decoded = packet.decode()
                self._damaged = False
        except av.error.FFmpegError as error:
            refuse_machine_fault(error, "a video")
            self._damaged = self._lost = True
            return
        for frame in decoded:
            self._add(frame)

    def _packet(self) -> Any:
        if self.next >= len(self._line.positions):
            return None  # what follows is cut short
        first, self._first = self._first, None
        return first if first is not None else next(self._packets, None)

    def _note(self, packet: Any) -> None:
        """Count a packet, and note when its frame is shown."""
        number, self.next = self.next, self.next + 1
        if self._line.shown is not None or packet.pts is None:
            return
        if self._key_time is None:
            self._key_time = packet.pts
        elif packet.pts < self._key_time and not self.whole and not packet.is_discard:
            raise _ShownBefore
        if self._line.before[number + 1] > self._line.before[number]:
            insort(self._times, packet.pts)

    def _set_skip(self, number: int) -> None:
        """Let the decoder leave out a frame that no other is built on, if it is far before the wanted one."""
        if not self._skips:
            return
        far = self._line.before[self.next] < number - NEAR
        self.whole = self.whole and not far
        if far != self._skipping:
            self._skipping = far
            self._stream.codec_context.skip_frame = "NONREF" if far else "DEFAULT"

    def _add(self, frame: Any) -> None:
        """Put a frame that came out of the decoder with its number to those that are ready."""
        if frame.is_corrupt:
            self._lost = True
            self._damaged = self._begun  # what depends on it looks whole to the decoder
            return
        self._begun = True
        if self._line.complete and self._line.shown is None:
            self._count += 1  # without times: after a damaged piece no frame has a sure number
            if not self._lost:
                self._ready.append((self._count, frame))
            return
        if frame.pts is None:
            self._lost = True
            return
        number = self._base + bisect_left(self._times, frame.pts)
        if frame.pts == self._shown_at:  # two frames at one time
            number = self._before + 1
        self._before, self._shown_at = number, frame.pts
        self._ready.append((number, frame))


def size_of(frame: Any) -> tuple[int, int]:
    """Return the height and width of a decoded frame, upright."""
    size: tuple[int, int] = (frame.height, frame.width)
    return size[::-1] if is_sideways(frame.side_data.get("DISPLAYMATRIX")) else size


def _converted(frame: Any, form: str) -> Any:
    """Return a frame's pixels in another format, as `frame.to_ndarray(format=form)` does.

    The converter is this thread's own, and not the frame's: two threads may convert the same frame. It has threads,
    which a forked process does not get, and would wait for them where it is freed: so none is kept in the thread, whose
    data a forked process frees.
    """
    from av.video.reformatter import VideoReformatter

    converter = _CONVERTERS.setdefault((os.getpid(), threading.get_ident()), VideoReformatter())
    return converter.reformat(frame, format=form).to_ndarray()


def planes_digest(frame: Any, matrix: Any = None) -> str:
    """Return 16 hex digits (SHA-256) over a decoded frame's planes, their format, and its display matrix.

    Decoding is exact in most formats, and so it is the same on every machine; a conversion to RGB is not.
    """
    kind = frame.format
    colours = f"{kind.name} {frame.width}x{frame.height} {int(frame.color_range)} {int(frame.colorspace)}"
    digest = hashlib.sha256(colours.encode() + (b"" if matrix is None else bytes(matrix)))
    if kind.has_palette or kind.is_bit_stream:
        digest.update(_converted(frame, "rgb24").data)
        return digest.hexdigest()[:16]
    for index, plane in enumerate(frame.planes):
        parts = [part for part in kind.components if part.plane == index]
        used = sum(part.width * (-(-part.bits // 8)) for part in parts)
        rows = np.frombuffer(plane, dtype=np.uint8)[: plane.height * plane.line_size]
        # The rest of a row is padding, with whatever was there before.
        digest.update(np.ascontiguousarray(rows.reshape(plane.height, plane.line_size)[:, :used]).data)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Make FrameErrors of what PyAV raises, and MachineErrors of the machine's faults."""
    try:
        yield
    except (M2F2BenchError, _ShownBefore):
        raise
    except Exception as error:  # FFmpegError, OSError, and other errors of PyAV for odd headers
        refuse_machine_fault(error, f"'{path}'")
        told = getattr(error, "strerror", None)  # its whole text has the folders of this machine
        why = f"{type(error).__name__}: {told}" if told else first_line(error)
        raise FrameError(str(path), f"not a readable video: {why}") from None
