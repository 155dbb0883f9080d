"""Patterns of places, such as `runs/seed*`: the files and folders that they match."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .files import user_path

MARKS = re.compile(r"[*?[]")


def is_pattern(place: Any) -> bool:
    """Return whether a text or path is a pattern (`*`, `?` or `[…]` in it), and no file or folder of that name."""
    return isinstance(place, (str, Path)) and MARKS.search(str(place)) is not None and not user_path(place).exists()


def matching(pattern: str | Path) -> list[Path]:
    """Return what a pattern matches, sorted, with numbers in the order of their size; hidden names only if named so."""
    parts = user_path(pattern).parts
    first = next((i for i, part in enumerate(parts) if MARKS.search(part)), len(parts))
    base, rest = Path(*parts[:first]), parts[first:]
    found = list(base.glob("/".join(rest))) if rest else [base] if base.exists() else []
    hidden = any(part.startswith(".") for part in rest)
    kept = [one for one in found if hidden or not any(name.startswith(".") for name in one.relative_to(base).parts)]
    return sorted(kept, key=lambda one: _order(str(one)))


def _order(text: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]
