"""Base of dataset adapters, which list frames and read them."""

from __future__ import annotations

import abc
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast, get_args

from pydantic import BaseModel, ConfigDict

from ..core.clips import Clip, Frames
from ..core.errors import DataError, near
from ..core.records import FAKE, JUDGE, JUDGE_QUESTION, SPLITS, Frame, Question

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeVar

    from ..core.records import Image
else:
    from typing import TypeVar

log = logging.getLogger("m2f2bench")
R = TypeVar("R")
Sampler = Callable[[int], Sequence[int]]
"""A function from a video's number of frames to the wanted indices, in ascending order."""


class AdapterOptions(BaseModel):
    """Base of the `options` of a dataset's card. Unknown keys are refused."""

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Names of options that decide neither the list of frames nor their pixels (such as a cache's place)."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Names of options that a released adapter got later: at their defaults, rows from before them stay valid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def content(self) -> dict[str, Any]:
        """Return what decides the frames and their pixels, as JSON values: two datasets that differ in it are two."""
        kept = self.model_dump(mode="json", exclude_defaults=True)
        found = self.model_dump(mode="json", exclude=set(self.incidental))
        return {name: value for name, value in found.items() if name not in self.later or name in kept}


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
    def frames(self, split: str) -> Sequence[Frame]:
        """Return all frames of a split in order; the frames of one video together, in time order."""

    @abc.abstractmethod
    def read(self, frame: Frame) -> Image:
        """Return the pixels of a frame: RGB, uint8, [H, W, 3]. Raises `FrameError` if it cannot be read.

        A picture outside the limits of `datasets.limits` (at least 8 pixels per side, at most 50 million) is refused.
        """

    def holds(self, split: str) -> bool:
        """Return whether there is such a split; a class whose splits depend on its files overrides this."""
        return split in self.splits

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames of a split that `sampler` picks from each video; faces of one picture stay together.

        An adapter that knows its videos' lengths without listing every frame can override this.
        """
        return picked(self.frames(split), sampler)

    def digest(self, frame: Frame, image: Image) -> str:
        """Return a short hash (hex) of what was judged: of the pixels, in a file-based adapter of the file's bytes."""
        import numpy as np

        return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()

    def data(self, frame: Frame) -> bytes | None:
        """Return the bytes of the image file that a frame is, wherever they are stored; None if it is no image file.

        That is None for a frame of a video, and for stored pixels. From these bytes an audit reads a picture's type,
        size and JPEG settings. Raises `FrameError` if they cannot be read.
        """
        return None

    def stamp(self, frame: Frame) -> str:
        """Return a short text that changes whenever the frame's pixels may have changed, without reading them.

        Empty if that is unknown, as here: stored results of the frame are then used again only after it was read again
        and has the same digest. Adapters of files use the file's size and times.
        """
        return ""

    def mask_stamp(self, frame: Frame) -> str | None:
        """Return a short text that changes whenever the frame's mask may have changed, without reading it.

        Empty if the frame has no mask; None if it is unknown, as here. By it crops are kept whose face a mask chose.
        """
        return None

    def fits(self) -> bool:
        """Return whether the root looks like this adapter's layout with these options, by names of files alone.

        It must be quick, must not raise for any folder, and must be False for a folder of another layout: by it a
        folder that is given without a card is recognised.
        """
        return False

    def choices(self) -> tuple[str, ...]:
        """Return the methods of which `CARD@METHOD` chooses: those of the option `methods`. Empty if any is allowed."""
        return tuple(getattr(self.options, "methods", None) or ())

    def remarks(self, split: str) -> list[str]:
        """Return what a user should know of how a split was listed, one line each: rows left out, with their number."""
        return []

    def groups(self, split: str) -> Sequence[Clip | Sequence[Frame]] | None:
        """Return the videos of a split without opening any, as clips and lists of frames; None if only `frames` knows.

        A clip with the items `()` is a video file whose frames are not counted.
        """
        return None

    def lacking(self, split: str) -> list[str]:
        """Return the listed videos of a split that their container file does not have; it is opened, nothing decoded.

        Only for containers of many videos or pictures: files that do not exist are found without it.
        """
        return []

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """Return the questions of a split; `kind` is `blind`, `released` or `judge`. Empty for most datasets."""
        return []

    def answer_rows(self, split: str, kind: str = "blind") -> dict[str, tuple[str, ...]]:
        """Return the answers of questions, by id, as often as the dataset's own training file has them.

        Questions whose references stand there once each are left out. Empty for most datasets.
        """
        return {}

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Return the manipulated regions of each face (`skin`, `eyes` …) by frame id; empty for a real frame.

        Frames without this information are left out. Most datasets do not have it.
        """
        return {}

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the manipulated pixels, bool [H, W]; None if the dataset has no masks."""
        return None

    def has_masks(self) -> bool:
        """Return whether some frames may have masks; here whether the class has a `mask` of its own."""
        return type(self).mask is not Adapter.mask

    def landmarks(self, frame: Frame) -> npt.NDArray[np.float64] | None:
        """Return landmarks of the frame's face in pixels (x, y), [K, 2]; None if it has none.

        81, 68 or five in the usual order (`faces.face.POINTS`); of another number the hull alone is used.
        """
        return None

    def has_landmarks(self) -> bool:
        """Return whether some frames may have landmarks; here whether the class has a `landmarks` of its own."""
        return type(self).landmarks is not Adapter.landmarks

    def close(self) -> None:
        """Close open files. Using the adapter afterwards opens them again."""
        return None


class ClipAdapter(Adapter[OptionsT]):
    """Base of adapters that list videos, not frames: a million frames then take little time and memory.

    A subclass implements `clips` and `read`.
    """

    @abc.abstractmethod
    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split in order, each once. Raises `DataError` as `frames` does."""

    def groups(self, split: str) -> Sequence[Clip | Sequence[Frame]]:
        """Return the videos of a split: those of `clips`, unless a subclass can list them with less work."""
        return self.clips(split)

    def frames(self, split: str) -> Sequence[Frame]:
        """Return all frames of a split, by video; see `clips`."""
        return Frames(self.clips(split))

    def sample(self, split: str, sampler: Sampler) -> Sequence[Frame]:
        """Return the frames that `sampler` picks from each video."""
        return Frames([clip.pick(sampler(len(clip))) for clip in self.clips(split)])


def picked(frames: Iterable[Frame], sampler: Sampler) -> list[Frame]:
    """Return the frames that `sampler` picks from each video; faces of one picture stay together."""
    videos: dict[str, dict[str, list[Frame]]] = {}
    for frame in frames:
        videos.setdefault(frame.clip, {}).setdefault(frame.picture or frame.id, []).append(frame)
    chosen = []
    for pictures in videos.values():
        listed = list(pictures.values())
        chosen += [frame for i in sampler(len(listed)) for frame in listed[i]]
    return chosen


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


def check_split(owner: str, split: str, splits: Sequence[str], use: str = "") -> None:
    """Raise DataError unless `split` is one of the `splits` of `owner`; `use` says what it is for (", on which …")."""
    if split not in splits:
        raise DataError(f"{owner} has no split '{split}'{use}{near(split, splits)}")
