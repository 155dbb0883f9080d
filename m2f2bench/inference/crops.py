"""What is said of pictures that nobody cropped to a face: no face is looked for in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDEST = 1.5
"""The longer edge over the shorter one: crops of one face are nearly square."""
LARGEST = 1024
"""Pixels of the shorter edge, several times those of the crops that detectors are trained on."""


def crop_note(training: Sequence[str]) -> str:
    """The line that stands under every judgement of pictures of one's own; `training` names the detector's datasets."""
    where = f" as in {', '.join(training)}" if training else ""
    return (
        f"m2f2bench does not find faces: a score means something only where the picture is the crop of one "
        f"face{where}; "
        f"on any other picture it means nothing"
    )


def scene_note(sizes: Mapping[str, Sequence[int]]) -> str:
    """A line on files whose pictures are hardly crops of one face by their size, (height, width) in pixels by path;
    empty where there are none."""
    found = [(path, size) for path, size in sizes.items() if _is_scene(size[0], size[1])]
    if not found:
        return ""
    path, (height, width, *_) = found[0]
    return (
        f"{len(found)} of {len(sizes)} files are hardly crops of one face by their size, first '{path}' "
        f"({width}×{height} pixels): crop them first"
    )


def _is_scene(height: int, width: int) -> bool:
    shorter, longer = sorted((height, width))
    return shorter > LARGEST or longer > WIDEST * shorter
