"""Scores as detectors give them, in any form, made plain numbers."""

from __future__ import annotations

import math
import numbers
from typing import Any


def listed(given: Any, count: int) -> list[Any] | str:
    """Return scores as numbers (NaN and None stand for single frames), or what is wrong with them, to follow "gave".

    Accepted are sequences, arrays and tensors of `count` numbers, also of shape [count, 1].
    """
    if hasattr(given, "detach"):
        given = given.detach().cpu()
    if isinstance(given, (str, bytes, dict)) or not hasattr(given, "__len__"):
        return f"{type(given).__name__} {given!r:.60} instead of one number per frame"
    shape = tuple(getattr(given, "shape", ()))
    if len(shape) == 0 and not isinstance(given, (list, tuple)) and hasattr(given, "shape"):
        return f"a single number for {count} frames, not one each"
    if len(shape) > 1 and any(length != 1 for length in shape[1:]):
        both = ": are they P(real) and P(fake)? Return scores[:, 1] alone" if shape[1:] == (2,) else ""
        return f"numbers of the shape {list(shape)} instead of one number per frame{both}"
    if len(given) != count:
        return f"{len(given)} scores for {count} frames, not one each"
    found = [_plain(value) for value in (given.tolist() if shape else given)]
    odd = (value for value in found if isinstance(value, bool) or not isinstance(value, (numbers.Real, type(None))))
    if (wrong := next(odd, None)) is not None:
        return f"{type(wrong).__name__} {wrong!r:.60} instead of one number per frame{_meant(wrong)}"
    return found


def _plain(value: Any) -> Any:
    """Return the number in an array or tensor of one element; any other value unchanged."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return value[0]
    return value.item() if hasattr(value, "shape") and hasattr(value, "item") and math.prod(value.shape) == 1 else value


def _meant(value: Any) -> str:
    if isinstance(value, bool):
        return ": that is a verdict; a score is P(fake) in [0, 1]"
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return ": are they P(real) and P(fake)? Return the second alone"
    return ""
