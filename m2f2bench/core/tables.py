"""Safe reading of Parquet tables, with limits on the memory they take, which can be much more than the file's size.

A column that repeats one long text, or one value a billion times, is a file of a few kilobytes.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import first_line
from .parsing import Refused

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 50_000_000
MOST_COLUMNS = 10_000
MOST_TEXT = 1 << 30
"""Bytes of all texts of one column."""
LONGEST_TEXT = 1 << 20
"""Bytes of one text."""


def read_table(path: Path, wanted: Collection[str] | None = None) -> pa.Table:
    """Return a Parquet file's table; columns that are not `wanted` (None: all are) have names but no values.

    Raises Refused for a file that is damaged, not Parquet, or over the limits.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened:  # pyarrow finds no file whose name is not UTF-8
            file = pq.ParquetFile(opened)
            if file.metadata.num_rows > MOST_ROWS or file.metadata.num_columns > MOST_COLUMNS:
                raise Refused(f"it has more than {MOST_ROWS:,} rows or {MOST_COLUMNS:,} columns")
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            columns = range(file.metadata.num_columns)
            if any(sum(group.column(j).num_values for group in groups) > MOST_ROWS for j in columns):  # of lists
                raise Refused(f"a column of it has more than {MOST_ROWS:,} values")
            names = file.schema_arrow.names
            kept = [name for name in dict.fromkeys(names) if wanted is None or name in wanted]
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
            table = pq.ParquetFile(opened, read_dictionary=[name for name in texts if name in kept]).read(kept)
            table.validate(full=True)  # refuses texts that are not UTF-8
    except OSError as error:
        raise Refused(first_line(error)) from None
    except (pa.ArrowException, ValueError) as error:
        raise error if isinstance(error, Refused) else Refused(first_line(error)) from None
    held: dict[str, Any] = {name: table.column(i) for i, name in enumerate(table.column_names)}
    if len(held) < len(table.column_names):
        return table  # two columns of one name: refused where the column is used
    found = [_plain(name, held[name]) if name in held else pa.nulls(table.num_rows) for name in names]
    return pa.Table.from_arrays(found, names=names)


def _plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with its dictionary of texts expanded. Raises Refused if the texts would be too long."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type) or not pa.types.is_string(column.type.value_type):
        return column
    longest = max((pc.max(pc.binary_length(part.dictionary)).as_py() or 0 for part in column.chunks), default=0)
    if longest > LONGEST_TEXT:
        raise Refused(f"its column '{name[:60]}' has a text of {longest:,} bytes")
    if longest * len(column) > MOST_TEXT and sum(_bytes(part) for part in column.chunks) > MOST_TEXT:
        raise Refused(f"the texts of its column '{name[:60]}' take more than {MOST_TEXT >> 30} GiB")
    return column.cast(pa.string())


def _bytes(part: Any) -> int:
    """Return the bytes of a part's texts, expanded."""
    import pyarrow.compute as pc

    lengths = pc.binary_length(part.dictionary)
    return int(pc.sum(pc.cast(pc.take(lengths, part.indices), "int64")).as_py() or 0)
