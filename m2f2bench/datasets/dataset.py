"""A dataset ready to be read; the frames of it that are judged; their digests, computed once and then cached."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..cards.models import DatasetCard
from ..cards.protocols import FrameSelection
from ..core.errors import DataError
from ..core.frame_lists import FrameList, column, twice
from ..core.memo import Memo, cache_folder
from ..core.notebook import data_frame, heading, page, table
from ..core.progress import progress_bar
from ..core.records import FAKE, REAL, Frame, Question
from ..core.sources import installed_versions
from ..version import __version__
from .base import Adapter, check_split
from .calls import frames_of, questions_of, sampled_frames_of, stamp_of
from .read_ahead import ReadAhead, load_frame

if TYPE_CHECKING:
    import pandas as pd

    from ..core.records import Image

T = TypeVar("T")
DECODERS = ("numpy", "pillow", "simplejpeg", "av", "h5py", "opencv-python", "opencv-python-headless")
"""Packages whose version can change a digest of decoded pixels."""
AHEAD = 64
"""Digests that are computed ahead."""


@dataclass
class Dataset:
    """A dataset ready to be read: its card and its adapter."""

    card: DatasetCard
    adapter: Adapter
    crop: str = ""
    """How faces are found in the scenes and cut out, as the signature names it; empty where they are not."""

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the dataset: those that the card names, else all of the adapter's."""
        return tuple(self.card.splits or self.adapter.splits)

    def check_split(self, split: str, use: str = "") -> None:
        """Raise DataError unless the dataset has this split; `use` says what it is for (", on which …")."""
        check_split(f"dataset '{self.name}'", split, self.splits, use)

    def frames(self, split: str = "test") -> Sequence[Frame]:
        """Return all frames of a split. Raises DataError for an unknown split."""
        self.check_split(split)
        return frames_of(self.adapter, split)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each frame of each split.

        Columns: id, video, label (0 real, 1 fake), method, split, identity (people joined by `+`), picture.
        """
        names = ("id", "video", "label", "method", "split", "picture")
        frames = [frame for listed in self._listed().values() for frame in listed]
        rows = [
            {**{name: getattr(one, name) for name in names}, "identity": "+".join(one.identities)} for one in frames
        ]
        return data_frame(rows, ())

    def _listed(self) -> dict[str, Sequence[Frame]]:
        """Return the frames of each split that has any. Raises DataError if no split has."""
        found = {}
        for split in self.splits:
            try:
                found[split] = self.frames(split)
            except DataError:  # a folder need not have all splits
                if split == self.splits[-1] and not found:
                    raise
        return found

    def _repr_html_(self) -> str:
        """Return a table of the splits with their real and fake frames and their videos."""
        cells = [["split", "real frames", "fake frames", "videos", "methods"]]
        for split, frames in self._listed().items():
            labels, methods = column(frames, "label"), column(frames, "method")
            videos = set(zip(methods, column(frames, "video"), strict=True))
            counts = (labels.count(REAL), labels.count(FAKE), len(videos))
            fakes = {method for method, label in zip(methods, labels, strict=True) if label}
            cells.append([split, *map(str, counts), ", ".join(sorted(fakes))])
        return page(heading(self.name), table(cells))

    def read(self, frame: Frame) -> Image:
        """Return a frame's pixels: RGB uint8 [H, W, 3]. Raises FrameError if it cannot be read."""
        return self.adapter.read(frame)

    def questions(self, split: str = "test", kind: str = "blind") -> list[Question]:
        """Return the questions of a split; `kind` is `blind`, `released` or `judge`.

        Raises DataError for an unknown split.
        """
        self.check_split(split)
        return questions_of(self.adapter, split, kind)


def pick(selection: FrameSelection, n: int) -> list[int]:
    """Return the indices, ascending and distinct, of the frames judged in a video of `n` frames.

    `uniform` takes the middles of `count` equal parts of the video. A video shorter than `count` gives each of its
    frames once; no frame is repeated.
    """
    count = selection.count
    if count is None or n <= count:
        return list(range(n))
    if selection.which == "first":
        return list(range(count))
    return [((2 * i + 1) * n) // (2 * count) for i in range(count)]


def plan_frames(adapter: Adapter, split: str, selection: FrameSelection, limit: int | None = None) -> Sequence[Frame]:
    """Return the frames to be judged, in the adapter's order, with unique ids.

    With `limit`, at most that many, spread evenly over each method's frames. Raises DataError for an empty split.
    """
    frames = list_frames(adapter, split, selection)
    if not frames:
        raise DataError(f"split '{split}' has no frames: nothing to judge")
    check_unique(frames)
    return spread_by_method(frames, limit)


def list_frames(adapter: Adapter, split: str, selection: FrameSelection) -> Sequence[Frame]:
    """Return the selected frames of a split; a long video's other frames are never listed."""
    if selection.count is None:
        return frames_of(adapter, split)
    return sampled_frames_of(adapter, split, lambda n: pick(selection, n))


def check_unique(frames: Sequence[Frame]) -> None:
    """Raise DataError if two frames share an id, or one video has both labels."""
    if isinstance(frames, FrameList):
        repeated, videos = frames.repeated(), frames.labels()
    else:
        repeated, videos = twice(frame.id for frame in frames), ((frame.video, frame.label) for frame in frames)
    if repeated:
        raise DataError(f"frame id '{repeated}' stands for two frames: ids must be unique in a dataset")
    labels: dict[str, int] = {}
    for video, label in videos:
        if labels.setdefault(video, label) != label:
            raise DataError(
                f"video '{video}' has real and fake frames: a video's name must be unique with its "
                f"manipulation, as in 'Deepfakes/000_003'"
            )


def spread_by_method(frames: Sequence[Frame], limit: int | None) -> Sequence[Frame]:
    """Return at most `limit` frames, in order: the same share of each method, evenly spread over its frames.

    Evenly spread over the whole list, they could miss methods if its order repeats itself.
    """
    if limit is None or limit >= len(frames):
        return frames
    if isinstance(frames, FrameList):
        return frames.take(sorted(spread(frames.by_method(), limit)))
    by_method = sorted(range(len(frames)), key=lambda i: (frames[i].label, frames[i].method))
    return [frames[i] for i in sorted(spread(by_method, limit))]


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """Return at most `limit` items, evenly spread over the sequence, in order."""
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise DataError(f"a limit of {limit} frames leaves nothing to judge: give 1 or more")
    step = len(items) / limit
    return [items[math.floor((i + 0.5) * step)] for i in range(limit)]


def frame_digests(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> dict[str, str]:
    """Return the digest (hex) of each frame's pixels or file by frame id, as in a run; empty if unreadable.

    A frame is read once; while the adapter's stamp of it does not change, its digest comes from the cache. A frame
    without a stamp is read every time.
    """
    place = dataset.card.model_dump(mode="json", include={"name", "adapter", "root", "options"})
    adapter = dataset.adapter
    options = adapter.options.content()
    decided = [place, str(adapter.root), options, installed_versions(DECODERS), __version__]
    text = json.dumps(decided, sort_keys=True, default=str)
    path = cache_folder() / "digests" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"

    def find(frame: Frame) -> str:
        key, stamp = f"{frame.split} {frame.id}", stamp_of(adapter, frame)
        known = memo.get(key, stamp) if stamp else None
        if isinstance(known, str):
            return known
        loaded = load_frame(adapter, frame)
        if loaded.stamp and loaded.digest:
            memo.put(key, loaded.stamp, loaded.digest)
        return loaded.digest

    found = {}
    with Memo(path) as memo, progress_bar("digests", len(frames)) as advance:
        ahead = ReadAhead(find, frames, count=AHEAD, size=lambda digest: 0, threads=workers)
        for frame, digest in zip(frames, ahead.each(), strict=True):
            found[frame.id] = digest
            advance(1)
    return found
