"""Judging one batch with a detector; the only place where its scores are checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, M2F2BenchError, first_line, refuse_machine_fault
from ..core.guests import guest
from ..core.records import Frame
from ..core.rows import likely_cause
from ..detectors.base import Detector, listed

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
