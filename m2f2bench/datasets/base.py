"""Base of dataset adapters, which list frames and read them; they know nothing about detectors."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast, get_args

from pydantic import BaseModel, ConfigDict

from ..core.records import FAKE, JUDGE, JUDGE_QUESTION, SPLITS, Frame, Question
from .calls import frames_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeVar

    from ..core.records import Image
else:
    from typing import TypeVar

Sampler = Callable[[int], Sequence[int]]
"""A function from a video's number of frames to the wanted indices, in ascending order."""


class AdapterOptions(BaseModel):
    """Base of the `options` of a dataset's card. Unknown keys are refused."""

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Names of options that decide neither the list of frames nor their pixels (such as a cache's place)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


if TYPE_CHECKING:  # the default needs Python 3.13, or a package that is installed for type checkers only
    OptionsT = TypeVar("OptionsT", bound=AdapterOptions, covariant=True, default=AdapterOptions)
else:
    OptionsT = TypeVar("OptionsT", bound=AdapterOptions, covariant=True)


class Adapter(abc.ABC, Generic[OptionsT]):
    """A dataset on disk (or drawn by code) as frames.

    A subclass implements `frames` and `read`. Listing must be fast and must not decode pixels; it raises `DataError`
    for a dataset that is missing or incomplete. `read` raises `FrameError` for one bad frame. Objects are used from
    several threads and are pickled to worker processes, so open handles are kept per process. A subclass with options
    names their type: `class Mine(Adapter[MyOptions])`.
    """

    Options: ClassVar[type[AdapterOptions]] = AdapterOptions
    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Take `Options` from the class's base, `Adapter[MyOptions]`, unless the class sets it itself."""
        super().__init_subclass__(**keywords)
        given = [one for base in cls.__dict__.get("__orig_bases__", ()) for one in get_args(base)]
        for one in given:
            if isinstance(one, type) and issubclass(one, AdapterOptions) and "Options" not in cls.__dict__:
                cls.Options = one

    def __init__(self, root: Path | None = None, options: OptionsT | None = None) -> None:
        """Make an adapter for the folder `root` (None for a dataset without files) and a card's `options`."""
        self.root = root
        self.options = options if options is not None else cast("OptionsT", self.Options())

    @abc.abstractmethod
    def frames(self, split: str) -> list[Frame]:
        """Return all frames of a split in order; the frames of one video together, in time order."""

    @abc.abstractmethod
    def read(self, frame: Frame) -> Image:
        """Return the pixels of a frame: RGB, uint8, [H, W, 3]. Raises `FrameError` if it cannot be read.

        A picture outside the limits of `datasets.limits` (at least 8 pixels per side, at most 50 million) is refused.
        """

    def holds(self, split: str) -> bool:
        """Return whether there is such a split; a class whose splits depend on its files overrides this."""
        return split in self.splits

    def sample(self, split: str, sampler: Sampler) -> list[Frame]:
        """Return the frames of a split that `sampler` picks from each video; faces of one picture stay together.

        An adapter that knows its videos' lengths without listing every frame can override this.
        """
        videos: dict[str, dict[str, list[Frame]]] = {}
        for frame in frames_of(self, split):
            videos.setdefault(frame.clip, {}).setdefault(frame.picture or frame.id, []).append(frame)
        chosen = []
        for pictures in videos.values():
            listed = list(pictures.values())
            chosen += [frame for i in sampler(len(listed)) for frame in listed[i]]
        return chosen

    def digest(self, frame: Frame, image: Image) -> str:
        """Return a short hash (hex) of what was judged: of the pixels, in a file-based adapter of the file's bytes."""
        import numpy as np

        return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()

    def stamp(self, frame: Frame) -> str:
        """Return a short text that changes whenever the frame's pixels may have changed, without reading them.

        Empty if that is unknown, as here: stored results of the frame are then used again only after it was read again
        and has the same digest. Adapters of files use the file's size and times.
        """
        return ""

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the questions of a split; `kind` is `blind`, `released` or `judge`. Empty for most datasets."""
        return []

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the manipulated regions of each face (`skin`, `eyes` …) by frame id; empty for a real frame.

        Frames without this information are left out. Most datasets do not have it.
        """
        return {}

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the manipulated pixels, bool [H, W]; None if the dataset has no masks."""
        return None

    def close(self) -> None:
        """Close open files. Using the adapter afterwards opens them again."""
        return None


def judge_questions(frames: Iterable[Frame]) -> list[Question]:
    """Return a question for each frame that asks only for the verdict (M2F2-Det's evaluation); ids `<frame>_judge`."""
    return [
        Question(
            id=f"{frame.id}_judge",
            frame=frame.id,
            text=JUDGE_QUESTION,
            references=(f"The image is {'fake' if frame.label == FAKE else 'real'}.",),
            region="image",
            label=frame.label,
            kind=JUDGE,
        )
        for frame in frames
    ]
