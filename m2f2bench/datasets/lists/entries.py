"""Images and videos listed by a folder tree or a manifest, with their labels and names, and their order in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.pictures import Pictures
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ...core.text import in_utf8, split_people
from ..files.folders import NaturalKey, natural
from ..files.video import VIDEO_SUFFIXES

LABELS = {"real": REAL, "fake": FAKE}
NO_METHOD = "fake"
"""The method of a fake without a given method."""
NO_TIMES: tuple[None, ...] = (None, None)
"""The times of a frame without any: see `Entry.times`."""


def people(text: str) -> tuple[str, ...]:
    """Return the identities that are joined by `+` in a text, each once."""
    return tuple(dict.fromkeys(part.strip() for part in split_people(text) if part.strip()))


@dataclass(slots=True)
class Entry:
    """One image or video file with its label and names.

    `line` is its place in the list `source`, 0 if it is in none. `times` is its time in the video, the first counts
    most; None if unknown. `mask` is the file of its mask.
    """

    id: str
    path: str
    label: int
    split: str
    method: str = ""
    video: str = ""
    identities: tuple[str, ...] = ()
    picture: str = ""
    times: tuple[Decimal | None, ...] = NO_TIMES
    mask: str = ""
    line: int = 0
    source: Path | None = None

    @property
    def where(self) -> str:
        """Its place in an error message."""
        return f"manifest '{self.source}' line {self.line}" if self.line else f"'{self.path}'"

    @property
    def is_video(self) -> bool:
        """Whether it is a video file, by its name."""
        return self.path[self.path.rfind(".") :].lower() in VIDEO_SUFFIXES

    def clip(self) -> Clip:
        """Return the clip of a video file, whose frames are to be counted. Raises `DataError`."""
        video, method = self.names()
        return Clip(video, self.label, method, self.split, self.identities, Locator(self.path), ())

    def group(self) -> str:
        """Return the name of the frame's video. Raises `DataError`."""
        name = self.names()[0]
        return name if name.isascii() else in_utf8(name)

    def names(self) -> tuple[str, str]:
        """Return the names of the video and of the method; see `FolderAdapter`. Raises `DataError`."""
        if self.label == FAKE and self.method == ORIGINAL:
            raise DataError(
                f"{self.where}: a fake has the method '{ORIGINAL}', which is reserved for real images; rename it"
            )
        method = ORIGINAL if self.label == REAL else self.method or NO_METHOD
        video = self.id
        if self.video:
            origin = f"{ORIGINAL}/{self.method}" if self.label == REAL and self.method not in ("", ORIGINAL) else method
            video = self.video if self.video.startswith(f"{origin}/") else f"{origin}/{self.video}"
        return video, method


class PictureColumns:
    """Columns of the images of one split, of which entries are added one by one; videos in the order of their first."""

    def __init__(self, split: str) -> None:
        self._split = split
        self._columns: dict[str, list[Any]] = {
            name: [] for name in ("id", "video", "label", "method", "identities", "picture", "paths")
        }
        self.numbers: list[int] = []
        """The number of each image's video."""

    def add(self, entry: Entry, video: str, method: str, number: int) -> None:
        """Add an image's entry, with the names of its video and its method, and the number of its video."""
        # A picture's name is unique only within its video.
        picture = f"{video}/{entry.picture}" if entry.picture else ""
        values = (entry.id, video, entry.label, method, entry.identities, picture, entry.path)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self.numbers.append(number)

    def pictures(self) -> Pictures:
        """Return the images by video."""
        columns: dict[str, Any] = dict(self._columns)
        ids, paths = columns["id"], columns.pop("paths")
        folder = paths[0].removesuffix(ids[0]) if paths else ""
        if any(path != folder + name for path, name in zip(paths, ids, strict=True)):
            columns["paths"] = paths
        if not any(columns["picture"]):
            columns["picture"] = None
        found = Pictures(self._split, folder, **columns)
        order = sorted(range(len(ids)), key=self.numbers.__getitem__)
        self.numbers.sort()
        return found if order == list(range(len(ids))) else found.take(order)


def in_time(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries by video and, within a video, by time; the order of the list does not matter.

    A video's pictures are ordered by their times; without times, by the names of the pictures that the faces are cut
    from; without these, by the names of the files. Names are in natural order. Raises `DataError` for a video in which
    only some pictures have a time, and for a picture with two times.
    """
    videos: dict[str, Entry | list[Entry]] = {}
    for entry in entries:
        name = entry.group()
        others = videos.setdefault(name, entry)  # a list only for several: most lists name each picture a video
        if others is not entry:
            if isinstance(others, list):
                others.append(entry)
            else:
                videos[name] = [others, entry]
    ordered: list[Entry] = []
    for name in sorted(videos, key=natural):
        group = videos[name]
        if isinstance(group, Entry):
            ordered.append(group)
            continue
        _check_times(group, name)
        pictured = all(entry.picture for entry in group)
        ordered += sorted(group, key=partial(_place, pictured=pictured))
    return ordered


def _place(entry: Entry, pictured: bool) -> tuple[list[Decimal], NaturalKey, NaturalKey]:
    times = [time for time in entry.times if time is not None]
    return times, natural(entry.picture if pictured else ""), natural(entry.id)


def _check_times(group: Sequence[Entry], video: str) -> None:
    """Raise DataError if a video's frames cannot be ordered by their times."""
    first = group[0]
    known = [time is not None for time in first.times]
    pictures: dict[str, Entry] = {}
    for entry in group:
        if [time is not None for time in entry.times] != known:
            raise DataError(
                f"{entry.where}: '{entry.id}' and '{first.id}' of video '{video}' do not both have a time or an index; "
                "give it to all frames of a video or to none"
            )
        if entry.picture and pictures.setdefault(entry.picture, entry).times != entry.times:
            raise DataError(
                f"{entry.where}: picture '{entry.picture}' of video '{video}' has another time than in "
                f"{pictures[entry.picture].where}; the faces of one picture have one time"
            )
