"""Steadiness of scores: some frames are judged again in another batch and compared with their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import M2F2BenchError
from ..core.records import Frame
from ..datasets.base import Adapter
from ..datasets.dataset import spread
from ..detectors.base import Detector
from . import predict as local

AGAIN = 4
"""Frames that are judged again."""
FEWEST = 5 * AGAIN
"""The check needs this many frames with a score, so that it costs at most a fifth of a run."""
EXACT, COARSE = 2e-3, 0.05
"""Differences that rounding explains: in fp32, because another batch sums in another order (1e-4, with TF32 1e-3), and
in 16 bits or in unknown arithmetic."""


def unsteady(
    name: str,
    detector: Detector,
    adapter: Adapter,
    frames: Sequence[Frame],
    scores: Mapping[str, float],
    batch_size: int,
) -> str:
    """Return one line if scores depend on the batch or on chance; empty if they do not, or if there are too few.

    `scores` are those of the rows, by frame; AGAIN of them are judged again, each alone, or together if the batch size
    was one. Changes nothing.
    """
    constant = batch_size > 1 and len(set(scores.values())) < 2
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
    scored = f"P(fake) of frame '{worst}' was {scores[worst]:.4g} {where[0]} and then {again[worst]:.4g} {where[1]}"
    if chance > tolerance:
        return f"the scores are not repeatable: {scored}; is there dropout, or a random number without a seed?"
    return (
        f"the scores depend on the other frames of the batch, and so on --batch-size: {scored}; is a network in "
        f"training mode (call eval()), or are scores normalised over the batch?"
    )


def _judged(name: str, detector: Detector, adapter: Adapter, frames: Sequence[Frame], size: int) -> dict[str, float]:
    batches = local.predict(name, detector, adapter, frames, size, 1)
    return {row.frame: row.score for batch in batches for row in batch if row.score is not None}


def _worst(frames: Sequence[Frame], scores: Mapping[str, float], again: Mapping[str, float]) -> tuple[str, float]:
    """Return the frame whose score differs most, and by how much; 0 if no frame was judged twice."""
    differences = {frame.id: abs(scores[frame.id] - again[frame.id]) for frame in frames if frame.id in again}
    worst = max(differences, key=lambda frame: differences[frame], default="")
    return worst, differences.get(worst, 0.0)
