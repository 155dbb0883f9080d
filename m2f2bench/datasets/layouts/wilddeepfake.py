"""WildDeepfake as downloaded: sequences of face crops in tars, or in folders that the tars were unpacked to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...core.clips import Clip
from ...core.errors import DataError
from ...core.memo import frame_stamp
from ...core.progress import progress_bar
from ...core.records import FAKE, REAL, Frame, Locator
from ..base import AdapterOptions
from ..files.folders import folders_in, natural, scan
from ..files.images import IMAGE_SUFFIXES, read_image
from ..files.tars import read_member, tar_members, tar_stem
from .media_trees import media_under
from .trees import Listing, TreeAdapter, count_of, method_of

if TYPE_CHECKING:
    from ...core.records import Image

FAKE_METHOD = "wild"
"""The method of the fakes: whatever their authors on the internet used."""
_FOLDER = re.compile(r"(real|fake)[ _-](train|test)", re.IGNORECASE)
_LABELS = {"real": REAL, "fake": FAKE}


class WildDeepfakeAdapter(TreeAdapter[AdapterOptions]):
    """Sequences in `{real,fake}_{train,test}/N.tar.gz`, or unpacked; each is a folder of pictures, one face each.

    A sequence is a video, named by its archive and its folder, packed or not; the sequences of one archive count as the
    same people. A compressed archive is unpacked once to the cache. Where an archive and its folder are both there, the
    folder counts.
    """

    layout: ClassVar[str] = "WildDeepfake"
    needs: ClassVar[str] = (
        "real_train, fake_train, real_test and fake_test with N.tar.gz or folders of sequences in them"
    )
    inside: ClassVar[tuple[str, ...]] = ("deepfake_in_the_wild", "WildDeepfake")
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def _is_top(self, folder: Path) -> bool:
        return bool(_parts(folder))

    def found(self, top: Path, split: str) -> Listing:
        """Return the real and then the fake sequences of a split. Raises `DataError` for a split that is not there."""
        clips: list[Clip] = []
        remarks: list[str] = []
        parts = _parts(top)
        if not any(part == split for _, part in parts):
            raise DataError(
                f"'{top}' has neither real_{split} nor fake_{split}; it has {', '.join(map('_'.join, parts))}"
            )
        for name, label in _LABELS.items():
            folder = parts.get((name, split))
            if folder is None:
                remarks.append(f"there is no {name} sequence: '{top}' has no folder {name}_{split}")
            else:
                clips += _in_part(folder, label, split, remarks)
        return clips, remarks

    def read(self, frame: Frame) -> Image:
        """Return a picture, RGB uint8 [H, W, 3]: a file, or a file in a tar."""
        if frame.locator.key is None:
            return super().read(frame)
        return read_image(read_member(frame.locator, frame.id), frame.id)

    def data(self, frame: Frame) -> bytes | None:
        """Return the bytes of a picture: of a file, or of a file in a tar."""
        return super().data(frame) if frame.locator.key is None else read_member(frame.locator, frame.id)

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the path, size and times of the picture or the tar, and the picture's name in it."""
        return frame_stamp(frame.locator)


def _parts(top: Path) -> dict[tuple[str, str], Path]:
    """Return the folders of the dataset by label and split."""
    found = {name: _FOLDER.fullmatch(name) for name in folders_in(top)}
    return {(match[1].lower(), match[2].lower()): top / name for name, match in found.items() if match}


@dataclass(frozen=True, slots=True)
class _Sequence:
    """A sequence of pictures: its archive and its name, where it lies, and the names of its pictures."""

    archive: str
    name: str
    place: Locator
    pictures: tuple[str, ...]


def _in_part(folder: Path, label: int, split: str, remarks: list[str]) -> Iterator[Clip]:
    """Yield the sequences of one label and split, by archive and folder; add remarks."""
    kind = "real" if label == REAL else "fake"
    loose = [one for one in media_under(folder) if one.items]
    found = [_Sequence(*_named(one.name.split("/"), kind), Locator(str(one.path)), one.items) for one in loose]
    unpacked = {one.archive for one in found}
    stems = {name: tar_stem(name) for name, is_dir in scan(folder) if not is_dir}
    archives = {stem: folder / name for name, stem in stems.items() if stem is not None and stem not in unpacked}
    if both := sum(stem in unpacked for stem in stems.values()):
        remarks.append(f"{folder.name}: {count_of(both, 'tar', 'tars')} left out, which are there unpacked too")
    with progress_bar(f"tars of {folder.name}", len(archives)) as advance:
        for stem in sorted(archives, key=natural):
            found += _in_tar(archives[stem], stem, kind, remarks)
            advance(1)
    method = method_of(label, FAKE_METHOD)
    for one in sorted(found, key=lambda one: natural(one.name)):
        people = (f"{folder.name}/{one.archive}",)
        yield Clip(f"{method}/{split}/{one.name}", label, method, split, people, one.place, one.pictures)


def _in_tar(path: Path, stem: str, kind: str, remarks: list[str]) -> list[_Sequence]:
    """Return the sequences in a tar; add remarks."""
    members = tar_members(path)
    folders: dict[str, list[str]] = {}
    others = 0
    for name in members.names:
        above, slash, picture = name.rpartition("/")
        if picture.startswith("."):
            continue
        if Path(picture).suffix.lower() in IMAGE_SUFFIXES:
            folders.setdefault(above + slash, []).append(picture)
        else:
            others += 1
    where = f"{path.parent.name}/{path.name}"
    if members.problem:
        remarks.append(f"{where}: {members.problem}")
    if others:
        remarks.append(f"{where}: {count_of(others, 'file', 'files')} not of pictures left out")
    if not folders:  # it stays as a frame that cannot be read
        folders[""] = ["any picture"]
    found = []
    for folder, names in folders.items():
        levels = [level for level in folder.split("/") if level not in ("", ".")]
        archive, name = _named(levels if levels[:1] == [stem] else [stem, *levels], kind)
        found.append(_Sequence(archive, name, Locator(str(path), folder), tuple(sorted(names, key=natural))))
    return found


def _named(levels: list[str], kind: str) -> tuple[str, str]:
    """Return the archive and the name of a sequence; a folder below the archive that repeats the label is left out."""
    archive = levels[0]
    return archive, "/".join([archive, *(level for level in levels[1:] if level.lower() != kind)])
