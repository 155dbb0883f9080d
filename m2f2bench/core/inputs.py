"""Bounded reading of regular files."""

from __future__ import annotations

import stat
from pathlib import Path

from .errors import first_line, refuse_machine_fault

ABSENT = "does not exist"


class NoInput(Exception):
    """Why a file cannot be read, to follow its name in a line ("does not exist", "is a folder")."""


def read_input(path: Path, limit: int) -> bytes:
    """Return all bytes of a regular file. Raises NoInput for any other, and for one of more bytes than `limit`.

    A pipe or a device is not opened: that would wait for ever. Raises MachineError for a disk that fails.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise NoInput(what)
        if found.st_size > limit:
            raise NoInput(f"has {found.st_size:,} bytes, over the limit of {limit:,}")
        with path.open("rb") as file:
            data = file.read(found.st_size + 1)
            if len(data) > found.st_size:  # it is being written, or is a file of the kernel, whose size is 0
                data += file.read(limit + 1 - len(data))
    except FileNotFoundError:
        raise NoInput(ABSENT) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        refuse_machine_fault(error, f"'{path}'")
        why = getattr(error, "strerror", None) or first_line(error)  # its own text has the folders of this machine
        raise NoInput(f"cannot be read: {why}") from None
    if len(data) > limit:
        raise NoInput(f"has over {limit:,} bytes, which is the limit")
    return data
