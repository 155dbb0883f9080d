"""Prediction on this machine: frames are decoded in threads ahead of the model, rows come back batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core.errors import DetectorError
from ..core.records import Frame, Prediction
from ..datasets.base import Adapter
from ..datasets.read_ahead import OK, Loaded, frames_ahead
from ..detectors.base import Detector
from .judging import judge


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
