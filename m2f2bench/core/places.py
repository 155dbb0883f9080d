"""Paths on cards: what they are relative to, and how they are written to files for other machines.

No written file names a folder of this machine: a card names its files relative to its own folder, a record only by
their names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

LONGEST = 1000
"""Characters of a text that may still be a path."""

NO_FILE = frozenset({"", ".", "..", "~"})
"""Last parts of texts that never name a file."""

T = TypeVar("T")


def seen_from(path: Path, folder: Path) -> str:
    """Return a path as a card in `folder` writes it: relative, with slashes."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def moved(value: T, origins: Sequence[Path], folder: Path) -> T:
    """Return a card's options for a card in `folder`: every text in them that names a file still names it.

    A text names a file where it is an absolute path, or has a slash or a file's ending, and there is such a file or
    folder, as seen from one of the `origins`, the first of them that has it. All other texts stay.
    """

    def move(text: str) -> str:
        plain = Path(text)
        if plain.name in NO_FILE or not (plain.is_absolute() or "/" in text or plain.suffix):
            return text
        path = plain.expanduser()
        found = next((origin / path for origin in (*origins, folder) if (origin / path).exists()), None)
        return text if found is None else seen_from(found, folder)

    return cast(T, _each_text(value, move))


def moved_reference(reference: str, origin: Path, folder: Path) -> str:
    """Return `file.py:Class` of a card in `origin` for a card in `folder`."""
    path, _, name = reference.rpartition(":")
    return f"{seen_from(origin / Path(path).expanduser(), folder)}:{name}"


def without_folders(value: T) -> T:
    """Return a card's values for a record: of absolute paths that exist on this machine only the last part."""

    def bare(text: str) -> str:
        path, colon, name = text.rpartition(":")
        if path.endswith(".py") and name.isidentifier() and Path(path).expanduser().is_absolute():
            return f"{Path(path).name}{colon}{name}"
        if Path(text).name in NO_FILE:
            return text
        whole = Path(text).expanduser()
        return whole.name if whole.is_absolute() and whole.exists() else text

    return cast(T, _each_text(value, bare))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return the same mapping, list or text with every short text in it changed."""
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_each_text(item, change) for item in value)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or "\n" in value:
        return value
    try:
        return change(value)
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown ~user, a null byte: no path
        return value
