"""Files that list other files: texts with a path a line, tables (CSV), and JSON; and paths in them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DataError, near
from ...core.parsing import Refused, read_json, read_text

MOST = 1 << 28
"""Bytes of a list."""
FETCH = "fetch it, it comes with the dataset"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of files: its cells by column (lower case), and its place for messages."""

    cells: dict[str, str]
    line: int
    where: str

    def __getitem__(self, column: str) -> str:
        """Return a cell without surrounding spaces; "" for a column that the table does not have."""
        return self.cells.get(column, "")


def list_text(path: Path, what: str = "list", fix: str = FETCH) -> str:
    """Return the text of a list file; `what` says what it is, `fix` what to do if it is missing. Raises `DataError`."""
    try:
        return read_text(path, MOST)
    except Refused as error:
        raise _unread(path, what, fix, error) from None


def json_list(path: Path, what: str, fix: str = FETCH) -> Any:
    """Return the value in a JSON list file. Raises `DataError` as `list_text` does."""
    try:
        return read_json(path)
    except Refused as error:
        raise _unread(path, what, fix, error) from None


def _unread(path: Path, what: str, fix: str, error: Refused) -> DataError:
    if not path.exists():
        return DataError(f"no {what} '{path}'; {fix}")
    return DataError(f"{what} '{path}' cannot be read: {error}")


def read_lines(path: Path, what: str = "list") -> list[tuple[int, str]]:
    """Return the lines of a list file that are not blank, with their numbers from 1. Raises `DataError`."""
    lines = enumerate(list_text(path, what).splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def csv_records(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line and the cells of each record that is not blank; comma, semicolon or tab.

    Raises `DataError`, which names the `source` and the line, for what is not CSV.
    """
    header = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    reader = csv.reader(_lines(text), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        for cells in reader:
            if any(cells) and any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{source} line {reader.line_num} is not CSV: {error}") from None


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends; a whole copy of it, of 4 bytes a letter, is made only for old ends."""
    if "\r" in text:
        yield from io.StringIO(text, newline="")
        return
    start = 0
    while end := text.find("\n", start) + 1:
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of a CSV file that has at least these columns, each once, named in lower case.

    A column may have no name. A row may have fewer cells than the header, not more. Raises `DataError`, which names
    file and line.
    """
    source = f"list '{path}'"
    names: list[str] = []
    rows: list[Row] = []
    for line, cells in csv_records(list_text(path), source):
        where = f"{source} line {line}"
        if not names:
            names = [cell.strip().lower() for cell in cells]
            for name in columns:
                if name not in names:
                    raise DataError(f"{where}: no column '{name}'{near(name, [name for name in names if name])}")
                if names.count(name) > 1:
                    raise DataError(f"{where}: column '{name}' appears twice; rename one")
            continue
        if len(cells) > len(names):
            raise DataError(f"{where}: {len(cells)} cells under {len(names)} columns; quote a cell with a comma")
        rows.append(Row(dict(zip(names, map(str.strip, cells), strict=False)), line, where))
    if not rows:
        raise DataError(f"{source} has no rows: it needs a header with {', '.join(columns)}, and a row for each file")
    return rows


def inside(path: str) -> bool:
    """Return whether a path from a list stays below the folder it starts from."""
    parts = path.replace("\\", "/").split("/")
    return not (path.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in path)
