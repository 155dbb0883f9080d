"""Objective of a training: everything that differs between a detector and a language stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from ..core.tensors import write_tensors
from .frames import check_unreadable
from .job import WEIGHTS, TrainingJob

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from ..cards.settings import StageSettings, TrainingSettings
    from .job import Tensors
    from .sharing import Whole

B = TypeVar("B")


@dataclass
class Progress:
    """Counters of a training: everything in a checkpoint besides tensors."""

    identity: str
    parts: int
    """Number of parts in which a process works through its share of a batch."""
    step: int = 0
    loss_sum: float = 0.0
    count: int = 0
    """Images or answer tokens in `loss_sum`, since the last row of the curve."""
    skipped: int = 0
    """Steps without an effect, because fp16 gradients overflowed."""
    best_epoch: int = 0
    best_auc: float | None = None
    best_loss: float | None = None
    curves: list[dict[str, float]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """What could not be used: the id of a frame, or "frame: question", to the reason."""


class Described(Protocol):
    """What every network of a backend has: `metadata` for the weights file, `options` and `notes` for the report."""

    metadata: dict[str, str]
    options: dict[str, Any]
    notes: list[str]


class Objective(ABC, Generic[B]):
    """What `loop.fit` trains, on which batches, with which loss, and how it is validated.

    A batch B is one part of this process's share of a step or of a validation; it may be empty. All methods are called
    in the same order in every process.
    """

    seed_key: ClassVar[str]
    """Together with seed, step and process it decides the random draws (dropout) of a step."""
    divisible: ClassVar[bool]
    """Whether parts of a batch may be halved when the GPU's memory is too small: it changes only rounding."""
    shardable: ClassVar[bool]
    """Whether FSDP may distribute the network."""
    validates_first: ClassVar[bool]
    """Whether the first row of the curves is a validation before the first step."""
    memory_advice: ClassVar[tuple[str, str]]
    """For messages: the smallest part of a batch and how to make it smaller, and how to make the optimiser smaller."""
    settings: TrainingSettings | StageSettings
    optimizing: TrainingSettings
    """Settings of the optimiser."""
    total: int
    """Optimiser steps."""
    left_out: dict[str, str]
    """As `Progress.left_out`; filled while batches are made."""
    network: Described
    """What the backend gave."""
    frames: frozenset[str]
    """Ids of the training and validation frames."""
    shared: Whole
    """The network over the processes; set by the loop."""

    def __init__(self, job: TrainingJob, module: nn.Module, accelerator: Any) -> None:
        """`module` is trained by process `rank` of `world`, on `device`.

        The constructor must not exchange anything with other processes.
        """
        self.job, self.module = job, module
        self.rank, self.world = int(accelerator.process_index), int(accelerator.num_processes)
        self.device: torch.device = accelerator.device

    @abstractmethod
    def tensors(self) -> Tensors:
        """Return the tensors that training changes, by name: those of a checkpoint of a network that is not sharded."""

    def close(self) -> None:
        """End threads and processes."""

    @abstractmethod
    def train_mode(self) -> None:
        """Put the trained modules in train mode and the frozen ones in eval mode."""

    @abstractmethod
    def lr_factor(self, progress: Progress) -> float:
        """Return the factor of all learning rates at the next step."""

    @abstractmethod
    def batches(self, step: int, parts: int) -> list[B]:
        """Return this process's share of a step (from 0), as `parts` batches."""

    @abstractmethod
    def size(self, batch: B) -> int:
        """Return the number of images or answer tokens in a batch."""

    @abstractmethod
    def divisor(self, step: int, counts: list[int]) -> int:
        """Return what a step's sum of losses is divided by; 0 for a step without anything to learn.

        `counts` are the images or tokens of each part, over all processes.
        """

    @abstractmethod
    def loss(self, batch: B, count: int) -> torch.Tensor | None:
        """Return the sum of a batch's losses and its number of images or tokens, [2]; None for no pass.

        `count` is the number of images or tokens in this part of all processes.
        """

    @abstractmethod
    def validation(self, parts: int) -> list[Callable[[], list[B]]]:
        """Return functions that make the batches of the validation, as many in each process."""

    @abstractmethod
    def judge(self, batch: B) -> list[tuple[float, float]]:
        """Return the results of a validation batch, in eval mode, without autocast and without a gradient."""

    @abstractmethod
    def validate(self, results: list[tuple[float, float]], progress: Progress) -> dict[str, float]:
        """Return `val_loss` and other values from the results of all processes; what is not defined is left out.

        Raises NothingJudged if there is a validation and nothing of it could be judged.
        """

    @abstractmethod
    def due(self, step: int) -> tuple[bool, bool, bool]:
        """Return whether a validation, the end of a row of the curve, and a checkpoint follow after `step` steps.

        A row also ends with each validation that has a result.
        """

    @abstractmethod
    def row(self, progress: Progress, lr: float, validation: dict[str, float]) -> dict[str, float]:
        """Return the row of the curve for the steps since the last one."""

    def improves(self, progress: Progress, validation: dict[str, float]) -> bool:
        """Return whether the weights are the best so far, and note it. Without best weights the last are used."""
        return False

    def ends(self, progress: Progress) -> bool:
        """Return whether the training ends before its last step."""
        return False

    def unreadable(self) -> dict[str, str]:
        """Return the frames in `left_out`, with the reasons."""
        return {name: reason for name, reason in dict(self.left_out).items() if name in self.frames}

    def check_unreadable(self) -> None:
        """Raise DataError if too many frames are unreadable."""
        check_unreadable(self.unreadable(), len(self.frames))

    @abstractmethod
    def finish(self, progress: Progress, best: Tensors | None) -> Tensors:
        """Return the tensors to write, with the `best` ones in place. Raises DetectorError if nothing was learned."""

    def write(self, out: Path, tensors: Tensors) -> None:
        """Write the weights into the folder `out`; called in the main process alone."""
        write_tensors(out / WEIGHTS, tensors, self.network.metadata)

    @abstractmethod
    def notes(self, progress: Progress) -> list[str]:
        """Return the first notes of the report; the network's own are the last ones."""


def in_order(values: Iterable[float]) -> float:
    """Return the sum of values, added one after the other: `sum` rounds differently in another version of Python."""
    return reduce(add, values, 0.0)
