"""Videos as one record each, the frames of many videos as a list, and several frames that are judged together."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from .errors import DataError
from .frame_lists import FrameList
from .records import FAKE, REAL, Frame, Locator
from .text import in_utf8

ALONE = ("",)
"""The `items` of a clip that is one picture: the frame's id is the video's name."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One video and the names of its frames; a frame has one face, or is a whole picture.

    `items` are one of three things. Numbers are the frames of the file `place`: frame 7 has the id `<video>/0007` and
    the locator `(path, key, 7)`. Texts are files in the folder `place`, with the id `<video>/<item>` and the locator
    `path/item`; if `place` has a key, they are names in the container `place`, and `key + item` is the locator's key.
    `ALONE` is the file `place` itself, a single picture. The other fields are those of `Frame`.
    """

    video: str
    label: int
    method: str
    split: str
    identities: tuple[str, ...]
    place: Locator
    items: Sequence[int] | Sequence[str] = ALONE

    def __post_init__(self) -> None:
        if self.label not in (REAL, FAKE):
            raise ValueError(f"video '{self.video}': label {self.label!r} is neither 0 (real) nor 1 (fake)")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.items)

    def frame(self, position: int) -> Frame:
        """Return the frame at a position in `items`, from 0."""
        item, place = self.items[position], self.place
        if item == "":
            name = self.video
        elif isinstance(item, str):
            name = f"{self.video}/{item}"
            place = Locator(f"{place.path}/{item}") if place.key is None else Locator(place.path, place.key + item)
        else:
            name = f"{self.video}/{item:04d}"
            place = Locator(place.path, place.key, int(item))
        return Frame(name, self.video, self.label, self.method, self.split, self.identities, place)

    def names(self) -> Iterator[str]:
        """Yield the ids of the frames."""
        video = in_utf8(self.video)
        for item in self.items:
            if item == "":
                yield video
            else:
                yield f"{video}/{in_utf8(item)}" if isinstance(item, str) else f"{video}/{item:04d}"

    def pick(self, positions: Sequence[int]) -> Clip:
        """Return the clip with the frames at some positions alone."""
        if len(positions) == len(self.items):
            return self
        picked: Any = tuple(self.items[position] for position in positions)
        return replace(self, items=picked)


class Frames(FrameList):
    """The frames of clips, in order."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        """Make the list of the frames of `clips`; a clip without frames adds none."""
        self.clips = tuple(clip for clip in clips if len(clip))
        self._ends = list(accumulate(map(len, self.clips)))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._ends[-1] if self._ends else 0

    def frame(self, position: int) -> Frame:
        """See `FrameList.frame`."""
        number = bisect.bisect_right(self._ends, position)
        return self.clips[number].frame(position - self._start(number))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, each made anew."""
        for clip in self.clips:
            for position in range(len(clip)):
                yield clip.frame(position)

    def take(self, positions: Sequence[int]) -> Frames:
        """See `FrameList.take`; frames of one clip that follow each other stay one."""
        taken: list[Clip] = []
        here: list[int] = []
        current = -1
        for position in positions:
            number = current
            if current < 0 or not self._start(current) <= position < self._ends[current]:
                number = bisect.bisect_right(self._ends, position)
            if number != current and here:
                taken.append(self.clips[current].pick(here))
                here = []
            current = number
            here.append(position - self._start(number))
        if here:
            taken.append(self.clips[current].pick(here))
        return Frames(taken)

    def column(self, name: str) -> list[Any]:
        """See `FrameList.column`."""
        if name == "id":
            return [one for clip in self.clips for one in clip.names()]
        if name == "picture":
            return [""] * len(self)
        found: list[Any] = []
        for clip in self.clips:
            value = getattr(clip, name)
            if name == "identities":
                value = tuple(map(in_utf8, value))
            found += [in_utf8(value) if isinstance(value, str) else value] * len(clip)
        return found

    def labels(self) -> Iterator[tuple[str, int]]:
        """See `FrameList.labels`."""
        return ((in_utf8(clip.video), clip.label) for clip in self.clips)

    def examples(self) -> Iterator[Frame]:
        """See `FrameList.examples`."""
        return (clip.frame(0) for clip in self.clips)

    def by_method(self) -> list[int]:
        """See `FrameList.by_method`."""
        order = sorted(range(len(self.clips)), key=lambda i: (self.clips[i].label, self.clips[i].method))
        return [position for i in order for position in range(self._start(i), self._ends[i])]

    def repeated(self) -> str:
        """See `FrameList.repeated`; most lists are told to have none by their clips."""
        videos = {in_utf8(clip.video) for clip in self.clips}
        plain = len(videos) == len(self.clips) and not any("/" in item or not item.isascii() for item in self._texts())
        if plain and all(len(set(clip.items)) == len(clip.items) for clip in self.clips):
            alone = {in_utf8(clip.video) for clip in self.clips if tuple(clip.items) == ALONE}
            if not alone or len(alone) == len(self.clips):
                return ""
        return super().repeated()

    def _texts(self) -> Iterator[str]:
        return (item for clip in self.clips for item in clip.items if isinstance(item, str))

    def _start(self, number: int) -> int:
        return self._ends[number - 1] if number else 0


@dataclass(frozen=True, slots=True)
class ClipFrame(Frame):
    """Several frames of one video that are judged together: one row, whose id names them all.

    `parts` are the frames in time order. A video with fewer frames than a clip needs gives its last ones again.
    """

    parts: tuple[Frame, ...] = ()


def join_clips(frames: Sequence[Frame], length: int) -> list[Frame]:
    """Return clips of `length` frames each, in the order of their videos' first frames.

    The frames of a video are cut into clips one after the other; the last clip ends with the last frame, so it may
    share frames with the one before. A video with fewer frames than `length` is one clip, in which the last frame is
    repeated. Raises DataError if a picture of a video has several faces: they are no sequence.
    """
    videos: dict[str, list[Frame]] = {}
    for frame in frames:
        if frame.picture:
            raise DataError(
                f"picture '{frame.picture}' of video '{frame.video}' has several faces, and a clip is of one person: "
                "choose one face (--faces)"
            )
        videos.setdefault(frame.clip, []).append(frame)
    found: list[Frame] = []
    for video in videos.values():
        starts = [*range(0, max(1, len(video) - length + 1), length)]
        if len(video) > starts[-1] + length:
            starts.append(len(video) - length)
        for start in starts:
            parts = video[start : start + length]
            parts += parts[-1:] * (length - len(parts))
            found.append(_joined(parts))
    return found


def _joined(parts: Sequence[Frame]) -> ClipFrame:
    """Return a clip. Its id is the first frame's, and `+` with what differs at the end of each other frame's id."""
    first = parts[0]
    names = list(dict.fromkeys(part.id for part in parts))
    folder = first.id.rpartition("/")[0]
    shared = f"{folder}/" if folder and all(name.startswith(f"{folder}/") for name in names) else ""
    name = "+".join([names[0], *(one.removeprefix(shared) for one in names[1:])])
    people = tuple(dict.fromkeys(person for part in parts for person in part.identities))
    return ClipFrame(
        name, first.video, first.label, first.method, first.split, people, first.locator, parts=tuple(parts)
    )
