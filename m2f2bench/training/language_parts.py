"""What a training on questions and answers is planned from: order, steps, batches made ahead, rows of its curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from ..cards.settings import StageSettings
from ..core.errors import DataError, DetectorError
from ..core.seeds import shuffled
from .reading import UNREADABLE_SHARE

if TYPE_CHECKING:
    from torch import nn

    from ..core.records import Conversation

Batch = dict[str, torch.Tensor]
"""Tensors whose first axis is the example; empty where nothing of it can be learned from."""
IGNORED = -100
"""The value in a batch's `labels` of a position that is not learned."""
ROWS = 200
"""About how many rows a training's curve has at most, apart from those with a validation loss."""
GROUPED = 16
"""Batches of a stretch in which examples are sorted by length."""
CHECKPOINTS = 10
"""Checkpoints of a training whose settings do not say how often."""


@dataclass(frozen=True)
class Plan:
    """Which examples make up each step (from 0): a function of the settings and the number of examples alone."""

    settings: StageSettings
    examples: int
    lengths: tuple[int, ...] = ()
    """Of the examples, in any unit; batches are of like ones where the settings say so. Empty: not known."""

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer examples."""
        return -(-self.examples // self.settings.batch_size)

    @property
    def total(self) -> int:
        """Steps of the training: `epochs` (rounded up to a step), at most `max_steps`."""
        steps = max(1, math.ceil(self.settings.epochs * self.per_epoch - 1e-6))
        return min(steps, self.settings.max_steps or steps)

    @property
    def warmup(self) -> int:
        """Steps of the linear warm-up."""
        return math.ceil(self.settings.warmup * self.total)

    @property
    def row_steps(self) -> int:
        """Steps that a row of the curve is a mean over."""
        return -(-self.total // ROWS)

    @property
    def checkpoint_steps(self) -> int:
        """Steps between two checkpoints."""
        return self.settings.checkpoint_steps or -(-self.total // CHECKPOINTS)

    def batch(self, step: int) -> list[int]:
        """The numbers of the examples of a step; every epoch has an order of its own."""
        epoch, place = divmod(step, self.per_epoch)
        size = self.settings.batch_size
        lengths = self.lengths if self.settings.group_by_length else ()
        return list(_order(self.examples, self.settings.seed, epoch, size, lengths)[place * size : (place + 1) * size])

    def seen(self, steps: int) -> int:
        """How many examples come up in the first `steps` steps."""
        epochs, rest = divmod(steps, self.per_epoch)
        return epochs * self.examples + min(rest * self.settings.batch_size, self.examples)


@lru_cache(maxsize=2)
def _order(examples: int, seed: int, epoch: int, size: int, lengths: tuple[int, ...]) -> tuple[int, ...]:
    """An epoch's order. With `lengths` it is sorted within stretches of GROUPED batches, and the batches, all but a
    last one that is not full, come in an order of their own."""
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


def piece(numbers: Sequence[int], part: int, parts: int) -> list[int]:
    """The `part`-th of `parts` contiguous, near-equal pieces; together they are all of it, and some may be empty."""
    return list(numbers[len(numbers) * part // parts : len(numbers) * (part + 1) // parts])


def answer_tokens(batch: Batch) -> int:
    """How many tokens of answers are learned from a batch."""
    return int((batch["labels"] != IGNORED).sum()) if batch else 0


class Feeder:
    """Makes each step's batches in a thread of its own, one step ahead, so that the device need not wait for them.

    All collating of a training goes through it, hence one call at a time and in the same order in every run.
    """

    def __init__(self, collate: Callable[[Sequence[Conversation]], Batch], rank: int, world: int) -> None:
        """`rank` of `world` processes: which part of each batch is this one's."""
        self._collate, self._rank, self._world = collate, rank, world
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="collate")
        self._next: tuple[object, Future[list[Batch]]] | None = None

    def ahead(self, key: object, talks: Sequence[Conversation], parts: int) -> None:
        """Begin with the batches that `take` is going to be asked for."""
        self._next = (key, self._pool.submit(self._make, talks, parts))

    def take(self, key: object, talks: Sequence[Conversation], parts: int) -> list[Batch]:
        """This process's share of `talks` in `parts` batches; those begun under the same key and parts if there are."""
        if self._next is not None and self._next[0] == key:
            begun, self._next = self._next[1], None
            made = begun.result()
            if len(made) == parts:
                return made
        return self._pool.submit(self._make, talks, parts).result()

    def close(self) -> None:
        """End the thread; what is begun is finished first."""
        self._pool.shutdown(cancel_futures=True)

    def _make(self, talks: Sequence[Conversation], parts: int) -> list[Batch]:
        pieces = parts * self._world
        shares = (piece(range(len(talks)), part * self._world + self._rank, pieces) for part in range(parts))
        return [self._collate([talks[i] for i in share]) if share else {} for share in shares]


@dataclass
class Counters:
    """The counters of a training; all that a checkpoint holds besides tensors."""

    identity: str
    parts: int
    """Parts that a process works off its share of a batch in."""
    step: int = 0
    loss_sum: float = 0.0
    tokens: int = 0
    """Of the curve's row that is not yet written, as `loss_sum`."""
    skipped: int = 0
    """Steps that changed nothing since fp16 gradients overflowed."""
    curves: list[dict[str, float]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether any example could be learned from so far."""
        return bool(self.tokens) or any(row.get("tokens") for row in self.curves)

    def close_row(self, epoch: float, lr: float, val_loss: float | None) -> None:
        """Write the row of the steps since the last one."""
        row = {"step": float(self.step), "epoch": epoch}
        if self.step:
            row |= {"lr": lr, "tokens": float(self.tokens)}
        if self.tokens:
            row["train_loss"] = self.loss_sum / self.tokens
        if val_loss is not None:
            row["val_loss"] = val_loss
        self.curves.append(row)
        self.loss_sum, self.tokens = 0.0, 0


def check_left_out(left_out: dict[str, str], frames: set[str]) -> None:
    """Raise DataError when more than UNREADABLE_SHARE of the frames are among what was left out."""
    bad = sorted(frames.intersection(left_out))
    if len(bad) > UNREADABLE_SHARE * len(frames):
        raise DataError(
            f"{len(bad)} of {len(frames)} training and validation frames cannot be read, first '{bad[0]}': "
            f"{left_out[bad[0]]}; at most {UNREADABLE_SHARE:.0%} may be: mend the dataset"
        )


def left_out_notes(left_out: dict[str, str], frames: set[str]) -> list[str]:
    """One line on frames that were left out, and one on single examples; none where there are none."""
    unreadable = sorted(frames.intersection(left_out))
    others = sorted(set(left_out) - frames)
    notes = []
    if unreadable:
        notes.append(
            f"{len(unreadable)} unreadable frames left out of training, first '{unreadable[0]}': "
            f"{left_out[unreadable[0]]}"
        )
    if others:
        notes.append(
            f"{len(others)} questions left out or their answers cut, first '{others[0]}': {left_out[others[0]]}"
        )
    return notes


def language_optimizer(
    module: nn.Module, settings: StageSettings, projectors: str, detector: str, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW over all parameters that require a gradient; matrices alone are decayed.

    Those whose name begins with `projectors` have the rate `projector_lr`. Raises DetectorError, naming `detector`,
    where there are none, or where one is of less than 32 bits: an update of a ten-thousandth would be rounded away.
    """
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    if not trained:
        raise DetectorError(f"detector '{detector}' has no weights to train: all of it is frozen")
    for name, value in trained.items():
        if value.dtype not in (torch.float32, torch.float64):
            raise DetectorError(
                f"detector '{detector}': '{name}' is to be trained and is {str(value.dtype).removeprefix('torch.')}: "
                "small updates would be lost; trained weights must be float32"
            )
    rates = {False: settings.lr, True: settings.projector_lr or settings.lr}
    groups: list[dict[str, Any]] = []
    for own, lr in rates.items():
        values = [v for name, v in trained.items() if (bool(projectors) and name.startswith(projectors)) is own]
        matrices, others = [v for v in values if v.ndim > 1], [v for v in values if v.ndim <= 1]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "lr": lr})
        groups.append({"params": others, "weight_decay": 0.0, "lr": lr})
    # One parameter after the other on a CPU: sums in one order, hence the same bits in every run.
    several = device.type == "cuda"
    return torch.optim.AdamW([group for group in groups if group["params"]], foreach=several, fused=False)
