"""Base of adapters of datasets as they are downloaded: how each recognises its folder, and says what is not there."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import ORIGINAL, REAL
from ..base import OptionsT, check_split
from ..files.folders import holds, is_file, is_folder
from ..files.media import MediaAdapter

Listing = tuple[list[Clip], list[str]]
"""The videos of a split, and remarks on how they were listed."""


class TreeAdapter(MediaAdapter[OptionsT]):
    """Base of adapters of one dataset's own layout; a subclass implements `found` and `_is_top`.

    The root is the dataset's top folder, or a folder with it under one of the names in `inside`. A listed file that is
    missing stays as one frame that fails when it is read.
    """

    layout: ClassVar[str]
    """The dataset's name."""
    needs: ClassVar[str]
    """What its top folder holds, for messages."""
    inside: ClassVar[tuple[str, ...]] = ()
    """Names of the top folder in the downloaded archive."""

    @abc.abstractmethod
    def found(self, top: Path, split: str) -> Listing:
        """Return the videos of a split below the top folder, and remarks. Raises `DataError`."""

    @abc.abstractmethod
    def _is_top(self, folder: Path) -> bool:
        """Return whether a folder is the dataset's top folder, by names. It may raise OSError and DataError."""

    def _has_media(self, top: Path) -> bool:
        """Return whether the top folder has files of this card, and not only the dataset's names; see `_is_top`."""
        return True

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split in order. Raises `DataError` for another folder, and for a split without any."""
        return self._found(split)[0]

    def remarks(self, split: str) -> list[str]:
        """Return what was left out or decided when the split was listed, one line each."""
        return [*self._found(split)[1], *super().remarks(split)]

    def fits(self) -> bool:
        """Return whether the root is a copy of this dataset, by the names of folders and of a few files."""
        top = self._top()
        with contextlib.suppress(OSError, ValueError, DataError):
            return top is not None and self._has_media(top)
        return False

    def _found(self, split: str) -> Listing:
        check_split(self.layout, split, self.splits)
        top = self._top()
        if top is None:
            raise DataError(self._why_not())
        clips, remarks = self.found(top, split)
        if not clips:
            raise DataError(f"'{top}' has no {split} videos of {self.layout}: it should hold {self.needs}")
        return clips, remarks

    def _top(self) -> Path | None:
        """Return the dataset's top folder: the root or a folder in it; None if there is none."""
        if self.root is None:
            return None
        for folder in (self.root, *(self.root / name for name in self.inside)):
            with contextlib.suppress(OSError, ValueError, DataError):  # ValueError: a null byte in the path
                if folder.is_dir() and self._is_top(folder):
                    return folder
        return None

    def _why_not(self) -> str:
        """Return why the root is not a copy of this dataset."""
        if self.root is None:
            return f"{self.layout} needs a root: the folder with {self.needs}"
        if not is_folder(self.root):
            return f"no folder at '{self.root}': it should hold {self.needs}"
        return (
            f"'{self.root}' is not {self.layout} as downloaded: it should hold {self.needs}; it has {holds(self.root)}"
        )


def method_of(label: int, fake: str) -> str:
    """Return the method of a label: `original` for a real one, else the given name."""
    return ORIGINAL if label == REAL else fake


def count_of(number: int, one: str, many: str) -> str:
    """Return a number with its noun: `1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many}"


def missing(clips: Sequence[Clip], source: str) -> list[str]:
    """Return a line on the files that `source` lists and that are not there; none if all are there.

    Raises `DataError` if none of them is there: then the list or the folder is of another dataset.
    """
    gone = [clip.place.path for clip in clips if not is_file(clip.place.path)]
    if not gone:
        return []
    if len(gone) == len(clips):
        folder = next(one for one in Path(gone[0]).parents if is_folder(one))
        raise DataError(
            f"none of the {len(clips):,} files that '{source}' lists is there, first '{gone[0]}'; '{folder}' has "
            f"{holds(folder)}: unpack them there, or give the list of this folder"
        )
    return [
        f"{len(gone):,} of the {len(clips):,} listed files are missing, first '{gone[0]}': each is one frame that "
        f"cannot be read"
    ]
