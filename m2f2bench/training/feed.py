"""Feed of a training: the parts of its batches and validations, made ahead by processes that last as long as it.

What is in a part depends only on its place in the plan, so that any number of processes, and none, give the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..core.cores import usable_cores
from ..core.errors import DetectorError, first_line
from ..core.seeds import derived_seed
from ..datasets.limits import AHEAD_BYTES
from .frames import batch_part
from .loader import Drawn, Judged, Part, Parts, Wanted
from .plan import Plan, units

AHEAD = 2
"""Parts that each process makes before they are wanted."""
MOST_WORKERS = 16
"""Most processes that `auto` starts."""
FORKING = sys.platform == "linux"
"""Elsewhere, a process is sent what it is to read, which not every dataset and detector can be."""


def worker_count(wanted: int | str, device: str, trainings: int, available: int) -> int:
    """Return how many processes make parts for one of the `trainings` (processes) on a machine of so many cores.

    `auto`: on a GPU all cores but the training's own, at most MOST_WORKERS; on a CPU, where the network computes on all
    cores, none, and none on a system where a process cannot be forked with what it is to read.
    """
    if not isinstance(wanted, str):
        return wanted
    return min(MOST_WORKERS, max(0, available // trainings - 1)) if device == "cuda" and FORKING else 0


class Feed:
    """Gives the parts of the batches in their order, and those of validations."""

    def __init__(self, parts: Parts, plan: Plan, rank: int, world: int, device: torch.device) -> None:
        """Prepare for process `rank` of `world`. Nothing is made yet, and no process started."""
        self.parts, self.plan, self.rank, self.world = parts, plan, rank, world
        self.settings = parts.job.settings
        self.pinned = device.type == "cuda"
        here = int(os.environ.get("LOCAL_WORLD_SIZE", world))  # of torch's launchers: the processes on this machine
        self.workers = worker_count(self.settings.workers, device.type, here, usable_cores())
        self._next = -1
        self._given: Iterator[Part] = iter(())
        """The step that comes next, and its parts and all after it."""
        self._judging: DataLoader[Part] | None = None

    def batch(self, step: int, count: int) -> list[Part]:
        """Return the `count` parts of a step (from 0). Raises what making them raises."""
        if step != self._next:
            self._given = self._each(iter(self._loader(self.drawn(step))))
        self._next = step + 1
        return list(islice(self._given, count))

    def validation(self, count: int) -> list[Callable[[], list[Part]]]:
        """Return functions, to be called in their order, that give the parts of a validation of `count` samples.

        There are as many in each process. A second call begins another validation.
        """
        size, own = self.settings.batch_size, range(self.rank, count, self.world)
        wanted = [Judged(own[i * size : (i + 1) * size]) for i in range(-(-count // (self.world * size)))]
        if not wanted:
            return []
        if self._judging is None:
            self._judging = self._loader(wanted)
        given = self._each(iter(self._judging))
        return [lambda: [next(given)]] * len(wanted)

    def close(self) -> None:
        """End the processes."""
        self._next, self._given, self._judging = -1, iter(()), None

    def drawn(self, first: int) -> Iterator[Drawn]:
        """Yield the parts from a step on, epoch after epoch."""
        pieces, making = self.settings.accumulation, self.parts.making
        for epoch in range(first // self.plan.steps, self.settings.epochs):
            begin = max(0, first - epoch * self.plan.steps)
            for batch in self.plan.batches(epoch)[begin:]:
                whole = units(batch, making.unit)
                for piece in range(pieces):
                    own = batch_part(whole, piece * self.world + self.rank, pieces * self.world)
                    yield Drawn(epoch, own, len(batch) * making.count)

    def _loader(self, wanted: Iterable[Wanted]) -> DataLoader[Part]:
        """Return a loader of parts in their order, by processes, or by this one when they are needed.

        What is made ahead, of batches and of validations, has at most AHEAD_BYTES, as far as one part of each allows.
        """
        # Without a generator of its own the loader would draw from the one that seeds a step's dropout.
        draws = torch.Generator().manual_seed(derived_seed("workers", self.settings.seed, self.rank))
        how: dict[str, Any] = {"batch_size": None, "sampler": wanted, "pin_memory": self.pinned, "generator": draws}
        if self.workers:
            fit = AHEAD_BYTES // 2 // max(1, self.parts.largest(self.world))
            count = max(1, min(self.workers, fit))
            ahead = max(1, min(AHEAD, fit // count))
            how |= {"num_workers": count, "prefetch_factor": ahead, "persistent_workers": True}
            how |= {"multiprocessing_context": "fork"} if FORKING else {}
        return DataLoader(self.parts, **how)

    def _each(self, given: Iterator[Part]) -> Iterator[Part]:
        """Yield parts. Raises what making one raised, and DetectorError for a process that was ended from outside."""
        while True:
            try:
                part = next(given)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise DetectorError(
                    f"detector '{self.parts.job.card.name}': a process that makes training images was ended from "
                    f"outside ({first_line(error).rstrip('. ')}): if memory was short, set fewer `workers` in the "
                    "card's training settings"
                ) from None
            if part.failure is not None:
                raise part.failure
            yield part
