"""Manifests: lists of image and video files in CSV, TSV or JSON lines, one record a file."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from ...core.errors import DataError
from ...core.parsing import Refused, parse_json
from ...core.records import SPLITS
from ...core.text import quoted
from ..files.images import SPREADSHEET_ERRORS
from .entries import LABELS, Entry, in_time, people
from .tables import csv_records, list_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
ColumnName = Literal["path", "label", "video", "method", "split", "identity", "picture", "time", "index", "mask"]
COLUMNS: tuple[ColumnName, ...] = get_args(ColumnName)
SPLIT = COLUMNS.index("split")
TIMES: tuple[ColumnName, ...] = ("time", "index")
"""The columns of a frame's time in its video, the first counts most."""
_BINARY = re.compile(r"([01])(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)


def read_manifest(path: Path, base: Path, columns: dict[ColumnName, str]) -> list[Entry]:
    """Return the images that a manifest file lists, each video's in the order of time; see `in_time`.

    Relative paths start from `base`; `columns` are the file's own names for `COLUMNS`. There is an entry for each
    record of the file, in an order that does not depend on the order of records. Raises `DataError`, which names file
    and line.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"'{path}' is neither a folder nor a manifest ({', '.join(SUFFIXES)})")
    text = list_text(path, "manifest", "check its name")
    names = {name: columns.get(name, name).strip().lower() for name in COLUMNS}
    read = _Reader(path, base)
    rows = _json_rows if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows
    for number, values, with_split in rows(text, path, names, columns):
        read.add(number, values, with_split)
    del text
    if not read.entries:
        raise DataError(f"manifest '{path}' is empty: it needs a row for each image, with path and label")
    return in_time(read.entries)


class _Reader:
    """Makes entries of the rows of one manifest; texts that many rows share are kept once."""

    def __init__(self, path: Path, base: Path) -> None:
        self.entries: list[Entry] = []
        self._path, self._base = path, base
        self._seen: dict[str, int] = {}
        self._here, self._split = Path.cwd(), False
        self._folder = str(base / "x")[:-1]
        self._whole = os.path.normpath(self._here / base / "x")[:-1]
        self._shared: dict[str, str] = {}
        self._people: dict[str, tuple[str, ...]] = {"": ()}
        self._labels: dict[str, int] = {}

    def add(self, number: int, values: Sequence[Any], with_split: bool) -> None:
        """Add the entry of one row: its values (None or "" if missing) in the order of `COLUMNS`."""
        if self.entries and with_split != self._split:
            raise DataError(
                f"{self._where(number)}: some rows have a split and some do not; give every row a split, or no row"
            )
        self._split = with_split
        entry = self._entry(values, number)
        key = entry.id if not _is_odd(entry.id) else self._key(entry.path)
        before = self._seen.setdefault(key, number)
        if before != number:
            if entry.id not in SPREADSHEET_ERRORS:
                raise DataError(f"{self._where(number)}: '{entry.id}' is already listed in line {before}; remove one")
            entry.id = f"{entry.id} (line {number})"
        self.entries.append(entry)

    def _where(self, number: int) -> str:
        return f"manifest '{self._path}' line {number}"

    def _key(self, path: str) -> str:
        """Return a path by which two names of one file are equal; relative to the base if it lies there."""
        place = os.path.normpath(self._here / path)
        return place[len(self._whole) :] if place.startswith(self._whole) else place

    def _entry(self, values: Sequence[Any], number: int) -> Entry:
        texts = [
            value.strip() if type(value) is str else "" if value is None else self._cell(value, name, number)
            for name, value in zip(COLUMNS, values, strict=True)
        ]
        path, label, video, method, split, identity, picture, time, index, mask = texts
        if not path:
            raise DataError(f"{self._where(number)}: the path is empty")
        if values[SPLIT] is None:
            split = "test"
        elif split not in SPLITS:
            split = split.lower()
            if split not in SPLITS:
                raise DataError(
                    f"{self._where(number)}: split {quoted(texts[SPLIT])} is not one of {', '.join(SPLITS)}"
                )
        name, place = path, f"{self._folder}{path}"
        if _is_odd(path):
            name = _named(_written(path, self._base), self._base)
            place = str(self._base / name)
        keep = self._shared.setdefault
        entry = Entry(
            name,
            place,
            self._label(label, number),
            keep(split, split),
            keep(method, method),
            keep(video, video),
            self._people[identity] if identity in self._people else self._people.setdefault(identity, people(identity)),
            picture,
            line=number,
            source=self._path,
        )
        if time or index:
            found = zip(TIMES, (time, index), strict=True)
            entry.times = tuple(_number(text, name, self._where(number)) if text else None for name, text in found)
        if mask:
            entry.mask = str(self._base / _written(mask, self._base))
        if (picture or time or index) and entry.is_video:
            raise DataError(
                f"{self._where(number)}: '{entry.id}' is a video file, whose frames have their own times: leave "
                f"picture, time and index empty"
            )
        return entry

    def _label(self, text: str, number: int) -> int:
        known = self._labels.get(text)
        if known is None:
            label = text.lower()
            binary = _BINARY.fullmatch(label)
            if label not in LABELS and not binary:
                raise DataError(f"{self._where(number)}: label {quoted(text)} is neither 0 or real nor 1 or fake")
            known = self._labels[text] = int(binary[1]) if binary else LABELS[label]
        return known

    def _cell(self, value: Any, name: str, number: int) -> str:
        return _cell(value, name, self._where(number))


def _check_columns(
    there: Collection[str], names: dict[ColumnName, str], mapped: dict[ColumnName, str], where: str
) -> None:
    """Raise DataError unless there are `path`, `label` and all columns that options.columns names."""
    for name, column in names.items():
        if column not in there and (name in ("path", "label") or name in mapped):
            known = ", ".join(there) or "none"
            raise DataError(
                f"{where}: no column '{mapped.get(name, name)}' for {name}; columns: {known} (map them with "
                f"options.columns)"
            )


def _is_odd(path: str) -> bool:
    """Return whether a path may be absolute, not written in the shortest way, or from Windows."""
    return path[0] in "./" or path[-1] == "/" or "/." in path or "//" in path or "\\" in path or ":" in path


def _written(path: str, base: Path) -> str:
    """Return a path as this machine writes it: \\ becomes / if only the path with / is a file."""
    slashes = path.replace("\\", "/")
    with contextlib.suppress(OSError):  # a name that is too long
        if slashes != path and not (base / path).exists() and (base / slashes).is_file():
            return slashes
    return path


def _named(path: str, base: Path) -> str:
    """Return a frame's name: its path as given, relative to `base` if it lies there."""
    here = Path(os.path.normpath(Path.cwd() / base))
    inside = Path(path).is_absolute() and Path(os.path.normpath(path)).is_relative_to(here)
    return Path(os.path.normpath(path)).relative_to(here).as_posix() if inside else path


def _number(text: str, name: str, where: str) -> Decimal:
    """Return a number without rounding. Raises DataError for any other text."""
    if not _NUMBER.fullmatch(text):
        raise DataError(
            f"{where}: {name} {quoted(text)} is not a number; give numbers that grow with time, or rename the column"
        )
    return Decimal(text)


def _cell(value: Any, name: str, where: str) -> str:
    """Return a cell as text without surrounding spaces; a JSON row may have numbers, and a list of identities."""
    if value is None:
        return ""
    if name == "identity" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "+".join(value)
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return str(value).strip()
    raise DataError(f"{where}: {name} must be a text or a number, not {json.dumps(value)[:40]}")


Row = tuple[int, Sequence[Any], bool]
"""A line's number, its values in the order of `COLUMNS`, and whether there is a column of splits."""


def _csv_rows(text: str, path: Path, names: dict[ColumnName, str], mapped: dict[ColumnName, str]) -> Iterator[Row]:
    """Yield each row that is not blank; comma, semicolon or tab."""
    heads: list[str] = []
    order: list[int] = []
    for line, cells in csv_records(text, f"manifest '{path}'"):
        if not heads:
            heads = [cell.strip().lower() for cell in cells]
            if twice := [name for name, count in Counter(heads).items() if count > 1 and name]:
                raise DataError(f"manifest '{path}' line {line}: column '{twice[0]}' appears twice; rename one")
            continue
        if len(cells) != len(heads):
            raise DataError(
                f"manifest '{path}' line {line}: {len(cells)} cells under {len(heads)} columns; quote a cell with a "
                f"comma in it"
            )
        if not order:
            _check_columns(dict.fromkeys(heads), names, mapped, f"manifest '{path}' line {line}")
            at = {head: number for number, head in enumerate(heads)}
            order = [at.get(names[name], -1) for name in COLUMNS]
        yield line, [cells[i] if i >= 0 else None for i in order], names["split"] in heads


def _json_rows(text: str, path: Path, names: dict[ColumnName, str], mapped: dict[ColumnName, str]) -> Iterator[Row]:
    """Yield each line that is not blank, a JSON object."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except Refused as error:
            raise DataError(f"manifest '{path}' line {number} {str(error).removeprefix('line 1 ')}") from None
        if not isinstance(row, dict):
            raise DataError(f"manifest '{path}' line {number} is not a JSON object")
        found = {str(key).strip().lower(): value for key, value in row.items()}
        _check_columns(found, names, mapped, f"manifest '{path}' line {number}")
        yield number, [found.get(names[name]) for name in COLUMNS], names["split"] in found
