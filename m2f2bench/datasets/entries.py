"""Images listed by a folder tree or a manifest, with their labels and names, and their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ..core.errors import DataError
from ..core.records import FAKE, ORIGINAL, REAL, Frame, Locator

LABELS = {"real": REAL, "fake": FAKE}
NO_METHOD = "fake"
"""The method of a fake without a given method."""

NaturalKey = tuple[list[tuple[str, int, str]], str]


def natural(text: str) -> NaturalKey:
    """Return a sort key under which frame_2 comes before frame_10; different texts have different keys."""
    key = []
    for between, number in re.findall(r"([^0-9]*)([0-9]*)", text):
        digits = number.lstrip("0")  # a number as its length and its digits: there may be any number of these
        key.append((between, len(digits), digits))
    return key, text


def people(text: str) -> tuple[str, ...]:
    """Return the identities that are joined by `+` in a text, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split("+") if part.strip()))


@dataclass(frozen=True)
class Entry:
    """One image with its label and names; `where` is its place in an error message.

    `times` is its time in the video, the first counts most; None if unknown.
    """

    id: str
    path: Path
    label: int
    split: str
    where: str
    method: str = ""
    video: str = ""
    identities: tuple[str, ...] = ()
    picture: str = ""
    times: tuple[Decimal | None, ...] = ()

    def frame(self) -> Frame:
        """Return the frame; see `FolderAdapter` for its method and video. Raises `DataError`."""
        if self.label == FAKE and self.method == ORIGINAL:
            raise DataError(
                f"{self.where}: a fake has the method '{ORIGINAL}', which is reserved for real images; rename it"
            )
        method = ORIGINAL if self.label == REAL else self.method or NO_METHOD
        origin = f"{ORIGINAL}/{self.method}" if self.label == REAL and self.method not in ("", ORIGINAL) else method
        video = self.id
        if self.video:
            video = self.video if self.video.startswith(f"{origin}/") else f"{origin}/{self.video}"
        # A picture's name is unique only within its video.
        picture = f"{video}/{self.picture}" if self.picture else ""
        return Frame(self.id, video, self.label, method, self.split, self.identities, Locator(str(self.path)), picture)


def in_time(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries by video and, within a video, by time; the order of the list does not matter.

    A video's pictures are ordered by their times; without times, by the names of the pictures that the faces are cut
    from; without these, by the names of the files. Names are in natural order. Raises `DataError` for a video in which
    only some pictures have a time, and for a picture with two times.
    """
    videos: dict[str, list[tuple[Entry, Frame]]] = {}
    for entry in entries:
        frame = entry.frame()
        videos.setdefault(frame.video, []).append((entry, frame))
    ordered: list[Entry] = []
    for name in sorted(videos, key=natural):
        group = [entry for entry, _ in videos[name]]
        _check_times(group, name)
        pictured = all(entry.picture for entry in group)
        ordered += sorted(group, key=_time if not pictured else _time_of_picture)
    return ordered


def _time(entry: Entry) -> tuple[list[Decimal], NaturalKey]:
    return [time for time in entry.times if time is not None], natural(entry.id)


def _time_of_picture(entry: Entry) -> tuple[list[Decimal], NaturalKey, NaturalKey]:
    times, name = _time(entry)
    return times, natural(entry.picture), name


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
