"""Prediction on this machine: frames are decoded in threads ahead of the model, rows come back batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import DetectorError, FrameError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import bounded
from ..core.records import Frame, Prediction
from ..datasets.base import Adapter
from ..datasets.limits import DECODING
from ..datasets.read_ahead import ReadAhead, held_bytes, load_frame
from ..detectors.base import Detector
from .judging import judge


@dataclass(slots=True)
class _Ready:
    """A frame on its way to the model: `prepared` is what the detector's `prepare` gave, or `failure` says why not."""

    frame: Frame
    prepared: Any
    digest: str
    stamp: str
    failure: tuple[str, str] | None  # status, message


def predict(
    name: str, detector: Detector, adapter: Adapter, frames: Sequence[Frame], batch_size: int = 32, workers: int = 0
) -> Iterator[list[Prediction]]:
    """Judge frames and yield their rows in order, one list a batch.

    A frame that cannot be read, or on which the detector raises or gives a non-finite score, becomes a row with a
    status. Raises DetectorError for scores outside [0, 1], for a wrong number of scores, and where the detector
    fails on every frame of the first batch, and MachineError for what is the machine's fault. `workers` threads decode
    ahead (0: one per core, at most four), at most two batches and `AHEAD_BYTES`, so that memory stays flat.
    """
    ahead = ReadAhead(
        lambda frame: _load(detector, adapter, frame),
        frames,
        count=2 * batch_size,
        size=lambda item: held_bytes(item.prepared),
        threads=workers,
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


def _load(detector: Detector, adapter: Adapter, frame: Frame) -> _Ready:
    loaded = load_frame(adapter, frame)
    prepared, failure = None, None
    if loaded.image is None:
        failure = (loaded.status, loaded.reason)
    else:
        try:
            with DECODING.taking(loaded.image.nbytes), bounded():
                prepared = detector.prepare(loaded.image)
        except FrameError as error:
            failure = (error.status, error.reason)
        except M2F2BenchError:
            raise
        except Exception as error:
            refuse_machine_fault(error, f"detector '{detector.card.name}' on frame '{frame.id}'")
            failure = ("error", first_line(error))
    return _Ready(frame, prepared, loaded.digest, loaded.stamp, failure)


def _judge(name: str, detector: Detector, batch: list[_Ready]) -> list[Prediction]:
    ready = [item for item in batch if item.failure is None]
    scores = dict(zip((item.frame.id for item in ready), judge(name, detector, ready), strict=True))
    rows = []
    for item in batch:
        outcome = scores.get(item.frame.id, item.failure)
        if isinstance(outcome, float):
            rows.append(_row(item, "ok", outcome, ""))
        else:
            assert outcome is not None
            rows.append(_row(item, outcome[0], None, outcome[1]))
    return rows


def _row(item: _Ready, status: str, score: float | None, message: str) -> Prediction:
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
