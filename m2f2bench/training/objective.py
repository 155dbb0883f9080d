"""Objective of a training: what differs between a detector and a language stage; its optimiser and learning rates."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

from ..cards.settings import StageSettings, TrainingSettings
from ..core.errors import DetectorError
from ..core.tensors import write_tensors
from .frames import check_unreadable
from .job import WEIGHTS, Tensors, TrainingJob
from .sharing import Whole

B = TypeVar("B")
DECAYING = 0.25
"""Share of a training over which the linear schedule falls: its end."""
THRESHOLD = 1e-4
"""Relative decrease of the best loss that counts as an improvement (torch's default)."""


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
    seconds: float = 0.0
    """Wall time up to the last checkpoint, over all runs of a training that was cut off."""
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

    def begins(self) -> Mapping[str, int]:
        """Return for each trained parameter the step (from 0) in which it begins to learn; 0 for those left out."""
        return {}

    def rise(self, step: int) -> float:
        """Return a second factor, in (0, 1], of what began to learn `step` steps ago and not with the training."""
        return 1.0

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


def make_optimizer(
    model: nn.Module,
    settings: TrainingSettings,
    detector: str,
    device: torch.device | None = None,
    begins: Mapping[str, int] | None = None,
) -> torch.optim.Optimizer:
    """Return the optimiser of the settings for all parameters that require a gradient.

    Each group holds parameters of one learning rate (`settings.lr`, or the rate in `settings.lr_of`), one decay
    (`settings.decay`) and one first step (`begins`, by name), in the order of `named_parameters()`; `initial_lr` is the
    rate that the schedule multiplies.
    Raises DetectorError, with the name of the `detector`, if nothing is trained, if a pattern of `lr_of` does not fit,
    or if a trained parameter has less than 32 bits: it would lose an update of a ten-thousandth to rounding.
    """
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trained:
        raise DetectorError(f"detector '{detector}' has no weights to train: all of it is frozen")
    for name, value in trained.items():
        if value.dtype not in (torch.float32, torch.float64):
            raise DetectorError(
                f"detector '{detector}': '{name}' is to be trained and is {str(value.dtype).removeprefix('torch.')}: "
                "small updates would be lost; trained weights must be float32"
            )
    own, first = _own_rates(trained, settings.lr_of, detector), begins or {}
    alike: dict[tuple[float, int], list[nn.Parameter]] = {
        (lr, step): [] for lr in [settings.lr, *own.values()] for step in sorted({0, *first.values()})
    }
    for name, value in trained.items():
        alike[own.get(name, settings.lr), first.get(name, 0)].append(value)
    groups: list[dict[str, Any]] = []
    for (lr, step), values in alike.items():
        shared = {"lr": lr, "initial_lr": lr, "begins": step}
        matrices = [value for value in values if value.ndim > 1 or settings.decay == "all"]
        others = [value for value in values if value.ndim <= 1 and settings.decay != "all"]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, **shared})
        groups.append({"params": others, "weight_decay": 0.0, **shared})
    groups = [group for group in groups if group["params"]]
    # One parameter after the other on a CPU, where sums then have one order and every run has the same bits. On a GPU
    # many at once, also under FSDP, where torch would not choose that by itself.
    together = device is not None and device.type == "cuda"
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, foreach=together)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr, foreach=together)


def _own_rates(names: Iterable[str], lr_of: dict[str, float], detector: str) -> dict[str, float]:
    """Return the learning rates of the parameters that a pattern matches. Raises DetectorError as `make_optimizer`."""
    own: dict[str, str] = {}
    for pattern in lr_of:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise DetectorError(
                f"detector '{detector}': `lr_of` pattern '{pattern}' matches no trained parameter"
                f"{nearest(pattern, names)}"
            )
        for name in found:
            if name in own:
                raise DetectorError(
                    f"detector '{detector}': `lr_of` patterns '{own[name]}' and '{pattern}' both match parameter "
                    f"'{name}': make them match different ones"
                )
            own[name] = pattern
    return {name: lr_of[pattern] for name, pattern in own.items()}


def nearest(pattern: str, names: Iterable[str]) -> str:
    """Return a hint for a pattern: names that are similar to it, wholly or at their end, or else some of all names."""
    ends = {".".join(parts[i:]): name for name in names for parts in [name.split(".")] for i in range(len(parts))}
    close = difflib.get_close_matches(pattern.strip("*."), ends, n=2, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(f"'{name}'" for name in dict.fromkeys(ends[c] for c in close)) + "?"
    some = sorted(names)
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"; trained are {', '.join(some[:3])}{more}"


def lr_factor(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate at `step` (0-based) of `total`, in (0, 1].

    Linear from 1/`warmup` up to 1 over the first `warmup` steps, then half a cosine that would be 0 at step `total`
    (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, without restarts). With a warm-up as long as the training or
    longer there is only the rise. Raises ValueError for a step outside the training.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} is outside a training of {total} steps")
    if step < warmup:
        return linear_rise(step, warmup)
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def linear_rise(step: int, warmup: int) -> float:
    """Return the factor of a linear warm-up at `step` (0-based): from 1/`warmup` up to 1, and 1 from then on."""
    return (step + 1) / warmup if step < warmup else 1.0


def linear_lr_factor(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate at `step` (0-based) of `total` under the linear schedule, in (0, 1].

    Linear from 1/`warmup` up to 1 over the first `warmup` steps, then 1, and over the last quarter of all steps
    linearly to what would be 0 at step `total` (as Shiohara & Yamasaki, CVPR 2022, who do so by epoch). Raises
    ValueError for a step outside the training.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} is outside a training of {total} steps")
    rise = linear_rise(step, warmup)
    return rise * min(1.0, (total - step) / (total * DECAYING))


def plateau_factor(losses: Iterable[float | None], factor: float, patience: int, cooldown: int = 0) -> float:
    """Return the factor of the learning rate after validations with these losses: `factor`^reductions.

    A validation is bad if its loss is not below the best one so far by `THRESHOLD` of that. More than `patience` bad
    ones in a row reduce the rate once; the next `cooldown` ones are not bad, and the count starts again. This is
    torch's `ReduceLROnPlateau` (mode min) without its `eps`, the smallest reduction: every parameter group keeps its
    ratio to the others. A validation without a loss (None) is ignored.
    """
    best, bad, product, resting = math.inf, 0, 1.0, 0
    for loss in losses:
        if loss is None:
            continue
        if loss < best * (1.0 - THRESHOLD):
            best, bad = loss, 0
        else:
            bad += 1
        if resting:
            resting, bad = resting - 1, 0
        if bad > patience:
            product, bad, resting = product * factor, 0, cooldown
    return product


def plateau_lr_factor(
    step: int, warmup: int, losses: Iterable[float | None], factor: float, patience: int, cooldown: int = 0
) -> float:
    """Return the factor of the learning rate at `step` (0-based) under the plateau schedule, in (0, 1].

    It is the linear warm-up of `lr_factor` times `plateau_factor` of the validation losses so far, including those of
    the warm-up.
    """
    rise = linear_rise(step, warmup)
    return rise * plateau_factor(losses, factor, patience, cooldown)
