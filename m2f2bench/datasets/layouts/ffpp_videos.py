"""FaceForensics++ and DFD as they are downloaded: video files of whole scenes, and the videos of their masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import Field

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, Frame, Locator
from ..base import AdapterOptions
from ..files.folders import is_file, is_folder
from .media_trees import INNER, has_videos, videos_in
from .pairs import listed_keys, read_pairs
from .trees import Listing, TreeAdapter, missing

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


class _Sequences(TreeAdapter[CompressedT]):
    """The tree of folders that both have: `<originals or manipulation>/<compression>/videos`, and masks beside it."""

    needs: ClassVar[str] = f"{ORIGINALS} and {MANIPULATED}"
    originals = "youtube"
    fakes: tuple[str, ...] = ()

    def _is_top(self, folder: Path) -> bool:
        return any(is_folder(folder / name) for name in (ORIGINALS, MANIPULATED))

    def _has_media(self, top: Path) -> bool:
        """Return whether there are videos of this compression in a folder of these originals or manipulations."""
        return any(has_videos(self._videos(top, one)) for one in (ORIGINAL, *self.fakes))

    def mask_place(self, frame: Frame) -> Locator | None:
        """Return the frame of the mask's video, white where a fake is manipulated; None if there is none."""
        top = self._top()
        if frame.label == REAL or top is None:
            return None
        path = top / MANIPULATED / frame.method / "masks" / INNER / Path(frame.locator.path).name
        return Locator(str(path), None, frame.locator.index) if is_file(path) else None

    def _videos(self, root: Path, method: str) -> Path:
        """Return the folder of a method's videos (`original`: of the real ones)."""
        top = root / ORIGINALS / self.originals if method == ORIGINAL else root / MANIPULATED / method
        return top / self.options.compression / INNER

    def _need(self, top: Path, method: str, fix: str) -> Path:
        """Return the folder of a method's videos. Raises DataError, with a `fix`, if it does not exist."""
        folder = self._videos(top, method)
        if not is_folder(folder):
            raise DataError(f"no folder '{folder}' with the {self.options.compression} videos of {method}: {fix}")
        return folder


class FFPPVideoAdapter(_Sequences[FFPPVideoOptions]):
    """FaceForensics++: `original_sequences/youtube/<compression>/videos/A.mp4`, `manipulated_sequences/<method>/...`.

    A split list is a list of pairs; (A, B) stands for the real videos A and B and, for each manipulation, the fakes A_B
    (A with the face of B) and B_A. A listed video that is missing stays as one frame that fails when it is read.
    """

    layout: ClassVar[str] = "FaceForensics++"
    fakes = METHODS[1:]

    def found(self, top: Path, split: str) -> Listing:
        """Return the listed videos, in the order of the methods and then by name, and remarks.

        Raises `DataError` for a list that is missing or damaged, for a method without a folder, and for a folder with
        none of the listed videos.
        """
        path = self._lists(top) / f"{split}.json"
        real, fake = listed_keys(read_pairs(path))
        clips: list[Clip] = []
        remarks: list[str] = []
        for method in self.options.methods:
            folder = self._need(top, method, f"fetch it, or leave '{method}' out of options.methods")
            there, label = videos_in(folder), REAL if method == ORIGINAL else FAKE
            places = {key: there.get(key, folder / f"{key}.mp4") for key in (fake if label else real)}
            mine = [
                Clip(f"{method}/{key}", label, method, split, tuple(key.split("_")), Locator(str(place)), ())
                for key, place in places.items()
            ]
            remarks += [f"{method}: {line}" for line in missing(mine, str(path))]
            clips += mine
        return clips, remarks

    def _lists(self, root: Path) -> Path:
        """Return the folder of split lists. Raises DataError if the option is not given and no known folder exists."""
        given = self.options.splits
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

    layout: ClassVar[str] = "DFD"
    splits: ClassVar[tuple[str, ...]] = ("test",)
    originals = "actors"
    fakes = (DFD,)

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos, the real ones first, by name. Raises `DataError` for a folder that is missing or empty."""
        clips: list[Clip] = []
        for label, method in ((REAL, ORIGINAL), (FAKE, DFD)):
            folder = self._need(top, method, "fetch it, DFD needs both its originals and its fakes")
            there = videos_in(folder)
            if not there:
                raise DataError(f"'{folder}' has no videos: fetch the {self.options.compression} videos of DFD")
            for key, place in there.items():
                clips.append(Clip(f"{method}/{key}", label, method, split, actors(key), Locator(str(place)), ()))
        odd = [clip.video for clip in clips if not clip.identities]
        lines = [f"videos of DFD whose names say no actor: {len(odd):,}, the first is '{odd[0]}'"] if odd else []
        return clips, lines


def actors(name: str) -> tuple[str, ...]:
    """Return the people of a video of DFD: `01__scene` is of actor 01, `01_02__scene__ID` also has the face of 02."""
    found = _ACTORS.match(name)
    return tuple(f"actor-{number}" for number in found.groups() if number) if found else ()
