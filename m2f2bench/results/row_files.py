"""Files of rows: Parquet with typed columns and the run's key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.arrow import arrow_array
from ..core.errors import ScoreError, first_line
from ..core.files import replacing
from ..core.parsing import Refused, parse_json, read_table
from ..core.records import ANSWER_STATUSES, STATUSES, Answer, Prediction
from ..core.text import quoted

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"m2f2bench.key"
NUMBERS = {
    "label": "int8",
    "score": "double",
    "seconds": "double",
    "tokens_in": "int64",
    "tokens_out": "int64",
    "cost": "double",
}
"""Types of the columns that are not text."""
NULLS = ("score", "seconds", "tokens_in", "tokens_out", "cost")
"""Columns that may be empty."""
USAGE = ("seconds", "tokens_in", "tokens_out", "cost")
"""Columns that answers written by 0.4 and before lack."""
ASKED = ("wording", "digest", "stamp")
"""Columns that answers written by 0.5 and before lack."""
RowT = TypeVar("RowT", Prediction, Answer)


def write_parquet(
    path: Path,
    rows: Iterable[Prediction | Answer],
    key: Mapping[str, str] | None = None,
    row: type[Prediction] | type[Answer] = Prediction,
) -> None:
    """Write rows as Parquet with the run's key in its metadata, atomically; `row` is their class."""
    write_columns(path, columns_of(list(rows), row), column_types(row), key)


def write_columns(
    path: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, str], key: Mapping[str, str] | None = None
) -> None:
    """Write columns as Parquet with the run's key in its metadata, atomically; `types` as `arrow_type` takes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {name: arrow_type(types[name]) for name in columns}
    arrays = [arrow_array(values, kinds[name]) for name, values in columns.items()]
    metadata = {KEY: json.dumps(dict(key or {}), sort_keys=True).encode()}
    table = pa.Table.from_arrays(arrays, schema=pa.schema(list(kinds.items()), metadata=metadata))
    with replacing(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def arrow_type(name: str) -> pa.DataType:
    """Return a column's type: a name of pyarrow's, or `doubles` for lists of them."""
    import pyarrow as pa

    return pa.list_(pa.float64()) if name == "doubles" else pa.type_for_alias(name)


def read_key(path: Path) -> dict[str, str]:
    """Return the run's key in a Parquet file of ours; empty for other files and for those of version 0.5 and before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            schema = pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {error}") from None
    return key_of(schema)


def key_of(schema: pa.Schema) -> dict[str, str]:
    """Return the run's key in a file's schema; empty if it has none."""
    try:
        found = parse_json((schema.metadata or {}).get(KEY, b"{}").decode())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def column_types(row: type[Prediction] | type[Answer]) -> dict[str, str]:
    """Return the columns of a class of rows with their types, see `arrow_type`."""
    return {f.name: NUMBERS.get(f.name, "string") for f in dataclasses.fields(row)}


def columns_of(rows: Sequence[Prediction | Answer], row: type[Prediction] | type[Answer]) -> dict[str, Sequence[Any]]:
    """Return rows as columns; `row` is their class."""
    names = list(column_types(row))
    columns = zip(*map(attrgetter(*names), rows), strict=True) if rows else ([] for _ in names)
    return dict(zip(names, columns, strict=True))


def read_parquet(path: Path) -> list[Prediction]:
    """Return the rows of one of our own `predictions.parquet` files. Raises ScoreError in one line."""
    return _read(path, Prediction, optional=("picture", "stamp"), what="frame")  # added by 0.2, 0.6


def read_answers(path: Path) -> list[Answer]:
    """Return the rows of one of our own `answers.parquet` files. Raises ScoreError in one line."""
    return _read(path, Answer, optional=(*USAGE, *ASKED), what="question")


def has_wrong_type(row: Prediction | Answer) -> bool:
    """Return whether a value in a row from JSON is not of its column's type."""
    for field in dataclasses.fields(row):
        value, kind = getattr(row, field.name), NUMBERS.get(field.name, "string")
        wanted: tuple[type, ...] = (str,) if kind == "string" else (int, float) if kind == "double" else (int,)
        if not (value is None and field.name in NULLS) and (not isinstance(value, wanted) or isinstance(value, bool)):
            return True
    return False


def row_problem(row: Prediction | Answer) -> str:
    """Return what is wrong with a row's status or score; empty if nothing is."""
    if row.status not in (STATUSES if isinstance(row, Prediction) else ANSWER_STATUSES):
        return f"has the unknown status {quoted(row.status)}"
    if row.score is not None and not 0.0 <= row.score <= 1.0:
        return f"has the score {row.score:.9g}, and P(fake) in [0, 1] is wanted"
    lacks = isinstance(row, Prediction) and row.status == "ok" and row.score is None
    return "has the status ok but no score" if lacks else ""


def typed(table: pa.Table, path: Path | str, types: Mapping[str, str], nulls: Collection[str]) -> pa.Table:
    """Return the table with its columns in their types (see `arrow_type`); `nulls` may have empty cells.

    Raises ScoreError for a column of another type.
    """
    import pyarrow as pa

    for i, name in enumerate(table.column_names):
        column = table.column(name)
        try:
            table = table.set_column(i, name, column.cast(arrow_type(types[name])))
        except pa.ArrowException:
            raise ScoreError(f"'{path}': its column {name} is of type {column.type}, not {types[name]}") from None
        if column.null_count and name not in nulls:
            raise ScoreError(f"'{path}': its column {name} has {column.null_count} empty cells")
    return table


def read_columns(path: Path, columns: Sequence[str], optional: Collection[str], what: str) -> pa.Table:
    """Return the named columns of a Parquet file of ours; those that are `optional` may be missing.

    Raises ScoreError in one line; `what` its rows are about.
    """
    try:
        table = read_table(path, columns)
    except Refused as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {error}") from None
    missing = [name for name in columns if name not in table.column_names and name not in optional]
    if missing:
        raise ScoreError(f"'{path}' lacks the column '{missing[0]}': it is not a file of {what}s from m2f2bench")
    return table.select([name for name in columns if name in table.column_names])


def answers_of(columns: Mapping[str, Sequence[Any]], name: str) -> list[Answer]:
    """Return rows from columns of plain values in memory, as from a file; `name` is theirs in messages.

    Raises ScoreError in one line.
    """
    import pyarrow as pa

    arrays = []
    for column, values in columns.items():
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, UnicodeError, OverflowError) as error:
            raise ScoreError(f"'{name}': its column {column} is not of one type: {first_line(error)}") from None
    return _rows(pa.Table.from_arrays(arrays, list(columns)), name, Answer, "question")


def _read(path: Path, row: type[RowT], optional: Sequence[str], what: str) -> list[RowT]:
    table = read_columns(path, [f.name for f in dataclasses.fields(row)], optional, what)
    return _rows(table, path, row, what)


def _rows(table: pa.Table, path: Path | str, row: type[RowT], what: str) -> list[RowT]:
    table = typed(table, path, column_types(row), (*NULLS, "text"))
    rows = [row(**one) for one in table.to_pylist()]
    for one in rows:
        if problem := row_problem(one):
            raise ScoreError(f"'{path}': {what} {quoted(getattr(one, what))} {problem}")
    return rows
