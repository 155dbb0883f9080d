"""Names of splits as datasets write them."""

from __future__ import annotations

import re

from ...core.errors import DataError

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


def no_split(source: object, split: str, counts: dict[str, int], all_test: bool = False) -> DataError:
    """Return the error for a split without images; `counts` are the numbers of images, or of files, by split."""
    there = ", ".join(f"{name} ({count})" for name, count in counts.items() if count) or "no images at all"
    hint = " (without names of splits all is test)" if all_test else ""
    return DataError(f"'{source}' has no {split} split: it has {there}{hint}")
