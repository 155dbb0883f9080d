"""Whether a score is the frame's alone: some frames are judged again, in another batch, and held against their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import M2F2BenchError
from ..core.records import Frame
from ..datasets.base import Adapter
from ..datasets.planning import spread
from ..detectors.base import Detector
from . import predict as local

AGAIN = 4
"""Frames that are judged again."""
FEWEST = 5 * AGAIN
"""Frames with a score from which on it is done: it shall not cost more than a fifth of a run."""
EXACT, COARSE = 2e-3, 0.05
"""Differences that rounding explains: in fp32, where another batch sums in another order (1e-4, with TF32 1e-3), and in
16 bits or where the arithmetic is not known."""


def unsteady(
    name: str,
    detector: Detector,
    adapter: Adapter,
    frames: Sequence[Frame],
    scores: Mapping[str, float],
    batch_size: int,
) -> str:
    """One line where scores depend on the batch or on chance; empty where they do not, or it cannot be told.

    `scores` are those of the rows, by frame; AGAIN of them are judged again, each alone, or together where a batch was
    of one. Changes nothing.
    """
    constant = batch_size > 1 and len(set(scores.values())) < 2  # it has nothing to hide
    if len(scores) < FEWEST or constant:
        return ""
    chosen = spread([frame for frame in frames if frame.id in scores], AGAIN)
    size = 1 if batch_size > 1 else len(chosen)
    where = ("among others", "alone") if batch_size > 1 else ("alone", "among others")
    tolerance = EXACT if "fp32" in detector.precision else COARSE
    try:
        again = _judged(name, detector, adapter, chosen, size)
        worst, distance = _worst(chosen, scores, again)
        if distance <= tolerance:
            return ""
        twice = _judged(name, detector, adapter, chosen, size)
        chance = max(abs(again[one] - twice[one]) for one in again if one in twice) if set(again) & set(twice) else 0.0
    except M2F2BenchError as error:
        return f"some frames were judged again in a batch of {size}, and that failed: {error}"
    told = f"P(fake) of frame '{worst}' was {scores[worst]:.4g} {where[0]} and then {again[worst]:.4g} {where[1]}"
    if chance > tolerance:
        return f"the scores are not repeatable: {told}; is there dropout, or a draw without a seed?"
    return (
        f"the scores depend on what else is in the batch, and so on --batch-size: {told}; is a network in training "
        f"mode (call eval()), or are scores scaled over the batch?"
    )


def _judged(name: str, detector: Detector, adapter: Adapter, frames: Sequence[Frame], size: int) -> dict[str, float]:
    batches = local.predict(name, detector, adapter, frames, size, 1)
    return {row.frame: row.score for batch in batches for row in batch if row.score is not None}


def _worst(frames: Sequence[Frame], scores: Mapping[str, float], again: Mapping[str, float]) -> tuple[str, float]:
    """The frame whose score differs most, and by how much; 0 where none was judged twice."""
    found = {frame.id: abs(scores[frame.id] - again[frame.id]) for frame in frames if frame.id in again}
    worst = max(found, key=lambda frame: found[frame], default="")
    return worst, found.get(worst, 0.0)
