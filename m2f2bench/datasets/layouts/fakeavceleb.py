"""FakeAVCeleb as downloaded: videos of speakers, in which the picture, the voice or both are fake.

Labels here are for a detector that looks: a video with a real picture and a fake voice is real.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.records import FAKE, ORIGINAL, REAL
from ...core.text import quoted
from ..base import AdapterOptions
from ..files.folders import natural
from ..lists.tables import Row, inside, read_table
from .media_trees import Media
from .trees import Listing, TreeAdapter, count_of, missing

TABLE = "meta_data.csv"
CATEGORIES = {
    "A": ("RealVideo-RealAudio", REAL),
    "B": ("RealVideo-FakeAudio", REAL),
    "C": ("FakeVideo-RealAudio", FAKE),
    "D": ("FakeVideo-FakeAudio", FAKE),
}
"""The folder of each category, and its label by the eye."""
_FOLDERS = dict(CATEGORIES.values())
_NOBODY = ("", "-", "nan")


class FakeAVCelebAdapter(TreeAdapter[AdapterOptions]):
    """Videos listed in `meta_data.csv`, in `<category>/<race>/<gender>/<id>/`; category A and B are real, C and D fake.

    Categories are RealVideo-RealAudio, RealVideo-FakeAudio, FakeVideo-RealAudio and FakeVideo-FakeAudio. A fake's
    method is the table's; its people are the source and the targets. There is no split: all is test. A video that is
    listed twice, under two methods, is taken once; one that is listed and missing stays, and fails when it is read.
    """

    layout: ClassVar[str] = "FakeAVCeleb"
    needs: ClassVar[str] = f"{TABLE} and the folders {', '.join(_FOLDERS)}"
    inside: ClassVar[tuple[str, ...]] = ("FakeAVCeleb_v1.2", "FakeAVCeleb")
    splits: ClassVar[tuple[str, ...]] = ("test",)

    def _is_top(self, folder: Path) -> bool:
        return (folder / TABLE).is_file() and any((_videos(folder) / name).is_dir() for name in _FOLDERS)

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos of the table by label and name. Raises `DataError`, which names the line."""
        clips: dict[str, Clip] = {}
        again = voices = 0
        videos = _videos(top)
        for row in read_table(top / TABLE, ("source", "method", "path")):
            name = _name(row)
            category = _category(row, name)
            if name in clips:
                again += 1
                continue
            label = _FOLDERS[category]
            voices += category == CATEGORIES["B"][0]
            method = ORIGINAL if label == REAL else row["method"]
            if label == FAKE and method.lower() in ("", "real", ORIGINAL):
                raise DataError(f"{row.where}: a fake video has the method {quoted(row['method'])}")
            people = [one for one in (row["source"], row["target1"], row["target2"]) if one.lower() not in _NOBODY]
            media = Media(name, videos / name)
            clips[name] = media.clip(name.rpartition(".")[0] or name, label, method, split, people)
        remarks = []
        if voices:
            remarks.append(f"{count_of(voices, 'video', 'videos')} with a real picture and a fake voice count as real")
        if again:
            remarks.append(
                f"{count_of(again, 'row', 'rows')} of {TABLE} left out: another row has the same video; the first "
                f"row's method counts"
            )
        remarks += missing(list(clips.values()), TABLE)
        return sorted(clips.values(), key=lambda clip: (clip.label, natural(clip.video))), remarks


def _videos(top: Path) -> Path:
    """Return the folder of the folders of categories."""
    inner = top / "FakeAVCeleb"
    return inner if inner.is_dir() else top


def _name(row: Row) -> str:
    """Return a video's path below the folder of categories: the folder is in a column without a name."""
    folder = (row[""] or row["unnamed: 9"]).replace("\\", "/").strip("/")
    if not folder:
        folder = "/".join(row[name] for name in ("type", "race", "gender", "source"))
    levels = [level for level in f"{folder}/{row['path']}".split("/") if level not in ("", ".")]
    start = next((i for i, level in enumerate(levels) if level in _FOLDERS), None)
    name = "/".join(levels[start or 0 :])
    if start is None or not row["path"] or not inside(name):
        raise DataError(f"{row.where}: {quoted(name)} is not a video in one of {', '.join(_FOLDERS)}")
    return name


def _category(row: Row, name: str) -> str:
    """Return the folder of a row's category. Raises `DataError` if the row's columns do not agree."""
    folder = name.split("/")[0]
    letter = row["category"].upper()
    if letter and CATEGORIES.get(letter, ("",))[0] != folder:
        raise DataError(f"{row.where}: category {quoted(row['category'])} does not agree with the folder {folder}")
    return folder
