"""Prediction on this machine: frames are decoded in threads ahead of the model, rows come back batch by batch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..adapters.base import Adapter
from ..backends.base import Detector
from ..errors import DataError, DetectorError, FrameError, M2F2BenchError, first_line
from ..guests import bounded
from ..records import Frame, Prediction
from .judging import judge, refuse_memory


@dataclass(slots=True)
class _Loaded:
    """A frame on its way to the model: `prepared` is what the detector's `prepare` gave, or `failure` says why not."""

    frame: Frame
    prepared: Any = None
    digest: str = ""
    failure: tuple[str, str] | None = None  # status, message
    stamp: str = ""


def predict(
    name: str, detector: Detector, adapter: Adapter, frames: Sequence[Frame], batch_size: int = 32, workers: int = 0
) -> Iterator[list[Prediction]]:
    """Judge frames and yield their rows in order, one list a batch.

    A frame that cannot be read, or on which the detector raises or gives a non-finite score, becomes a row with a
    status. Raises DetectorError for scores outside [0, 1], for a wrong number of scores, and where the detector
    fails on every frame of the first batch. `workers` threads decode ahead (0: one per core, at most four), at
    most two batches, so that memory stays flat.
    """
    threads = workers or min(4, os.cpu_count() or 1)
    succeeded = False
    for batch in _loaded_batches(detector, adapter, frames, batch_size, threads):
        rows = _judge(name, detector, batch)
        failures = [row for row in rows if row.status == "error"]
        if not succeeded and len(rows) > 1 and len(failures) == len(rows):
            raise DetectorError(
                f"detector '{name}' failed on all of the first {len(rows)} frames, first on "
                f"'{rows[0].frame}': {rows[0].message}"
            )
        succeeded = succeeded or len(failures) < len(rows)
        yield rows


def _loaded_batches(
    detector: Detector, adapter: Adapter, frames: Sequence[Frame], batch_size: int, threads: int
) -> Iterator[list[_Loaded]]:
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        pending: deque[Future[_Loaded]] = deque()
        batch: list[_Loaded] = []
        try:
            for frame in frames:
                pending.append(pool.submit(_load, detector, adapter, frame))
                if len(pending) >= 2 * batch_size:
                    batch.append(pending.popleft().result())
                    if len(batch) == batch_size:
                        yield batch
                        batch = []
            while pending:
                batch.append(pending.popleft().result())
                if len(batch) == batch_size:
                    yield batch
                    batch = []
            if batch:
                yield batch
        finally:
            for future in pending:
                future.cancel()


def _load(detector: Detector, adapter: Adapter, frame: Frame) -> _Loaded:
    # The stamp is taken before the pixels: a file that is written in between is then read again. What is drawn by code
    # has its file only once it was read.
    stamp = adapter.stamp(frame)
    loaded = _read(detector, adapter, frame)
    loaded.stamp = stamp or adapter.stamp(frame)
    return loaded


def _read(detector: Detector, adapter: Adapter, frame: Frame) -> _Loaded:
    try:
        with bounded():
            image = adapter.read(frame)
        digest = adapter.digest(frame, image)
    except FrameError as error:
        return _Loaded(frame, failure=(error.status, error.reason))
    except M2F2BenchError:
        raise
    except Exception as error:  # an adapter of somebody's own: one bad frame does not end the run
        return _Loaded(frame, failure=("unreadable", first_line(error)))
    if getattr(image, "ndim", 0) != 3 or image.shape[2] != 3 or image.dtype != "uint8":
        found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}"
        raise DataError(f"the dataset gave {found} for frame '{frame.id}': an image is RGB, uint8, [H, W, 3]")
    try:
        with bounded():
            return _Loaded(frame, detector.prepare(image), digest)
    except FrameError as error:
        return _Loaded(frame, None, digest, (error.status, error.reason))
    except M2F2BenchError:
        raise
    except Exception as error:
        refuse_memory(detector.card.name, frame.id, error)
        return _Loaded(frame, None, digest, ("error", first_line(error)))


def _judge(name: str, detector: Detector, batch: list[_Loaded]) -> list[Prediction]:
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


def _row(item: _Loaded, status: str, score: float | None, message: str) -> Prediction:
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
