"""Prediction on this machine: frames are decoded ahead of the model, judged in batches, and some judged again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.probability import likely_cause
from ..core.records import Frame, Prediction
from ..datasets.base import Adapter
from ..datasets.planning import spread
from ..datasets.read_ahead import OK, Loaded, frames_ahead
from ..detectors.base import Detector
from ..detectors.scores import listed

Outcome = float | tuple[str, str]
"""P(fake), or status and message."""


class Item(Protocol):
    """A frame that is ready to be judged."""

    frame: Frame
    prepared: Any


def judge(name: str, detector: Detector, items: Sequence[Item]) -> list[Outcome]:
    """Return P(fake) in [0, 1] of each item, or (status, message). A batch that raises is judged again frame by frame.

    Raises DetectorError if the number of scores differs from that of items, if a score is not a number or not in
    [0, 1], and MachineError for errors of the machine, not of a frame.
    """
    if not items:
        return []
    try:
        with exact_fp32(detector.precision), guest(f"detector '{name}'"):
            given = detector.forward([item.prepared for item in items], [item.frame.id for item in items])
            values = listed(given, len(items))
    except M2F2BenchError:
        raise
    except Exception as error:
        if len(items) > 1:
            return [outcome for item in items for outcome in judge(name, detector, [item])]
        refuse_machine_fault(error, f"detector '{name}' on frame '{items[0].frame.id}'")
        return [("error", first_line(error))]
    if isinstance(values, str):
        raise DetectorError(f"detector '{name}' gave {values}")
    return [_checked(name, item.frame.id, value, values) for item, value in zip(items, values, strict=True)]


def _checked(name: str, frame: str, value: Any, batch: Sequence[Any]) -> Outcome:
    number = math.nan if value is None else float(value)
    if not math.isfinite(number):
        return ("error", f"the detector gave {value if value is None else number} instead of a probability")
    if not 0.0 <= number <= 1.0:
        raise DetectorError(
            f"detector '{name}' gave {number!r} for frame '{frame}': a score is P(fake) in [0, 1]; "
            f"{likely_cause([one for one in batch if one is not None])}"
        )
    return number


def predict(
    name: str, detector: Detector, adapter: Adapter, frames: Sequence[Frame], batch_size: int = 32, workers: int = 0
) -> Iterator[list[Prediction]]:
    """Judge frames and yield their rows in order, one list a batch.

    A frame that cannot be read, or on which the detector raises or gives a non-finite score, becomes a row with a
    status. Raises DetectorError for scores outside [0, 1], for a wrong number of scores, and where the detector
    fails on every frame of the first batch, and MachineError for what is the machine's fault. `workers` threads decode
    ahead (0: one per core, at most four), at most two batches and `AHEAD_BYTES`, so that memory stays flat.
    """
    ahead = frames_ahead(
        adapter, frames, count=2 * batch_size, threads=workers, prepare=detector.prepare, who=f"detector '{name}'"
    )
    succeeded = False
    for batch in ahead.batches(batch_size):
        rows = _judge(name, detector, batch)
        failures = [row for row in rows if row.status == "error"]
        if not succeeded and len(rows) > 1 and len(failures) == len(rows):
            raise DetectorError(
                f"detector '{name}' failed on all of the first {len(rows)} frames, first on "
                f"'{rows[0].frame}': {rows[0].message}"
            )
        succeeded = succeeded or len(failures) < len(rows)
        yield rows


def _judge(name: str, detector: Detector, batch: list[Loaded]) -> list[Prediction]:
    """Return the rows of a batch, in order."""
    ready = [item for item in batch if item.status == OK]
    scores = dict(zip((item.frame.id for item in ready), judge(name, detector, ready), strict=True))
    outcomes = [scores.get(item.frame.id, (item.status, item.reason)) for item in batch]
    return [
        _row(item, OK, outcome, "") if isinstance(outcome, float) else _row(item, outcome[0], None, outcome[1])
        for item, outcome in zip(batch, outcomes, strict=True)
    ]


def _row(item: Loaded, status: str, score: float | None, message: str) -> Prediction:
    frame = item.frame
    return Prediction(
        frame=frame.id,
        video=frame.video,
        method=frame.method,
        identity="+".join(frame.identities),
        label=frame.label,
        status=status,
        score=score,
        digest=item.digest,
        message=message,
        picture=frame.picture,
        stamp=item.stamp,
    )


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
    batches = predict(name, detector, adapter, frames, size, 1)
    return {row.frame: row.score for batch in batches for row in batch if row.score is not None}


def _worst(frames: Sequence[Frame], scores: Mapping[str, float], again: Mapping[str, float]) -> tuple[str, float]:
    """Return the frame whose score differs most, and by how much; 0 if no frame was judged twice."""
    differences = {frame.id: abs(scores[frame.id] - again[frame.id]) for frame in frames if frame.id in again}
    worst = max(differences, key=lambda frame: differences[frame], default="")
    return worst, differences.get(worst, 0.0)
