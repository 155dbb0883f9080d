"""Rows in memory: data frames, columns, records and arrays, as the same table that a file gives.

Every cell becomes what it would be in a CSV file that is written without rounding, so that rows in memory and the same
rows in a file have the same results to the last bit. Nothing of what a user gives is changed or kept: cells are copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ScoreError, first_line
from ..core.text import cut, in_utf8, quoted

if TYPE_CHECKING:
    import pyarrow as pa

SCORE = "score"
NO_CELL = ("NoneType", "NAType", "NaTType")
"""Types of a cell that is empty, by name: pandas need not be imported."""
FORMS = (
    "a path, a pandas DataFrame, a dict of columns, a tuple (label, score) of two arrays, or a list of records (dicts)"
)
"""What rows can be, in messages."""
SHOWN = 40
"""Characters of a cell that a message shows."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Data in memory under a name, which messages use and which is the detector's unless another is given.

    `index` has the label of each row of a data frame, else None: rows are then numbered from 0.
    """

    name: str
    index: Sequence[Any] | None = None

    def __str__(self) -> str:
        return self.name

    def row(self, i: int) -> str:
        """Return a row in messages: its number from 1, and its index as Python has it."""
        return f"'{self.name}' row {i + 1} (index {i if self.index is None else cut(repr(self.index[i]), SHOWN)})"


@dataclass(frozen=True, eq=False)
class RowsInMemory(InMemory):
    """Rows of P(fake): `table` has the columns by their own names; those that are not used are empty."""

    table: pa.Table = field(kw_only=True)


def row_of(place: Path | InMemory, i: int) -> str:
    """Return row `i`, from 0, of a file or of rows in memory, as messages name it."""
    return place.row(i) if isinstance(place, InMemory) else f"'{place}' row {i + 1}"


def is_frame(data: Any) -> bool:
    """Return whether data are a pandas DataFrame, without importing pandas."""
    return not isinstance(data, type) and all(hasattr(data, name) for name in ("iloc", "index", "columns"))


def is_table(data: Any) -> bool:
    """Return whether data are a table with named columns: a data frame of any library, or a structured array."""
    if isinstance(data, np.ndarray):
        return bool(data.dtype.names)
    other = not isinstance(data, type) and hasattr(data, "columns") and callable(getattr(data, "to_pandas", None))
    return is_frame(data) or other


def as_frame(data: Any, name: str) -> Any:
    """Return another library's table (pyarrow, polars, …) as a pandas DataFrame, and everything else as it is.

    Raises ScoreError if the table cannot be converted.
    """
    if is_frame(data) or isinstance(data, type) or not callable(getattr(data, "to_pandas", None)):
        return data
    try:
        return data.to_pandas()
    except Exception as error:  # it may need a package that is not installed
        raise ScoreError(
            f"'{name}' is of type {type(data).__name__} and cannot be made a pandas DataFrame: {first_line(error)}"
        ) from None


def in_memory(data: Any, name: str, wanted: Collection[str], index: Collection[str], score: str) -> RowsInMemory:
    """Return data as rows in memory; only columns that are `wanted` are looked at, and `score` is the one of scores.

    See `columns_in` for what `data` and `index` may be. Raises ScoreError, which names the data and the row.
    """
    columns, labels = columns_in(data, name, index)
    place = InMemory(name, labels)
    return RowsInMemory(name, labels, table=_as_table(columns, place, wanted, score))


def columns_in(data: Any, name: str, index: Collection[str]) -> tuple[list[tuple[str, Any]], Sequence[Any] | None]:
    """Return the columns of data by name, each an array [N] or a list, and the labels of a data frame's rows.

    `data` is a pandas DataFrame (an index with a name in `index` counts as a column), another table with `to_pandas`
    (pyarrow, polars), a mapping of columns of equal length, a tuple `(label, score)` of two arrays [N], whose ids are
    then 0 … N - 1, or a sequence of records (mappings or dataclass objects). Raises ScoreError, which names the data.
    """
    labels = None
    data = as_frame(data, name)
    if is_frame(data):
        columns, labels = _of_frame(data, name, index)
    elif isinstance(data, Mapping):
        columns = [(str(key), _column(name, str(key), values)) for key, values in data.items()]
    elif isinstance(data, np.ndarray) and data.dtype.names:
        columns = [(key, _column(name, key, data[key])) for key in data.dtype.names]
    elif isinstance(data, tuple) and len(data) == 2 and not any(map(_is_record, data)):
        columns = _of_pair(data, name)
    elif is_list(data):
        columns = _of_records(data, name)
    else:
        shape = f" of shape {data.shape}" if isinstance(data, np.ndarray) else ""
        raise ScoreError(f"'{name}' is of type {type(data).__name__}{shape}: give {FORMS}")
    lengths = {column: len(values) for column, values in columns}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{column} {n}" for column, n in lengths.items())
        raise ScoreError(f"'{name}': its columns have different lengths ({listed}): each row needs a value in each")
    return columns, labels


def is_list(data: Any) -> bool:
    """Return whether data are a sequence of items, and no text."""
    return isinstance(data, Sequence) and not isinstance(data, (str, bytes, bytearray, memoryview))


def _is_record(value: Any) -> bool:
    return isinstance(value, Mapping) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def are_records(value: Any) -> bool:
    """Return whether a value is a list of records: mappings or dataclass objects."""
    return isinstance(value, list) and bool(value) and all(map(_is_record, value))


def _of_frame(frame: Any, name: str, index: Collection[str]) -> tuple[list[tuple[str, Any]], Sequence[Any] | None]:
    """Return the columns of a data frame, and the labels of its rows."""
    for axis, what, fix in (
        (frame.index, "index", "call reset_index() first"),
        (frame.columns, "header", "give its columns one name each"),
    ):
        if getattr(axis, "nlevels", 1) > 1:
            raise ScoreError(f"'{name}' is a DataFrame whose {what} has {axis.nlevels} levels (a MultiIndex): {fix}")
    columns = [(str(column), frame.iloc[:, i]) for i, column in enumerate(frame.columns)]
    if frame.index.name in index and frame.index.name not in dict(columns):
        columns.insert(0, (str(frame.index.name), frame.index))
    return [(column, values.to_numpy()) for column, values in columns], frame.index.tolist()


def _of_pair(pair: tuple[Any, Any], name: str) -> list[tuple[str, Any]]:
    """Return the columns of `(label, score)`; ids are the numbers of the rows."""
    columns = [(what, _column(name, what, one)) for what, one in zip(("label", SCORE), pair, strict=True)]
    return [("id", np.arange(len(columns[0][1]))), *columns]


def _of_records(records: Sequence[Any], name: str) -> list[tuple[str, Any]]:
    """Return the columns of records; a key that a record lacks is an empty cell, as in JSON lines."""
    rows = mappings_in(records, name)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return [(str(key), [row.get(key) for row in rows]) for key in keys]


def mappings_in(records: Sequence[Any], name: str) -> list[Mapping[Any, Any]]:
    """Return records, mappings or dataclass objects, as mappings. Raises ScoreError, naming the row, for others."""
    rows: list[Mapping[Any, Any]] = []
    for i, record in enumerate(records):
        if not _is_record(record):
            raise ScoreError(
                f"'{name}' row {i + 1} (index {i}) is of type {type(record).__name__}, not a record (a dict): give "
                f"{FORMS}"
            )
        if not isinstance(record, Mapping):
            record = {one.name: getattr(record, one.name) for one in dataclasses.fields(record)}
        rows.append(record)
    return rows


def _column(name: str, column: str, values: Any) -> Any:
    """Return a column as an array [N] or a list. Raises ScoreError for anything else."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    elif hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        try:
            values = np.asarray(values)
        except Exception as error:  # a tensor on a GPU, or one that needs a gradient
            raise ScoreError(
                f"'{name}': its column {quoted(column)} cannot be made an array: {first_line(error)}"
            ) from None
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ScoreError(f"'{name}': its column {quoted(column)} has the shape {values.shape}: one axis is wanted")
        return values
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise ScoreError(
            f"'{name}': its column {quoted(column)} is of type {type(values).__name__}, not an array or a list"
        )
    return values


def _as_table(columns: Sequence[tuple[str, Any]], place: InMemory, wanted: Collection[str], score: str) -> pa.Table:
    import pyarrow as pa

    arrays = [
        _cells(place, column, values, score) if column in wanted else pa.nulls(len(values))
        for column, values in columns
    ]
    return pa.Table.from_arrays(arrays, [in_utf8(column) for column, _ in columns])


def _cells(place: InMemory, column: str, values: Any, score: str) -> pa.Array:
    """Return a column as pyarrow has it: numbers of an array as float64 or int64, all other cells as text."""
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        if values.dtype.kind == "f" and values.dtype.itemsize <= 8:
            exact = values.astype(np.float64)
            return pa.array(exact if column == score else [_text(place, column, i, v) for i, v in _each(exact)])
        if values.dtype.kind in "iu":
            return pa.array(values.astype(values.dtype.newbyteorder("=")))
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM" and len(values):  # `tolist` would give numbers
        raise ScoreError(
            f"{place.row(0)} has the {column} '{values[0]}' of type {values.dtype}: text or a number is wanted"
        )
    texts = [_text(place, column, i, value) for i, value in _each(values)]
    try:
        return pa.array(texts, pa.string())
    except UnicodeError:
        raise ScoreError(
            f"'{place}': a text in its column {quoted(column)} has half of a surrogate pair, which UTF-8 cannot hold"
        ) from None


def _each(values: Any) -> enumerate[Any]:
    return enumerate(values.tolist() if isinstance(values, np.ndarray) else values)


def _text(place: InMemory, column: str, i: int, value: Any) -> str | None:
    """Return a cell as a CSV file would have it, with every bit of a number; None for an empty one."""
    if isinstance(value, str):
        return str(value)
    if type(value).__name__ in NO_CELL:
        return None
    if getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()  # a number of numpy's or torch's
    if isinstance(value, float):
        return None if value != value else repr(float(value))
    if isinstance(value, (int, str)):
        return str(value)
    shown = quoted(str(value), SHOWN)
    raise ScoreError(
        f"{place.row(i)} has the {column} {shown} of type {type(value).__name__}: text or a number is wanted"
    )
