"""Judging: frames are decoded ahead of a detector and judged in batches."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.records import Frame, Prediction
from ..core.rows import likely_cause
from ..datasets.base import Adapter
from ..datasets.read_ahead import OK, Loaded, frames_ahead
from ..detectors.base import Detector
from ..detectors.engines import Groups
from ..detectors.scores import listed
from .job import frame_facts

Outcome = float | tuple[str, str]
"""P(fake), or status and message."""
T = TypeVar("T")
log = logging.getLogger("m2f2bench")


def begin(name: str, detector: Detector, items: Sequence[Loaded]) -> Callable[[], list[Outcome]]:
    """Begin to judge items, and return what gives P(fake) in [0, 1] of each, or (status, message).

    A detector that does not compute in the background judges only then. A batch that raises is judged again frame by
    frame. What is returned raises DetectorError if the number of scores differs from that of items, if a score is not a
    number or not in [0, 1], and MachineError for errors of the machine, not of a frame.
    """
    if not items:
        return list
    given = [item.prepared for item in items], [item.frame.id for item in items]
    wait: Callable[[], Any] = partial(detector.forward, *given)
    if detector.in_background:
        try:
            with exact_fp32(detector.precision), guest(f"detector '{name}'"):
                wait = detector.begin_forward(*given)
        except Exception as error:
            wait = partial(_raise, error)  # when it is this batch's turn
    return partial(_outcomes, name, detector, items, wait)


def _raise(error: Exception) -> None:
    raise error


def _outcomes(name: str, detector: Detector, items: Sequence[Loaded], wait: Callable[[], Any]) -> list[Outcome]:
    try:
        with exact_fp32(detector.precision), guest(f"detector '{name}'"):
            values = listed(wait(), len(items))
    except M2F2BenchError:
        raise
    except Exception as error:
        if len(items) > 1:
            return [outcome for item in items for outcome in begin(name, detector, [item])()]
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
    name: str,
    detector: Detector,
    adapter: Adapter,
    frames: Sequence[Frame],
    batch_size: int = 32,
    workers: int = 0,
    first: bool = True,
    shift: bool = False,
) -> Iterator[list[Prediction]]:
    """Judge frames and yield their rows in order, one list a batch.

    A frame that cannot be read, or on which the detector raises or gives a non-finite score, becomes a row with a
    status. Raises DetectorError for scores outside [0, 1], for a wrong number of scores, and where the detector
    fails on every frame of the first batch (not if these are not the `first` frames of a run), and MachineError for
    what is the machine's fault. With `shift` it is logged how far P(fake) of the first batch is from that in fp32.
    `workers` threads decode ahead (0: one per core, at most eight), at most two batches and `AHEAD_BYTES`, so that
    memory stays flat. A detector that computes in the background gets a batch before the rows of the one before it are
    made.
    """
    ahead = frames_ahead(
        adapter, frames, count=2 * batch_size, threads=workers, prepare=detector.prepare, who=f"detector '{name}'"
    )
    behind = 1 if detector.in_background else 0
    begun = ((batch, _begin_rows(name, detector, batch)) for batch in ahead.batches(batch_size, kept=1 + behind))
    succeeded = not first
    for batch, wait in later(begun, behind):
        rows = wait()
        del wait  # it holds the pictures, which the next request is to free
        failures = [row for row in rows if row.status == "error"]
        if not succeeded and len(rows) > 1 and len(failures) == len(rows):
            raise DetectorError(
                f"detector '{name}' failed on all of the first {len(rows)} frames, first on "
                f"'{rows[0].frame}': {rows[0].message}"
            )
        if shift:
            _tell_shift(name, detector, batch, rows)
        succeeded, shift = succeeded or len(failures) < len(rows), False
        yield rows


def later(items: Iterable[T], count: int) -> Iterator[T]:
    """Yield each item after `count` more have been taken. If taking one raises, those before it are yielded first."""
    taken: deque[T] = deque()
    try:
        for item in items:
            taken.append(item)
            del item
            if len(taken) > count:
                yield taken.popleft()
    except Exception:
        yield from taken
        raise
    yield from taken


def _tell_shift(name: str, detector: Detector, batch: Sequence[Loaded], rows: Sequence[Prediction]) -> None:
    """Log how far P(fake) of a batch is from that in fp32, if the detector judges otherwise."""
    scored = [(item, row.score) for item, row in zip(batch, rows, strict=True) if row.score is not None]
    try:
        exact = detector.in_fp32([item.prepared for item, _ in scored], [item.frame.id for item, _ in scored])
    except Exception as error:  # such as too little memory: the rows are there
        log.warning("%s: P(fake) could not be computed in fp32, too: %s", name, first_line(error))
        return
    if exact is not None and scored:
        moved = [abs(float(one) - score) for one, (_, score) in zip(exact, scored, strict=True)]
        told = (name, detector.precision, max(moved), sum(moved) / len(moved), len(moved))
        log.info("%s: in %s P(fake) moves by at most %.2g, on average %.2g, on the first %d frames", *told)


@dataclasses.dataclass(frozen=True)
class Predicting:
    """The judging of frames, as a work of an engine; see `predict`."""

    name: str
    adapter: Adapter
    batch_size: int
    workers: int

    def __call__(self, detector: Detector, frames: Sequence[Frame], start: int) -> Iterator[list[Prediction]]:
        """Judge frames, before which there are `start` others."""
        how = (self.batch_size, self.workers, start == 0, start == 0)
        return predict(self.name, detector, self.adapter, frames, *how)

    def groups(self, frames: Sequence[Frame]) -> Sequence[Sequence[Frame]]:
        """Return the frames by batch."""
        return Groups(frames, self.batch_size)


def _begin_rows(name: str, detector: Detector, batch: Sequence[Loaded]) -> Callable[[], list[Prediction]]:
    """Begin to judge a batch, and return what gives its rows, in order."""
    ready = [item for item in batch if item.status == OK]
    wait = begin(name, detector, ready)

    def rows() -> list[Prediction]:
        scores = dict(zip((item.frame.id for item in ready), wait(), strict=True))
        return [_row(item, scores.get(item.frame.id, (item.status, item.reason))) for item in batch]

    return rows


def _row(item: Loaded, outcome: Outcome) -> Prediction:
    score = outcome if isinstance(outcome, float) else None
    status, message = (OK, "") if isinstance(outcome, float) else outcome
    return Prediction(
        **frame_facts(item.frame), status=status, score=score, digest=item.digest, message=message, stamp=item.stamp
    )
