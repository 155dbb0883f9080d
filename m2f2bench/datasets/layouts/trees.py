"""Base of adapters of datasets as they are downloaded, with what they share: folders of media, and tables of files."""

from __future__ import annotations

import abc
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

from ...core.clips import Clip
from ...core.errors import DataError, near
from ...core.parsing import Refused, read_text
from ...core.records import ORIGINAL, REAL, Locator
from ..base import OptionsT, check_split
from ..files.images import IGNORED_NAMES, IMAGE_SUFFIXES
from ..files.media import MediaAdapter
from ..files.video import VIDEO_SUFFIXES
from ..lists.entries import MOST, natural

NAMED = 8
"""Names of a folder's content that a message shows at most."""
Listing = tuple[list[Clip], list[str]]
"""The videos of a split, and remarks on how they were listed."""


class TreeAdapter(MediaAdapter[OptionsT]):
    """Base of adapters of one dataset's own layout; a subclass implements `found` and `_is_top`.

    The root is the dataset's top folder, or a folder with it under one of the names in `inside`.
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
        """Return whether a folder is the dataset's top folder, by names. It may raise OSError."""

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split in order. Raises `DataError` for another folder, and for a split without any."""
        return self._found(split)[0]

    def remarks(self, split: str) -> list[str]:
        """Return what was left out or decided when the split was listed, one line each."""
        return [*self._found(split)[1], *super().remarks(split)]

    def fits(self) -> bool:
        """Return whether the root is a copy of this dataset, by the names of folders and of a few files."""
        return self._top() is not None

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
            try:
                if folder.is_dir() and self._is_top(folder):
                    return folder
            except (OSError, ValueError):  # ValueError: a null byte in the path
                continue
        return None

    def _why_not(self) -> str:
        """Return why the root is not a copy of this dataset."""
        if self.root is None:
            return f"{self.layout} needs a root: the folder with {self.needs}"
        if not self.root.is_dir():
            return f"no folder at '{self.root}': it should hold {self.needs}"
        return (
            f"'{self.root}' is not {self.layout} as downloaded: it should hold {self.needs}; it has {holds(self.root)}"
        )


def holds(folder: Path) -> str:
    """Return the first names in a folder, for a message."""
    try:
        names = [path.name for path in islice(folder.iterdir(), 500) if not _ignored(path.name)]
    except OSError as error:
        return f"no content that can be listed ({error.strerror})"
    names.sort(key=natural)
    return (", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")) or "nothing"


def folders_in(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by name, in natural order; hidden ones are left out. It may raise OSError."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and not _ignored(entry.name)]
    return {name: folder / name for name in sorted(names, key=natural)}


def file_names(folder: Path, most: int) -> list[str]:
    """Return the names of a folder's files, at most so many, hidden ones left out. It may raise OSError."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most) if not _ignored(entry.name) and entry.is_file()]


@dataclass(frozen=True, slots=True)
class Media:
    """A video file, or a folder of pictures.

    `name` is its path below the folder that was searched, with `/` and without the ending of a video file. `items` are
    the names of the pictures in natural order, `()` for a video file.
    """

    name: str
    path: Path
    items: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def clip(self, name: str, label: int, method: str, split: str, people: Sequence[str] = ()) -> Clip:
        """Return the clip of this file or folder; its video is named `<method>/<name>`."""
        where = Locator(str(self.path))
        return Clip(f"{method}/{name}", label, method, split, tuple(dict.fromkeys(people)), where, self.items)


def method_of(label: int, fake: str) -> str:
    """Return the method of a label: `original` for a real one, else the given name."""
    return ORIGINAL if label == REAL else fake


def media_under(folder: Path) -> list[Media]:
    """Return the video files and the folders of pictures under a folder, in natural order of their names.

    Links are followed, but not in a circle. Hidden files and other kinds of files are left out. Raises `DataError` for
    a folder that cannot be listed.
    """
    found = list(_walk(folder, "", frozenset()))
    count: dict[str, int] = {}
    for one in found:
        count[one.name] = count.get(one.name, 0) + 1
    # Of files that differ in their ending alone each keeps it.
    named = [one if count[one.name] == 1 else Media(one.name + one.path.suffix, one.path, one.items) for one in found]
    return sorted(named, key=lambda one: natural(one.name))


def _walk(folder: Path, above: str, seen: frozenset[str]) -> Iterator[Media]:
    here = os.path.realpath(folder)
    if here in seen:
        return
    pictures, inner = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - of a million names
                if _ignored(name):
                    continue
                if suffix in IMAGE_SUFFIXES:
                    pictures.append(name)
                elif suffix in VIDEO_SUFFIXES:
                    yield Media(above + name[: -len(suffix)], folder / name)
                elif entry.is_dir():
                    inner.append(name)
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None
    if pictures:
        yield Media(above.removesuffix("/") or folder.name, folder, tuple(sorted(pictures, key=natural)))
    for name in inner:
        yield from _walk(folder / name, f"{above}{name}/", seen | {here})


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED_NAMES


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of files: its cells by column (lower case), and its place for messages."""

    cells: dict[str, str]
    line: int
    where: str

    def __getitem__(self, column: str) -> str:
        """Return a cell without surrounding spaces; "" for a column that the table does not have."""
        return self.cells.get(column, "")


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a CSV file (comma, semicolon or tab) that has at least these columns, named in lower case.

    A column may have no name. Blank lines are left out; a row may have fewer cells than the header, not more. Raises
    `DataError`, which names file and line.
    """
    try:
        text = read_text(path, MOST)
    except Refused as error:
        raise DataError(f"list '{path}' cannot be read: {error}") from None
    header = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    names: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            where = f"list '{path}' line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip().lower() for cell in cells]
                missing = next((name for name in columns if name not in names), None)
                if missing is not None:
                    raise DataError(f"{where}: no column '{missing}'{near(missing, [name for name in names if name])}")
                continue
            if len(cells) > len(names):
                raise DataError(f"{where}: {len(cells)} cells under {len(names)} columns; quote a cell with a comma")
            rows.append(Row(dict(zip(names, map(str.strip, cells), strict=False)), reader.line_num, where))
    except csv.Error as error:
        raise DataError(f"list '{path}' line {reader.line_num} is not CSV: {error}") from None
    if not rows:
        raise DataError(
            f"list '{path}' has no rows: it needs a header with {', '.join(columns)}, and a row for each file"
        )
    return rows


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a list file that are not blank, with their numbers from 1. Raises `DataError`."""
    try:
        text = read_text(path, MOST)
    except Refused as error:
        if not path.exists():
            raise DataError(f"no list '{path}'; fetch it") from None
        raise DataError(f"list '{path}' cannot be read: {error}") from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def count_of(number: int, one: str, many: str) -> str:
    """Return a number with its noun: `1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many}"


def missing(clips: Sequence[Clip], source: str) -> list[str]:
    """Return a line on the files that `source` lists and that are not there; none if all are there.

    Raises `DataError` if none of them is there: then the list or the folder is of another dataset.
    """
    gone = [clip for clip in clips if not Path(clip.place.path).is_file()]
    if not gone:
        return []
    if len(gone) == len(clips):
        raise DataError(
            f"none of the {len(clips):,} files that '{source}' lists is there, first '{gone[0].place.path}': unpack "
            f"them there, or give the list of this folder"
        )
    return [
        f"{len(gone):,} of the {len(clips):,} listed files are missing, first '{gone[0].place.path}': each is one "
        f"frame that cannot be read"
    ]


def inside(path: str) -> bool:
    """Return whether a path from a list stays below the folder it starts from."""
    parts = path.replace("\\", "/").split("/")
    return not (path.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in path)
