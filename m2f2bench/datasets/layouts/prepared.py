"""Frames of faces as `m2f2bench prepare` writes them: pictures, and a manifest with the frames that have no face."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError, FrameError
from ...core.memo import frame_stamp
from ...core.parsing import Refused, read_text
from ...core.records import STATUSES, Frame, Locator
from ...core.text import split_people
from ..base import AdapterOptions, check_split
from ..files.images import FileAdapter

if TYPE_CHECKING:
    from ...core.records import Image

MANIFEST = "manifest.csv"
COLUMNS = ("path", "label", "video", "method", "split", "identity", "index", "id", "picture", "status", "message")
"""Of the manifest; `status` is `ok`, or says why there is no picture at `path`, as `message` does in words."""
MOST = 1 << 30
"""Bytes of a manifest."""


class PreparedOptions(AdapterOptions):
    """Options: `crop` says how the faces were found and cut out; it is a part of what decides a result's rows."""

    crop: str = ""
    """As in a signature: crop, finder and choice of faces, joined by `/`."""


class PreparedAdapter(FileAdapter[PreparedOptions]):
    """`root` holds `manifest.csv` and the pictures that it lists, as `m2f2bench prepare` writes them.

    Ids, videos and people are those of the dataset that was prepared. A frame in which no face was found, or which
    could not be read, is listed too, and fails with the same status when it is read.
    """

    def __init__(self, root: Path | None = None, options: PreparedOptions | None = None) -> None:
        """Make an adapter of the folder `root`; nothing is read yet."""
        super().__init__(root, options)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._splits: dict[str, list[Frame]] | None = None
        self._failed: dict[tuple[str, str], tuple[str, str]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make the adapter in another process."""
        return type(self), (self.root, self.options)

    def holds(self, split: str) -> bool:
        """Return whether the manifest has frames of a split."""
        return split in self._listed()

    def frames(self, split: str) -> Sequence[Frame]:
        """Return the frames of a split in the order of the manifest. Raises `DataError` for a split that it lacks."""
        check_split("a prepared dataset", split, self.splits)
        found = self._listed()
        if split not in found:
            raise DataError(f"'{self._path()}' has no {split} split: it has {', '.join(found) or 'no frames at all'}")
        return found[split]

    def read(self, frame: Frame) -> Image:
        """Return the crop. Raises `FrameError` with the status of the manifest for a frame without one."""
        failed = self._of(frame)
        if failed is not None:
            raise FrameError(frame.id, failed[1], failed[0])
        return super().read(frame)

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the picture's path, size and times; of a frame without one, of the manifest's."""
        return frame_stamp(frame.locator if self._of(frame) is None else Locator(str(self._path()), frame.id))

    def fits(self) -> bool:
        """Return False: a prepared folder has its own card."""
        return False

    def _reads_files(self) -> bool:
        return True

    def _of(self, frame: Frame) -> tuple[str, str] | None:
        self._listed()
        return self._failed.get((frame.split, frame.id))

    def _path(self) -> Path:
        return (self.root or Path()) / MANIFEST

    def _listed(self) -> dict[str, list[Frame]]:
        with self._lock:
            if self._splits is None:
                self._splits = self._parsed()
            return self._splits

    def _parsed(self) -> dict[str, list[Frame]]:
        path = self._path()
        try:
            text = read_text(path, MOST)
        except Refused as error:
            raise DataError(f"manifest '{path}' cannot be read: {error}; prepare the dataset again") from None
        found: dict[str, list[Frame]] = {}
        reader = csv.DictReader(io.StringIO(text))
        lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise DataError(f"manifest '{path}' has no column '{lacking[0]}': is it of m2f2bench prepare?")
        for number, row in enumerate(reader, 2):
            if None in row.values() or row["label"] not in ("0", "1") or row["status"] not in STATUSES:
                raise DataError(f"manifest '{path}', line {number}: it is damaged; prepare the dataset again")
            people = tuple(part for part in split_people(row["identity"]) if part)
            place = Locator(str(path.parent / row["path"]))
            names = (row["id"], row["video"], int(row["label"]), row["method"], row["split"])
            frame = Frame(*names, people, place, row["picture"])
            found.setdefault(frame.split, []).append(frame)
            if row["status"] != "ok":
                self._failed[frame.split, frame.id] = (row["status"], row["message"])
        return found
