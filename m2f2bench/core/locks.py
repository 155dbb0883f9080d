"""Locks on output folders: one process writes, a second is told who does. A lock ends with its process."""

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
"""The file in a folder that is locked; it is there while somebody writes, or after a kill, when it locks nothing."""
TOLD = 200
"""Bytes that are read of who holds a lock."""
_held: set[int] = set()
"""Descriptors of this process's locks."""


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is not there, against other writers while the block runs.

    The lock is the operating system's (`flock`): it is gone with its process, however that ends, and a process that is
    forked off has no part in it. Raises StoreError, which names the holder, where another has it, in this process or
    elsewhere. Where the file system or the system knows no locks, nothing is held.
    """
    made = not folder.exists()
    path = folder / LOCK
    handle = _locked(path)
    try:
        yield
    finally:
        # Removed before it is let go, so that whoever waits for its lock finds that it is no longer the folder's.
        path.unlink(missing_ok=True)
        _held.discard(handle)
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # unless something was put into it
                folder.rmdir()


@contextlib.contextmanager
def holding_vacant(folder: Path) -> Iterator[None]:
    """Hold a folder, as `holding` does, that is not there or empty. Raises DetectorError for another."""
    _refuse_full(folder)
    with holding(folder):
        _refuse_full(folder)  # by whoever held it until now
        yield


def _refuse_full(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and all(one.name == LOCK for one in folder.iterdir())):
        raise DetectorError(f"'{folder}' is there already and is not an empty folder: give another --out or remove it")


def _locked(path: Path) -> int:
    """The descriptor of a locked file. Raises StoreError."""
    while True:
        make_folder(path.parent)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            _lock(handle, path)
            if os.fstat(handle).st_ino == path.stat().st_ino:
                with contextlib.suppress(OSError):  # who it is matters less than that it is held
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
    """Close a parent's locks in a process that it forked off: its workers may outlive it, its locks shall not."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


def _oneself() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"


def _holder(handle: int) -> str:
    told = os.pread(handle, TOLD, 0).decode("utf-8", "replace").split("\n")[0]
    return "".join(letter for letter in told if letter.isprintable()) or "which one it does not say"
