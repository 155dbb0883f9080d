"""A dataset ready to be read, and the digests of its frames, which are computed once and then cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cards.models import DatasetCard
from ..core.installed import installed_versions
from ..core.memo import Memo, cache_folder
from ..core.progress import progress_bar
from ..core.records import Frame, Question
from ..version import __version__
from .base import Adapter, check_split, frames_of, questions_of, stamp_of
from .read_ahead import ReadAhead, load_frame

if TYPE_CHECKING:
    from ..core.records import Image

DECODERS = ("numpy", "pillow", "av", "h5py", "opencv-python", "opencv-python-headless")
"""Packages whose version can change a digest of decoded pixels."""
AHEAD = 64
"""Digests that are computed ahead."""


@dataclass
class Dataset:
    """A dataset ready to be read: its card and its adapter."""

    card: DatasetCard
    adapter: Adapter

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

    def frames(self, split: str = "test") -> list[Frame]:
        """Return all frames of a split. Raises DataError for an unknown split."""
        self.check_split(split)
        return frames_of(self.adapter, split)

    def read(self, frame: Frame) -> Image:
        """Return a frame's pixels: RGB uint8 [H, W, 3]. Raises FrameError if it cannot be read."""
        return self.adapter.read(frame)

    def questions(self, split: str = "test", kind: str = "blind") -> list[Question]:
        """Return the questions of a split; `kind` is `blind`, `released` or `judge`.

        Raises DataError for an unknown split.
        """
        self.check_split(split)
        return questions_of(self.adapter, split, kind)


def frame_digests(dataset: Dataset, frames: Sequence[Frame], workers: int = 0) -> dict[str, str]:
    """Return the digest (hex) of each frame's pixels or file by frame id, as in a run; empty if unreadable.

    A frame is read once; while the adapter's stamp of it does not change, its digest comes from the cache. A frame
    without a stamp is read every time.
    """
    place = dataset.card.model_dump(mode="json", include={"name", "adapter", "root", "options"})
    adapter = dataset.adapter
    options = adapter.options.model_dump(mode="json")
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
