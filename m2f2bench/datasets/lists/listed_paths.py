"""Files that a list names, found below the folders that its paths may start from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...core.errors import DataError

PROBED = 3
"""Files of a folder that are looked for before another folder is tried."""


@dataclass(frozen=True)
class Placed:
    """Folders on this machine by the folders that a list names, and whether any listed file exists."""

    folders: dict[str, str]
    there: bool

    def path(self, listed: str) -> str:
        """Return the file that a listed path stands for; it need not exist."""
        folder, _, name = listed.rpartition("/")
        return f"{self.folders[folder]}/{name}"


def written(path: str) -> str:
    """Return a listed path with / for \\, and without `./` and doubled slashes."""
    plain = path.replace("\\", "/")
    return str(PurePosixPath(plain)) if "./" in plain or "//" in plain else plain


def placed(paths: Sequence[str], bases: Sequence[Path], source: str) -> Placed:
    """Return where listed files lie, decided for each listed folder by what exists.

    A path is tried as it is, from each of the `bases`, and then without its first folders, since lists carry the
    folders of the machine that they were made on; its last folder is never dropped, because `000.png` alone would fit
    any folder. A folder of which nothing exists gets the place that its neighbours have. Raises `DataError` if two
    listed folders come out as one: their frames would be mixed up.
    """
    groups: dict[str, list[str]] = {}
    last_folder: str | None = None
    names: list[str] = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder != last_folder:
            names = groups.setdefault(folder, [])
            last_folder = folder
        names.append(name)
    known: dict[Path, bool] = {}
    found: dict[str, Path | None] = {}
    last: tuple[int, int] = (0, 0)
    for folder, names in groups.items():
        chosen: tuple[tuple[int, int], Path] | None = None
        for choice, place in _candidates(folder, bases, last):
            if _is_folder(place, known):
                there = _has_any(place, names[:PROBED])
                if there or chosen is None:
                    chosen = (choice, place)
                if there:
                    break
        found[folder] = chosen[1] if chosen else None
        last = chosen[0] if chosen else last
    folders, held = {}, dict[str, str]()
    for folder, where in found.items():
        folders[folder] = str(where if where is not None else _at(folder, bases, last))
        other = held.setdefault(folders[folder], folder)
        if other != folder and where is not None:
            raise DataError(
                f"{source}: '{other}' and '{folder}' both lead to '{where}'; give the folder that its paths start from"
            )
    exists = any(where is not None and _has_any(where, groups[folder]) for folder, where in found.items())
    return Placed(folders, exists)


def _candidates(folder: str, bases: Sequence[Path], last: tuple[int, int]) -> Iterator[tuple[tuple[int, int], Path]]:
    """Yield the places that a listed folder may stand for, each with its base's and its dropped parts' numbers."""
    depth = len(PurePosixPath(folder).parts)
    if last[1] < max(1, depth):
        yield last, _at(folder, bases, last)
    for dropped in range(max(1, depth)):
        for number in range(len(bases)):
            if (number, dropped) != last:
                yield (number, dropped), _at(folder, bases, (number, dropped))


def _at(folder: str, bases: Sequence[Path], choice: tuple[int, int]) -> Path:
    number, dropped = choice
    parts = PurePosixPath(folder).parts
    return bases[number].joinpath(*parts[min(dropped, max(0, len(parts) - 1)) :])


def _is_folder(path: Path, known: dict[Path, bool]) -> bool:
    """Return whether a folder exists; one whose parent does not is not looked up."""
    there = known.get(path)
    if there is None:
        there = path.parent == path or _is_folder(path.parent, known)
        with contextlib.suppress(OSError, ValueError):
            there = there and path.is_dir()
        known[path] = there
    return there


def _has_any(folder: Path, names: Sequence[str]) -> bool:
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            if (folder / name).is_file():
                return True
    return False
