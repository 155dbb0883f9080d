"""Deepfake-Eval-2024 as downloaded: videos or images from the internet, listed in a table with their labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar, Literal

from ...core.clips import ALONE, Clip
from ...core.errors import DataError
from ...core.records import FAKE, REAL
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.images import SPREADSHEET_ERRORS
from ..lists.tables import Row, inside, read_table
from .media_trees import Media
from .trees import Listing, TreeAdapter, count_of, method_of, missing

FAKE_METHOD = "wild"
_LABELS = {"real": REAL, "fake": FAKE}
_COLUMNS = ("filename", "ground truth", "finetuning set")


class DeepfakeEvalOptions(AdapterOptions):
    """Option: `media` is what is judged."""

    media: Literal["video", "image"] = "video"
    """The videos or the images; each has its own folder and table."""


class DeepfakeEvalAdapter(TreeAdapter[DeepfakeEvalOptions]):
    """Files in `{video,image}-data`, listed in `{video,image}-metadata-publish.csv` (or `…-with-links.csv`).

    The table's set is the split. A file labelled Unknown is left out, and counted in the remarks. A file that is listed
    and missing stays, and fails when it is read; so does a row whose file name a spreadsheet has destroyed (`#NAME?`).
    Nothing is known of the people.
    """

    layout: ClassVar[str] = "Deepfake-Eval-2024"
    needs: ClassVar[str] = "image-data or video-data and its table, such as video-metadata-publish.csv"
    inside: ClassVar[tuple[str, ...]] = ("Deepfake-Eval-2024",)
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def _is_top(self, folder: Path) -> bool:
        return (folder / f"{self.options.media}-data").is_dir() and self._table(folder) is not None

    def _table(self, top: Path) -> Path | None:
        start = f"{self.options.media}-metadata-publish"
        return next(
            (top / f"{start}{end}" for end in (".csv", "-with-links.csv") if (top / f"{start}{end}").is_file()), None
        )

    def found(self, top: Path, split: str) -> Listing:
        """Return the files of a split in the order of the table. Raises `DataError`, which names the line."""
        table = self._table(top)
        assert table is not None  # `_is_top`
        rows: dict[str, Row] = {}
        out: Counter[str] = Counter()
        torn: set[str] = set()
        for row in read_table(table, _COLUMNS):
            label, part, name = row["ground truth"].lower(), row["finetuning set"].lower(), row["filename"]
            if label not in (*_LABELS, "unknown", ""):
                raise DataError(f"{row.where}: {quoted(row['ground truth'])} is not one of Real, Fake and Unknown")
            if part not in self.splits:
                out["without Train or Test"] += 1
            elif part != split:
                continue
            elif label not in _LABELS:
                out["labelled Unknown"] += 1
            elif name in SPREADSHEET_ERRORS or name not in rows:
                if not name or not inside(name):
                    raise DataError(f"{row.where}: {quoted(name)} is not the name of a file")
                rows[name if name not in SPREADSHEET_ERRORS else f"{name} line {row.line}"] = row
            else:
                out["with a file that another row has"] += 1
                if rows[name]["ground truth"].lower() != label:
                    torn.add(name)
        for name in torn:  # nobody knows which of the two labels is right
            del rows[name]
            out["with a file that is listed as both Real and Fake"] += 1
        remarks = [f"{count_of(n, 'row', 'rows')} {why} left out" for why, n in out.items()]
        if lost := sum(row["filename"] in SPREADSHEET_ERRORS for row in rows.values()):
            remarks.append(
                f"{count_of(lost, 'row has', 'rows have')} an error of a spreadsheet for a file name: not readable"
            )
        clips = {name: self._clip(top, name, row, split) for name, row in rows.items()}
        known = [clip for name, clip in clips.items() if rows[name]["filename"] not in SPREADSHEET_ERRORS]
        return list(clips.values()), remarks + missing(known, table.name)

    def _clip(self, top: Path, name: str, row: Row, split: str) -> Clip:
        label = _LABELS[row["ground truth"].lower()]
        items = () if self.options.media == "video" and row["filename"] not in SPREADSHEET_ERRORS else ALONE
        media = Media(name, top / f"{self.options.media}-data" / row["filename"], items)
        return media.clip(name, label, method_of(label, FAKE_METHOD), split)
