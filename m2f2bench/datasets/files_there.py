"""Files of a listed split that exist or not: folders are scanned once, files are not opened."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ..core.clips import ALONE, Clip
from ..core.errors import M2F2BenchError
from ..core.records import Frame
from .base import Adapter
from .calls import frames_of, groups_of

FOLDERS = 4096
"""Most folders whose names of files are kept."""


@dataclass
class Listed:
    """One listed video: its manipulation, its name, its number of frames (None: not counted), and its files."""

    method: str
    video: str
    frames: int | None
    clip: Clip | None
    paths: Sequence[str] = ()

    @property
    def alone(self) -> bool:
        """Whether it is one file, of a video or a picture."""
        return self.clip is None or self.clip.place.key is not None or not _texts(self.clip)

    def files(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield each folder with the names of the video's files in it; a container's file once."""
        if self.clip is None:
            paths: Iterable[str] = dict.fromkeys(self.paths)
        elif self.alone:
            paths = (self.clip.place.path,)
        else:
            items, folder = cast("Sequence[str]", self.clip.items), self.clip.place.path
            if not any("/" in item for item in items):
                yield folder, items
                return
            paths = [f"{folder}/{item}" for item in items]
        found: dict[str, list[str]] = {}
        for path in paths:
            folder, _, name = path.rpartition("/")
            found.setdefault(folder or ("/" if path.startswith("/") else "."), []).append(name)
        yield from found.items()


def _texts(clip: Clip) -> bool:
    """Return whether the items are names of files, or of parts of a container."""
    return len(clip.items) > 0 and tuple(clip.items[:1]) != ALONE and isinstance(clip.items[0], str)


def listing(adapter: Adapter, split: str) -> Iterable[Listed]:
    """Return the videos of a split; no video file is opened to count its frames. Raises DataError as `frames_of`."""
    groups = groups_of(adapter, split)
    if groups is None:
        return _by_video(frames_of(adapter, split))
    loose = [frame for group in groups if not isinstance(group, Clip) for frame in group]
    clips = [Listed(one.method, one.video, len(one.items) or None, one) for one in groups if isinstance(one, Clip)]
    return [*_by_video(loose), *clips]


def _by_video(frames: Iterable[Frame]) -> list[Listed]:
    videos: dict[str, tuple[Frame, int, list[str]]] = {}
    for frame in frames:
        first, count, paths = videos.get(frame.clip, (frame, 0, []))
        if not paths or paths[-1] != frame.locator.path:
            paths.append(frame.locator.path)
        videos[frame.clip] = (first, count + 1, paths)
    return [Listed(first.method, first.video, count, None, paths) for first, count, paths in videos.values()]


class Folders:
    """Names of the files in folders, each folder scanned once: a look-up for each file would take much longer."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, frozenset[str]] = OrderedDict()

    def names(self, folder: str) -> frozenset[str]:
        """Return the names of a folder's files, without its folders; empty if it cannot be read."""
        found = self._names.get(folder)
        if found is None:
            try:
                with os.scandir(folder) as entries:
                    found = frozenset(entry.name for entry in entries if not entry.is_dir())
            except OSError:
                found = frozenset()
            self._names[folder] = found
            if len(self._names) > FOLDERS:
                self._names.popitem(last=False)
        return found

    def absent(self, folder: str, names: Sequence[str]) -> list[str]:
        """Return those of some names that no file of the folder has."""
        there = self.names(folder)
        return [name for name in names if name not in there]


def any_there(adapter: Adapter, splits: Iterable[str]) -> bool:
    """Return whether any listed file of any of the splits exists; False if none of them can be listed."""
    folders = Folders()
    for split in splits:
        try:
            for video in listing(adapter, split):
                if any(len(folders.absent(folder, names)) < len(names) for folder, names in video.files()):
                    return True
        except M2F2BenchError:
            continue
    return False
