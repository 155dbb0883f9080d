"""The gate of tables: CSV, TSV, JSON lines and Parquet as columns, with limits before anything is built from them."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ScoreError, first_line
from ..texts import Refused, unique_keys

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MOST_BYTES = 1 << 30
"""Bytes of a file, and of its columns once they are unpacked: a hundred times those of the largest benchmark."""
MOST_ROWS = 20_000_000
MOST_COLUMNS = 1000
LONGEST_TEXT = 1 << 20
"""Bytes of a text in a column."""
LONGEST_LINE = 16 << 20
"""Bytes of a line of JSON."""


def read_table(path: Path, used: Collection[str]) -> tuple[pa.Table, list[str]]:
    """A file's columns, and the names of all that it has; of Parquet the columns that are `used` alone are read.

    CSV and JSON give text, to the last digit. Raises ScoreError, naming the file, for what is none or is over a limit.
    """
    import pyarrow as pa

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ScoreError(f"'{path}' must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    try:
        check_file(path)
        if suffix == ".parquet":
            table, names = _parquet(path, used)
        else:
            table = _as_table(list(json_lines(path))) if suffix == ".jsonl" else _delimited(path)
            names = table.column_names
        _check_size(table.num_rows, table.num_columns)
        _check_texts(table)
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        reason = str(error) if isinstance(error, Refused) else first_line(error)
        raise ScoreError(f"'{path}' cannot be read as {suffix[1:]}: {reason}") from None
    return table, names


def check_file(path: Path) -> None:
    """Raise ScoreError where there is no file, and Refused for a pipe or a device, which may never end, and for what is
    too long."""
    if not path.exists() or path.is_dir():
        raise ScoreError(f"there is no file '{path}'")
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Refused("it is not a regular file")
    if found.st_size > MOST_BYTES:
        raise Refused(f"it is longer than {MOST_BYTES >> 30} GiB")


def _check_size(rows: int, columns: int) -> None:
    if rows > MOST_ROWS:
        raise Refused(f"it has {rows:,} rows, and at most {MOST_ROWS:,} are read")
    if columns > MOST_COLUMNS:
        raise Refused(f"it has {columns:,} columns, and at most {MOST_COLUMNS:,} are read")


def _check_texts(table: pa.Table) -> None:
    """Raise Refused for a text that is too long, and ArrowInvalid for one that is no UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(table.column_names, table.columns, strict=True):
        parts = [one.dictionary if pa.types.is_dictionary(column.type) else one for one in column.chunks]
        for part in parts:
            if pa.types.is_string(part.type) or pa.types.is_large_string(part.type):
                longest = pc.max(pc.binary_length(part)).as_py() or 0
                if longest > LONGEST_TEXT:
                    raise Refused(f"column '{name[:40]}' has a text of {longest:,} bytes")
    table.validate(full=True)


def _parquet(path: Path, used: Collection[str]) -> tuple[pa.Table, list[str]]:
    """The columns that are used, once their rows and bytes are known to be within the limits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names: list[str] = file.schema_arrow.names
        wanted = [name for name in dict.fromkeys(names) if name in used]
        texts = [name for name in wanted if pa.types.is_string(file.schema_arrow.field(name).type)] if wanted else []
        size = sum(_unpacked(file.metadata.row_group(i), wanted) for i in range(file.metadata.num_row_groups))
        _check_size(file.metadata.num_rows, len(names))
        _check_bytes(size)
    # A text that is in many rows is in the file once: it is counted as often as it is there, and not unpacked before.
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(columns=wanted)
    _check_bytes(sum(_length(table.column(name)) for name in texts if table.column_names.count(name) == 1))
    return table, names


def _unpacked(group: Any, wanted: Collection[str]) -> int:
    """Bytes of a group's wanted columns, as the file tells them."""
    columns = (group.column(i) for i in range(group.num_columns))
    return sum(one.total_uncompressed_size for one in columns if one.path_in_schema.partition(".")[0] in wanted)


def _length(column: pa.ChunkedArray) -> int:
    """Bytes of a column's texts, each as often as it is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = (pc.binary_length(one.dictionary).take(one.indices) for one in column.chunks)
    return sum(pc.sum(one.cast(pa.int64())).as_py() or 0 for one in lengths)


def _check_bytes(size: int) -> None:
    if size > MOST_BYTES:
        most = MOST_BYTES >> 20
        raise Refused(f"its columns are {size >> 20:,} MiB once they are unpacked, and at most {most:,} are read")


def _delimited(path: Path) -> pa.Table:
    """All columns as text, so that no reader guesses types, and empty cells are empty."""
    import pyarrow as pa
    from pyarrow import csv

    with path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8-sig")
    delimiter = max(",;\t", key=header.count)
    _check_size(0, header.count(delimiter) + 1)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    _refuse_swallowed(path, table, delimiter)
    return table


def _refuse_swallowed(path: Path, table: pa.Table, delimiter: str) -> None:
    """Raise ValueError where a quotation mark that is never closed has made one value of several records."""
    import csv

    import pyarrow.compute as pc

    if not any(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py() for column in table.columns):
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            n = sum(1 for record in records if record) - 1
        except csv.Error as error:
            raise ValueError(f"line {records.line_num}: {error}; is a quotation mark left open?") from None
    if n != table.num_rows:
        raise ValueError(f"it has {n} records, of which {table.num_rows} can be told apart; are its quotes right?")


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, in order.

    Raises ValueError, naming the line, for anything else or a repeated key, and ScoreError where there is no file.
    """
    check_file(path)
    for number, line in _lines(path):
        try:
            # Other JSON readers round floats or refuse tiny ones; and NaN stands where there is no score.
            row = json.loads(line, object_pairs_hook=unique_keys)
        except RecursionError:
            raise Refused(f"line {number} is nested too deep") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not an object")
        yield row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1. Raises Refused for one that is too long."""
    number = 0
    with path.open("rb") as file:
        while data := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(data) > LONGEST_LINE:
                raise Refused(f"line {number} is longer than {LONGEST_LINE >> 20} MiB")
            text = data.decode("utf-8-sig" if number == 1 else "utf-8")
            if text.strip():
                yield number, text


def _as_table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    def column(name: str) -> pa.Array:
        values = [row.get(name) for row in rows]
        if any(isinstance(v, (list, dict)) for v in values):  # refused by its type, should it be asked for
            return pa.nulls(len(values), pa.list_(pa.null()))
        # Numbers go through repr and come back bit by bit.
        return pa.array([None if v is None else v if isinstance(v, str) else repr(v) for v in values], pa.string())

    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_size(len(rows), len(names))
    return pa.Table.from_arrays([column(name) for name in names], names)
