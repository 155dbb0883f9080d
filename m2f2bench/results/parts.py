"""Rows of a run that is not finished: a file that grows part by part, written by a thread, whole after any kill.

It is an Arrow IPC stream: a schema whose metadata holds the run's key, then one record batch for each part, with a
checksum. What a kill or a full disk cut off, or a power failure left as zeros, is taken off when the file is opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.arrow import arrow_array
from ..core.errors import StoreError
from ..core.files import cannot_write
from .row_files import KEY, arrow_type, key_of

if TYPE_CHECKING:
    import pyarrow as pa

AHEAD = 2
"""Parts that may wait to be written: what a kill can cost at most, beside the batch that is being judged."""
GOES_ON = "; finished rows are kept, and the same command continues from there"
BY_ANOTHER = "was begun by another version of m2f2bench: finish the run with that version, or remove the file"
CHECK = b"m2f2bench.crc32"
"""Of a record batch, over its form without metadata."""
Columns = Mapping[str, Sequence[Any]]


class Parts:
    """The file of a run's rows while they are made."""

    def __init__(self, path: Path, types: Mapping[str, str], key: Mapping[str, str]) -> None:
        """Open the file, or create it. `types` are those of the columns, as `arrow_type` takes them.

        Raises StoreError in one line.
        """
        import pyarrow as pa

        self.path = path
        metadata = {KEY: json.dumps(dict(key), sort_keys=True).encode()}
        self._schema = pa.schema([(name, arrow_type(kind)) for name, kind in types.items()], metadata=metadata)
        try:
            # Unbuffered: what is written is with the operating system, and closing never writes.
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise cannot_write(path, error) from None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._waiting: deque[Future[None]] = deque()

    def recover(self, check: Callable[[object], None], take: Callable[[list[dict[str, Any]]], None]) -> None:
        """Give each whole part's rows to `take`, cut off what follows the last one, and begin a file that is new.

        `check` gets the key that the file was begun with. A part that cannot be read, or for which `take` raises
        ValueError, TypeError or KeyError, is cut off with all that follows. Raises StoreError for a file of another
        kind, with other columns, or that cannot be read: then nothing is cut off.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read '{self.path}': {error.strerror or error}") from None
        good = 0
        for schema, rows, end in _read(data):
            if good == 0:
                check(key_of(schema))
                self._check_columns(schema)
            try:
                take(rows)
            except (ValueError, TypeError, KeyError):
                break
            good = end
        begin = self._schema.serialize()
        if good == 0 and not begin.to_pybytes().startswith(data):  # a kill may have ended even that
            raise StoreError(f"'{self.path}' is not a file of rows of m2f2bench: remove it")
        os.truncate(self.path, good)
        if good == 0:
            self._write(begin)

    def append(self, columns: Callable[[bool], Columns]) -> None:
        """Let the thread write a part: `columns(False)`, or `columns(True)` if UTF-8 cannot say a text in these.

        Raises StoreError if a part before it could not be written.
        """
        while len(self._waiting) >= AHEAD or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._append, columns))

    def flush(self) -> None:
        """Wait until all parts are with the operating system. Raises StoreError if one could not be written."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """End the thread, after the part that it is writing (`flush` waits for all), and close the file."""
        self._thread.shutdown(cancel_futures=True)
        self._waiting.clear()
        self._file.close()

    def _append(self, columns: Callable[[bool], Columns]) -> None:
        import pyarrow as pa

        try:
            arrays = self._arrays(columns(False))
        except UnicodeEncodeError:
            arrays = self._arrays(columns(True))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        stream = pa.BufferOutputStream()
        pa.ipc.new_stream(stream, self._schema).write_batch(batch, {CHECK: _checksum(batch)})
        self._write(stream.getvalue().slice(len(self._schema.serialize())))

    def _arrays(self, columns: Columns) -> list[pa.Array]:
        return [arrow_array(columns[field.name], field.type) for field in self._schema]

    def _write(self, data: pa.Buffer) -> None:
        start = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            # Cut off the part of the rows that a full disk accepted, so that only whole parts stay.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), start)
            raise StoreError(f"{cannot_write(self.path, error)}{GOES_ON}") from None

    def _check_columns(self, schema: pa.Schema) -> None:
        if not schema.equals(self._schema):
            raise StoreError(f"'{self.path}' {BY_ANOTHER}")


def _read(data: bytes) -> Iterator[tuple[pa.Schema, list[dict[str, Any]], int]]:
    """Yield a file's schema with no rows, then with each whole part's rows, and where each ends in the file."""
    import pyarrow as pa

    file = pa.BufferReader(data)  # not the file itself: a disk that fails is no damage
    with contextlib.suppress(pa.ArrowException, OSError, StopIteration):
        reader = pa.ipc.open_stream(file)
        yield reader.schema, [], file.tell()
        while True:
            batch, about = reader.read_next_batch_with_custom_metadata()
            batch.validate(full=True)
            if about is None or about.get(CHECK) != _checksum(batch):
                return
            yield reader.schema, batch.to_pylist(), file.tell()


def _checksum(batch: pa.RecordBatch) -> bytes:
    return b"%08x" % zlib.crc32(batch.serialize())
