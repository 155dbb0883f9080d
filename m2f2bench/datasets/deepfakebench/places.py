"""Places of folders that a list names by another machine's paths: which part of such a path exists under a root."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .df40_methods import same_names

HEADS = ("", "datasets/rgb", "datasets", "rgb", "deepfakes_detection_datasets")
"""Folders under a root in which the datasets may lie."""
FOREIGN = re.compile(r"(?:\./)?(?:deepfakes_detection_datasets/|datasets/rgb/|datasets/|rgb/)")
"""Beginnings of paths in published lists."""
_DRIVE = re.compile(r"[A-Za-z]:")


def slashed(written: str) -> str:
    """Return a path with / between its parts."""
    return written.replace("\\", "/")


def parts_of(written: str) -> list[str]:
    """Return the names in a path, outermost first, without a drive and without `.` and `..`."""
    return [part for part in slashed(written).split("/") if part not in ("", ".", "..") and not _DRIVE.fullmatch(part)]


class Places:
    """Folders under `root`, and last under those `beside` it; a path's parent is looked up once.

    A list of many videos then costs few look-ups.
    `renamed` has the names of folders that differ between list and disk, `absent` the parents that do not exist.
    """

    def __init__(self, root: Path, beside: Sequence[Path] = ()) -> None:
        """Make an empty table of places under `root` and the folders `beside`."""
        self.root, self.beside = root, beside
        self.renamed: dict[str, str] = {}
        self.absent: set[str] = set()
        self._parents: dict[str, str] = {}
        self._listings: dict[Path, dict[str, str]] = {}

    def folder(self, written: str) -> str:
        """Return the place of a folder that a list names; its parent exists unless it is in `absent`.

        Tried are the whole path and then ever shorter ends of it, under the root and the folders `HEADS` in it: with
        the names as written, then with other names of the same method or in other case. A path that exists as written
        is taken last. If there is none, the place is where it should be: under the root, without a known beginning.
        """
        parent, _, name = slashed(written).rstrip("/").rpartition("/")
        if not name:  # a frame's path without a folder
            return str(self.root)
        found = self._parents.get(parent)
        if found is None:
            found = self._parents[parent] = self._parent(parent)
        return f"{found}/{name}"

    def _parent(self, parent: str) -> str:
        parts = parts_of(parent)
        ends = [parts[i:] for i in range(len(parts)) if parts[i:] != ["frames"]] or [[]]
        bases = [*(self.root / head for head in HEADS), *self.beside]
        bases = [base for base in bases if base.is_dir()]
        for end in ends:
            for base in bases:
                if base.joinpath(*end).is_dir():
                    return str(base.joinpath(*end))
        for end in ends:
            for base in bases:
                found, differing = self.descend(base, end)
                if found is not None:
                    self.renamed |= differing
                    return str(found)
        if parent.startswith("/") and Path(parent).is_dir():
            return parent
        self.absent.add(parent)
        return str(self.root.joinpath(*parts_of(FOREIGN.sub("", slashed(parent), count=1))))

    def descend(self, base: Path, parts: Sequence[str]) -> tuple[Path | None, dict[str, str]]:
        """Return the folder with these names or others of the same meaning under `base`, and the names that differ."""
        differing: dict[str, str] = {}
        here = base
        for part in parts:
            if not (here / part).is_dir():
                listed = self._listing(here)
                other = next((listed[one] for one in sorted(same_names(part)) if one in listed), None)
                if other is None:
                    return None, {}
                differing[part] = other
                part = other
            here /= part
        return here, differing

    def _listing(self, folder: Path) -> dict[str, str]:
        """Return the folders in a folder by their names in lower case."""
        if folder not in self._listings:
            try:
                found = sorted(path.name for path in folder.iterdir() if path.is_dir())
            except OSError:
                found = []
            self._listings[folder] = {name.casefold(): name for name in found}
        return self._listings[folder]
