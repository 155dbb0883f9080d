"""Folders listed quickly and in natural order, without hidden files and those of file managers."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ...core.errors import DataError

NaturalKey = tuple[str, str]
IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
"""Files (lower case) that a file manager leaves in a folder; they are skipped like hidden files."""
LOOKED_AT = 2000
"""Entries of a folder that a quick look reads at most."""
NAMED = 8
"""Names of a folder's content that a message shows at most."""
_DIGITS = re.compile("[0-9]+")


def natural(text: str) -> NaturalKey:
    """Return a sort key under which frame_2 comes before frame_10; different texts have different keys."""
    return _DIGITS.sub(_number_key, text) + "\0\0", text


def _number_key(found: re.Match[str]) -> str:
    digits = found[0].lstrip("0")  # a number as its length and its digits: there may be any number of these
    return f"\0{chr(min(len(digits), sys.maxunicode))}{digits}"


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order. Frames' numbers with leading zeros, the usual case, are sorted as texts."""
    found = list(names)
    if found and len(set(map(len, found))) == 1:
        stem, tail = found[0].partition(".")[0], found[0].partition(".")[2]
        digits = "".join([name[: len(stem)] for name in found])
        if digits.isascii() and digits.isdigit() and all(name.endswith(tail) for name in found):
            return sorted(found)
    return sorted(found, key=natural)


def is_ignored(name: str) -> bool:
    """Return whether a file or folder of this name is left out: a hidden one, or one of a file manager."""
    return name.startswith(".") or name.lower() in IGNORED_NAMES


def is_folder(path: Path) -> bool:
    """Return whether there is a folder; False where that cannot be found out."""
    with contextlib.suppress(OSError, ValueError):
        return path.is_dir()
    return False


def is_file(path: Path | str) -> bool:
    """Return whether there is a regular file; False where that cannot be found out."""
    with contextlib.suppress(OSError, ValueError):
        return Path(path).is_file()
    return False


def scan(folder: Path, most: int | None = None) -> Iterator[tuple[str, bool]]:
    """Yield the name of each entry (of the first `most`) that is not left out, and whether it is a folder; unordered.

    Raises `DataError` for a folder that cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, most):
                if not is_ignored(entry.name):
                    yield entry.name, _is_folder(entry)
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def entries_of(folder: Path) -> dict[str, bool]:
    """Return the entries of a folder in natural order, each with whether it is a folder. Raises `DataError`."""
    found = dict(scan(folder))
    return {name: found[name] for name in in_order(found)}


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's folders and of its files, each in natural order. Raises `DataError`."""
    found = dict(scan(folder))
    return in_order(name for name in found if found[name]), in_order(name for name in found if not found[name])


def folders_in(folder: Path, most: int | None = None) -> dict[str, Path]:
    """Return the folders in a folder (among its first `most` entries) by name, in natural order. Raises `DataError`."""
    return {name: folder / name for name in in_order(name for name, is_dir in scan(folder, most) if is_dir)}


def first_names(folder: Path, most: int = LOOKED_AT) -> list[str]:
    """Return the names of the first entries of a folder, unordered; none if it cannot be listed."""
    with contextlib.suppress(DataError, ValueError):
        return [name for name, _ in scan(folder, most)]
    return []


def holds(folder: Path) -> str:
    """Return the first names in a folder, for a message."""
    try:
        names = in_order(name for name, _ in scan(folder, LOOKED_AT))
    except DataError:
        return "no content that can be listed"
    return (", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")) or "nothing"
