"""Batches of a language stage: the order of its examples, its steps, and a thread that makes batches ahead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from ..cards.settings import StageSettings
from ..core.seeds import shuffled
from .sampling import batch_part

if TYPE_CHECKING:
    from ..core.records import Example

Batch = dict[str, torch.Tensor]
"""Tensors with the example as their first axis; empty if no example can be learned from."""
IGNORED = -100
"""Value in a batch's `labels` for a position that is not learned."""
ROWS = 200
"""Approximate largest number of rows of a curve, apart from those with a validation loss."""
GROUPED = 16
"""Batches in a stretch of examples that is sorted by length."""
CHECKPOINTS = 10
"""Number of checkpoints of a training without `checkpoint_steps`."""


@dataclass(frozen=True)
class Plan:
    """Examples of each step (from 0); it depends only on the settings and the number and lengths of examples."""

    settings: StageSettings
    examples: int
    lengths: tuple[int, ...] = ()
    """Lengths of the examples, in any unit, to make batches of similar ones if the settings say so. Empty: unknown."""

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch; the last one may have fewer examples."""
        return -(-self.examples // self.settings.batch_size)

    @property
    def total(self) -> int:
        """Number of steps of the training: `epochs`, rounded up to a step, and at most `max_steps`."""
        steps = max(1, math.ceil(self.settings.epochs * self.per_epoch - 1e-6))
        return min(steps, self.settings.max_steps or steps)

    @property
    def warmup(self) -> int:
        """Number of steps of the linear warm-up."""
        return math.ceil(self.settings.warmup * self.total)

    @property
    def row_steps(self) -> int:
        """Number of steps in a row of the curve."""
        return -(-self.total // ROWS)

    @property
    def checkpoint_steps(self) -> int:
        """Number of steps between two checkpoints."""
        return self.settings.checkpoint_steps or -(-self.total // CHECKPOINTS)

    def batch(self, step: int) -> list[int]:
        """Return the numbers of a step's examples; every epoch has its own order."""
        epoch, place = divmod(step, self.per_epoch)
        size = self.settings.batch_size
        lengths = self.lengths if self.settings.group_by_length else ()
        return list(_order(self.examples, self.settings.seed, epoch, size, lengths)[place * size : (place + 1) * size])


@lru_cache(maxsize=2)
def _order(examples: int, seed: int, epoch: int, size: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order of an epoch.

    With `lengths` it is sorted within stretches of GROUPED batches, and then the batches are shuffled, except for a
    last one that is not full.
    """
    order = shuffled(range(examples), seed, "examples", epoch)
    if not lengths:
        return tuple(order)
    window = GROUPED * size
    stretches = [sorted(order[i : i + window], key=lambda n: (lengths[n], n)) for i in range(0, examples, window)]
    alike = [number for stretch in stretches for number in stretch]
    batches = [alike[i : i + size] for i in range(0, examples, size)]
    last = [] if len(batches[-1]) == size else [batches.pop()]
    turns = shuffled(range(len(batches)), seed, "batches", epoch)
    return tuple(number for batch in [*(batches[turn] for turn in turns), *last] for number in batch)


def answer_tokens(batch: Batch) -> int:
    """Return the number of answer tokens in a batch."""
    return int((batch["labels"] != IGNORED).sum()) if batch else 0


class Feeder:
    """Makes each step's batches in a thread, one step ahead, so that the device does not wait for them.

    All collating of a training goes through it: one call at a time, in the same order in every run.
    """

    def __init__(self, collate: Callable[[Sequence[Example]], Batch], rank: int, world: int) -> None:
        """`rank` of `world` processes decides which part of each batch is this process's."""
        self._collate, self._rank, self._world = collate, rank, world
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collate")
        self._next: tuple[object, Future[list[Batch]]] | None = None

    def ahead(self, key: object, examples: Sequence[Example], parts: int) -> None:
        """Begin to make the batches for the next call of `take`."""
        self._next = (key, self._pool.submit(self._make, examples, parts))

    def take(self, key: object, examples: Sequence[Example], parts: int) -> list[Batch]:
        """Return this process's share in `parts` batches: those begun with the same key and parts, if any."""
        if self._next is not None and self._next[0] == key:
            begun, self._next = self._next[1], None
            made = begun.result()
            if len(made) == parts:
                return made
        return self._pool.submit(self._make, examples, parts).result()

    def close(self) -> None:
        """End the thread, after the batches that it is making."""
        self._pool.shutdown(cancel_futures=True)

    def _make(self, examples: Sequence[Example], parts: int) -> list[Batch]:
        pieces = parts * self._world
        shares = (batch_part(examples, part * self._world + self._rank, pieces) for part in range(parts))
        return [self._collate(share) if share else {} for share in shares]
