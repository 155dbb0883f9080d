"""Choice of the faces that are judged, among all that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ..cards.settings import Settings
from .face import Face

if TYPE_CHECKING:
    from ..core.arrays import Bools
    from .follow import Track


class Choice(Settings):
    """Which faces are judged: one person of each video or picture, or all."""

    rule: Literal["largest", "mask", "all"] = "largest"
    """`largest`: the greatest area × score, summed over the video. `mask`: the face on which most of the manipulation
    mask lies; where nothing is marked, the largest. `all`: every one."""
    least_side: float = Field(default=0.0, ge=0.0)
    """Faces whose box has a shorter side below this, in pixels, are left out."""
    least_score: float = Field(default=0.0, ge=0.0, le=1.0)
    """Faces below this score are left out."""

    def signature(self) -> str:
        """Return a short text, such as `largest-side32`."""
        parts = [f"side{self.least_side:g}"] if self.least_side else []
        parts += [f"score{self.least_score:g}"] if self.least_score else []
        return "-".join([self.rule, *parts])

    def worthy(self, faces: Sequence[Face]) -> list[Face]:
        """Return the faces that are large and sure enough."""
        return [one for one in faces if one.side >= self.least_side and one.score >= self.least_score]


def weight(faces: Sequence[Face]) -> float:
    """Return the sum of area (square pixels) × score."""
    return float(sum(face.area * face.score for face in faces))


def marked_share(face: Face, mask: Bools) -> float:
    """Return which share of the marked pixels of a mask [H, W] lies in a face's box, in [0, 1]; 0 if none is marked."""
    total = int(np.count_nonzero(mask))
    if not total:
        return 0.0
    x0, y0, x1, y1 = (round(edge) for edge in face.within(mask.shape[1], mask.shape[0]))
    return float(np.count_nonzero(mask[y0:y1, x0:x1]) / total)


def choose(faces: Sequence[Face], choice: Choice, mask: Bools | None = None) -> list[Face]:
    """Return the faces of one picture that are judged, the largest first; empty if there is none.

    `mask`, bool [H, W], marks the manipulated pixels.
    """
    found = sorted(choice.worthy(faces), key=lambda face: -weight([face]))
    if choice.rule == "mask" and mask is not None:
        found = sorted(found, key=lambda face: -marked_share(face, mask))
    return found if choice.rule == "all" else found[:1]


def choose_tracks(tracks: Sequence[Track], choice: Choice, marked: Mapping[int, float] | None = None) -> list[Track]:
    """Return the tracks of a video that are judged, the largest first; empty if there is none.

    `marked` has the sum of `marked_share` over each track's faces, by the track's number. Faces that are not `worthy`
    are left out before they are followed.
    """
    found = sorted(tracks, key=lambda track: (-weight(list(track.faces.values())), track.number))
    if choice.rule == "mask" and marked is not None:
        found = sorted(found, key=lambda track: -marked.get(track.number, 0.0))
    return found if choice.rule == "all" else found[:1]
