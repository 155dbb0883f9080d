"""What numbers may be that were given for probabilities and are none."""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDING = 1e-4
"""How far outside [0, 1] rounding in half precision takes a probability."""


def likely_cause(values: Sequence[float]) -> str:
    """What numbers may be that are no probabilities, and what makes them some."""
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    if low >= -ROUNDING and high <= 1.0 + ROUNDING:
        return "rounding takes it there: clip it to [0, 1]"
    if low < 0.0:
        return "apply a sigmoid or softmax: it looks like a logit"
    if 20.0 < high <= 100.0:
        return "divide it by 100: it looks like a percentage"
    return "apply a sigmoid or softmax where it is a logit, or divide it by 100 where it is a percentage"
