"""Dataset adapter of the synthetic faces."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...core.errors import DataError, FrameError, near
from ...core.memo import frame_stamp
from ...core.records import FAKE, ORIGINAL, REAL, Frame, Locator, Question
from ..base import Adapter, check_split, judge_questions
from .cache import Opened, cache_folder, open_split
from .draw import FRAMES, SyntheticOptions, Video, plan
from .faces import draw_features, draw_poses
from .landmarks import landmarks
from .questions import KINDS, ask, asked_frame
from .render import touched

if TYPE_CHECKING:
    from ...core.records import Image


class SyntheticAdapter(Adapter[SyntheticOptions]):
    """Faces and forgeries drawn from a seed; needs no root. Pixels are drawn when the first frame is read.

    Options: see `SyntheticOptions`. Frames are named `<method>/<clip>/<number>`, e.g. `swap/t003_1/02`, and every
    forged video has the real one's clip name, so that `original/t003_1` is what `swap/t003_1` was made from.
    """

    def __init__(self, root: Path | None = None, options: SyntheticOptions | None = None) -> None:
        """Prepare an adapter; `root` is not used."""
        super().__init__(None, options)
        self._lock = threading.Lock()
        self._opened: dict[str, Opened] = {}
        self._plans: dict[str, dict[str, Video]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make an adapter with the same options: another process opens its own arrays and lock."""
        return type(self), (self.root, self.options)

    def frames(self, split: str) -> list[Frame]:
        """Return all frames of a split, from the options alone. Raises DataError for an unknown split."""
        check_split("the synthetic dataset", split, self.splits)
        path = str(cache_folder(self.options) / split / FRAMES)
        count = self.options.frames_per_video
        return [
            Frame(
                id=f"{video.name}/{number:02d}",
                video=video.name,
                label=REAL if video.method == ORIGINAL else FAKE,
                method=video.method,
                split=split,
                identities=video.identities,
                locator=Locator(path, index=video.row + number),
            )
            for video in plan(self.options, split)
            for number in range(count)
        ]

    def read(self, frame: Frame) -> Image:
        """Return the frame's pixels after compression; the first call for a split draws it, unless it is cached."""
        return np.array(self._open(frame.split).frames[self._row(frame)])

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the drawn file's path, size and times; empty before it is drawn."""
        return frame_stamp(frame.locator) if type(self).read is SyntheticAdapter.read else ""

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_]:
        """Return the pixels altered before noise and compression, bool [H, W]; all False for a real frame."""
        size = self.options.size
        bits = np.unpackbits(self._open(frame.split).masks[self._row(frame)], count=size * size)
        return bits.reshape(size, size).astype(np.bool_)

    def landmarks(self, frame: Frame) -> npt.NDArray[np.float64]:
        """Return the 81 landmarks of the frame's face, float64 [81, 2]; nothing is read. A fake has those of its real.

        Raises FrameError for a frame of another dataset.
        """
        if frame.split not in self._plans:
            self._plans[frame.split] = {one.name: one for one in plan(self.options, frame.split)}
        video = self._plans[frame.split].get(frame.video)
        number = -1 if video is None or frame.locator.index is None else frame.locator.index - video.row
        if video is None or not 0 <= number < self.options.frames_per_video:
            raise FrameError(frame.id, f"is not in the synthetic dataset's split '{frame.split}'")
        seed, count = self.options.seed, self.options.frames_per_video
        pose = draw_poses(seed, video.clip, count)[number]
        return landmarks(draw_features(seed, video.target), pose, self.options.size)

    def notes(self, video: str, split: str) -> dict[str, Any]:
        """Return notes on a forged video: `strength` in [0, 1], and `regions`, the altered share of each region."""
        return dict(self._open(split).notes[video])

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return DD-VQA-like questions about the middle frame of each video, see `questions.py`; one of kind `judge`.

        Raises DataError for an unknown kind.
        """
        if kind not in KINDS:
            raise DataError(f"the synthetic dataset has no questions of kind '{kind}'{near(kind, KINDS)}")
        frames = self.frames(split)
        if kind == "judge":
            return judge_questions(f for f in frames if f.id == asked_frame(self.options, f.video))
        return ask(self.options, split, kind, self._open(split).notes)

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the regions that a forgery touched, for every frame, without the region `image`."""
        notes = self._open(split).notes
        regions = {video: frozenset(touched(note["regions"])) - {"image"} for video, note in notes.items() if note}
        return {f.id: regions[f.video] if f.label == FAKE else frozenset() for f in self.frames(split)}

    def close(self) -> None:
        """Close the open arrays."""
        with self._lock:
            self._opened.clear()

    def _open(self, split: str) -> Opened:
        check_split("the synthetic dataset", split, self.splits)
        with self._lock:
            if split not in self._opened:
                self._opened[split] = open_split(self.options, split)
            return self._opened[split]

    def _row(self, frame: Frame) -> int:
        row = frame.locator.index
        if row is None or not 0 <= row < len(self._open(frame.split).frames):
            raise FrameError(frame.id, f"is not in the synthetic dataset's split '{frame.split}'")
        return row
