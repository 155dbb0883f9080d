"""FaceForensics++ in M2F2-Det's HDF5 files: one file per manipulation, one dataset of frames per video.

Frames are read one by one: reading a training frame does not read its whole clip.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ...core.clips import Clip
from ...core.errors import DataError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ...core.memo import frame_stamp
from ...core.records import FAKE, ORIGINAL, REAL, Frame, Locator
from ..base import Adapter, AdapterOptions, Sampler, check_split
from ..files.hdf5_video import MissingVideo, check_table, frame_count, open_file, open_video, read_frame, video_names
from .pairs import listed_keys, read_pairs

if TYPE_CHECKING:
    from ...core.records import Image

METHODS = (ORIGINAL, "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
MAX_DATASETS = 4096
"""Most videos that a process keeps open, about 20 kB each; the training split has 3,600."""


class FFPPOptions(AdapterOptions):
    """Options: `compression` and `methods` choose the files, `splits` is the folder of train.json, val.json, test.json.

    `files`: `full` has all frames of all videos, `test_only` 100 frames of each test video; `auto` takes the full file
    if it exists, and otherwise, for the test split, the other.
    """

    compression: Literal["c23", "c40"] = "c23"
    """Of the videos."""
    methods: tuple[str, ...] = Field(default=METHODS, min_length=1)
    """`original` and manipulations that are used."""
    splits: str = "FFPP_split"
    """The folder of train.json, val.json and test.json."""
    files: Literal["full", "test_only", "auto"] = "auto"
    """All frames, 100 of each test video, or what is there."""


@dataclass(frozen=True)
class Video:
    """A listed video: `length` frames, None if the file does not have it (or has it without frames)."""

    method: str
    key: str
    path: Path
    length: int | None

    def frame(self, index: int, split: str) -> Frame:
        """Return its frame number `index`, from 0."""
        name = f"{self.method}/{self.key}"
        label = REAL if self.method == ORIGINAL else FAKE
        place = Locator(str(self.path), self.key, index)
        return Frame(f"{name}/{index:04d}", name, label, self.method, split, tuple(self.key.split("_")), place)


@dataclass
class Handles:
    """The open files of one process; the lock prevents two threads from opening the same file.

    h5py itself lets one thread at a time into the library.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    files: dict[str, Any] = field(default_factory=dict)
    datasets: dict[tuple[str, str], Any] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)


class FFPPAdapter(Adapter[FFPPOptions]):
    """`root` holds `FF++_<method>_<compression>.h5` and/or `..._test_only.h5`, and the folder of split lists.

    A split list is a list of pairs; (A, B) stands for the real videos A and B and, for each manipulation, the fakes A_B
    and B_A. A listed video that is missing in its file, has no frames or is a broken link becomes one frame that fails
    when it is read: it is counted, not left out. A file is opened once per process (again after a fork or after
    `close`) and is never pickled.
    """

    def __init__(self, root: Path | None = None, options: FFPPOptions | None = None) -> None:
        """Make an adapter of the files in the folder `root`; no file is opened yet."""
        super().__init__(root, options)
        self._handles: dict[int, Handles] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open files, which belong to this process."""
        return {**self.__dict__, "_handles": {}}

    def frames(self, split: str) -> list[Frame]:
        """Return every frame of a split, by method, video and time. Raises `DataError`; see `videos`."""
        return [v.frame(i, split) for v in self.videos(split) for i in range(1 if v.length is None else v.length)]

    def sample(self, split: str, sampler: Sampler) -> list[Frame]:
        """Return the frames that `sampler` picks from each video; only the datasets' shapes are read."""
        return [
            video.frame(index, split)
            for video in self.videos(split)
            for index in ([0] if video.length is None else sampler(video.length))
        ]

    def fits(self) -> bool:
        """Return whether the root has a file of one of the methods at this compression."""
        if self.root is None or not self.root.is_dir():
            return False
        names = [f"FF++_{method}_{self.options.compression}" for method in self.options.methods]
        return any((self.root / f"{name}{part}.h5").is_file() for name in names for part in ("", "_test_only"))

    def groups(self, split: str) -> list[Clip | list[Frame]]:
        """Return the videos of a split with the numbers of their frames; one that its file lacks has one frame."""
        return [
            Clip(
                f"{video.method}/{video.key}",
                REAL if video.method == ORIGINAL else FAKE,
                video.method,
                split,
                tuple(video.key.split("_")),
                Locator(str(video.path), video.key),
                range(1 if video.length is None else video.length),
            )
            for video in self.videos(split)
        ]

    def lacking(self, split: str) -> list[str]:
        """Return the listed videos that their file does not have, or has without frames."""
        return [f"{video.method}/{video.key}" for video in self.videos(split) if video.length is None]

    def videos(self, split: str) -> list[Video]:
        """Return the listed videos, in the order of the methods and then by key.

        Raises `DataError` for a list or file that is missing or damaged, for a file without any of the listed videos,
        for a dataset that is not uint8 frames x height x width x 3, and for a dataset in another file.
        """
        check_split("FaceForensics++", split, self.splits)
        pairs = read_pairs(self._root() / self.options.splits / f"{split}.json")
        real, fake = listed_keys(pairs)
        found: list[Video] = []
        for method in self.options.methods:
            path = self._path(method, split)
            found += self._in_file(method, real if method == ORIGINAL else fake, path, split)
        return found

    def read(self, frame: Frame) -> Image:
        """Return one frame, RGB uint8 [H, W, 3]; only its bytes (or its chunk's) are read."""
        place = frame.locator
        name = Path(place.path).name  # a stored row names the file, not the folders of this machine
        try:
            dataset = self._dataset(place.path, place.key or "")
            if dataset.shape[0] == 0:
                raise FrameError(frame.id, f"video '{place.key}' in '{name}' has no frames")
            return read_frame(dataset, place.index, frame.id)
        except MissingVideo as error:
            raise FrameError(frame.id, f"video '{place.key}' {error}") from None
        except M2F2BenchError:
            raise
        except Exception as error:  # of a damaged file the library raises OSError, RuntimeError, KeyError, ...
            refuse_machine_fault(error, f"frame '{frame.id}'")
            raise FrameError(frame.id, f"cannot be read from '{name}': {first_line(error)}") from None

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the file's path, size and times, the video and the frame's number."""
        return frame_stamp(frame.locator) if type(self).read is FFPPAdapter.read else ""

    def opened(self) -> dict[str, int]:
        """Return how often this process has opened each file, by path."""
        return dict(self._here().opened)

    def close(self) -> None:
        """Close this process's files; no other thread may be reading."""
        here = self._here()
        with here.lock:
            for file in here.files.values():
                file.close()
            here.files.clear()
            here.datasets.clear()

    def _here(self) -> Handles:
        """Return this process's open files."""
        return self._handles.setdefault(os.getpid(), Handles())  # atomic: all threads get the same object

    def _dataset(self, path: str, key: str) -> Any:
        """Return an open video. Opening a video is several times slower than reading a frame, so many are kept."""
        here = self._here()
        dataset = here.datasets.get((path, key))
        if dataset is None:
            dataset = open_video(self._file(path), Path(path), key)
            check_table(dataset, Path(path))
            with here.lock:
                while len(here.datasets) >= MAX_DATASETS:
                    del here.datasets[next(iter(here.datasets))]  # the oldest
                here.datasets[path, key] = dataset
        return dataset

    def _file(self, name: str) -> Any:
        """Return the open file. Raises `DataError` if it is missing, cut short or not HDF5."""
        here = self._here()
        file = here.files.get(name)
        if file is not None:
            return file
        with here.lock:
            self._close_inherited()
            if name not in here.files:
                here.files[name] = open_file(Path(name))
                here.opened[name] = here.opened.get(name, 0) + 1
            return here.files[name]

    def _close_inherited(self) -> None:
        """Close the parent's files in a forked process, before a file is opened here.

        Forgetting them is not enough: the library would use the inherited file again, with a read position that is
        shared with the parent.
        """
        for pid in [pid for pid in self._handles if pid != os.getpid()]:
            for file in self._handles.pop(pid).files.values():
                with contextlib.suppress(Exception):
                    file.close()

    def _in_file(self, method: str, keys: list[str], path: Path, split: str) -> Iterator[Video]:
        file = self._file(str(path))
        there = video_names(file, path)
        if not there.intersection(keys):
            has = ", ".join(sorted(there)[:3]) or "nothing"
            raise DataError(
                f"'{path}' has none of the {len(keys)} {split} videos: the list names {', '.join(keys[:3])}; "
                f"the file has {has}"
            )
        for key in keys:
            try:
                length = frame_count(open_video(file, path, key), path, key) if key in there else None
            except MissingVideo:  # reported when it is read, like a missing video
                length = None
            yield Video(method, key, path, length)

    def _path(self, method: str, split: str) -> Path:
        """Return the method's file for a split. Raises `DataError` if it does not exist."""
        root, options = self._root(), self.options
        full = root / f"FF++_{method}_{options.compression}.h5"
        part = full.with_name(f"{full.stem}_test_only.h5")
        if options.files == "test_only" and split != "test":
            raise DataError(f"options.files is test_only, and these files have no {split} videos; set it to auto")
        wanted = {"full": [full], "test_only": [part], "auto": [full, part] if split == "test" else [full]}
        for path in wanted[options.files]:
            if path.is_file():
                return path
        there = ", ".join(sorted(path.name for path in root.glob("*.h5"))) or "no .h5 file"
        names = " nor ".join(path.name for path in wanted[options.files])
        raise DataError(
            f"no {names} for the {split} split in '{root}': there is {there}; fetch it, or leave '{method}' out of "
            "options.methods"
        )

    def _root(self) -> Path:
        if self.root is None:
            raise DataError("the HDF5 dataset needs a root: the folder with FF++_<method>_<compression>.h5")
        if not self.root.is_dir():
            raise DataError(f"no folder at '{self.root}': it should hold FF++_<method>_<compression>.h5")
        return self.root
