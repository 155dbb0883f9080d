"""Training of a language stage: cross-entropy of the answers' tokens, from questions and answers about frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..cards.settings import StageSettings, TrainingSettings
from ..core.errors import DetectorError, NothingJudged
from ..core.records import Example
from ..core.tensors import write_tensors
from ..datasets.planning import spread
from .checkpoint import WEIGHTS
from .job import FitReport, TrainingJob
from .language_batches import Batch, Feeder, Plan, answer_tokens
from .loop import fit
from .objective import Objective, Progress, added
from .optimizer import make_optimizer
from .reading import check_unreadable, unreadable_notes
from .schedule import lr_factor

if TYPE_CHECKING:
    from .checkpoint import Tensors


@dataclass
class LanguageNetwork:
    """What a backend gives to `fit_language`.

    `module(**batch)` returns float32 [2]: the sum of the losses over the answers' tokens, and their number. All of its
    parameters that require a gradient are trained; nothing else changes. `collate` makes a batch of examples, tensors
    on the CPU; its `labels` are -100 wherever nothing is learned, and elsewhere a token of an answer. It is called in a
    thread of its own, draws nothing from torch's generator and raises nothing. It leaves out what cannot be learned
    from and notes the reason in `left_out`: under the frame's id if that is unreadable, else under "frame: question"; a
    batch without any example left is empty. `train_mode` puts the trained modules into train mode and the frozen ones
    into eval mode. `write` gets the job's folder and the trained tensors by their names in `module` (whole and on the
    CPU, also with several processes) and writes at least `model.safetensors`; None: that file holds these tensors and
    `metadata`. Parameters whose name begins with `projectors` have their own learning rate. `options` and `notes` go
    into the report. The module switches on gradient checkpointing itself.
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
    """Train a network on `job.language`: cross-entropy of the answers' tokens by AdamW, warm-up and half a cosine.

    The loss of a step is the mean over all answer tokens of its examples, however these are split into parts and over
    processes. The last weights are used. `job.out` gets the weights and, after each `checkpoint_steps`, a checkpoint of
    what is trained. Rows of the curves: step (from 1), epoch (fraction of epochs done), train_loss (mean over the row's
    tokens), lr, tokens (of the row's answers), and val_loss if it was measured: before the first step (step 0, without
    the other values), at each `validate_steps` and at the end, in eval mode and without autocast, on `val_examples`;
    undefined values are left out. If the GPU's memory does not hold a part of a batch, parts are halved and the step
    starts again. Several processes share out each batch; FSDP is used if accelerate is configured for it (tested with
    gloo on CPUs only). Raises as `loop.fit`, and DetectorError if no example could be learned from.
    """
    assert job.language is not None
    return fit(job, job.language.settings.precision, partial(Answers, job, network), accelerator)


class Answers(Objective[Batch]):
    """Cross-entropy of the tokens of answers."""

    seed_key = "language"
    divisible = True
    shardable = True
    validates_first = True

    settings: StageSettings

    def __init__(self, job: TrainingJob, network: LanguageNetwork, accelerator: Any) -> None:
        """`job.language` holds examples and settings."""
        super().__init__(job, network.module, accelerator)
        assert job.language is not None
        data = job.language
        self.settings, self.network = data.settings, network
        self.train, limit = data.train, data.settings.val_examples
        self.val = spread(data.val, limit) if limit else []
        self.frames = {one.frame.id for one in (*self.train, *self.val)}
        lengths = tuple(len(one.question) + len(one.answer) for one in self.train)
        self.plan = Plan(data.settings, len(self.train), lengths)
        self.total, self.label = self.plan.total, f"stage {job.stage}"
        self.place = f"the card's settings of stage {job.stage}"
        self.memory_advice = (
            "a single example: set `gradient_checkpointing`, a lower `max_length`, or load the LLM in fewer bits",
            "the optimiser's state: lower `lora.r`, or use several GPUs with FSDP",
        )
        self.left_out, self.options = network.left_out, network.options
        self.feeder = Feeder(network.collate, self.rank, self.world)
        self._blank: Batch = {}

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW; only matrices are decayed, and projectors have their own learning rate."""
        settings, projectors = self.settings, self.network.projectors
        own = {f"{projectors}*": settings.projector_lr} if projectors and settings.projector_lr else {}
        values = {"lr": settings.lr, "lr_of": own, "weight_decay": settings.weight_decay}
        same = TrainingSettings.model_validate({"optimizer": "adamw", "decay": "matrices", **values})
        return make_optimizer(self.module, same, self.job.card.name, self.device)

    def tensors(self) -> Tensors:
        """Return what is trained."""
        return {name: value for name, value in self.module.named_parameters() if value.requires_grad}

    def close(self) -> None:
        """End the thread that makes batches."""
        self.feeder.close()

    def train_mode(self) -> None:
        """Put the trained modules in train mode."""
        self.network.train_mode()

    def lr_factor(self, progress: Progress) -> float:
        """Return the factor of warm-up and half a cosine."""
        return lr_factor(progress.step, self.total, self.plan.warmup)

    def batches(self, step: int, parts: int) -> list[Batch]:
        """Return this process's share of a step, and begin with the next step's."""
        found = self._taken(step, self._examples(step), parts)
        if step + 1 < self.total:
            self.feeder.ahead(step + 1, self._examples(step + 1), parts)
        self.check_left_out()
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
        """Return the number of answer tokens."""
        return answer_tokens(batch)

    def divisor(self, step: int, counts: list[int]) -> int:
        """Return the number of answer tokens in a step."""
        return sum(counts)

    def loss(self, batch: Batch, count: int) -> torch.Tensor | None:
        """Return the sum of the losses of a batch and its number of answer tokens, [2]."""
        return self._passed(self.shared.forward, batch)

    def _passed(self, network: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor | None:
        """Return the network's output; for an empty batch zeros, if all processes must go through each pass."""
        if not batch and not self.shared.sharded:
            return None
        given = (batch or self._blank).items()
        out = network(**{name: value.to(self.device, non_blocking=True) for name, value in given})
        return out if batch else out * 0.0

    def validation_chunks(self) -> int:
        """Return the number of batches of the validation."""
        return -(-len(self.val) // self.settings.batch_size)

    def validation_batches(self, chunk: int, parts: int) -> list[Batch]:
        """Return this process's share of a batch of the validation."""
        size = self.settings.batch_size
        return self._taken(("validation", chunk), self.val[chunk * size : (chunk + 1) * size], parts)

    def judge(self, batch: Batch) -> list[tuple[float, float]]:
        """Return the sum of the losses of a batch and its number of answer tokens."""
        out = self._passed(self.shared.judge, batch)
        return [] if out is None else [tuple(out.tolist())]

    def validate(self, results: list[tuple[float, float]], progress: Progress) -> dict[str, float]:
        """Return the mean loss over the tokens of the validation answers.

        Raises NothingJudged if something could be learned from the training's answers and nothing of these.
        """
        loss, tokens = added(results)
        if tokens:
            return {"val_loss": loss / tokens}
        if self.val and _learned(progress):
            first, known = self.val[0], progress.left_out
            why = known.get(first.frame.id) or known.get(f"{first.frame.id}: {first.question}", "the answer is empty")
            who = f"validation of '{self.job.card.name}', stage {self.job.stage}"
            raise NothingJudged.of(who, "questions", len(self.val), first.frame.id, why)
        return {}

    def validates(self, step: int) -> bool:
        """Return whether a validation is due: the last step, or `validate_steps`."""
        every = self.settings.validate_steps
        return step == self.total or (every is not None and step % every == 0)

    def closes_row(self, step: int) -> bool:
        """Return whether a row of the curve ends."""
        return step == self.total or step % self.plan.row_steps == 0

    def saves(self, step: int) -> bool:
        """Return whether a checkpoint is due."""
        return step == self.total or step % self.plan.checkpoint_steps == 0

    def row(self, progress: Progress, lr: float, validation: dict[str, float]) -> dict[str, float]:
        """Return the row of the steps since the last one."""
        row = {"step": float(progress.step), "epoch": progress.step / self.plan.per_epoch}
        if progress.step:
            row |= {"lr": lr, "tokens": float(progress.count)}
        if progress.count:
            row["train_loss"] = progress.loss_sum / progress.count
        return row | validation

    def check_left_out(self) -> None:
        """Raise DataError if too many frames are unreadable."""
        check_unreadable(self._unreadable(dict(self.left_out)), len(self.frames))

    def _unreadable(self, left_out: dict[str, str]) -> dict[str, str]:
        return {name: reason for name, reason in left_out.items() if name in self.frames}

    def finish(self, progress: Progress, best: Tensors | None) -> Tensors:
        """Return what is trained. Raises DetectorError if nothing was learned."""
        if not _learned(progress):
            why = next(iter(progress.left_out.values()), "their answers are empty")
            raise DetectorError(
                f"detector '{self.job.card.name}': no example could be learned from, the first was {why}: raise "
                f"max_length in {self.place}, or use fewer image tokens"
            )
        return self.shared.weights()

    def write(self, out: Path, tensors: Tensors) -> None:
        """Write the weights, by the network's own function if it has one."""
        if self.network.write is None:
            write_tensors(out / WEIGHTS, tensors, self.network.metadata)
        else:
            self.network.write(out, tensors)

    def notes(self, progress: Progress) -> list[str]:
        """Return how long the training was, its validation losses, and what was left out."""
        plan, settings = self.plan, self.settings
        steps = f"{plan.total} steps ({plan.total / plan.per_epoch:.3g} epochs of {plan.examples} examples)"
        losses = [row["val_loss"] for row in progress.curves if "val_loss" in row]
        how = "no validation loss was measured"
        if losses:
            how = f"validation loss {losses[0]:.4f} before the first, {losses[-1]:.4f} after the last"
        unreadable = self._unreadable(progress.left_out)
        notes = [f"last weights taken, after {steps}; {how}", *unreadable_notes(unreadable)]
        if others := {name: reason for name, reason in progress.left_out.items() if name not in unreadable}:
            name, reason = min(others.items())
            notes.append(f"{len(others)} questions left out or their answers cut, first '{name}': {reason}")
        if progress.parts != settings.accumulation:
            notes.append(f"memory was short: batches in {progress.parts} parts, not {settings.accumulation}")
        if progress.skipped:
            notes.append(f"{progress.skipped} steps changed nothing: fp16 gradients overflowed")
        return notes

    def last_notes(self) -> list[str]:
        """Return the backend's notes."""
        return self.network.notes

    def shown(self, step: int) -> int:
        """Return the number of examples in the first `step` steps."""
        return self.plan.seen(step)

    def status(self, progress: Progress, loss: float, count: int) -> str:
        """Return the step and its mean loss."""
        return f"{self.label} step {progress.step} loss {loss / max(1, count):.3f}"


def _learned(progress: Progress) -> bool:
    """Return whether any example could be learned from so far."""
    return bool(progress.count) or any(row.get("tokens") for row in progress.curves)
