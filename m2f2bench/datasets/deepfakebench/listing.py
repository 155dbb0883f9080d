"""Base of adapters whose videos are in lists of DeepfakeBench: each video once, with what was odd about the lists."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...core.clips import Clip
from ...core.errors import DataError, FrameError, near
from ...core.memo import file_stamp, frame_stamp
from ...core.records import FAKE, REAL, SPLITS, Frame, Locator
from ..base import AdapterOptions, ClipAdapter, check_split
from ..files.images import FileAdapter, digest_bytes, digest_file, read_bytes, read_image
from .df40_methods import TYPES
from .labels import people_in
from .landmarks import landmarks_place, points_in
from .list_file import Listed, VideoList
from .places import Places

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import TypeVar

    from ...core.records import Image
else:
    from typing import TypeVar

NO_FRAMES = "no-frames"
"""The one frame of a video whose list of frames is empty."""
LEAST_OF_MASK = 128
"""Grey value of a mask's manipulated pixels; their edges are blurred by compression."""


class ListOptions(AdapterOptions):
    """Options of all adapters of these lists."""

    lists: str = "dataset_json"
    """The folder of the lists, in the root or absolute."""
    compression: Literal["raw", "c23", "c40"] = "c23"
    """Of the videos of FaceForensics++; other datasets have no levels."""
    methods: tuple[str, ...] | None = None
    """The manipulations that are used, beside the reals; None: all."""


if TYPE_CHECKING:
    ListOptionsT = TypeVar("ListOptionsT", bound=ListOptions, covariant=True, default=ListOptions)
else:
    ListOptionsT = TypeVar("ListOptionsT", bound=ListOptions, covariant=True)


@dataclass
class Listing:
    """The videos of a split while they are listed: each once, with counts of what a user should know."""

    places: Places
    ff: bool
    clips: list[Clip] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    methods: set[str] = field(default_factory=set)
    _seen: dict[tuple[str, str | None, Sequence[str]], Clip] = field(default_factory=dict)
    _named: dict[str, Clip] = field(default_factory=dict)

    def add(self, video: Listed, split: str, place: Locator) -> None:
        """Add a video whose frames lie at `place`, unless it is there already. Raises DataError for a contradiction."""
        self.counts["frames"] += video.repeated
        name = f"{video.method}/{video.name}"
        items = video.items or (NO_FRAMES,)
        key = (place.path, place.key, items) if video.items else ("", name, items)
        known = self._seen.get(key)
        held = self._named.get(name)
        if known is None and held is not None and held.place == place and set(held.items) & set(items):
            known = held
        if known is not None:
            if known.label != video.label:
                raise DataError(
                    f"the frames of '{video.folder}' are real as '{self._real(known, name)}' and fake as "
                    f"'{name if video.label == FAKE else known.video}': one of the labels is wrong"
                )
            self.counts["reals" if video.label == REAL else "fakes"] += 1
            return
        if held is not None:
            name = f"{video.method}/{video.folder.strip('/') or video.name}"
        folder = video.folder.rpartition("/")[2]
        ff = self.ff and video.method not in TYPES["EFS"]  # whose numbers are no people
        people = people_in(video.name, ff) or people_in(folder, ff)
        clip = Clip(name, video.label, video.method, split, people, place, items)
        self._seen[key] = self._named[name] = clip
        self.clips.append(clip)

    @staticmethod
    def _real(known: Clip, name: str) -> str:
        return known.video if known.label == REAL else name

    def said(self, split: str) -> list[str]:
        """Return the remarks, one line each."""
        counts, found = self.counts, list(self.remarks)
        if counts["reals"]:
            found.append(f"{counts['reals']:,} repeated real videos of '{split}' (one path under several labels) once")
        if counts["fakes"]:
            found.append(f"{counts['fakes']:,} repeated fake videos of '{split}' once")
        if counts["frames"]:
            found.append(f"{counts['frames']:,} frames of '{split}' that a video names twice once")
        empty = sum(clip.items == (NO_FRAMES,) for clip in self.clips)
        if empty:
            found.append(f"{empty:,} videos of '{split}' have an empty list of frames: one unreadable frame each")
        for written, there in sorted(self.places.renamed.items()):
            found.append(f"the folder '{written}' of the list is '{there}' on disk")
        return found


class ListedVideos(ClipAdapter[ListOptionsT], FileAdapter[ListOptionsT]):
    """Videos of lists, as folders of image files or as keys of an LMDB file."""

    def __init__(self, root: Path | None = None, options: Any = None) -> None:
        """Make an adapter; nothing is read yet."""
        super().__init__(root, options)
        self._listings: dict[str, tuple[str, Listing]] = {}
        self._listing_lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what was listed, which a worker does not need."""
        return {**self.__dict__, "_listings": {}, "_listing_lock": None, "_read_last": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state of `__getstate__`."""
        self.__dict__.update(state)
        self._listing_lock = threading.Lock()

    @abc.abstractmethod
    def _list_files(self) -> list[Path]:
        """Return the lists that are read; a change of theirs changes the listing."""

    @abc.abstractmethod
    def _compile(self, split: str) -> Listing:
        """Return the listed videos of a split; see `clips`."""

    def clips(self, split: str) -> Sequence[Clip]:
        """Return the videos of a split, each once, with the names of their frames in natural order.

        No frame is looked up, and of the folders only the parents of the videos' folders are: a listed frame that does
        not exist stays and fails when it is read. Raises `DataError` for a list that is missing, wrong or another
        dataset's, and if none of its videos is under the root.
        """
        return self._listing(split).clips

    def remarks(self, split: str) -> list[str]:
        """Return what was odd about a split's list: repeats, missing folders, other names, videos in two splits."""
        return self._listing(split).said(split)

    def _listing(self, split: str) -> Listing:
        check_split(self._owner(), split, self.splits)
        stamp = "\n".join(file_stamp(str(path)) for path in self._list_files())
        with self._listing_lock:
            known = self._listings.get(split)
            if known is None or known[0] != stamp:
                listing = self._compile(split)
                if not listing.clips:
                    raise DataError(f"{self._owner()} has no videos in the split '{split}'")
                self._check_methods(listing)
                self._find_missing(listing)
                known = self._listings[split] = (stamp, listing)
            return known[1]

    @abc.abstractmethod
    def _owner(self) -> str:
        """Return what the dataset is called in messages."""

    def _root(self) -> Path:
        if self.root is None or not self.root.is_dir():
            raise DataError(f"{self._owner()} needs a root, the folder with its frames; there is none at '{self.root}'")
        return self.root

    def _lists_folder(self) -> Path:
        """Return the folder of the lists, also where DeepfakeBench's own checkout has it."""
        root, name = self.root or Path(), self.options.lists
        places = [root / name, root / "preprocessing" / name, root.parent / name, root.parent / "preprocessing" / name]
        return next((place for place in places if place.is_dir()), places[0])

    def _wanted(self, video: Listed) -> bool:
        return video.label == REAL or self._chosen() is None or video.method in (self._chosen() or ())

    def _chosen(self) -> tuple[str, ...] | None:
        return self.options.methods

    def _check_methods(self, listing: Listing) -> None:
        there = listing.methods | {clip.method for clip in listing.clips if clip.label == FAKE}
        for name in self._chosen() or ():
            if name not in there:
                raise DataError(f"{self._owner()} has no fakes of the method '{name}'{near(name, there)}")

    def _find_missing(self, listing: Listing) -> None:
        """Say how many videos have no folder, by one look at each parent. Raises DataError if none has one."""
        parents: dict[str, frozenset[str]] = {}
        missing = first = None
        looked = 0
        for clip in listing.clips:
            if clip.place.key is not None or clip.items == (NO_FRAMES,):
                continue
            parent, _, name = clip.place.path.rpartition("/")
            if parent not in parents:
                parents[parent] = _names_in(parent)
            looked += 1
            if name not in parents[parent]:
                missing, first = (missing or 0) + 1, first or clip.place.path
        if missing and missing == looked:
            raise DataError(
                f"{self._owner()}: none of the {looked:,} listed videos is under '{self.root}', first '{first}': is it "
                f"another dataset's list, or another root?"
            )
        if missing:
            listing.remarks.append(f"{missing:,} of {looked:,} listed videos are not there, first '{first}'")

    def read(self, frame: Frame) -> Image:
        """Return the decoded file, or the decoded value of an LMDB's key; RGB uint8 [H, W, 3]."""
        if frame.locator.path == f"/{NO_FRAMES}":
            raise FrameError(frame.id, "the list names no frames for this video")
        if frame.locator.key is None:
            return super().read(frame)
        data = self._stored(frame)
        image = read_image(data, frame.id)
        self._digests()[threading.get_ident()] = (_mark(frame), digest_bytes(data))
        return image

    def data(self, frame: Frame) -> bytes | None:
        """Return the bytes of a frame's file, or of an LMDB's key."""
        return super().data(frame) if frame.locator.key is None else self._stored(frame)

    def digest(self, frame: Frame, image: Image) -> str:
        """Return the hash of the file's or the value's bytes, as `FileAdapter` does."""
        mark = _mark(frame)
        read, found = self._digests().pop(threading.get_ident(), (None, ""))
        if read == mark:
            return found
        if frame.locator.key is not None:
            return digest_bytes(self._stored(frame))
        return digest_file(mark, frame.id)

    def stamp(self, frame: Frame) -> str:
        """Return a hash of the file's path, size and times, and of the key in an LMDB."""
        return frame_stamp(frame.locator) if type(self).read is ListedVideos.read else ""

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        """Return the manipulated pixels, bool [H, W], of `masks/<video>/<frame>` beside `frames`; None without.

        DeepfakeBench keeps the masks of all compression levels with c23.
        """
        for place in _mask_places(frame.locator):
            data = self._data_at(place, frame.id)
            if data is not None:
                grey = read_image(data, frame.id)[:, :, 0]
                return grey >= LEAST_OF_MASK
        return None

    def mask_stamp(self, frame: Frame) -> str | None:
        """Return a hash of the files, or of the LMDB, in which the mask may be."""
        if type(self).mask is not ListedVideos.mask:
            return None
        return "".join(frame_stamp(place) for place in _mask_places(frame.locator))

    def landmarks(self, frame: Frame) -> npt.NDArray[np.float64] | None:
        """Return the landmarks, [81, 2], of `landmarks/<video>/<frame>.npy` beside `frames`; None without.

        Raises FrameError for a file that is no array.
        """
        place = landmarks_place(frame.locator)
        data = None if place is None else self._data_at(place, frame.id)
        return None if data is None else points_in(data, frame.id)

    def _data_at(self, place: Locator, frame_id: str) -> bytes | None:
        """Return the bytes of a file, or of a key, that a frame may have beside it; None if it is not there."""
        path = Path(place.path)
        return read_bytes(path, frame_id) if path.is_file() else None

    def _stored(self, frame: Frame) -> bytes:
        """Return a frame's bytes in an LMDB. Raises FrameError if they are not there."""
        raise FrameError(frame.id, "this dataset has no LMDB")


def _mark(frame: Frame) -> str:
    """Return what stands for a frame in the table of what each thread read last: its file, or its key under it."""
    place = frame.locator
    return place.path if place.key is None else f"{place.path}/{place.key}"


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(path.name for path in Path(folder).iterdir())
    except OSError:
        return frozenset()


def _mask_places(place: Locator) -> Iterator[Locator]:
    """Yield where the mask of a frame may lie: beside its `frames`, and beside those of c23."""
    text = place.path if place.key is None else place.key
    separator = "/" if place.key is None else "\\"
    parts = text.split(separator)
    if len(parts) < 4 or parts[-3] != "frames":
        return
    for level in dict.fromkeys((parts[-4], "c23")):
        written = separator.join([*parts[:-4], level, "masks", *parts[-2:]])
        yield Locator(written) if place.key is None else Locator(place.path, written)


def overlaps(lists: Sequence[VideoList], split: str, level: str) -> list[str]:
    """Return a line for each other split that has some of a split's videos."""
    marks: dict[str, set[str]] = {}
    for one in SPLITS:
        marks[one] = set()
        for listed in lists:
            with contextlib.suppress(DataError):  # the other split has a mistake, which is told where it is used
                marks[one].update(listed.marks(one, level))
    shared = {one: len(marks[split] & marks[one]) for one in SPLITS if one != split}
    return [f"{n:,} of {len(marks[split]):,} videos of '{split}' are in '{one}' too" for one, n in shared.items() if n]
