"""Likely causes of scores that are not probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

ROUNDING = 1e-4
"""How far outside [0, 1] rounding in half precision can move a probability."""


def likely_cause(values: Sequence[float]) -> str:
    """Return how to turn numbers into probabilities, by what they probably are."""
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    if low >= -ROUNDING and high <= 1.0 + ROUNDING:
        return "rounding moved it out of range: clip it to [0, 1]"
    if low < 0.0:
        return "apply a sigmoid or softmax: it looks like a logit"
    if 20.0 < high <= 100.0:
        return "divide it by 100: it looks like a percentage"
    return "apply a sigmoid or softmax if it is a logit, or divide it by 100 if it is a percentage"
