"""Atomic writing of files and bounded reading of regular ones.

After a kill or on a full disk, the old or the new file is there, complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import DataError, StoreError, first_line, refuse_machine_fault
from .text import in_utf8, is_text, quoted

ABSENT = "does not exist"


class NoInput(Exception):
    """Why a file cannot be read, to follow its name in a line ("does not exist", "is a folder")."""


def user_path(place: str | Path) -> Path:
    """Return a path that a user gave, with a leading `~` expanded; it need not exist.

    Raises DataError if the system cannot look it up: a name that is too long, a folder that is not open to the user,
    an unknown user's home.
    """
    try:
        path = Path(place).expanduser()
        if "\0" in str(place):
            raise RuntimeError("it has a NUL character")
        path.exists()
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(f"the path {quoted(str(place), 80)} cannot be looked up: {why}") from None
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the block a temporary file in the folder of `path`; rename it to `path` if the block succeeds.

    Raises StoreError if that is not possible, or if `path` is not a regular file (a device is never replaced).
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "not a regular file"
        raise StoreError(f"cannot write '{path}': it is {what}; give the name of a file")
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    with replacing(path) as temporary:
        temporary.write_text(in_utf8(text), encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write an indented JSON file atomically. Raises ValueError for NaN. Text that UTF-8 cannot hold is escaped."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # The escape's own backslash is doubled in JSON: read back it is a text, not half of a surrogate pair.
    write_text(
        path,
        text if is_text(text) else "".join(in_utf8(c).replace("\\", "\\\\") if not is_text(c) else c for c in text),
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; it is read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()


def read_input(path: str | Path, limit: int) -> bytes:
    """Return all bytes of a regular file. Raises NoInput for any other, and for one of more bytes than `limit`.

    A pipe or a device is not opened: that would wait for ever. Raises MachineError for a disk that fails.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - without making a Path of each of a million names
        if not stat.S_ISREG(found.st_mode):
            what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise NoInput(what)
        if found.st_size > limit:
            raise NoInput(f"has {found.st_size:,} bytes, over the limit of {limit:,}")
        data = _read(path, found.st_size, limit)
    except FileNotFoundError:
        raise NoInput(ABSENT) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        refuse_machine_fault(error, f"'{path}'")
        why = getattr(error, "strerror", None) or first_line(error)  # its own text has the folders of this machine
        raise NoInput(f"cannot be read: {why}") from None
    if len(data) > limit:
        raise NoInput(f"has over {limit:,} bytes, which is the limit")
    return data


def _read(path: str | Path, size: int, limit: int) -> bytes:
    """Return all bytes of a file of about `size` bytes, and of one that grows at most `limit` + 1.

    Python's file objects take twice as long, which is a tenth of what a small picture takes.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        data = os.read(file, size + 1)
        if len(data) == size > 0:
            return data
        # It is being written, or is a file of the kernel, whose size is 0, or came in part.
        while len(data) <= limit and (more := os.read(file, min(limit + 1 - len(data), 1 << 24))):
            data += more
        return data
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents. Raises StoreError if that fails, or if something else has this name."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise StoreError(f"'{folder}' exists and is not a folder: give the name of a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Return the one-line error for a failed write."""
    reason = error.strerror or str(error)
    return StoreError(f"cannot write '{path}': {reason}")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
