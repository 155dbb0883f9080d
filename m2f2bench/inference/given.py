"""Files that are to be judged: what a path stands for, and addresses, which are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import DataError
from ..core.files import user_path
from ..datasets.files.folders import natural
from ..datasets.files.images import IMAGE_SUFFIXES
from ..datasets.files.video import VIDEO_SUFFIXES
from .pictures import Picture

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/.*", re.DOTALL)
"""Such as `https://…`; of a path, two strokes are one. Drives of Windows have one letter."""


def files_of(paths: Sequence[str | Path | Picture]) -> list[Path | Picture]:
    """Return the files that paths stand for, those of folders in natural order, and pictures in memory as they are.

    Raises DataError for an address, a path that does not exist, and a folder without anything to judge.
    """
    return [file for path in paths for file in ([path] if isinstance(path, Picture) else _files(path))]


def is_video(file: Path | Picture) -> bool:
    """Return whether a file is a video, by its name."""
    return isinstance(file, Path) and file.suffix.lower() in VIDEO_SUFFIXES


def _files(given: str | Path) -> Iterator[Path]:
    path = user_path(given)
    known = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    if path.is_dir():
        found = [p for p in path.rglob("*") if p.suffix.lower() in known and not p.is_dir()]
        if not found:
            raise DataError(f"folder '{path}' holds no image or video")
        yield from sorted(found, key=lambda file: natural(file.as_posix()))
    elif path.is_file():
        yield path
    elif path.exists():
        raise DataError(f"'{path}' is neither a regular file nor a folder: give an image, a video or a folder of them")
    elif ADDRESS.fullmatch(str(given)):
        raise DataError(f"'{given}' is an address: nothing is fetched, download the file and give its path")
    else:
        raise DataError(f"there is no file or folder '{path}'")
