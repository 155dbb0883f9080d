"""Rows of runs that are not finished, as any reader of Arrow sees them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa


def rows_held(path: Path) -> list[dict[str, Any]]:
    """Return the rows in the whole parts of a file, which may be being written; none if there is no file."""
    rows: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, pa.ArrowInvalid), pa.OSFile(str(path)) as file:
        for batch in pa.ipc.open_stream(file):
            rows += batch.to_pylist()
    return rows
