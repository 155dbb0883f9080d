"""LMDB files, opened for reading: once per process, however many adapters use one, and again after a fork."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from ...core.errors import DataError, first_line, refuse_machine_fault

_LOCKS: dict[int, threading.Lock] = {}
"""A lock for each process: one that another thread held at a fork would stay locked."""
_OPEN: dict[tuple[int, str], tuple[Any, int]] = {}
"""Open files by process and place, with the number of their users: the library opens a file once per process."""
LONGEST_KEY = 511
"""Bytes of a key."""


def _lock() -> threading.Lock:
    return _LOCKS.setdefault(os.getpid(), threading.Lock())


def _module() -> Any:
    try:
        import lmdb
    except ImportError:
        raise DataError(
            "this dataset lies in an LMDB file, and the package lmdb is not installed: pip install 'm2f2bench[lmdb]'"
        ) from None
    return lmdb


class LMDBFile:
    """The values of one LMDB folder (with `data.mdb`) by their keys. Pickled it is its place alone."""

    def __init__(self, folder: Path) -> None:
        """Make the object; nothing is opened yet."""
        self.folder = folder
        self._key = os.path.realpath(folder)
        self._users: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open file, which belongs to this process."""
        return {**self.__dict__, "_users": set()}

    def get(self, key: str) -> bytes | None:
        """Return the value of a key, None if there is none. Raises DataError for a file that cannot be opened."""
        raw = key.encode("utf-8", "surrogatepass")
        if not 0 < len(raw) <= LONGEST_KEY:
            return None
        with self._environment().begin(write=False) as reading:
            found: bytes | None = reading.get(raw)
        return found

    def first_key(self) -> str:
        """Return the first key; empty for a file without any."""
        with self._environment().begin(write=False) as reading, reading.cursor() as cursor:
            return bytes(cursor.key()).decode("utf-8", "replace") if cursor.first() else ""

    def close(self) -> None:
        """Close the file if no other object of this process uses it."""
        pid = os.getpid()
        if pid not in self._users:
            return
        self._users.discard(pid)
        with _lock():
            held, users = _OPEN[pid, self._key]
            if users > 1:
                _OPEN[pid, self._key] = held, users - 1
            else:
                del _OPEN[pid, self._key]
                held.close()

    def _environment(self) -> Any:
        """Return this process's open file: read-only and without a lock, as data lie on read-only mounts."""
        place = (os.getpid(), self._key)
        found = _OPEN.get(place)
        if found is not None and place[0] in self._users:
            return found[0]
        lmdb = _module()
        with _lock():
            held, users = _OPEN.get(place, (None, 0))
            if place[0] in self._users and held is not None:
                return held
            if held is None:
                held = self._opened(lmdb)
            _OPEN[place] = held, users + 1
            self._users.add(place[0])
            return held

    def _opened(self, lmdb: Any) -> Any:
        for pid, path in list(_OPEN):
            if path == self._key and pid != os.getpid():  # the parent's, which this process must not go on with
                _OPEN.pop((pid, path))[0].close()
        try:
            return lmdb.open(str(self.folder), readonly=True, lock=False, create=False, readahead=False, max_readers=1)
        except Exception as error:
            refuse_machine_fault(error, f"'{self.folder}'")
            raise DataError(
                f"'{self.folder / 'data.mdb'}' is no LMDB file: {first_line(error)}; fetch it again"
            ) from None
