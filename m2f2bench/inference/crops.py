"""Notes on images that may not be face crops: no face is searched for in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDEST = 1.5
"""The longest edge over the shortest one, at most: crops of one face are nearly square."""
LARGEST = 1024
"""Pixels of the shorter edge, at most: several times those of the crops that detectors are trained on."""


def crop_note(training: Sequence[str]) -> str:
    """Return the note for every judgement of single images; `training` names the detector's datasets."""
    where = f" as in {', '.join(training)}" if training else ""
    return f"m2f2bench does not find faces: a score is meaningless unless the image is the crop of one face{where}"


def scene_note(sizes: Mapping[str, Sequence[int]]) -> str:
    """Return a line on files whose images are too large or too long for crops of one face; empty if there are none.

    `sizes` has (height, width) in pixels by path.
    """
    found = [(path, size) for path, size in sizes.items() if _is_scene(size[0], size[1])]
    if not found:
        return ""
    path, (height, width, *_) = found[0]
    return (
        f"{len(found)} of {len(sizes)} files are probably not crops of one face, judging by size: first '{path}' "
        f"({width}×{height} pixels): crop them first"
    )


def _is_scene(height: int, width: int) -> bool:
    shorter, longer = sorted((height, width))
    return shorter > LARGEST or longer > WIDEST * shorter
