"""Video files and folders of pictures, found in the folders that datasets are downloaded in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import Locator
from ..files.folders import LOOKED_AT, entries_of, in_order, is_folder, natural, scan
from ..files.images import IMAGE_SUFFIXES
from ..files.video import VIDEO_SUFFIXES

INNER = "videos"
"""A folder that videos may lie in, below the one that a list names."""


@dataclass(frozen=True, slots=True)
class Media:
    """A video file, or a folder of pictures.

    `name` is its path below the folder that was searched, with `/` and without the ending of a video file. `items` are
    the names of the pictures in natural order, `()` for a video file.
    """

    name: str
    path: Path
    items: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    def clip(self, name: str, label: int, method: str, split: str, people: Sequence[str] = ()) -> Clip:
        """Return the clip of this file or folder; its video is named `<method>/<name>`."""
        where = Locator(str(self.path))
        return Clip(f"{method}/{name}", label, method, split, tuple(dict.fromkeys(people)), where, self.items)


def media_under(folder: Path) -> list[Media]:
    """Return the video files and the folders of pictures under a folder, in natural order of their names.

    Links are followed, but not in a circle. Hidden files and other kinds of files are left out. Raises `DataError` for
    a folder that cannot be listed.
    """
    found = list(_walk(folder, "", frozenset()))
    count: dict[str, int] = {}
    for one in found:
        count[one.name] = count.get(one.name, 0) + 1
    # Of files that differ in their ending alone each keeps it.
    named = [one if count[one.name] == 1 else Media(one.name + one.path.suffix, one.path, one.items) for one in found]
    return sorted(named, key=lambda one: natural(one.name))


def _walk(folder: Path, above: str, seen: frozenset[str]) -> Iterator[Media]:
    here = os.path.realpath(folder)
    if here in seen:
        return
    pictures, inner = [], []
    for name, is_dir in scan(folder):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - of a million names
        if suffix in IMAGE_SUFFIXES:
            pictures.append(name)
        elif suffix in VIDEO_SUFFIXES:
            yield Media(above + name[: -len(suffix)], folder / name)
        elif is_dir:
            inner.append(name)
    if pictures:
        yield Media(above.removesuffix("/") or folder.name, folder, tuple(in_order(pictures)))
    for name in inner:
        yield from _walk(folder / name, f"{above}{name}/", seen | {here})


def subfolder(folder: Path, name: str) -> Path | None:
    """Return the folder of a name, in any case, in a folder of not too many files; None if there is none.

    Raises `DataError` for two whose names differ in case alone, and for a folder that cannot be listed.
    """
    found = [folder / one for one, is_dir in scan(folder, LOOKED_AT) if is_dir and one.lower() == name.lower()]
    if len(found) > 1:
        first, second = sorted(found)[:2]
        raise DataError(f"'{first}' and '{second}' have names that differ in case alone; join them")
    return found[0] if found else None


def videos_in(folder: Path) -> dict[str, Path]:
    """Return the video files in a folder, and in `videos` in it, by name without ending, in natural order.

    None if there is no such folder. Raises `DataError` for two of one name, and for a folder that cannot be listed.
    """
    found: dict[str, Path] = {}
    for place in (folder, folder / INNER):
        for name, is_dir in entries_of(place).items() if is_folder(place) else ():
            path = place / name
            if is_dir or path.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if path.stem in found:
                raise DataError(f"'{found[path.stem]}' and '{path}' are both video '{path.stem}'; remove one")
            found[path.stem] = path
    return found


def has_videos(folder: Path, depth: int = 0) -> bool:
    """Return whether a folder, or `videos` in it, or a folder at most `depth` levels below, has a video file.

    Only some names are read, so that this is quick in a folder of a million pictures. Nothing is raised.
    """
    left = LOOKED_AT
    waiting = [(folder, depth), (folder / INNER, 0)]
    while waiting:
        place, levels = waiting.pop()
        with contextlib.suppress(DataError, ValueError):
            for name, is_dir in scan(place, left):
                if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                    return True
                left -= 1
                if left <= 0:
                    return False
                if levels and is_dir:
                    waiting.append((place / name, levels - 1))
    return False
