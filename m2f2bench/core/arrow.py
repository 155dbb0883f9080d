"""Arrow arrays of plain values, and their values as numpy arrays, without pandas.

`pyarrow.array` asks whether a list is one of pandas's, and `to_numpy` goes through the code for pandas: both import it,
which is a third of a second of every program that writes or reads rows.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .arrays import Floats

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = {"string": (str, "i"), "double": (float, "d"), "int64": (int, "q"), "int8": (int, "b")}
"""The types of plain values by Arrow's name: in Python, and in its `array` (of texts: of where they end)."""


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return values as an Arrow array of a type, as `pyarrow.array` does, which makes those that are not plain.

    Plain are text, float, int8 and int64, with None for what is missing. Raises UnicodeEncodeError for a text that
    UTF-8 cannot say, and otherwise what `pyarrow.array` raises.
    """
    import pyarrow as pa

    plain, code = _PLAIN.get(str(kind), (object, ""))
    types = set(map(type, values))
    missing = None
    if type(None) in types:
        there = np.array([value is not None for value in values], dtype=np.bool_)
        missing = pa.py_buffer(np.packbits(there, bitorder="little"))
    if code and types <= {plain, type(None)}:
        known = values if missing is None else [plain() if value is None else value for value in values]
        with contextlib.suppress(OverflowError):  # a number is too large, or all texts are
            content = _texts(known) if plain is str else [array(code, known)]
            return pa.Array.from_buffers(kind, len(values), [missing, *map(pa.py_buffer, content)])
    return pa.array(values, kind)


def _texts(values: Sequence[str]) -> tuple[array[int], bytes]:
    """Return where each text ends, from 0 on, and all texts. Raises OverflowError for more than 2 GiB."""
    data = [text.encode() for text in values]
    return array("i", accumulate(map(len, data), initial=0)), b"".join(data)


def arrow_scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return a value as an Arrow scalar of a type, as `arrow_array`."""
    return arrow_array([value], kind)[0]


def floats_of(column: pa.Array | pa.ChunkedArray) -> Floats:
    """Return a column of doubles as float64 [N], NaN where it is empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return np.concatenate(
        [np.zeros(0), *(np.from_dlpack(pc.fill_null(part, arrow_scalar(np.nan, part.type))) for part in parts)]
    )


def objects_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.object_]:
    """Return a column as Python's values, an array of objects [N]."""
    found = np.empty(len(column), dtype=object)
    found[:] = column.to_pylist()
    return found
