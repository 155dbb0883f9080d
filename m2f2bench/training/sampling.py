"""Sampling of training frames: the batches of an epoch depend only on labels, seed and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

from ..core.errors import DataError
from ..core.records import FAKE, REAL
from ..core.seeds import shuffled

T = TypeVar("T")
Draw = tuple[int, int]
"""Index of a frame in the training list, and how often it was drawn before in this epoch."""


def steps_per_epoch(labels: Sequence[int], batch_size: int) -> int:
    """Return the number of steps in an epoch: frames / batch size, rounded, as far as the larger class has frames.

    It is at least 1. Raises DataError if a class is missing.
    """
    smaller, larger, half = _classes(labels, batch_size)
    return max(1, min(round((len(smaller) + len(larger)) / batch_size), len(larger) // half))


def epoch_batches(labels: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[Draw]]:
    """Return the batches of one epoch (0-based), each of real, fake, real, fake ..., with both classes equally often.

    The larger class is drawn from a permutation that is new in every epoch, so no frame of it is drawn twice; the
    smaller one is repeated, each pass in a new order. An epoch has about as many images as there are frames, hence only
    a part of the larger class. The batch size is rounded down to an even number; if the larger class has fewer frames
    than half of it, batches shrink to that. Raises DataError if a class is missing.
    """
    smaller, larger, half = _classes(labels, batch_size)
    steps = steps_per_epoch(labels, batch_size)
    needed = half * steps
    passes = -(-needed // len(smaller))
    many = [(index, 0) for index in shuffled(larger, seed, epoch, "larger", 0)][:needed]
    few = [(index, p) for p in range(passes) for index in shuffled(smaller, seed, epoch, "smaller", p)][:needed]
    first, second = (few, many) if labels[smaller[0]] == REAL else (many, few)
    pairs = list(zip(first, second, strict=True))
    return [list(chain.from_iterable(pairs[s * half : (s + 1) * half])) for s in range(steps)]


def batch_part(batch: Sequence[T], part: int, parts: int) -> list[T]:
    """Return the `part`-th of `parts` contiguous pieces of a batch, of nearly equal length; some may be empty."""
    return list(batch[len(batch) * part // parts : len(batch) * (part + 1) // parts])


def _classes(labels: Sequence[int], batch_size: int) -> tuple[list[int], list[int], int]:
    """Return the indices of the smaller and of the larger class (if equal: real, fake), and half a batch size."""
    real = [i for i, label in enumerate(labels) if label == REAL]
    fake = [i for i, label in enumerate(labels) if label == FAKE]
    if not real or not fake:
        missing = "real" if not real else "fake"
        raise DataError(f"a detector cannot be trained without {missing} frames: the training split has none")
    smaller, larger = (real, fake) if len(real) <= len(fake) else (fake, real)
    return smaller, larger, min(batch_size // 2, len(larger))
