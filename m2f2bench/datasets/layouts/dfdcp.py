"""The DFDC preview as it is downloaded: original videos, fakes by two methods, and a list of them all."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.folders import is_file, is_folder, natural
from ..lists.tables import inside, json_list
from .media_trees import has_videos
from .trees import Listing, TreeAdapter, missing

LIST = "dataset.json"
ORIGINALS, METHODS = "original_videos", ("method_A", "method_B")
_LABELS = {"real": REAL, "fake": FAKE}
_PEOPLE = ("target_id", "swapped_id")


class DFDCPAdapter(TreeAdapter[AdapterOptions]):
    """`root` has `dataset.json`, `original_videos`, `method_A` and `method_B`.

    The list gives each video by its path a label (`real`, `fake`), a set (`train`, `test`), and the people of a fake.
    The folder below `original_videos` is the person of a real one. A listed video that is missing stays as one frame
    that fails when it is read.
    """

    layout: ClassVar[str] = "the DFDC preview"
    needs: ClassVar[str] = f"{LIST}, {ORIGINALS}, {' and '.join(METHODS)}"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def _is_top(self, folder: Path) -> bool:
        return is_file(folder / LIST) or any(is_folder(folder / name) for name in (ORIGINALS, *METHODS))

    def _has_media(self, top: Path) -> bool:
        return is_file(top / LIST) and any(has_videos(top / name, 3) for name in (ORIGINALS, *METHODS))

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos of a set, the real ones first, then by method and path.

        Raises `DataError` for a list that is missing, damaged or of another dataset, and for an entry without a path,
        with a label or set that is unknown, or with a label that is not its folder's.
        """
        clips = [clip for clip in self._all(top) if clip.split == split]
        return sorted(clips, key=lambda clip: (clip.label, natural(clip.video))), missing(clips, LIST)

    def _all(self, root: Path) -> list[Clip]:
        path = root / LIST
        listed = json_list(path, "list of videos")
        if not isinstance(listed, dict) or not listed:
            raise DataError(f"list of videos '{path}' should be a mapping of paths to label and set")
        clips: dict[str, Clip] = {}
        for name, row in listed.items():
            clip = _clip(root, name, row, f"'{path}', video {quoted(name, 80)}")
            if clip.video in clips:
                raise DataError(f"'{path}', video {quoted(name, 80)}: it is listed twice")
            clips[clip.video] = clip
        return list(clips.values())


def _clip(root: Path, name: str, row: Any, where: str) -> Clip:
    """Return the clip of an entry of the list. Raises DataError for an odd one."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts:
        raise DataError(f"{where}: the path is empty")
    if not inside(name):
        raise DataError(f"{where}: the path leads out of the dataset's folder")
    if not isinstance(row, dict):
        raise DataError(f"{where}: it should be a mapping with label and set, not {quoted(row)}")
    text, split = row.get("label"), row.get("set")
    label = _LABELS.get(text.lower()) if isinstance(text, str) else None
    if label is None:
        raise DataError(f"{where}: label {quoted(text)} is neither 'real' nor 'fake'")
    if split not in ("train", "test"):
        raise DataError(f"{where}: set {quoted(split)} is neither 'train' nor 'test'")
    top = next((part for part in parts[:-1] if part in (ORIGINALS, *METHODS)), "")
    if not top:
        raise DataError(f"{where}: it is in none of {', '.join((ORIGINALS, *METHODS))}: is it another dataset's list?")
    if (top == ORIGINALS) != (label == REAL):
        raise DataError(f"{where}: label {quoted(text)} in the folder {top}; correct the list")
    below = parts[parts.index(top) + 1 :]
    method = ORIGINAL if label == REAL else top
    people = [str(row[key]) for key in _PEOPLE if isinstance(row.get(key), (str, int)) and row[key] != ""]
    if label == REAL and not people and len(below) > 1:
        people = below[:1]
    video = f"{method}/{'/'.join([*below[:-1], PurePosixPath(below[-1]).stem])}"
    place = Locator(str(root.joinpath(*parts)))
    return Clip(video, label, method, split, tuple(dict.fromkeys(people)), place, ())
