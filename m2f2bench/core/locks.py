"""Locks on output folders: one process writes, a second gets an error that names the first."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from .errors import DetectorError, StoreError
from .files import cannot_write, make_folder

LOCK = ".lock"
"""The file in a folder that is locked. After a kill it may still be there, but is not locked any more."""
HOLDER_BYTES = 200
"""Bytes that are read of the line that names a lock's holder."""
_held: set[int] = set()
"""Descriptors of this process's locks."""


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Lock a folder against other writers while the block runs; it is created if it does not exist.

    The lock is the operating system's (`flock`): it ends with its process, however that ends, and forked processes do
    not share it. Raises StoreError, which names the holder, if the folder is locked, in this process or another. On a
    system or file system without locks nothing is locked.
    """
    made = not folder.exists()
    path = folder / LOCK
    handle = _locked(path)
    try:
        yield
    finally:
        # Removed before it is unlocked, so that a waiting process finds that it is no longer the folder's lock.
        path.unlink(missing_ok=True)
        _held.discard(handle)
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # it is not empty any more
                folder.rmdir()


@contextlib.contextmanager
def holding_vacant(folder: Path) -> Iterator[None]:
    """Lock a folder, as `holding` does. Raises DetectorError unless it is empty or does not exist."""
    _refuse_full(folder)
    with holding(folder):
        _refuse_full(folder)  # the holder before may have filled it
        yield


def _refuse_full(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and all(one.name == LOCK for one in folder.iterdir())):
        raise DetectorError(f"'{folder}' already exists and is not an empty folder: give another --out or remove it")


def _locked(path: Path) -> int:
    """Open and lock a file; return its descriptor. Raises StoreError."""
    while True:
        make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            _lock(handle, path)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                with contextlib.suppress(OSError):  # the holder's name matters less than the lock
                    os.ftruncate(handle, 0)
                    os.write(handle, _oneself().encode("utf-8", "replace"))
                return handle
        except FileNotFoundError:
            pass  # its holder finished, and removed it, between our open and our lock
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(
            f"'{path.parent}' is being written by another process ({_holder(handle)}): wait, or give another --out"
        ) from None
    except OSError:  # a file system without locks
        return
    _watch_forks()
    _held.add(handle)


@lru_cache(maxsize=1)
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    """Close a parent's locks in a forked process: workers may outlive the parent, its locks must not."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


def _oneself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"


def _holder(handle: int) -> str:
    line = os.pread(handle, HOLDER_BYTES, 0).decode("utf-8", "replace").split("\n")[0]
    return "".join(letter for letter in line if letter.isprintable()) or "unknown process"
