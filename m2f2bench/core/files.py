"""Files: written so that a kill or a full disk leaves the old or the new one whole, read only where they are files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import StoreError
from .text import in_utf8, is_text


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that is renamed onto it when the block ends well, else removed.

    Raises StoreError where that cannot be, and for a path at which there is something else than a file: a device's
    place is not taken.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
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
    """Write a JSON file atomically, indented, NaN refused. What UTF-8 cannot say in a text stands as an escape."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # The escape's own backslash stands twice in JSON: read again it is a text, not half of a surrogate pair.
    write_text(
        path,
        text if is_text(text) else "".join(in_utf8(c).replace("\\", "\\\\") if not is_text(c) else c for c in text),
    )


def sha256(path: Path) -> str:
    """64 hex digits over a file's bytes, read piece by piece."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; StoreError where that is not allowed, or there is something else."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise StoreError(f"'{folder}' is there and is no folder: give the name of a folder, or of one to be made")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None


def cannot_write(path: Path, error: OSError) -> StoreError:
    """The one-line error for a failed write."""
    reason = error.strerror or str(error)
    return StoreError(f"cannot write '{path}': {reason}")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
