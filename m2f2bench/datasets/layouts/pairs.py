"""Split lists of FaceForensics++: pairs of videos, each of which was given the other's face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import DataError
from ...core.text import quoted
from ..lists.tables import json_list


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Return the pairs of video numbers in a split list, `[["953", "974"], ...]`; no number is in two of them.

    Raises `DataError` for a list that is missing or damaged, or of another form.
    """
    pairs = json_list(path, "split list", "fetch it, or set options.splits to its folder")
    if not isinstance(pairs, list) or not pairs:
        raise DataError(f'split list \'{path}\' should be a list of pairs such as [["953", "974"]]')
    seen: set[str] = set()
    for number, pair in enumerate(pairs):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(key, str) and key for key in pair)):
            raise DataError(f"split list '{path}' entry {number} is {json.dumps(pair)[:40]}, not a pair of texts")
        for key in pair:
            if "/" in key or "\0" in key:
                raise DataError(f"split list '{path}' entry {number}: {quoted(key)} is not the name of a video")
            if key in seen:
                raise DataError(f"split list '{path}' entry {number}: video {key} is listed twice")
            seen.add(key)
    return [(a, b) for a, b in pairs]


def listed_keys(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the names of the real videos, A and B of each pair, and of one method's fakes, A_B and B_A, sorted."""
    real = sorted(key for pair in pairs for key in pair)
    fake = sorted(key for a, b in pairs for key in (f"{a}_{b}", f"{b}_{a}"))
    return real, fake
