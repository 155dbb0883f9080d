"""Objective of a training: everything that differs between a detector and a language stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .job import TrainingJob

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from ..cards.settings import StageSettings, TrainingSettings
    from .checkpoint import Tensors
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
    validates_first: ClassVar[bool] = False
    """Whether the first row of the curves is a validation before the first step."""
    settings: TrainingSettings | StageSettings
    total: int
    """Optimiser steps."""
    label: str
    """Name of the training on the progress bar."""
    place: str
    """Where the settings stand, for messages."""
    memory_advice: tuple[str, str]
    """For messages: the smallest part of a batch and how to make it smaller, and how to make the optimiser smaller."""
    left_out: dict[str, str]
    """As `Progress.left_out`; filled while batches are made."""
    options: dict[str, Any]
    """Options for the trained detector's card."""
    shared: Whole
    """The network over the processes; set by the loop."""

    def __init__(self, job: TrainingJob, module: nn.Module, accelerator: Any) -> None:
        """This is process `rank` of `world`, on `device`."""
        self.job, self.module = job, module
        self.rank, self.world = int(accelerator.process_index), int(accelerator.num_processes)
        self.device: torch.device = accelerator.device

    @abstractmethod
    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser; `initial_lr` of each group is the rate that `lr_factor` multiplies."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """Return the tensors that training changes, by name: those of a checkpoint of a network that is not sharded."""

    def start(self) -> None:
        """Prepare the data. It must not exchange anything with other processes."""

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
    def validation_chunks(self) -> int:
        """Return the number of chunks of the validation, the same in all processes."""

    @abstractmethod
    def validation_batches(self, chunk: int, parts: int) -> list[B]:
        """Return this process's share of a chunk of the validation."""

    @abstractmethod
    def judge(self, batch: B) -> list[tuple[float, float]]:
        """Return the results of a validation batch, in eval mode, without autocast and without a gradient."""

    @abstractmethod
    def validate(self, results: list[tuple[float, float]], progress: Progress) -> dict[str, float]:
        """Return `val_loss` and other values from the results of all processes; what is not defined is left out.

        Raises NothingJudged if there is a validation and nothing of it could be judged.
        """

    @abstractmethod
    def validates(self, step: int) -> bool:
        """Return whether a validation follows after `step` steps."""

    @abstractmethod
    def closes_row(self, step: int) -> bool:
        """Return whether a row of the curve ends after `step` steps; it also ends with each validation."""

    @abstractmethod
    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is written after `step` steps."""

    @abstractmethod
    def row(self, progress: Progress, lr: float, validation: dict[str, float]) -> dict[str, float]:
        """Return the row of the curve for the steps since the last one."""

    def improves(self, progress: Progress, validation: dict[str, float]) -> bool:
        """Return whether the weights are the best so far, and note it. Without best weights the last are used."""
        return False

    def ends(self, progress: Progress) -> bool:
        """Return whether the training ends before its last step."""
        return False

    @abstractmethod
    def check_left_out(self) -> None:
        """Raise DataError if too many frames are in `left_out`."""

    @abstractmethod
    def finish(self, progress: Progress, best: Tensors | None) -> Tensors:
        """Return the tensors to write, with the `best` ones in place. Raises DetectorError if nothing was learned."""

    @abstractmethod
    def write(self, out: Path, tensors: Tensors) -> None:
        """Write at least `model.safetensors` into the folder `out`; called in the main process alone."""

    @abstractmethod
    def notes(self, progress: Progress) -> list[str]:
        """Return the first notes of the report."""

    @abstractmethod
    def last_notes(self) -> list[str]:
        """Return the last notes of the report: the backend's own."""

    def shown(self, step: int) -> int:
        """Return the length of the progress bar after `step` steps."""
        return step

    @abstractmethod
    def status(self, progress: Progress, loss: float, count: int) -> str:
        """Return the text beside the progress bar, after a step with this sum of losses."""


def added(pairs: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return the sums of losses and of counts, added in order: `sum` rounds differently from one Python to another."""
    loss, count = 0.0, 0.0
    for one in pairs:
        loss, count = loss + one[0], count + one[1]
    return loss, count
