"""DFDC as it is downloaded: test videos with a table of labels, and parts of the training set with their metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.parsing import Refused, read_json
from ...core.records import FAKE, ORIGINAL, REAL, Locator
from ...core.text import quoted
from ..base import check_split
from ..lists.entries import natural
from .whole_videos import (
    INNER,
    WholeVideoAdapter,
    first_names,
    folders_in,
    has_videos,
    is_file,
    is_folder,
    refuse_absent,
    table_rows,
    videos_in,
)

METHOD = "DFDC"
"""The method of all fakes: the dataset does not say which of its several made one."""
LABELS, METADATA = "labels.csv", "metadata.json"
_TEST_LABELS = {"0": REAL, "1": FAKE, "real": REAL, "fake": FAKE}
_TRAIN_LABELS = {"REAL": REAL, "FAKE": FAKE}
_PART = re.compile(r"dfdc_train_part_\d+", re.ASCII | re.IGNORECASE)


class DFDCAdapter(WholeVideoAdapter):
    """`root` has the test videos with labels.csv, the parts of the training set, or both.

    Test: `test/labels.csv` or `labels.csv`, with `filename,label` (1 is fake), and the videos beside it or in `videos`.
    Who is in a test video is unknown. Train: `dfdc_train_part_N/metadata.json`, in `train` or the root, also in a
    folder of the same name within; a fake has the identity of its `original`, so that they stay together. A listed
    video that is missing stays as one frame that fails when it is read.
    """

    splits = ("train", "test")
    holds_what = f"test/{LABELS} with its videos, or train/dfdc_train_part_N/{METADATA}"

    def fits(self) -> bool:
        """Return whether the root has videos beside a table of labels, or in parts of the training set."""
        if self.root is None:
            return False
        for folder in (self.root / "test", self.root):
            if is_file(folder / LABELS) and has_videos(folder):
                return True
        tops = (self.root / "train", self.root)
        parts = (top / name for top in tops for name in first_names(top) if _PART.fullmatch(name))
        return any(has_videos(part, 1) for part in parts)

    def holds(self, split: str) -> bool:
        """Return whether there is a table of labels (test), or a part (train)."""
        found: object = None
        if split in self.splits and self.root is not None and is_folder(self.root):
            found = self._table(self.root) if split == "test" else self._parts(self.root)
        return bool(found)

    def listed(self, split: str) -> Sequence[Clip]:
        """Return the videos, the real ones first, by name. Raises `DataError`.

        It is raised for a list that is missing, damaged or of another dataset, and for a label that is not one.
        """
        check_split("DFDC", split, self.splits)
        root = self.folder()
        clips = self._train(root)[0] if split == "train" else self._test(root)
        return sorted(clips, key=lambda clip: (clip.label, clip.video))  # names are letters, without numbers

    def remarks(self, split: str) -> list[str]:
        """Return lines on missing videos, and on videos of a part that are not for training."""
        lines = super().remarks(split)
        others = self._train(self.folder())[1] if split == "train" else 0
        out = f"videos left out because their metadata give another split than train: {others:,}"
        return [*lines, out] if others else lines

    def _table(self, root: Path) -> Path | None:
        """Return the table of labels of the test videos."""
        return next((path for path in (root / "test" / LABELS, root / LABELS) if is_file(path)), None)

    def _test(self, root: Path) -> list[Clip]:
        table = self._table(root)
        if table is None:
            raise DataError(f"no test split in '{root}': there is neither test/{LABELS} nor {LABELS}; fetch it")
        there = videos_in(table.parent)
        clips: dict[str, Clip] = {}
        for where, (file, text) in table_rows(table, ("filename", "label")):
            label = _TEST_LABELS.get(text.lower())
            stem = _stem(file)
            if not stem:
                raise DataError(f"{where}: the filename is empty")
            if label is None:
                raise DataError(f"{where}: label {quoted(text)} is neither 0 (real) nor 1 (fake)")
            if stem in clips:
                raise DataError(f"{where}: {quoted(file)} is listed twice")
            clips[stem] = _clip(stem, label, "test", (), str(there.get(stem, table.parent / f"{stem}.mp4")))
        if not clips:
            raise DataError(f"'{table}' has no rows: fetch it")
        refuse_absent(list(clips.values()), f"'{LABELS}'", list(there), table.parent)
        return list(clips.values())

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

    def _train(self, root: Path) -> tuple[list[Clip], int]:
        """Return the training videos, and the number of those that are not for training."""
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
        refuse_absent(list(clips.values()), f"'{METADATA}'", list(videos_in(parts[0])), parts[0])
        return list(clips.values()), others


def _clip(stem: str, label: int, split: str, people: tuple[str, ...], place: str) -> Clip:
    method = METHOD if label == FAKE else ORIGINAL
    return Clip(f"{method}/{stem}", label, method, split, people, Locator(place), ())


def _stem(file: str) -> str:
    """Return a video's name without folders and ending."""
    name = file.replace("\\", "/").rstrip("/").rpartition("/")[2]  # quicker than a path, for 120,000 of them
    return name.rpartition(".")[0] or name


def _rows(path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the place for a message, file and record of each video of a part's metadata."""
    try:
        listed = read_json(path)
    except Refused as error:
        fix = "; fetch it, it comes with the part" if not path.exists() else ""
        raise DataError(f"metadata '{path}' cannot be read: {error}{fix}") from None
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"metadata '{path}' should be a mapping of videos to label, split and original")
    for file, row in listed.items():
        where = f"'{path}', video {quoted(file)}"
        if not _stem(file) or not isinstance(row, dict):
            raise DataError(f"{where}: it should have a name, and a mapping with its label, not {quoted(row)}")
        yield where, file, row
