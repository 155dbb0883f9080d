"""Which frames make up each training step, and the seeds of all draws: pure functions of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from ..core.errors import DataError
from ..core.records import FAKE, REAL
from ..core.seeds import shuffled

if TYPE_CHECKING:
    pass

Draw = tuple[int, int]
"""A frame's index in the training list, and how often it has come up before in this epoch."""


def steps_per_epoch(labels: Sequence[int], batch_size: int) -> int:
    """Steps in an epoch: frames / batch size, rounded, but no more than the larger class has frames for; at least 1.

    Raises DataError when a class is missing.
    """
    smaller, larger, half = _classes(labels, batch_size)
    return max(1, min(round((len(smaller) + len(larger)) / batch_size), len(larger) // half))


def epoch_batches(labels: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[Draw]]:
    """The batches of one epoch (0-based), each real, fake, real, fake ... with as many of one as of the other.

    The larger class walks through a permutation that is new in every epoch, so none of its frames comes up twice
    in one; the smaller is repeated, each pass in an order of its own. One epoch is about as many images as there
    are frames, hence only a part of the larger class. A batch size is rounded down to an even number; where the
    larger class has fewer frames than half of it, batches shrink to that. Raises DataError when a class is missing.
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


def batch_part(batch: Sequence[Draw], part: int, parts: int) -> list[Draw]:
    """The `part`-th of `parts` contiguous, near-equal pieces of a batch; together they are the batch."""
    return list(batch[len(batch) * part // parts : len(batch) * (part + 1) // parts])


def _classes(labels: Sequence[int], batch_size: int) -> tuple[list[int], list[int], int]:
    """Indices of the smaller and of the larger class (of two equal ones: real, fake), and half a batch."""
    real = [i for i, label in enumerate(labels) if label == REAL]
    fake = [i for i, label in enumerate(labels) if label == FAKE]
    if not real or not fake:
        missing = "real" if not real else "fake"
        raise DataError(f"a detector cannot be trained without {missing} frames: the training split has none")
    smaller, larger = (real, fake) if len(real) <= len(fake) else (fake, real)
    return smaller, larger, min(batch_size // 2, len(larger))
