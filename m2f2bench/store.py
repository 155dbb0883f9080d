"""Predictions on disk: appended as they come, resumed after a kill, finished atomically.

While a run goes on, rows stand in `predictions.partial.jsonl`: a header line with the run's key, then one line a
row, written batch by batch. At the end they become `predictions.parquet` in one rename. A line cut off by a kill or
a full disk is dropped on resume; all lines before it are kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .errors import ScoreError, StoreError
from .files import cannot_write, make_folder, replacing
from .records import STATUSES, Prediction

if TYPE_CHECKING:
    import pyarrow as pa

PREDICTIONS = "predictions.parquet"
RESULT = "result.json"
PARTIAL = "predictions.partial.jsonl"
KEY = b"m2f2bench.key"
COLUMNS = tuple(f.name for f in dataclasses.fields(Prediction))


class PredictionStore:
    """The rows of one run in one folder.

    `key` names what decides a frame's score (detector, weights, dataset); a folder holding rows of another key is
    refused. Use as a context manager: it holds a lock against a second process writing the same run.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """`folder` is created if need be."""
        self.folder, self.key = folder, key
        self._partial: FileIO | None = None
        self._pending = 0  # rows that stand in the partial file only
        self._rows: dict[str, Prediction] = {}

    def __enter__(self) -> PredictionStore:
        make_folder(self.folder)
        finished = self.folder / PREDICTIONS
        if finished.exists():
            self._check_key(read_key(finished), finished)
            self._rows = {row.frame: row for row in read_parquet(finished)}
        path = self.folder / PARTIAL
        try:
            # Unbuffered: a row that was appended is with the operating system, and closing never writes.
            self._partial = path.open("ab+", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            self._lock()
            self._recover()
        except BaseException:
            self._partial.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._pending == 0:
            (self.folder / PARTIAL).unlink(missing_ok=True)
        if self._partial is not None:
            self._partial.close()  # gives the lock back

    @property
    def rows(self) -> Mapping[str, Prediction]:
        """All rows so far, by frame id."""
        return self._rows

    def append(self, rows: Sequence[Prediction]) -> None:
        """Add rows; they are with the operating system when this returns. Raises StoreError on a full disk."""
        if not rows:
            return
        assert self._partial is not None, "the store is used inside a with block"
        lines = b"".join(_line(row) for row in rows)
        self._write(lines)
        self._pending += len(rows)
        self._rows.update((row.frame, row) for row in rows)

    def finish(self, order: Iterable[str]) -> list[Prediction]:
        """Write `predictions.parquet` with the rows of these frames in this order, and drop the partial file."""
        rows = [self._rows[frame] for frame in order]
        path = self.folder / PREDICTIONS
        write_parquet(path, rows, self.key)
        self._pending = 0
        return rows

    def _write(self, data: bytes) -> None:
        assert self._partial is not None
        start = self._partial.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[self._partial.write(left) :]
        except OSError as error:
            # What a full disk took of the last batch is cut off again, so that only whole lines stay.
            with contextlib.suppress(OSError):
                os.ftruncate(self._partial.fileno(), start)
            raise cannot_write(self.folder / PARTIAL, error) from None

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: no lock
            return
        assert self._partial is not None
        try:
            fcntl.flock(self._partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.fstat(self._partial.fileno()).st_ino == (self.folder / PARTIAL).stat().st_ino
        except OSError:
            held = False
        if not held:  # locked by another process, or finished and removed by one between our open and our lock
            raise StoreError(f"'{self.folder}' is being written by another process: wait, or give another --out")

    def _recover(self) -> None:
        """Read the partial file's whole lines, cut off what comes after them, write the header if there is none."""
        path = self.folder / PARTIAL
        good = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break
                try:
                    data = json.loads(line)
                    if number == 0:
                        self._check_key(data["key"], path)
                    else:
                        row = Prediction(**data)
                        self._rows[row.frame] = row
                        self._pending += 1
                except (ValueError, TypeError, KeyError):
                    if number == 0:
                        raise StoreError(f"'{path}' is not a predictions file of m2f2bench: remove it") from None
                    break
                good += len(line)
        os.truncate(path, good)
        if good == 0:
            self._write(json.dumps({"key": self.key}).encode() + b"\n")

    def _check_key(self, found: str, path: Path) -> None:
        if found != self.key:
            raise StoreError(
                f"'{path}' holds predictions of another detector, weights or dataset than this run's: "
                f"give another --out, or remove '{path.parent}'"
            )


def _line(row: Prediction) -> bytes:
    return json.dumps(dataclasses.asdict(row), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def to_table(rows: Iterable[Prediction], key: str = "") -> pa.Table:
    """Rows as an Arrow table with the run's key in its metadata."""
    import pyarrow as pa

    text = pa.string()
    types = {"label": pa.int8(), "score": pa.float64()}
    schema = pa.schema([(name, types.get(name, text)) for name in COLUMNS], metadata={KEY: key.encode()})
    listed = list(rows)
    columns = [pa.array([getattr(row, name) for row in listed], schema.field(name).type) for name in COLUMNS]
    return pa.Table.from_arrays(columns, schema=schema)


def write_parquet(path: Path, rows: Iterable[Prediction], key: str = "") -> None:
    """Write rows as Parquet, atomically."""
    import pyarrow.parquet as pq

    table = to_table(rows, key)
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_key(path: Path) -> str:
    """The run's key in a Parquet file of ours; empty for somebody else's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {error}") from None
    return bytes(metadata.get(KEY, b"")).decode()


def read_parquet(path: Path) -> list[Prediction]:
    """The rows of one of our own `predictions.parquet` files. Raises ScoreError in one line."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {str(error).splitlines()[0]}") from None
    missing = [name for name in COLUMNS if name not in table.column_names and name != "picture"]  # since 0.2
    if missing:
        raise ScoreError(f"'{path}' lacks the column '{missing[0]}': it is not a predictions file of m2f2bench")
    rows = [Prediction(**row) for row in table.select([c for c in COLUMNS if c in table.column_names]).to_pylist()]
    bad = next((row for row in rows if row.status not in STATUSES), None)
    if bad is not None:
        raise ScoreError(f"'{path}': frame '{bad.frame}' has the unknown status '{bad.status}'")
    return rows
