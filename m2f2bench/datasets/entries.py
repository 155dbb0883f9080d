"""Images listed by a folder tree or a manifest, with their labels and names, and their order.

A manifest is a list of image files in CSV, TSV or JSON lines, one record per image.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.errors import DataError
from ..core.parsing import Refused, parse_json, read_text
from ..core.records import FAKE, ORIGINAL, REAL, SPLITS, Frame, Locator
from ..core.text import quoted, split_people

LABELS = {"real": REAL, "fake": FAKE}
NO_METHOD = "fake"
"""The method of a fake without a given method."""

NaturalKey = tuple[list[tuple[str, int, str]], str]
MOST = 1 << 28
"""Bytes of a manifest."""
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
ColumnName = Literal["path", "label", "video", "method", "split", "identity", "picture", "time", "index"]
COLUMNS: tuple[ColumnName, ...] = get_args(ColumnName)
TIMES: tuple[ColumnName, ...] = ("time", "index")
"""The columns of a frame's time in its video, the first counts most."""

_BINARY = re.compile(r"([01])(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)


def natural(text: str) -> NaturalKey:
    """Return a sort key under which frame_2 comes before frame_10; different texts have different keys."""
    key = []
    for between, number in re.findall(r"([^0-9]*)([0-9]*)", text):
        digits = number.lstrip("0")  # a number as its length and its digits: there may be any number of these
        key.append((between, len(digits), digits))
    return key, text


def people(text: str) -> tuple[str, ...]:
    """Return the identities that are joined by `+` in a text, each once."""
    return tuple(dict.fromkeys(part.strip() for part in split_people(text) if part.strip()))


@dataclass(frozen=True)
class Entry:
    """One image with its label and names; `where` is its place in an error message.

    `times` is its time in the video, the first counts most; None if unknown.
    """

    id: str
    path: Path
    label: int
    split: str
    where: str
    method: str = ""
    video: str = ""
    identities: tuple[str, ...] = ()
    picture: str = ""
    times: tuple[Decimal | None, ...] = ()

    def frame(self) -> Frame:
        """Return the frame; see `FolderAdapter` for its method and video. Raises `DataError`."""
        if self.label == FAKE and self.method == ORIGINAL:
            raise DataError(
                f"{self.where}: a fake has the method '{ORIGINAL}', which is reserved for real images; rename it"
            )
        method = ORIGINAL if self.label == REAL else self.method or NO_METHOD
        origin = f"{ORIGINAL}/{self.method}" if self.label == REAL and self.method not in ("", ORIGINAL) else method
        video = self.id
        if self.video:
            video = self.video if self.video.startswith(f"{origin}/") else f"{origin}/{self.video}"
        # A picture's name is unique only within its video.
        picture = f"{video}/{self.picture}" if self.picture else ""
        return Frame(self.id, video, self.label, method, self.split, self.identities, Locator(str(self.path)), picture)


def in_time(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries by video and, within a video, by time; the order of the list does not matter.

    A video's pictures are ordered by their times; without times, by the names of the pictures that the faces are cut
    from; without these, by the names of the files. Names are in natural order. Raises `DataError` for a video in which
    only some pictures have a time, and for a picture with two times.
    """
    videos: dict[str, list[tuple[Entry, Frame]]] = {}
    for entry in entries:
        frame = entry.frame()
        videos.setdefault(frame.video, []).append((entry, frame))
    ordered: list[Entry] = []
    for name in sorted(videos, key=natural):
        group = [entry for entry, _ in videos[name]]
        _check_times(group, name)
        pictured = all(entry.picture for entry in group)
        ordered += sorted(group, key=partial(_place, pictured=pictured))
    return ordered


def _place(entry: Entry, pictured: bool) -> tuple[list[Decimal], NaturalKey, NaturalKey]:
    times = [time for time in entry.times if time is not None]
    return times, natural(entry.picture if pictured else ""), natural(entry.id)


def _check_times(group: Sequence[Entry], video: str) -> None:
    """Raise DataError if a video's frames cannot be ordered by their times."""
    first = group[0]
    known = [time is not None for time in first.times]
    pictures: dict[str, Entry] = {}
    for entry in group:
        if [time is not None for time in entry.times] != known:
            raise DataError(
                f"{entry.where}: '{entry.id}' and '{first.id}' of video '{video}' do not both have a time or an index; "
                "give it to all frames of a video or to none"
            )
        if entry.picture and pictures.setdefault(entry.picture, entry).times != entry.times:
            raise DataError(
                f"{entry.where}: picture '{entry.picture}' of video '{video}' has another time than in "
                f"{pictures[entry.picture].where}; the faces of one picture have one time"
            )


def read_manifest(path: Path, base: Path, columns: dict[ColumnName, str]) -> list[Entry]:
    """Return the images that a manifest file lists, each video's in the order of time; see `in_time`.

    Relative paths start from `base`; `columns` are the file's own names for `COLUMNS`. There is an entry for each
    record of the file, in an order that does not depend on the order of records. Raises `DataError`, which names file
    and line.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"'{path}' is neither a folder nor a manifest ({', '.join(SUFFIXES)})")
    try:
        text = read_text(path, MOST)
    except Refused as error:
        if not path.exists():
            raise DataError(f"manifest '{path}' does not exist") from None
        raise DataError(f"manifest '{path}' cannot be read: {error}") from None
    lines = _json_rows(text, path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv_rows(text, path)
    names = {name: columns.get(name, name) for name in COLUMNS}
    entries: list[Entry] = []
    seen: dict[str, str] = {}
    has_split, here = False, Path.cwd()
    for number, row in lines:
        where = f"manifest '{path}' line {number}"
        _check_columns(row, names, columns, where)
        with_split = names["split"].strip().lower() in row
        if entries and with_split != has_split:
            raise DataError(f"{where}: some rows have a split and some do not; give every row a split, or no row")
        has_split = with_split
        entry = _entry({name: row.get(column.strip().lower()) for name, column in names.items()}, base, where)
        place = os.path.normpath(here / entry.path)
        if place in seen:
            raise DataError(f"{where}: '{entry.id}' is already listed in {seen[place]}; remove one")
        seen[place] = f"line {number}"
        entries.append(entry)
    if not entries:
        raise DataError(f"manifest '{path}' is empty: it needs a row for each image, with path and label")
    return in_time(entries)


def _check_columns(
    row: dict[str, Any], names: dict[ColumnName, str], mapped: dict[ColumnName, str], where: str
) -> None:
    """Raise DataError unless there are `path`, `label` and all columns that options.columns names."""
    for name, column in names.items():
        if column.strip().lower() not in row and (name in ("path", "label") or name in mapped):
            there = ", ".join(row) or "none"
            raise DataError(
                f"{where}: no column '{column}' for {name}; columns: {there} (map them with options.columns)"
            )


def _entry(values: dict[ColumnName, Any], base: Path, where: str) -> Entry:
    """Return the entry of one row's values (None or "" if missing)."""
    texts = {name: _cell(value, name, where) for name, value in values.items()}
    if not texts["path"]:
        raise DataError(f"{where}: the path is empty")
    split = texts["split"].lower()
    if values["split"] is None:
        split = "test"
    elif split not in SPLITS:
        raise DataError(f"{where}: split {quoted(texts['split'])} is not one of {', '.join(SPLITS)}")
    label = texts["label"].lower()
    binary = _BINARY.fullmatch(label)
    if label not in LABELS and not binary:
        raise DataError(f"{where}: label {quoted(texts['label'])} is neither 0 or real nor 1 or fake")
    name = _named(_written(texts["path"], base), base)
    return Entry(
        id=name,
        path=base / name,
        label=int(binary[1]) if binary else LABELS[label],
        split=split,
        where=where,
        method=texts["method"],
        video=texts["video"],
        identities=people(texts["identity"]),
        picture=texts["picture"],
        times=tuple(_number(texts[name], name, where) if texts[name] else None for name in TIMES),
    )


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


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, lower-case column -> text) for each row that is not blank; comma, semicolon or tab."""
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"manifest '{path}' line {reader.line_num}"
            if not names:
                names = [cell.strip().lower() for cell in cells]
                if twice := [name for name, count in Counter(names).items() if count > 1 and name]:
                    raise DataError(f"{where}: column '{twice[0]}' appears twice; rename one")
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{where}: {len(cells)} cells under {len(names)} columns; quote a cell with a comma in it"
                )
            yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"manifest '{path}' line {reader.line_num} is not CSV: {error}") from None


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, lower-case key -> value) for each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except Refused as error:
            raise DataError(f"manifest '{path}' line {number} {str(error).removeprefix('line 1 ')}") from None
        if not isinstance(row, dict):
            raise DataError(f"manifest '{path}' line {number} is not a JSON object")
        yield number, {str(key).strip().lower(): value for key, value in row.items()}
