"""Wide tables: a CSV or TSV with the scores of several detectors, a column for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .columns import ColumnNames, columns_of
from .read_rows import LONGEST_HEADER, OPTIONAL, REQUIRED, table_of

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv")


def score_columns(path: Path, columns: ColumnNames | None = None) -> list[str]:
    """Return the columns of a wide table, CSV or TSV, that hold scores: one column for each detector.

    These are all with a number in them but for `label` and our optional columns. Empty for any other file, and for
    one that has a column for `score`.
    """
    mapping = columns_of(columns, path)
    if path.suffix.lower() not in SUFFIXES or not path.is_file() or "score" in mapping:
        return []
    names = _head(path)  # most files have a column `score`: they are not read twice
    if "score" in names or mapping.get("label", "label") not in names:
        return []
    table = table_of(path, ())
    ours = {mapping.get(name, name) for name in (*REQUIRED, *OPTIONAL, "frame")}
    return [name for name in table.column_names if name not in ours and _has_number(table.column(name))]


def _head(path: Path) -> list[str]:
    """Return the names in the first line of a CSV or TSV; nothing for a line that is no text, or too long for one."""
    import csv

    with path.open("rb") as file:
        try:
            line = file.readline(LONGEST_HEADER).decode("utf-8-sig").strip("\r\n")
        except UnicodeDecodeError:
            return []
    try:
        return next(csv.reader([line], delimiter=max(",;\t", key=line.count)), [])
    except csv.Error:
        return []


def _has_number(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.any(pc.match_substring_regex(column, r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")).as_py())
