"""Records of faces, and arithmetic of boxes.

Coordinates are pixels of the picture from its upper left corner: the first pixel covers 0 to 1, and its centre is 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.arrays import Floats

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom edge in pixels; it may go beyond the picture."""
POINTS = ("eye on the left", "eye on the right", "nose", "corner of the mouth on the left", "… on the right")
"""The five points of a face, in this order; left and right are those of the picture, not of the person."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in a picture.

    `score` is the finder's confidence in [0, 1]. `points` are the `POINTS`, float [5, 2] (x, y), None if the finder has
    none; `landmarks` are all points of a finder with more, float [68 or 81, 2].
    """

    box: Box
    score: float
    points: Floats | None = None
    landmarks: Floats | None = None

    @property
    def width(self) -> float:
        """Width of the box in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box in pixels."""
        return self.box[3] - self.box[1]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return max(0.0, self.width) * max(0.0, self.height)

    @property
    def side(self) -> float:
        """Shorter side of the box in pixels."""
        return min(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box (x, y)."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    def within(self, width: int, height: int) -> Box:
        """Return the part of the box that lies in a picture of this size, to be drawn."""
        x0, y0, x1, y1 = self.box
        return min(max(x0, 0.0), width), min(max(y0, 0.0), height), min(max(x1, 0.0), width), min(max(y1, 0.0), height)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, with coordinates to a hundredth of a pixel."""
        found: dict[str, Any] = {"box": [round(v, 2) for v in self.box], "score": round(self.score, 4)}
        for name in ("points", "landmarks"):
            points = getattr(self, name)
            if points is not None:
                found[name] = [[round(float(x), 2), round(float(y), 2)] for x, y in points]
        return found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Face:
        """Return the face that `to_json` wrote."""
        given = {name: np.array(data[name], np.float64) for name in ("points", "landmarks") if name in data}
        x0, y0, x1, y1 = data["box"]
        return cls((x0, y0, x1, y1), data["score"], **given)


def rounded(face: Face) -> Face:
    """Return a face as it is after it was stored: what is found now and what was kept are then the same."""
    return Face.from_json(face.to_json())


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1]; 0 if one has no area."""
    return float(overlaps([a], [b])[0, 0])


def overlaps(first: Sequence[Box], second: Sequence[Box]) -> Floats:
    """Return the intersection over union of each box of `first` with each of `second`, [len(first), len(second)]."""
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    both = size[..., 0] * size[..., 1]
    areas = [
        np.clip(one[..., 2] - one[..., 0], 0, None) * np.clip(one[..., 3] - one[..., 1], 0, None) for one in (a, b)
    ]
    either = areas[0] + areas[1] - both
    found: Floats = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return found


def distinct(boxes: Floats, scores: Floats, limit: float) -> list[int]:
    """Return the boxes that are kept, the highest score first: each overlaps no better one by more than `limit`.

    `boxes` is [n, 4] and `scores` [n]. Of equal scores the first comes first.
    """
    order = [int(i) for i in np.argsort(-scores, kind="stable")]
    kept: list[int] = []
    while order:
        best, rest = order[0], order[1:]
        kept.append(best)
        if not rest:
            break
        found = overlaps([boxes[best]], boxes[rest])[0]  # type: ignore[arg-type]
        order = [i for i, value in zip(rest, found, strict=True) if value <= limit]
    return kept
