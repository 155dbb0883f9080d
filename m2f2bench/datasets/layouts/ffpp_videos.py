"""FaceForensics++ and DFD as they are downloaded: video files of whole scenes, and the videos of their masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, Frame, Locator
from ..base import AdapterOptions, check_split
from .pairs import listed_keys, read_pairs
from .whole_videos import (
    INNER,
    WholeVideoAdapter,
    first_names,
    has_videos,
    is_file,
    is_folder,
    refuse_absent,
    videos_in,
)

METHODS = (ORIGINAL, "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
SPLIT_FOLDERS = ("splits", "FFPP_split", "dataset/splits")
"""Where split lists are looked for, below the root; the last is their place in the dataset's repository."""
DFD = "DeepFakeDetection"
ORIGINALS, MANIPULATED = "original_sequences", "manipulated_sequences"
_ACTORS = re.compile(r"(\d+)(?:_(\d+))?(?:__|$)", re.ASCII)


class CompressedOptions(AdapterOptions):
    """Options: `compression` is the folder of the videos' quality."""

    compression: Literal["raw", "c23", "c40"] = "c23"
    """The quality: `raw`, `c23` (high) or `c40` (low)."""


class FFPPVideoOptions(CompressedOptions):
    """Options: `compression` and `methods` choose the videos, `splits` is the folder of the split lists.

    These are train.json, val.json and test.json. The folder is relative to the root; without the option it is
    `splits`, `FFPP_split` or `dataset/splits`, the first that is there.
    """

    methods: tuple[str, ...] = Field(default=METHODS, min_length=1)
    """`original` and manipulations that are used."""
    splits: str | None = None
    """The folder of train.json, val.json and test.json."""


CompressedT = TypeVar("CompressedT", bound=CompressedOptions, covariant=True)


class _Sequences(WholeVideoAdapter[CompressedT]):
    """The tree of folders that both have: `<originals or manipulation>/<compression>/videos`, and masks beside it."""

    holds_what = f"{ORIGINALS} and {MANIPULATED}"
    originals = "youtube"
    fakes: tuple[str, ...] = ()

    def folder(self) -> Path:
        """Return the root. Raises `DataError` if there is none, or if it is of another layout."""
        root = super().folder()
        if not any(is_folder(root / name) for name in (ORIGINALS, MANIPULATED)):
            has = ", ".join(sorted(first_names(root))[:4]) or "nothing"
            raise DataError(f"'{root}' has neither {ORIGINALS} nor {MANIPULATED}, but {has}: is it another dataset?")
        return root

    def fits(self) -> bool:
        """Return whether the root has videos of this compression in a folder of these originals or manipulations."""
        root = self.root
        return root is not None and any(has_videos(self._videos(root, one)) for one in (ORIGINAL, *self.fakes))

    def mask_place(self, frame: Frame) -> Locator | None:
        """Return the frame of the mask's video, white where a fake is manipulated; None if there is none."""
        if frame.label == REAL:
            return None
        path = self.folder() / MANIPULATED / frame.method / "masks" / INNER / Path(frame.locator.path).name
        return Locator(str(path), None, frame.locator.index) if is_file(path) else None

    def _videos(self, root: Path, method: str) -> Path:
        """Return the folder of a method's videos (`original`: of the real ones)."""
        top = root / ORIGINALS / self.originals if method == ORIGINAL else root / MANIPULATED / method
        return top / self.options.compression / INNER

    def _need(self, method: str, fix: str) -> Path:
        """Return the folder of a method's videos. Raises DataError, with a `fix`, if it does not exist."""
        folder = self._videos(self.folder(), method)
        if not is_folder(folder):
            raise DataError(f"no folder '{folder}' with the {self.options.compression} videos of {method}: {fix}")
        return folder


class FFPPVideoAdapter(_Sequences[FFPPVideoOptions]):
    """FaceForensics++: `original_sequences/youtube/<compression>/videos/A.mp4`, `manipulated_sequences/<method>/...`.

    A split list is a list of pairs; (A, B) stands for the real videos A and B and, for each manipulation, the fakes A_B
    (A with the face of B) and B_A. A listed video that is missing stays as one frame that fails when it is read.
    """

    fakes = METHODS[1:]

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the listed videos, in the order of the methods and then by name.

        Raises `DataError` for a list that is missing or damaged, for a method without a folder, and for a folder with
        none of the listed videos.
        """
        check_split("FaceForensics++", split, self.splits)
        path = self._lists() / f"{split}.json"
        real, fake = listed_keys(read_pairs(path))
        clips: list[Clip] = []
        for method in self.options.methods:
            folder = self._need(method, f"fetch it, or leave '{method}' out of options.methods")
            there, label = videos_in(folder), REAL if method == ORIGINAL else FAKE
            places = {key: there.get(key, folder / f"{key}.mp4") for key in (fake if label else real)}
            mine = [
                Clip(f"{method}/{key}", label, method, split, tuple(key.split("_")), Locator(str(place)), ())
                for key, place in places.items()
            ]
            refuse_absent(mine, f"'{path}'", list(there), folder)
            clips += mine
        return clips

    def _lists(self) -> Path:
        """Return the folder of split lists. Raises DataError if the option is not given and no known folder exists."""
        root, given = self.folder(), self.options.splits
        if given is not None:
            return root / given
        for name in SPLIT_FOLDERS:
            if is_folder(root / name):
                return root / name
        raise DataError(
            f"no split lists in '{root}': fetch train.json, val.json and test.json from the dataset's repository "
            f"(dataset/splits) into '{root / SPLIT_FOLDERS[0]}', or set options.splits to their folder"
        )


class DFDAdapter(_Sequences[CompressedOptions]):
    """DFD, in the folders of FaceForensics++: `original_sequences/actors`, `manipulated_sequences/DeepFakeDetection`.

    There is no official split: all videos are test. Actors are named as `actor-01`: their numbers have nothing to do
    with those of FaceForensics++. A video whose name says no actor has no identities.
    """

    splits = ("test",)
    originals = "actors"
    fakes = (DFD,)

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos, the real ones first, by name. Raises `DataError` for a folder that is missing or empty."""
        check_split("DFD", split, self.splits)
        clips: list[Clip] = []
        for method in (ORIGINAL, DFD):
            folder = self._need(method, "fetch it, DFD needs both its originals and its fakes")
            there = videos_in(folder)
            if not there:
                raise DataError(f"'{folder}' has no videos: fetch the {self.options.compression} videos of DFD")
            label = REAL if method == ORIGINAL else FAKE
            for key, place in there.items():
                clips.append(Clip(f"{method}/{key}", label, method, split, actors(key), Locator(str(place)), ()))
        return clips

    def remarks(self, split: str) -> list[str]:
        """Return lines on the split, such as the number of videos whose names say no actor."""
        odd = [clip.video for clip in self.listed(split) if not clip.identities]
        lines = [f"videos of DFD whose names say no actor: {len(odd):,}, the first is '{odd[0]}'"] if odd else []
        return lines + super().remarks(split)


def actors(name: str) -> tuple[str, ...]:
    """Return the people of a video of DFD: `01__scene` is of actor 01, `01_02__scene__ID` also has the face of 02."""
    found = _ACTORS.match(name)
    return tuple(f"actor-{number}" for number in found.groups() if number) if found else ()
