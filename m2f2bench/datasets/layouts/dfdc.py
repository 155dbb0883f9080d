"""DFDC as it is downloaded: test videos with a table of labels, and parts of the training set with their metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.folders import first_names, folders_in, is_file, is_folder, natural
from ..lists.tables import inside, json_list, read_table
from .media_trees import INNER, has_videos, videos_in
from .trees import Listing, TreeAdapter, missing

METHOD = "DFDC"
"""The method of all fakes: the dataset does not say which of its several made one."""
LABELS, METADATA = "labels.csv", "metadata.json"
_TEST_LABELS = {"0": REAL, "1": FAKE, "real": REAL, "fake": FAKE}
_TRAIN_LABELS = {"REAL": REAL, "FAKE": FAKE}
_PART = re.compile(r"dfdc_train_part_\d+", re.ASCII | re.IGNORECASE)


class DFDCAdapter(TreeAdapter[AdapterOptions]):
    """`root` has the test videos with labels.csv, the parts of the training set, or both.

    Test: `test/labels.csv` or `labels.csv`, with `filename,label` (1 is fake), and the videos beside it or in `videos`.
    Who is in a test video is unknown. Train: `dfdc_train_part_N/metadata.json`, in `train` or the root, also in a
    folder of the same name within; a fake has the identity of its `original`, so that they stay together. A listed
    video that is missing stays as one frame that fails when it is read.
    """

    layout: ClassVar[str] = "DFDC"
    needs: ClassVar[str] = f"test/{LABELS} with its videos, or train/dfdc_train_part_N/{METADATA}"
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def _is_top(self, folder: Path) -> bool:
        return self._table(folder) is not None or any(_first_parts(folder))

    def _has_media(self, top: Path) -> bool:
        if any(is_file(folder / LABELS) and has_videos(folder) for folder in (top / "test", top)):
            return True
        return any(has_videos(part, 1) for part in _first_parts(top))

    def holds(self, split: str) -> bool:
        """Return whether there is a table of labels (test), or a part (train)."""
        top = self._top() if split in self.splits else None
        if top is None:
            return False
        return bool(self._table(top) if split == "test" else self._parts(top))

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos, the real ones first, by name, and remarks. Raises `DataError`.

        It is raised for a list that is missing, damaged or of another dataset, and for a label that is not one.
        """
        clips, remarks = self._train(top) if split == "train" else self._test(top)
        return sorted(clips, key=lambda clip: (clip.label, clip.video)), remarks  # names are letters, without numbers

    def _table(self, root: Path) -> Path | None:
        """Return the table of labels of the test videos."""
        return next((path for path in (root / "test" / LABELS, root / LABELS) if is_file(path)), None)

    def _test(self, root: Path) -> Listing:
        table = self._table(root)
        if table is None:
            raise DataError(f"no test split in '{root}': there is neither test/{LABELS} nor {LABELS}; fetch it")
        there = videos_in(table.parent)
        clips: dict[str, Clip] = {}
        for row in read_table(table, ("filename", "label")):
            where, file, text = row.where, row["filename"], row["label"]
            label = _TEST_LABELS.get(text.lower())
            stem = _stem(file)
            if not stem:
                raise DataError(f"{where}: the filename is empty")
            if label is None:
                raise DataError(f"{where}: label {quoted(text)} is neither 0 (real) nor 1 (fake)")
            if stem in clips:
                raise DataError(f"{where}: {quoted(file)} is listed twice")
            clips[stem] = _clip(stem, label, "test", (), str(there.get(stem, table.parent / f"{stem}.mp4")))
        return list(clips.values()), missing(list(clips.values()), LABELS)

    def _parts(self, root: Path) -> list[Path]:
        """Return the folders of the training set's parts: the inner one of two of the same name."""
        found: dict[str, Path] = {}
        for top in (root / "train", root):
            for name, folder in folders_in(top).items() if is_folder(top) else ():
                if _PART.fullmatch(name):
                    inner = folder / name
                    place = inner if is_file(inner / METADATA) else folder
                    other = found.setdefault(name.lower(), place)
                    if other != place:
                        raise DataError(f"'{other}' and '{place}' are the same part of the training set; remove one")
        return sorted(found.values(), key=lambda path: natural(path.name))

    def _train(self, root: Path) -> Listing:
        """Return the training videos, and remarks on those that are missing or not for training."""
        parts = self._parts(root)
        if not parts:
            raise DataError(
                f"no train split in '{root}': there is no dfdc_train_part_N, in train or beside it; fetch one"
            )
        clips: dict[str, Clip] = {}
        others = 0
        for part in parts:
            folder = part / INNER if is_folder(part / INNER) else part
            for where, file, row in _rows(part / METADATA):
                label = _TRAIN_LABELS.get(str(row.get("label")))
                if label is None:
                    raise DataError(f"{where}: label {quoted(row.get('label'))} is neither REAL nor FAKE")
                if row.get("split", "train") != "train":
                    others += 1
                    continue
                stem, original = _stem(file), row.get("original") or file
                if not isinstance(original, str):
                    raise DataError(f"{where}: original is {quoted(original)}, not the name of a video")
                if stem in clips:
                    raise DataError(f"{where} is also in '{Path(clips[stem].place.path).parent}'; remove one")
                clips[stem] = _clip(stem, label, "train", (_stem(original),), f"{folder}/{file}")
        out = f"videos left out because their metadata give another split than train: {others:,}"
        return list(clips.values()), [*missing(list(clips.values()), METADATA), *([out] if others else [])]


def _first_parts(root: Path) -> Iterator[Path]:
    """Yield the folders named as parts of the training set, of which some names are read."""
    for top in (root / "train", root):
        yield from (top / name for name in first_names(top) if _PART.fullmatch(name))


def _clip(stem: str, label: int, split: str, people: tuple[str, ...], place: str) -> Clip:
    method = METHOD if label == FAKE else ORIGINAL
    return Clip(f"{method}/{stem}", label, method, split, people, Locator(place), ())


def _stem(file: str) -> str:
    """Return a video's name without folders and ending."""
    name = file.replace("\\", "/").rstrip("/").rpartition("/")[2]  # quicker than a path, for 120,000 of them
    return name.rpartition(".")[0] or name


def _rows(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the place for a message, file and record of each video of a part's metadata."""
    listed = json_list(path, "metadata", "fetch it, it comes with the part")
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"metadata '{path}' should be a mapping of videos to label, split and original")
    for file, row in listed.items():
        where = f"'{path}', video {quoted(file)}"
        if not _stem(file) or not isinstance(row, dict):
            raise DataError(f"{where}: it should have a name, and a mapping with its label, not {quoted(row)}")
        if not inside(file):
            raise DataError(f"{where}: the name leads out of the part's folder")
        yield where, file, row
