"""Base of adapters whose videos are video files, folders of pictures, or single pictures."""

from __future__ import annotations

import abc
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.clips import Clip
from ...core.errors import FrameError
from ...core.memo import Memo, cache_folder, file_stamp, frame_stamp
from ...core.progress import progress_bar
from ...core.records import Frame, Locator
from ...core.sources import installed_versions
from ...version import __version__
from ..base import ClipAdapter, OptionsT
from ..read_ahead import thread_count
from ..turns import in_turn
from .images import FileAdapter, read_image, read_size
from .readers import VideoReaders
from .video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ...core.records import Image

log = logging.getLogger("m2f2bench")
OPEN_FILES = 32
"""Video files that a process keeps open at most."""
OPEN_PIXELS = 1 << 24
"""Width times height of these together, for each decoder, which keeps up to 17 pictures. One file is always allowed."""
ALTERED = 127
"""A pixel of a mask is altered if it is lighter, of 0 to 255."""


@dataclass
class Handles:
    """The open video files of one process, the one that was used last at the end."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    files: OrderedDict[str, tuple[str, VideoReaders]] = field(default_factory=OrderedDict)
    opening: dict[str, threading.Lock] = field(default_factory=dict)


@dataclass(frozen=True)
class Counted:
    """The number of a video file's frames (0 if it cannot be read), and a remark if it is cut short."""

    frames: int
    remark: str = ""


class MediaAdapter(ClipAdapter[OptionsT], FileAdapter[OptionsT]):
    """Files of pictures and videos, listed as clips; a subclass implements `listed`.

    A frame whose locator has an index is that frame of a video file, upright; another is a picture's file. Numbers of
    frames are counted without decoding, and cached. A video that cannot be read, or has no frames, is one frame, which
    fails when it is read. A few files are kept open, in each process.
    """

    def __init__(self, root: Path | None = None, options: OptionsT | None = None) -> None:
        """Make an adapter of the files in `root`; no file is opened yet."""
        super().__init__(root, options)
        self._fresh_state()

    def _fresh_state(self) -> None:
        self._handles: dict[int, Handles] = {}
        self._counts: dict[tuple[str, str], Counted] = {}
        self._planes: dict[int, tuple[Locator, str]] = {}
        self._cut: dict[str, list[str]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open files, which belong to this process."""
        return {**self.__dict__, "_handles": {}, "_planes": {}}

    @abc.abstractmethod
    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split in order. A clip with the items `()` is a video file whose frames are counted.

        Raises `DataError` as `frames` does. No video file is opened.
        """

    def mask_place(self, frame: Frame) -> Locator | None:
        """Return where a frame's mask lies: an image file, or a video file, of which the frame with the same number.

        With an index, that frame of a mask video. None if the frame has no mask.
        """
        return None

    def mask_stamp(self, frame: Frame) -> str | None:
        """Return a hash of the path, size and times of a mask's file; None for a class with a `mask` of its own."""
        if type(self).mask is not MediaAdapter.mask:
            return None
        place = self.mask_place(frame)
        return "" if place is None else frame_stamp(place)

    def groups(self, split: str) -> Sequence[Clip | Sequence[Frame]]:
        """Return the videos of a split as `listed` has them."""
        return self.listed(split)

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split with the numbers of their frames; see the class for one that cannot be read."""
        return self.counted(split, self.listed(split))

    def counted(self, split: str, listed: Sequence[Clip]) -> Sequence[Clip]:
        """Return clips of a split with the numbers of their frames, and say which are cut short."""
        counts = self._count(clip.place.path for clip in listed if not len(clip.items))
        self._tell(split, counts)
        return [
            clip if len(clip.items) else replace(clip, items=range(max(1, counts[clip.place.path].frames)))
            for clip in listed
        ]

    def remarks(self, split: str) -> list[str]:
        """Return a line on videos that are cut short, if the split was counted and there are any; none is opened."""
        return [*super().remarks(split), *self._cut.get(split, ())]

    def read(self, frame: Frame) -> Image:
        """Return a picture's file, or a frame of a video file, RGB uint8 [H, W, 3]."""
        index = frame.locator.index
        if index is None:
            return super().read(frame)
        try:
            with in_turn("read"):
                file = self._file(frame.locator.path)
                place = file.queue(index)
            image, digest = file.pixels_of(place.frame())
        except FrameError as error:
            self._check_root(frame, error.reason)
            raise FrameError(frame.id, error.reason) from None
        self._planes[threading.get_ident()] = (frame.locator, digest)
        return image

    def digest(self, frame: Frame, image: Image) -> str:
        """Return the hash of a file's bytes, or of the decoded planes of a frame of a video.

        It is that of `image`, if this thread has just read it.
        """
        if frame.locator.index is None or not self._reads_files():
            return super().digest(frame, image)
        place, digest = self._planes.pop(threading.get_ident(), (None, ""))
        if place == frame.locator:
            return digest
        return self._file(frame.locator.path).read(frame.locator.index)[1]

    def has_masks(self) -> bool:
        """Return whether some frames may have masks: whether the class has a `mask_place`, or a `mask`, of its own."""
        own = type(self)
        return own.mask_place is not MediaAdapter.mask_place or own.mask is not MediaAdapter.mask

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the manipulated pixels, bool [H, W], as large as the picture; None without a mask.

        A pixel is altered if it is lighter than half of white, both in images and in videos, whose compression leaves
        noise; in an image of zeros and ones, if it is one. Raises FrameError for a mask that cannot be read or has
        another size: it is never resized.
        """
        place = self.mask_place(frame)
        if place is None:
            return None
        name = Path(place.path).name
        if Path(place.path).suffix.lower() in VIDEO_SUFFIXES:
            number = frame.locator.index if place.index is None else place.index
            if number is None:
                raise FrameError(frame.id, f"its mask '{name}' is a video, and the frame has no number in one")
            try:
                with in_turn("mask"):
                    file = self._file(place.path)
                    queued = file.queue(number)
                grey = file.grey_of(queued.frame())
            except FrameError as error:
                raise FrameError(frame.id, f"its mask: {error.reason}") from None
        else:
            grey = read_image(Path(place.path), frame.id).max(axis=2)
        size = self._size(frame)
        if grey.shape != size:
            (height, width), (rows, columns) = size, grey.shape
            reason = f"its mask '{name}' has {columns}x{rows} pixels, and the picture {width}x{height}"
            raise FrameError(frame.id, reason)
        found: npt.NDArray[np.bool_] = grey > (0 if grey.max() == 1 else ALTERED)
        return found

    def close(self) -> None:
        """Close this process's video files."""
        here = self._here()
        with here.lock:
            files = [file for _, file in here.files.values()]
            here.files.clear()
        for file in files:
            file.close()

    def _reads_files(self) -> bool:
        return type(self).read is MediaAdapter.read

    def _size(self, frame: Frame) -> tuple[int, int]:
        """Return the height and width of a frame's picture."""
        if frame.locator.index is None:
            return read_size(Path(frame.locator.path), frame.id)
        try:
            return self._file(frame.locator.path).size(frame.locator.index)
        except FrameError as error:
            raise FrameError(frame.id, error.reason) from None

    # --- counting

    def _count(self, paths: Iterable[str]) -> dict[str, Counted]:
        """Return the number of frames of each file; those that are not known yet are opened, in threads."""
        stamps = {path: file_stamp(path) for path in paths}
        found = {path: self._counts[path, stamp] for path, stamp in stamps.items() if (path, stamp) in self._counts}
        left = [path for path in stamps if path not in found]
        if not left:
            return found
        version = f"{__version__}-{'-'.join(map(str, installed_versions(('av',)).values()))}"
        with Memo(cache_folder() / "videos" / f"{version}.jsonl") as memo, progress_bar("videos", len(left)) as advance:
            unknown = []
            for path in left:
                known = memo.get(path, stamps[path]) if stamps[path] else None
                if isinstance(known, list) and len(known) == 2:
                    found[path] = Counted(int(known[0]), str(known[1]))
                    advance(1)
                else:
                    unknown.append(path)
            with ThreadPoolExecutor(thread_count()) as threads:
                for path, counted in zip(unknown, threads.map(self._opened, unknown), strict=True):
                    found[path] = counted
                    if stamps[path]:
                        memo.put(path, stamps[path], [counted.frames, counted.remark])
                    advance(1)
        self._counts.update({(path, stamps[path]): found[path] for path in left})
        return found

    def _opened(self, path: str) -> Counted:
        try:
            file = self._file(path)
        except FrameError:  # said again when its frame is read
            return Counted(0)
        return Counted(file.frames, file.remark)

    def _tell(self, split: str, counts: dict[str, Counted]) -> None:
        """Say which videos are cut short, once."""
        cut = {path: counted.remark for path, counted in counts.items() if counted.remark}
        lines = []
        if cut:
            first = next(iter(cut))
            what = "1 video is cut short" if len(cut) == 1 else f"{len(cut)} videos are cut short, first"
            lines = [f"{what}{':' if len(cut) == 1 else ''} '{Path(first).name}': {cut[first]}"]
        if lines and self._cut.get(split) != lines:
            log.warning("%s", lines[0])
        self._cut[split] = lines

    # --- open files

    def _here(self) -> Handles:
        """Return this process's open files."""
        return self._handles.setdefault(os.getpid(), Handles())  # atomic: all threads get the same object

    def _file(self, path: str) -> VideoReaders:
        """Return an open video file, opened again if it has changed. Raises FrameError for one that is no video."""
        here, stamp = self._here(), file_stamp(path)
        with here.opening.setdefault(path, threading.Lock()):
            with here.lock:
                known = here.files.get(path)
                if known is not None and known[0] == stamp:
                    here.files.move_to_end(path)
                    return known[1]
            try:
                file = VideoReaders(Path(path), thread_count(), OPEN_PIXELS)
            except FrameError as error:
                raise FrameError(path, f"'{Path(path).name}': {error.reason}") from None
            with here.lock:
                here.files[path] = (stamp, file)
                here.files.move_to_end(path)
                gone = [known[1]] if known is not None else []
                while len(here.files) > 1 and self._full(here):
                    gone.append(here.files.popitem(last=False)[1][1])
        for one in gone:
            one.close()
        return file

    @staticmethod
    def _full(here: Handles) -> bool:
        return len(here.files) > OPEN_FILES or sum(file.pixels for _, file in here.files.values()) > OPEN_PIXELS
