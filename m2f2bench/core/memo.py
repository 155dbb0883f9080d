"""Cache of facts about files, so that they need not be computed twice.

It only saves time: if it is lost, or its folder is read-only, nothing changes but the time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import Locator

log = logging.getLogger("m2f2bench")
CACHE_VARIABLE = "M2F2BENCH_CACHE"
REDRAW_VARIABLE = "M2F2BENCH_REDRAW"
"""If set (and not 0), synthetic faces are drawn in place of those in the package (`--redraw`)."""
BINARY: int = getattr(os, "O_BINARY", 0)  # exists on Windows only


def cache_folder() -> Path:
    """Return the folder of caches: `M2F2BENCH_CACHE`, else the user's cache folder. It may not exist yet."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("m2f2bench"))


def file_stamp(path: str | Path) -> str:
    """Return `<modified, ns>:<changed, ns>:<size, bytes>`, which changes whenever a file is written or replaced.

    Empty for a file that does not exist. The time of modification can be set back (by `cp -p`, `rsync`), the time of
    change cannot.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - of 50,000 frames on every resume
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return ""
    return f"{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_size}"


def frame_stamp(place: Locator) -> str:
    """Return 16 hex digits over the stamp of a frame's file and its place in it; empty without a file."""
    stamp = file_stamp(place.path)
    if not stamp:
        return ""
    text = f"{place.path}\0{place.key}\0{place.index}\0{stamp}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Memo:
    """Keys with JSON values on disk, one line each; the last line of a key counts.

    A value is valid only under the `stamp` it was stored with (for a file: `file_stamp`). Lines are appended in one
    write, so that several threads and several processes can use one file; values of other processes are seen when the
    file is opened next. A damaged line, or one that a kill left unfinished, is skipped.
    """

    def __init__(self, path: str | Path) -> None:
        """Read `path`, which need not exist; it and its folder are created by the first `put`."""
        self.path = Path(path)
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._lost = False
        self._known: dict[str, tuple[str, str]] = {}  # values as JSON, a tenth of what they take as objects
        try:
            data = self.path.read_bytes()
        except OSError:
            data = b""
        for line in data.split(b"\n"):
            row = _parse(line)
            if row is not None:
                self._known[row[0]] = (row[1], _written(row[2]))

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._known)

    def get(self, key: str, stamp: str) -> Any:
        """Return the value that was stored for the key under this stamp, else None."""
        found = self._known.get(key)
        return json.loads(found[1]) if found is not None and found[0] == stamp else None

    def put(self, key: str, stamp: str, value: Any) -> None:
        """Store a JSON value (not None, no NaN) for the key, in place of its old value.

        If the file cannot be written, a warning is logged once, and values are kept in memory only. Raises ValueError
        or TypeError for a value that is not JSON.
        """
        text = _written(value)
        line = f"[{json.dumps(key)},{json.dumps(stamp)},{text}]"
        with self._lock:
            self._known[key] = (stamp, text)
            if self._lost:
                return
            try:
                self._append(line.encode() + b"\n")
            except OSError as error:
                self._lost = True
                log.warning(
                    "the cache is not saved: cannot write '%s' (%s); set %s to a folder that can be written",
                    self.path,
                    error.strerror or error,
                    CACHE_VARIABLE,
                )

    def close(self) -> None:
        """Close the file. Using the memo afterwards opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def __enter__(self) -> Memo:
        """The memo itself; it is closed when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def _append(self, data: bytes) -> None:
        """Add one line in one write. The first write after opening ends a line that was left unfinished."""
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
            size = os.fstat(self._handle).st_size
            if size and _last_byte(self._handle, size) != b"\n":
                data = b"\n" + data
        written = os.write(self._handle, data)
        if written < len(data):
            os.write(self._handle, b"\n")  # raises where the disk is full
            raise OSError(0, "only a part of a line was written")


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _last_byte(handle: int, size: int) -> bytes:
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1)


def _parse(line: bytes) -> tuple[str, str, Any] | None:
    """Return key, stamp and value of one line; None for a line that is damaged."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        return None
    if not (isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) and isinstance(row[1], str)):
        return None
    return row[0], row[1], row[2]
