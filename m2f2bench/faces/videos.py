"""The faces of whole videos: found in some frames, followed, chosen, and given for every frame.

A frame's face depends on the dataset and the settings alone: not on which frames are judged, on the order in which they
are asked for, or on a run that was interrupted.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from ..cards.protocols import FrameSelection
from ..core.clips import Clip, Frames
from ..core.errors import FrameError
from ..core.records import Frame
from ..datasets.dataset import pick
from .choose import Choice, choose_tracks
from .face import Face
from .follow import Track, assigned, follow

if TYPE_CHECKING:
    from .crops import Crop

HELD = 6
"""Videos whose tracks and crops are kept in memory: those that are being read."""
PATIENCE = 8
"""Looks for which a person may be gone."""


class Listing:
    """Frames by video, in order. A video's frames are numbered from 0."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        """Group frames by their `clip`; those of one video need not follow each other."""
        self._videos: dict[str, list[Clip | Frame]] = {}
        for one in frames.clips if isinstance(frames, Frames) else frames:
            key = one.clip if isinstance(one, Frame) else f"{one.method}\0{one.video}"
            self._videos.setdefault(key, []).append(one)

    def video(self, key: str) -> Sequence[Frame]:
        """Return a video's frames, empty if there is no such video."""
        found = self._videos.get(key, [])
        if found and isinstance(found[0], Clip):
            return Frames([one for one in found if isinstance(one, Clip)])
        return [one for one in found if isinstance(one, Frame)]


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen in one frame: its worthy faces, the marked share of each, and their crops if they were cut.

    `failed` is why it could not be read.
    """

    faces: list[Face]
    marked: list[float] = field(default_factory=list)
    crops: list[Crop | None] = field(default_factory=list)
    failed: FrameError | None = None


@dataclass(eq=False)
class Story:
    """A video that was looked at: its frames' numbers by id, the looks by number, its tracks, and those chosen."""

    numbers: dict[str, int]
    looks: dict[int, Look]
    tracks: list[Track]
    chosen: list[Track]

    def face_at(self, frame: str, track: Track | None, seen: Callable[[], Look]) -> tuple[Face, Crop | None] | None:
        """Return a track's face in a frame, with its crop if it was cut; None if it is not there.

        `seen` looks at the frame, if it was not among the looks. Its faces are given to all tracks together. Raises
        FrameError if the frame cannot be read.
        """
        number = self.numbers[frame]
        look = self.looks.get(number)
        if look is not None:
            if look.failed is not None:
                raise look.failed
            face = track.faces.get(number) if track is not None else None
            if face is None:
                return None
            place = next(i for i, one in enumerate(look.faces) if one is face)
            return face, look.crops[place] if look.crops else None
        faces = seen().faces
        alive = [one for one in self.tracks if self.spans(one, number)]
        if track is None or track not in alive:
            return None
        given = assigned([one.between(number) for one in alive], faces)
        return next(((faces[i], None) for i, place in given.items() if alive[place] is track), None)

    def spans(self, track: Track, number: int) -> bool:
        """Return whether a track may have a face in this frame: between the looks before its first and after its last.

        Before the first look and after the last of the video, tracks go on.
        """
        looked = sorted(number for number, look in self.looks.items() if look.failed is None)
        first, last = next(iter(track.faces)), track.last
        before = max((one for one in looked if one < first), default=-1)
        after = min((one for one in looked if one > last), default=len(self.numbers))
        return before < number < after


class Stories:
    """Stories of videos, each made once: threads that need the same video share the work on it.

    `look` sees one frame. Frames are seen by threads of this object's own, in order, so that a video's decoder goes
    forward only.
    """

    def __init__(self, look: Callable[[Frame], Look], choice: Choice, looks: int | None, threads: int) -> None:
        """Prepare; `looks` frames of each video are looked at, evenly spread, all if None."""
        self._look, self._choice, self._looks, self._count = look, choice, looks, threads
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._made: OrderedDict[str, Future[Story]] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None

    def of(self, key: str, listed: Callable[[], Sequence[Frame]]) -> Story:
        """Return the story of a video, whose frames are `listed`. Raises what looking at one of them raised."""
        if self._process != os.getpid():  # a forked process has no threads of its parent's
            self._begin()
        with self._lock:
            future = self._made.get(key)
            mine = future is None
            if future is None:
                future = self._made[key] = Future()
            self._made.move_to_end(key)
            while len(self._made) > HELD:
                self._made.popitem(last=False)
        if mine:
            try:
                future.set_result(self._make(listed()))
            except BaseException as error:
                with self._lock:  # the next who asks tries again
                    if self._made.get(key) is future:
                        del self._made[key]
                future.set_exception(error)
        return future.result()

    def close(self) -> None:
        """End the threads, and forget all stories."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._made.clear()
        if pool is not None:
            pool.shutdown()

    def _make(self, frames: Sequence[Frame]) -> Story:
        numbers = {frame.id: number for number, frame in enumerate(frames)}
        wanted = looked_at(len(frames), self._looks)
        looks = dict(zip(wanted, self._seen([frames[number] for number in wanted]), strict=True))
        step = max((b - a for a, b in pairwise(wanted)), default=1)
        tracks = follow(((number, look.faces) for number, look in looks.items()), PATIENCE * step)
        marked = {
            track.number: sum(
                share
                for number in track.faces
                for face, share in zip(looks[int(number)].faces, looks[int(number)].marked, strict=False)
                if face is track.faces[number]
            )
            for track in tracks
        }
        return Story(numbers, looks, tracks, choose_tracks(tracks, self._choice, marked))

    def _seen(self, frames: Sequence[Frame]) -> list[Look]:
        if len(frames) == 1:
            return [self._look(frames[0])]
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="m2f2bench-faces")
            pool = self._pool
        futures = [pool.submit(partial(self._look, frame)) for frame in frames]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()


def looked_at(length: int, looks: int | None) -> list[int]:
    """Return the numbers of the frames that are looked at: as a protocol with `uniform` frames picks them."""
    selection = FrameSelection(which="all") if looks is None else FrameSelection(which="uniform", count=looks)
    return pick(selection, length)


def one_file(video: Sequence[Frame]) -> bool:
    """Return whether a video is one file with numbered frames."""
    if isinstance(video, Frames):
        return len(video.clips) == 1 and not isinstance(video.clips[0].items[0], str)
    return len({frame.locator.path for frame in video}) == 1


def absence(story: Story, scene: Frame, track: Track | None) -> str:
    """Return why there is no crop."""
    if track is None and not story.tracks:
        return "no face was found" + ("" if len(story.numbers) == 1 else " in the video")
    if track is None:
        return "no face was found in this frame"
    look = story.looks.get(story.numbers[scene.id])
    others = len(look.faces) if look is not None else 0
    return "the face of the video's person is not in this frame" + (f" ({others} others are)" if others else "")
