"""Names of a file's columns: which of them is which of ours, for all files or for one, and wide tables of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import ScoreError, near

ColumnNames = Mapping[str, "str | Mapping[str, str]"]
"""Our name → the file's, for all files; or a file's name or path → such a mapping for this file alone."""


def columns_of(columns: ColumnNames | None, path: Path) -> dict[str, str]:
    """Return our name → the file's for one file; what is said of the file itself comes before what holds for all."""
    found = {ours: theirs for ours, theirs in (columns or {}).items() if isinstance(theirs, str)}
    for file, own in (columns or {}).items():
        if not isinstance(own, str) and is_same_file(file, path):
            found |= own
    return found


def narrowed(columns: ColumnNames, places: Sequence[str | Path]) -> ColumnNames:
    """Return a mapping without what is said of other files than these."""
    own = {name for name, to in columns.items() if isinstance(to, str)}
    own |= {file for file in columns if any(is_same_file(file, Path(place).expanduser()) for place in places)}
    return {name: to for name, to in columns.items() if name in own}


def is_same_file(named: str, path: Path) -> bool:
    """Return whether a text is a file's name or a path of it."""
    return named in (path.name, str(path)) or Path(named).expanduser().absolute() == path.absolute()


def require_files(columns: ColumnNames | None, places: Sequence[str | Path]) -> None:
    """Raise ScoreError for columns of a file that is not one of `places`."""
    for file, own in (columns or {}).items():
        if not isinstance(own, str) and not any(is_same_file(file, Path(place).expanduser()) for place in places):
            hint = near(Path(file).name, [Path(place).name for place in places])
            raise ScoreError(f"columns are named for '{file}', which is not one of the files given{hint}")
