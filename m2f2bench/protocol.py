"""How frames are picked, and how their rows become the units (frames or videos) that are scored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from .adapters.base import Adapter
from .cards import FrameSelection, ProtocolCard
from .errors import DataError, ScoreError
from .records import FAKE, Frame
from .scoring.rows import Rows, Units

T = TypeVar("T")


def pick(selection: FrameSelection, n: int) -> list[int]:
    """The indices, ascending and distinct, of the frames judged in a video of `n` frames.

    `uniform` takes the middles of `count` equal stretches of the whole video. A video shorter than `count` gives
    each of its frames once: none is repeated to fill up.
    """
    count = selection.count
    if count is None or n <= count:
        return list(range(n))
    if selection.which == "first":
        return list(range(count))
    return [((2 * i + 1) * n) // (2 * count) for i in range(count)]


def plan_frames(adapter: Adapter, split: str, selection: FrameSelection, limit: int | None = None) -> list[Frame]:
    """The frames to be judged, in the adapter's order, with ids checked to be unique.

    With `limit`, that many of them, spread evenly over the list so that all methods stay in. Raises DataError for
    an empty split.
    """
    frames = list_frames(adapter, split, selection)
    if not frames:
        raise DataError(f"split '{split}' has no frames: nothing to judge")
    check_unique(frames)
    return spread(frames, limit)


def list_frames(adapter: Adapter, split: str, selection: FrameSelection) -> list[Frame]:
    """The selected frames of a split; a long video's other frames are never listed."""
    if selection.count is None:
        return adapter.frames(split)
    return adapter.sample(split, lambda n: pick(selection, n))


def check_unique(frames: Iterable[Frame]) -> None:
    """Raise DataError where two frames share an id, or one video has both labels."""
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


def spread(items: Sequence[T], limit: int | None) -> list[T]:
    """At most `limit` items, evenly spread over the sequence, in order."""
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise DataError(f"a limit of {limit} frames leaves nothing to judge: give 1 or more")
    step = len(items) / limit
    return [items[math.floor((i + 0.5) * step)] for i in range(limit)]


def to_units(rows: Rows, protocol: ProtocolCard) -> Units:
    """The units that a protocol scores, from planned frames' rows.

    At video level a video's score is the mean of its frames' scores (protocol `aggregation: mean`). Rows without a
    score are left out (`missing: drop`); `coverage` is the share of planned units that have one.
    """
    scored = rows.status == "ok"
    methods = tuple(sorted(set(rows.method[rows.label == FAKE].tolist())))
    if protocol.level == "frame":
        label, score, method, video, kept = rows.label, rows.score, rows.method, rows.video, scored
    else:
        video, first, group = np.unique(rows.video, return_index=True, return_inverse=True)
        label, method = rows.label[first], rows.method[first]
        if (label[group] != rows.label).any():
            clash = rows.video[label[group] != rows.label][0]
            raise ScoreError(
                f"video '{clash}' has real and fake rows: a video's name must be unique with its manipulation"
            )
        counts = np.bincount(group[scored], minlength=len(video))
        sums = np.bincount(group[scored], weights=rows.score[scored], minlength=len(video))
        score, kept = sums / np.maximum(counts, 1), counts > 0
    coverage = float(kept.mean()) if len(kept) else 0.0
    return Units(label[kept], score[kept], method[kept], video[kept], coverage, methods)
