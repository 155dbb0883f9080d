"""Training of a language stage: cross-entropy of the answers' tokens, from questions and answers about frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..cards.settings import StageSettings, TrainingSettings
from ..core.errors import DetectorError, NothingJudged
from ..core.records import Example
from ..core.seeds import shuffled
from ..datasets.dataset import spread
from .frames import batch_part, unreadable_notes
from .job import FitReport, Tensors, TrainingJob
from .loop import fit
from .objective import Objective, Progress, in_order, lr_factor

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
    images: tuple[int, ...] = ()
    """A number for each example's image, to bring those of one together if the settings say so. Empty: unknown."""

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
        if self.settings.group_by_image and self.images:
            order = _order_of_images(self.images, self.settings.seed, epoch)
        else:
            lengths = self.lengths if self.settings.group_by_length else ()
            order = _order(self.examples, self.settings.seed, epoch, size, lengths)
        return list(order[place * size : (place + 1) * size])


@lru_cache(maxsize=2)
def _order_of_images(images: tuple[int, ...], seed: int, epoch: int) -> tuple[int, ...]:
    """Return the order of an epoch in which the examples of an image follow one another."""
    turns = {image: turn for turn, image in enumerate(shuffled(sorted(set(images)), seed, "images", epoch))}
    order = shuffled(range(len(images)), seed, "examples", epoch)
    return tuple(sorted(order, key=lambda number: turns[images[number]]))


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


@dataclass
class LanguageNetwork:
    """What a backend gives to `fit_language`.

    `module(**batch)` returns float32 [2]: the sum of the losses over the answers' tokens, and their number. All of its
    parameters that require a gradient are trained; nothing else changes. `collate` makes a batch of examples, tensors
    on the CPU; its `labels` are -100 wherever nothing is learned, and elsewhere a token of an answer. It is called in a
    thread of its own, draws nothing from torch's generator and raises nothing. It leaves out what cannot be learned
    from and notes the reason in `left_out`: under the frame's id if that is unreadable, else under "frame: question"; a
    batch without any example left is empty. A batch may have equal examples once: its `times`, int64 [B], says how
    often each counts, also in the module's sums. `train_mode` puts the trained modules into train mode and the frozen
    ones into eval mode. `write` gets the job's folder and the trained tensors by their names in `module` (whole and on
    the CPU, also with several processes) and writes at least `model.safetensors`; None: that file holds these tensors
    and `metadata`. Parameters whose name begins with `projectors` have their own learning rate. `options` and `notes`
    go into the report. The module switches on gradient checkpointing itself.
    """

    module: nn.Module
    collate: Callable[[Sequence[Example]], Batch]
    train_mode: Callable[[], None]
    left_out: dict[str, str]
    write: Callable[[Path, Tensors], None] | None = None
    projectors: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fit_language(job: TrainingJob, network: LanguageNetwork, accelerator: Any = None) -> FitReport:
    """Train a network on `job.language`: cross-entropy of the answers' tokens by AdamW.

    The learning rate has a linear warm-up and half a cosine. The loss of a step is the mean over all answer tokens of
    its examples, however these are split into parts and over processes. The last weights are used. `job.out` gets the
    weights and, after each `checkpoint_steps`, a checkpoint of what is trained. Rows of the curves: step (from 1),
    epoch (fraction of epochs done), train_loss (mean over the row's tokens), lr, tokens (of the row's answers), and
    val_loss if it was measured: before the first step (step 0, without the other values), at each `validate_steps` and
    at the end, in eval mode and without autocast, on `val_examples`; undefined values are left out. If the GPU's memory
    does not hold a part of a batch, parts are halved and the step starts again. Several processes share out each batch;
    FSDP is used if accelerate is configured for it (tested with gloo on CPUs only). Raises as `loop.fit`, and
    DetectorError if no example could be learned from.
    """
    assert job.language is not None
    return fit(job, job.language.settings.precision, partial(_Answers, job, network), accelerator)


class _Answers(Objective[Batch]):
    """Cross-entropy of the tokens of answers."""

    seed_key = "language"
    divisible = True
    shardable = True
    validates_first = True
    memory_advice = (
        "a single example: set `gradient_checkpointing`, a lower `max_length`, or load the LLM in fewer bits",
        "the optimiser's state: lower `lora.r`, or use several GPUs with FSDP",
    )

    settings: StageSettings
    network: LanguageNetwork

    def __init__(self, job: TrainingJob, network: LanguageNetwork, accelerator: Any) -> None:
        """`job.language` holds examples and settings."""
        super().__init__(job, network.module, accelerator)
        assert job.language is not None
        data = job.language
        self.settings, self.network = data.settings, network
        self.train, limit = data.train, data.settings.val_examples
        self.val = spread(data.val, limit) if limit else []
        self.frames = frozenset(one.frame.id for one in (*self.train, *self.val))
        lengths = tuple(len(one.question) + len(one.answer) for one in self.train)
        numbers: dict[tuple[str, str], int] = {}
        images = tuple(numbers.setdefault((one.frame.split, one.frame.id), len(numbers)) for one in self.train)
        self.plan = Plan(data.settings, len(self.train), lengths, images)
        self.total = self.plan.total
        self.left_out = network.left_out
        self.feeder = Feeder(network.collate, self.rank, self.world)
        self._blank: Batch = {}
        lr, own = data.settings.lr, data.settings.projector_lr
        rates = {f"{network.projectors}*": own} if network.projectors and own else {}
        decay = data.settings.weight_decay
        self.optimizing = TrainingSettings(optimizer="adamw", lr=lr, lr_of=rates, weight_decay=decay)

    def tensors(self) -> Tensors:
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}

    def close(self) -> None:
        self.feeder.close()

    def train_mode(self) -> None:
        self.network.train_mode()

    def lr_factor(self, progress: Progress) -> float:
        return lr_factor(progress.step, self.total, self.plan.warmup)

    def batches(self, step: int, parts: int) -> list[Batch]:
        """Return this process's share of a step, and begin with the next step's."""
        found = self._taken(step, self._examples(step), parts)
        if step + 1 < self.total:
            self.feeder.ahead(step + 1, self._examples(step + 1), parts)
        self.check_unreadable()
        return found

    def _examples(self, step: int) -> list[Example]:
        return [self.train[number] for number in self.plan.batch(step)]

    def _taken(self, key: object, examples: Sequence[Example], parts: int) -> list[Batch]:
        found = self.feeder.take(key, examples, parts)
        if self.shared.sharded and not all(found):
            self._prepare_blank()
        return found

    def _prepare_blank(self) -> None:
        """Find an example that can be learned from, for a process that has none in a pass which all must go through."""
        for number, example in enumerate(self.train):
            if self._blank:
                return
            self._blank = self.feeder.take(("blank", number), [example] * self.world, 1)[0]
        if not self._blank:
            raise DetectorError(
                f"detector '{self.job.card.name}': no example can be learned from: check the dataset's answers"
            )

    def size(self, batch: Batch) -> int:
        if not batch:
            return 0
        tokens = (batch["labels"] != IGNORED).sum(1)
        return int((tokens * batch.get("times", torch.ones_like(tokens))).sum())

    def divisor(self, step: int, counts: list[int]) -> int:
        return sum(counts)

    def loss(self, batch: Batch, count: int) -> torch.Tensor | None:
        return self._passed(self.shared.model, batch)

    def _passed(self, network: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor | None:
        """Return the network's output; for an empty batch zeros, if all processes must go through each pass."""
        if not batch and not self.shared.sharded:
            return None
        given = (batch or self._blank).items()
        out = network(**{name: value.to(self.device, non_blocking=True) for name, value in given})
        return out if batch else out * 0.0

    def validation(self, parts: int) -> list[Callable[[], list[Batch]]]:
        size = self.settings.batch_size
        chunks = [self.val[start : start + size] for start in range(0, len(self.val), size)]
        return [partial(self._taken, ("validation", number), chunk, parts) for number, chunk in enumerate(chunks)]

    def judge(self, batch: Batch) -> list[tuple[float, float]]:
        out = self._passed(self.shared.judge, batch)
        return [] if out is None else [tuple(out.tolist())]

    def validate(self, results: list[tuple[float, float]], progress: Progress) -> dict[str, float]:
        """Return the mean loss over the tokens of the validation answers.

        Raises NothingJudged if something could be learned from the training's answers and nothing of these.
        """
        loss, tokens = (in_order(result[i] for result in results) for i in (0, 1))
        if tokens:
            return {"val_loss": loss / tokens}
        if self.val and _learned(progress):
            first, known = self.val[0], progress.left_out
            why = known.get(first.frame.id) or known.get(f"{first.frame.id}: {first.question}", "the answer is empty")
            who = f"validation of '{self.job.card.name}', stage {self.job.stage}"
            raise NothingJudged.of(who, "questions", len(self.val), first.frame.id, why)
        return {}

    def due(self, step: int) -> tuple[bool, bool, bool]:
        last, plan, every = step == self.total, self.plan, self.settings.validate_steps
        validation = last or (every is not None and step % every == 0)
        return validation, last or step % plan.row_steps == 0, last or step % plan.checkpoint_steps == 0

    def row(self, progress: Progress, lr: float, validation: dict[str, float]) -> dict[str, float]:
        row = {"step": float(progress.step), "epoch": progress.step / self.plan.per_epoch}
        if progress.step:
            row |= {"lr": lr, "tokens": float(progress.count)}
        if progress.count:
            row["train_loss"] = progress.loss_sum / progress.count
        return row | validation

    def finish(self, progress: Progress, best: Tensors | None) -> Tensors:
        if not _learned(progress):
            why = next(iter(progress.left_out.values()), "their answers are empty")
            raise DetectorError(
                f"detector '{self.job.card.name}': no example could be learned from, the first was {why}: raise "
                f"max_length in the card's settings of stage {self.job.stage}, or use fewer image tokens"
            )
        return self.shared.weights()

    def write(self, out: Path, tensors: Tensors) -> None:
        (self.network.write or super().write)(out, tensors)

    def notes(self, progress: Progress) -> list[str]:
        plan, settings = self.plan, self.settings
        steps = f"{plan.total} steps ({plan.total / plan.per_epoch:.3g} epochs of {plan.examples} examples)"
        losses = [row["val_loss"] for row in progress.curves if "val_loss" in row]
        how = "no validation loss was measured"
        if losses:
            how = f"validation loss {losses[0]:.4f} before the first, {losses[-1]:.4f} after the last"
        unreadable = self.unreadable()
        notes = [f"last weights taken, after {steps}; {how}", *unreadable_notes(unreadable)]
        if others := {name: reason for name, reason in progress.left_out.items() if name not in unreadable}:
            name, reason = min(others.items())
            notes.append(f"{len(others)} questions left out or their answers cut, first '{name}': {reason}")
        if progress.parts != settings.accumulation:
            notes.append(f"memory was short: batches in {progress.parts} parts, not {settings.accumulation}")
        if progress.skipped:
            notes.append(f"{progress.skipped} steps changed nothing: fp16 gradients overflowed")
        return notes


def _learned(progress: Progress) -> bool:
    """Return whether any example could be learned from so far."""
    return bool(progress.count) or any(row.get("tokens") for row in progress.curves)
