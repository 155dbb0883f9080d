"""Names of splits as datasets write them, and folders listed quickly in natural order."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from ...core.errors import DataError
from ..files.images import IGNORED_NAMES
from .entries import natural

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Our name of a split by the words (lower case) that datasets have for it."""


def split_in(text: str) -> str | None:
    """Return the split that a file's or a folder's name speaks of (`FF_train-0001`), None if it names none.

    Of several words the last counts: `train_val` is `val`.
    """
    words = re.split(r"[^a-z]+", text.lower())
    return next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in natural order. Frames' numbers with leading zeros, the usual case, are sorted as texts."""
    found = list(names)
    if found and len(set(map(len, found))) == 1:
        stem, tail = found[0].partition(".")[0], found[0].partition(".")[2]
        digits = "".join([name[: len(stem)] for name in found])
        if digits.isascii() and digits.isdigit() and all(name.endswith(tail) for name in found):
            return sorted(found)
    return sorted(found, key=natural)


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of a folder's folders and of its files, each in natural order, without hidden and ignored ones.

    Raises `DataError` for a folder that cannot be listed.
    """
    folders, files = list[str](), list[str]()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in IGNORED_NAMES:
                    continue
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None
    return in_order(folders), in_order(files)


def folders_in(folder: Path, most: int = 1000) -> list[str]:
    """Return the names of the folders among the first `most` entries of a folder, sorted: a quick look, not a listing.

    Raises `DataError` for a folder that cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in islice(entries, most) if entry.is_dir())
    except OSError as error:
        raise DataError(f"folder '{folder}' cannot be listed: {error.strerror}") from None


def no_split(source: object, split: str, counts: dict[str, int], all_test: bool = False) -> DataError:
    """Return the error for a split without images; `counts` are the numbers of images, or of files, by split."""
    there = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "no images at all"
    hint = " (without names of splits all is test)" if all_test else ""
    return DataError(f"'{source}' has no {split} split: it has {there}{hint}")
