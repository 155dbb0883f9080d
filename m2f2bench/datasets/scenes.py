"""Whole scenes in place of crops of one face: what a user is told before they are judged or learned from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from ..cards.models import DatasetCard
from ..core.records import Frame
from .calls import remarks_of
from .dataset import Dataset, spread_by_method
from .read_ahead import load_frame

WIDEST = 1.5
"""The longest edge over the shortest one, at most: crops of one face are nearly square."""
LARGEST = 1024
"""Pixels of the shorter edge, at most: several times those of the crops that detectors are trained on."""
LOOKED_AT = 4
"""Frames of a dataset without a card whose size is looked at."""
SCENES = "the frames are whole scenes, not crops of faces"
"""Start of the warning about a dataset that shows scenes."""
WAY_OUT = "give --crop m2f2det to find the faces and judge their crops"
log = logging.getLogger("m2f2bench")


def scene_note(sizes: Mapping[str, Sequence[int]], noun: str = "files", hint: str = "crop them first") -> str:
    """Return a line on pictures that are too large or too long for crops of one face; empty if there are none.

    `sizes` has (height, width) in pixels by path; `noun` says what they are, `hint` what to do.
    """
    found = [(path, size) for path, size in sizes.items() if max(size) > WIDEST * min(size) or min(size) > LARGEST]
    if not found:
        return ""
    path, (height, width) = found[0]
    return (
        f"{len(found)} of {len(sizes)} {noun} are probably not crops of one face, judging by size: first '{path}' "
        f"({width}×{height} pixels): {hint}"
    )


def scene_warning(card: DatasetCard) -> str:
    """Return the warning about a dataset whose card says that it shows scenes; empty for any other."""
    if card.shows != "scenes":
        return ""
    return f"{SCENES}, and these numbers cannot be compared with those of crops: {WAY_OUT}"


def announce(dataset: Dataset, split: str, frames: Sequence[Frame] = (), scenes: bool = True) -> None:
    """Log the adapter's remarks on a split and, unless `scenes` is false, a warning if the frames are whole scenes.

    Of a folder or manifest without a card some of the `frames` are read, to see their size.
    """
    for remark in remarks_of(dataset.adapter, split):
        log.info("%s, %s: %s", dataset.name, split, remark)
    if not scenes or dataset.crop:
        return
    warning = scene_warning(dataset.card)
    if not warning and dataset.card.path is None and dataset.card.adapter == "folder" and frames:
        looked_at = spread_by_method(frames, min(LOOKED_AT, len(frames)))
        warning = scene_note(_sizes(dataset, looked_at), "frames looked at", WAY_OUT)
    if warning:
        log.warning("%s: %s", dataset.name, warning)


def _sizes(dataset: Dataset, frames: Sequence[Frame]) -> dict[str, tuple[int, ...]]:
    """Return height and width of those frames that can be read, by id."""
    loaded = [load_frame(dataset.adapter, frame) for frame in frames]
    return {one.frame.id: one.image.shape[:2] for one in loaded if one.image is not None}
