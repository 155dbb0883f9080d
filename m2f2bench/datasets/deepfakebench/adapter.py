"""Datasets in DeepfakeBench's preprocessed form: frames in folders or in an LMDB file, listed in JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ...core.clips import Clip
from ...core.errors import DataError, FrameError
from ...core.records import FAKE, Frame, Locator
from ..files.lmdb_file import LMDBFile
from .labels import FF, SETS, KnownSet
from .list_file import Listed, VideoList
from .listing import ListedVideos, Listing, ListOptions, overlaps
from .places import FOREIGN, HEADS, Places, parts_of, slashed

SEQUENCES = (
    "original_sequences/youtube",
    "original_sequences/actors",
    *(f"manipulated_sequences/{name}" for name in (*SETS[FF].methods, "FaceShifter", "DeepFakeDetection")),
)
"""Folders of FaceForensics++ in which the compression levels lie."""
PROBED = 32
"""Videos of which a frame is looked for in an LMDB before it is used."""


class DeepfakeBenchOptions(ListOptions):
    """Options: `dataset` is the list's name, `form` says how the frames are stored."""

    dataset: str = FF
    """The name of the list, `<lists>/<dataset>.json`, and its topmost key."""
    form: Literal["files", "lmdb", "auto"] = "auto"
    """`files` are folders of images, `lmdb` is one file of all; `auto` takes the folders if they are there."""
    lmdb: str | None = None
    """The folder with `data.mdb`, in the root or absolute; None: `<folder of the dataset>_lmdb`."""


class DeepfakeBenchAdapter(ListedVideos[DeepfakeBenchOptions]):
    """`root` holds the datasets' folders (or `<dataset>_lmdb`), and `dataset_json/<dataset>.json`.

    A label is real or fake by its table (`FF-DF`) or its end (`…_Real`, `…_fake`), also `original` or the method. A
    video has the key of the list after its method (`Deepfakes/000_003`). Paths may have `\\` or `/`, and any beginning:
    the end of a path that exists under the root is its place.
    """

    def __init__(self, root: Path | None = None, options: DeepfakeBenchOptions | None = None) -> None:
        """Make an adapter of the folder `root`; nothing is read yet."""
        super().__init__(root, options)
        self._file: LMDBFile | None = None

    def choices(self) -> tuple[str, ...]:
        """Return the methods of the dataset; empty for one without a table."""
        return self.options.methods or self._set().methods

    def fits(self) -> bool:
        """Return whether the root has this dataset's list, and its folder or its LMDB."""
        with contextlib.suppress(OSError):  # a folder that may not be read
            return self.root is not None and self._list_files()[0].is_file() and self._is_there()
        return False

    def _is_there(self) -> bool:
        folder, level = self._folder(), self.options.compression
        if folder is None:
            return (self._lmdb_folder() / "data.mdb").is_file()
        # The parts of FaceForensics++ have a folder for each compression level.
        return folder.name != FF or any((folder / f"{part}/{level}").is_dir() for part in SEQUENCES)

    def close(self) -> None:
        """Close the LMDB file, if one was opened."""
        if self._file is not None:
            self._file.close()

    def _owner(self) -> str:
        return f"DeepfakeBench's {self.options.dataset}"

    def _list_files(self) -> list[Path]:
        return [self._lists_folder() / f"{self.options.dataset}.json"]

    def _set(self) -> KnownSet:
        return SETS.get(self.options.dataset, KnownSet(self.options.dataset, ()))

    def _folder(self) -> Path | None:
        """Return the dataset's folder; the root itself if that has its name."""
        root, name = self.root or Path(), self._set().folder
        if root.name == name:
            return root
        return next((root / head / name for head in HEADS if (root / head / name).is_dir()), None)

    def _lmdb_folder(self) -> Path:
        root = self.root or Path()
        if self.options.lmdb is not None:
            return root / self.options.lmdb
        name = f"{self._set().folder}_lmdb"
        return next((place for place in (root / name, root / "lmdb" / name) if place.is_dir()), root / name)

    def _in_lmdb(self) -> bool:
        form = self.options.form
        there = (self._lmdb_folder() / "data.mdb").is_file()
        if form == "lmdb" and not there:
            raise DataError(f"{self._owner()}: there is no LMDB file '{self._lmdb_folder() / 'data.mdb'}'")
        return form == "lmdb" or (form == "auto" and there and self._folder() is None)

    def _compile(self, split: str) -> Listing:
        root, options = self._root(), self.options
        in_lmdb = self._in_lmdb()
        listed = VideoList(self._list_files()[0], options.dataset)
        if split not in listed.splits():
            raise DataError(
                f"list '{listed.path}' has no split '{split}': it has {', '.join(listed.splits()) or 'none'}"
            )
        found = Listing(Places(root), self._set().folder == FF)
        for video in listed.videos(split, options.compression):
            if video.label == FAKE:
                found.methods.add(video.method)
            if self._wanted(video):
                found.add(video, split, self._place(video, found.places, in_lmdb))
        if in_lmdb:
            self._probe(found.clips)
        found.remarks += overlaps([listed], split, options.compression)
        return found

    def _place(self, video: Listed, places: Places, in_lmdb: bool) -> Locator:
        """Return a video's folder, or the common beginning of its keys; without a folder an empty place."""
        folder = video.folder
        if not video.items:
            return Locator("")
        if not in_lmdb:
            return Locator(places.folder(folder))
        name = self._set().folder
        parts = parts_of(folder)
        inside = (
            parts[parts.index(name) + 1 :] if name in parts else parts_of(FOREIGN.sub("", slashed(folder), count=1))
        )
        return Locator(str(self._lmdb_folder() / "data.mdb"), "\\".join([name, *inside, ""]))

    def _probe(self, clips: Sequence[Clip]) -> None:
        """Raise DataError if the LMDB has none of the listed frames that are looked up."""
        keyed = [clip for clip in clips if clip.place.key is not None]
        step = max(1, len(keyed) // PROBED)
        probed = [clip.frame(0).locator.key or "" for clip in keyed[::step]]
        if probed and not any(self._value(key) is not None for key in probed):
            first = self._lmdb().first_key()
            raise DataError(
                f"'{self._lmdb_folder() / 'data.mdb'}' has none of the listed frames: the list gives the key "
                f"'{probed[0]}', and the file's first is '{first}'; is it another dataset's?"
            )

    def _lmdb(self) -> LMDBFile:
        if self._file is None:
            self._file = LMDBFile(self._lmdb_folder())
        return self._file

    def _value(self, key: str) -> bytes | None:
        """Return the value of a key, also of one that was made on Linux: `\\` after the dataset's name, then `/`."""
        top, _, inside = key.partition("\\")
        inside = slashed(inside)
        for written in (key, f"{top}\\{inside}", f"{top}/{inside}", inside):
            found = self._lmdb().get(written)
            if found is not None:
                return found
        return None

    def _stored(self, frame: Frame) -> bytes:
        found = self._value(frame.locator.key or "")
        if found is None:
            raise FrameError(frame.id, f"'{frame.locator.key}' is not in the LMDB file")
        return found

    def _data_at(self, place: Locator, frame_id: str) -> bytes | None:
        return super()._data_at(place, frame_id) if place.key is None else self._value(place.key)
