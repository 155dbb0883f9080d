"""Selection of the frames that are judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from ..cards.protocols import FrameSelection
from ..core.errors import DataError
from ..core.records import Frame
from .base import Adapter, frames_of, sampled_frames_of

T = TypeVar("T")


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


def plan_frames(adapter: Adapter, split: str, selection: FrameSelection, limit: int | None = None) -> list[Frame]:
    """Return the frames to be judged, in the adapter's order, with unique ids.

    With `limit`, at most that many, spread evenly over each method's frames. Raises DataError for an empty split.
    """
    frames = list_frames(adapter, split, selection)
    if not frames:
        raise DataError(f"split '{split}' has no frames: nothing to judge")
    check_unique(frames)
    return spread_by_method(frames, limit)


def list_frames(adapter: Adapter, split: str, selection: FrameSelection) -> list[Frame]:
    """Return the selected frames of a split; a long video's other frames are never listed."""
    if selection.count is None:
        return frames_of(adapter, split)
    return sampled_frames_of(adapter, split, lambda n: pick(selection, n))


def check_unique(frames: Iterable[Frame]) -> None:
    """Raise DataError if two frames share an id, or one video has both labels."""
    ids: set[str] = set()
    labels: dict[str, int] = {}
    for frame in frames:
        if frame.id in ids:
            raise DataError(f"frame id '{frame.id}' stands for two frames: ids must be unique in a dataset")
        ids.add(frame.id)
        if labels.setdefault(frame.video, frame.label) != frame.label:
            raise DataError(
                f"video '{frame.video}' has real and fake frames: a video's name must be unique with its "
                f"manipulation, as in 'Deepfakes/000_003'"
            )


def spread_by_method(frames: Sequence[Frame], limit: int | None) -> list[Frame]:
    """Return at most `limit` frames, in order: the same share of each method, evenly spread over its frames.

    Evenly spread over the whole list, they could miss methods if its order repeats itself.
    """
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
