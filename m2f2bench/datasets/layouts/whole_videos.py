"""Base of datasets of whole videos as they are downloaded, and the reading of their folders and lists."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.parsing import Refused, read_text
from ..base import OptionsT
from ..files.media import MediaAdapter
from ..files.video import VIDEO_SUFFIXES
from ..lists.entries import natural

INNER = "videos"
"""A folder that videos may lie in, below the one that a list names."""
MOST_LIST = 1 << 26
"""Bytes of a list of videos."""
_LOOKED_AT = 2000
"""Names that are read at most to find out whether a folder has videos."""


class WholeVideoAdapter(MediaAdapter[OptionsT]):
    """Video files in the folders of their download; a listed video that is missing is one frame that fails when read.

    A subclass implements `listed` and `fits`; `holds_what` says in a message what the root should hold.
    """

    holds_what = "videos"

    def folder(self) -> Path:
        """Return the root. Raises `DataError` if there is none."""
        if self.root is None:
            raise DataError(f"this dataset needs a root: the folder with {self.holds_what}")
        if not is_folder(self.root):
            raise DataError(f"no folder at '{self.root}': it should hold {self.holds_what}")
        return self.root

    def remarks(self, split: str) -> list[str]:
        """Return lines on the split, such as the number of its videos that are missing. Raises `DataError`."""
        clips = self.listed(split)
        gone = [clip for clip in clips if not is_file(clip.place.path)]
        missing = (
            f"{len(gone):,} of the {len(clips):,} videos of the {split} split are missing in '{self.root}', the first "
            f"is '{gone[0].video}': each is one frame that cannot be read"
            if gone
            else ""
        )
        return [*([missing] if missing else []), *super().remarks(split)]


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; False where that cannot be found out."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def is_file(path: Path | str) -> bool:
    """Return whether there is a regular file; False where that cannot be found out."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def folders_in(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by name, in natural order. Raises `DataError` if it cannot be listed."""
    return {path.name: path for path, is_dir in _entries(folder) if is_dir}


def subfolder(folder: Path, name: str) -> Path | None:
    """Return the folder of a name, in any case, in a folder of not too many files; None if there is none.

    Raises `DataError` for two whose names differ in case alone, and for a folder that cannot be listed.
    """
    found: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, _LOOKED_AT):
                if entry.name.lower() == name.lower() and entry.is_dir():
                    found.append(folder / entry.name)
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None
    if len(found) > 1:
        first, second = sorted(found)[:2]
        raise DataError(f"'{first}' and '{second}' have names that differ in case alone; join them")
    return found[0] if found else None


def videos_in(folder: Path) -> dict[str, Path]:
    """Return the video files in a folder, and in `videos` in it, by name without ending, in natural order.

    None if there is no such folder. Raises `DataError` for two of one name, and for a folder that cannot be listed.
    """
    found: dict[str, Path] = {}
    for place in (folder, folder / INNER):
        for path, is_dir in _entries(place) if is_folder(place) else ():
            if is_dir or path.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if path.stem in found:
                raise DataError(f"'{found[path.stem]}' and '{path}' are both video '{path.stem}'; remove one")
            found[path.stem] = path
    return found


def has_videos(folder: Path, depth: int = 0) -> bool:
    """Return whether a folder, or `videos` in it, or a folder at most `depth` levels below, has a video file.

    Only some names are read, so that this is quick in a folder of a million pictures. Nothing is raised.
    """
    left = _LOOKED_AT
    waiting = [(folder, depth), (folder / INNER, 0)]
    while waiting:
        place, levels = waiting.pop()
        with contextlib.suppress(OSError, ValueError), os.scandir(place) as entries:
            for entry in entries:
                if Path(entry.name).suffix.lower() in VIDEO_SUFFIXES and not entry.name.startswith("."):
                    return True
                left -= 1
                if left <= 0:
                    return False
                if levels and entry.is_dir():
                    waiting.append((place / entry.name, levels - 1))
    return False


def first_names(folder: Path) -> list[str]:
    """Return names in a folder, at most the first 2,000 that the system gives. Nothing is raised."""
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, _LOOKED_AT)]
    return []


def refuse_absent(clips: Sequence[Clip], source: str, there: Iterator[str] | Sequence[str], where: Path) -> None:
    """Raise DataError if none of the clips that the list `source` names is a file; `there` are names in `where`."""
    if clips and not any(is_file(clip.place.path) for clip in clips):
        names = ", ".join(Path(clip.place.path).stem for clip in clips[:3])
        has = ", ".join(sorted(there, key=natural)[:3]) or "no videos"
        raise DataError(
            f"'{where}' has none of the {len(clips):,} videos of {source}: the list names {names}; the folder has "
            f"{has}; fetch the videos, or the list of this dataset"
        )


def read_list(path: Path, what: str) -> str:
    """Return the text of a list file; `what` says what it is. Raises `DataError` if it is missing or damaged."""
    try:
        return read_text(path, MOST_LIST)
    except Refused as error:
        if not path.exists():
            raise DataError(f"no {what} '{path}'; fetch it, it comes with the dataset") from None
        raise DataError(f"{what} '{path}' cannot be read: {error}") from None


def table_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each row of a CSV file that is not blank: its place for a message, and its cells of some columns.

    Names of columns may be in any case. Raises `DataError`, which names file and line.
    """
    reader = csv.reader(io.StringIO(read_list(path, "list"), newline=""), strict=True)
    chosen: list[int] = []
    width = 0
    try:
        for cells in reader:
            where = f"'{path}' line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if not chosen:
                names = [cell.strip().lower() for cell in cells]
                if any(names.count(column) != 1 for column in columns):
                    raise DataError(
                        f"{where}: the columns are {', '.join(names)[:80]}; there should be {' and '.join(columns)}, "
                        f"each once"
                    )
                chosen, width = [names.index(column) for column in columns], len(names)
                continue
            if len(cells) != width:
                raise DataError(f"{where}: {len(cells)} cells under {width} columns; quote a cell with a comma in it")
            yield where, [cells[i].strip() for i in chosen]
    except csv.Error as error:
        raise DataError(f"'{path}' line {reader.line_num} is not CSV: {error}") from None


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """Return the entries of a folder that are not hidden and whether each is a folder, in natural order."""
    try:
        with os.scandir(folder) as entries:
            found = [(folder / one.name, one.is_dir()) for one in entries if not one.name.startswith(".")]
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None
    return sorted(found, key=lambda one: natural(one[0].name))
