"""What a dataset adapter is: it lists frames and reads them. Adapters know records and nothing of detectors."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, cast, get_args

from pydantic import BaseModel, ConfigDict

from ..core.records import FAKE, JUDGE, JUDGE_QUESTION, SPLITS, Frame, Question
from .listing import frames_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeVar

    from ..core.records import Image
else:
    from typing import TypeVar

Sampler = Callable[[int], Sequence[int]]
"""From a video's number of frames to the indices that are wanted, in ascending order."""


class AdapterOptions(BaseModel):
    """The `options` of a card; an adapter with options of its own subclasses this. Unknown keys are refused."""

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Names of options that decide neither which frames there are nor their pixels (where a cache lies)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


if TYPE_CHECKING:  # a default needs Python 3.13, or a package that is wanted for type checkers alone
    OptionsT = TypeVar("OptionsT", bound=AdapterOptions, covariant=True, default=AdapterOptions)
else:
    OptionsT = TypeVar("OptionsT", bound=AdapterOptions, covariant=True)


class Adapter(abc.ABC, Generic[OptionsT]):
    """A dataset on disk (or drawn by code) as frames.

    A subclass implements `frames` and `read`. Listing must be cheap and must not decode pixels; it raises
    `DataError` for a dataset that is not there or not whole. `read` raises `FrameError` for one bad frame. Objects
    are used from several threads and are pickled to worker processes, so open handles are kept per process.
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
        """`root` is the dataset's folder (None for a dataset that needs none); `options` from its card."""
        self.root = root
        self.options = options if options is not None else cast("OptionsT", self.Options())

    @abc.abstractmethod
    def frames(self, split: str) -> list[Frame]:
        """All frames of a split, ordered; the frames of one video together, in time order."""

    @abc.abstractmethod
    def read(self, frame: Frame) -> Image:
        """The pixels of a frame: RGB, uint8, [H, W, 3]. Raises `FrameError` if it cannot be read.

        A picture over the limits of `adapters.limits` (8 pixels a side, 50 million in all) counts as one that cannot.
        """

    def holds(self, split: str) -> bool:
        """Whether there is such a split; a class whose splits depend on what lies on disk says it of this dataset."""
        return split in self.splits

    def sample(self, split: str, sampler: Sampler) -> list[Frame]:
        """The frames of a split that `sampler` picks from each video; several faces of one picture go together.

        An adapter that knows its videos' lengths without listing every frame overrides this.
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
        """A short hash (hex) of what was judged; here of the pixels, in a file-based adapter of the file's bytes."""
        import numpy as np

        return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()

    def stamp(self, frame: Frame) -> str:
        """A short text that changes whenever the frame's pixels may have changed, told without reading them.

        Empty where that cannot be told, as here: what was found out about the frame is then only taken up again after
        it has been read once more and its digest is the same. Adapters over files know it from size and times.
        """
        return ""

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        """The questions of a split, `kind` being `blind`, `released` or `judge`. Most datasets have none."""
        return []

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        """Which regions of a face (`skin`, `eyes` …) are manipulated, by frame id; empty for a real frame.

        A frame of which that is not known is not in it. Most datasets know of none.
        """
        return {}

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """The manipulated pixels, bool [H, W]; None where the dataset has no masks."""
        return None

    def close(self) -> None:
        """Give back open files. Using the adapter afterwards opens them again."""
        return None


def judge_questions(frames: Iterable[Frame]) -> list[Question]:
    """A question for each frame that asks for the verdict alone, as M2F2-Det's evaluation does; ids `<frame>_judge`."""
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
