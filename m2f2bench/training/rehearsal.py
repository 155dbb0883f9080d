"""Rehearsal of a training: some of its steps and a part of a validation, timed and counted, and nothing kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..core.errors import DetectorError
from .job import Rehearsed, Rehearsing

if TYPE_CHECKING:
    from .objective import Objective

STEPS = 30
"""Most steps of a rehearsal, besides the first one, which is not counted: it also sets up."""
SHARE = 0.8
"""Part of the time for steps; the rest is for the validation."""


class Rehearsal(Rehearsing):
    """A rehearsal by the training loop."""

    def run(self, objective: Objective[Any], step: Callable[[], object], parts: int) -> None:
        """See `Rehearsing.run`."""
        if objective.world > 1:
            raise DetectorError("--dry-run measures one process: start it without a launcher")
        begin = time.monotonic()
        self._count(objective)
        objective.train_mode()
        with self._activations(objective):
            step()
        found: list[float] = []
        most = min(STEPS, objective.total - 1)
        while len(found) < most and (not found or time.monotonic() - begin < SHARE * self.seconds):
            start = time.monotonic()
            step()
            if objective.device.type == "cuda":
                torch.cuda.synchronize(objective.device)
            found.append(time.monotonic() - start)
        if found:
            self.steps, self.step_seconds = len(found), statistics.median(found)
        self._judge(objective, parts, begin + self.seconds)
        if objective.device.type == "cuda":
            self.bytes["largest"] = torch.cuda.max_memory_allocated(objective.device)
        raise Rehearsed

    def _judge(self, objective: Objective[Any], parts: int, until: float) -> None:
        """Judge batches of a validation, at least one."""
        objective.module.eval()
        makers = objective.validation(parts)
        start = time.monotonic()
        for number, make in enumerate(makers, 1):
            with torch.no_grad():
                for batch in make():
                    objective.judge(batch)
            if time.monotonic() > until or number == len(makers):
                self.validation_seconds = (time.monotonic() - start) * len(makers) / number
                return

    def _count(self, objective: Objective[Any]) -> None:
        module, settings = objective.module, objective.optimizing
        tensors = [*module.parameters(), *module.buffers()]
        trained = [value for value in module.parameters() if value.requires_grad]
        self.weights, self.trained = (sum(map(torch.numel, one)) for one in (tensors, trained))
        self.looped = True
        self.bytes["weights"] = _size(tensors)
        # The gradient, the optimiser's running means, the moving average, and the weights that SAM goes back to.
        copies = 1 + (1 if settings.optimizer == "sgd" else 2) + (settings.ema is not None) + (settings.sam is not None)
        self.bytes["training"] = copies * _size(trained)

    @contextmanager
    def _activations(self, objective: Objective[Any]) -> Iterator[None]:
        """Count what the passes inside keep for their gradients; the largest sum at one time is that of a part."""
        weights = {value.untyped_storage().data_ptr() for value in objective.module.parameters()}
        held: dict[int, int] = {}
        now = most = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal now, most
            storage = tensor.untyped_storage()
            place = storage.data_ptr()
            if place not in weights:
                now += storage.nbytes() - held.get(place, 0)
                held[place] = storage.nbytes()
                most = max(most, now)
            return tensor

        def give(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal now
            now -= held.pop(tensor.untyped_storage().data_ptr(), 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, give):
            yield
        self.bytes["activations"] = most


def _size(tensors: Sequence[torch.Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in tensors)
