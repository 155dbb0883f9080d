"""Training of a detector's network: cross-entropy or a loss of its own, the best epoch by validation AUC."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..cards.settings import InputSettings, TrainingSettings
from ..core.errors import CardError, NothingJudged
from .device import Normalisation, by_channels, channels_last, check_compiling
from .feed import Feed
from .frames import FrameReader, unreadable_notes
from .freezing import Held, freeze
from .job import FitReport, Tensors, TrainingJob
from .loader import Making, Part, Parts
from .loop import fit
from .losses.base import Given, Rows
from .losses.make import chosen_loss, method_numbers, training_loss
from .losses.passing import LossPass
from .objective import Objective, Progress, linear_lr_factor, linear_rise, lr_factor, plateau_lr_factor
from .plan import make_plan
from .resizing import FILTERS, Whole, resized
from .sharing import SharedStatistics
from .sources.base import Source, make_source

if TYPE_CHECKING:
    from ..core.records import Image


@dataclass
class Network:
    """What a backend gives to `fit_network`.

    `model` maps the output of `normalise` to one logit an image, [B] or [B, 1], higher for fake. `prepare` turns an RGB
    uint8 image [H, W, 3] into an array of a fixed shape (in workers); `normalise` turns a stacked batch of these, on
    the device, into the model's input. Submodules named in `frozen` stay in eval mode, get no gradient and are in no
    checkpoint, so a backend that resumes must give them the same weights again; the final weights contain them.
    Submodules named in `training_only` are the other way round: in the checkpoints, and not in the final weights.
    `metadata` goes into the weights file, `options` (JSON values) into the report and onto the trained detector's card,
    `notes` into the report. `settle` is called once, before the weights are written: it may change their form, but not
    what the model computes.

    A loss other than cross-entropy reads `outputs`: it maps the same input, [R, ...], to tensors by name, each with a
    row for each input; `gives` names them before any is computed. `logit` [R] is always among them, and is what `model`
    returns. The rows are real, fake, real, fake ... if the loss needs pairs. With `informed` it gets, as a second
    argument, what the loss gets (`Given`): for parts of the network that learn from labels, manipulations or masks.

    `input` are the card's, where `prepare` does no more than resize an image by them: the device can then do it.
    """

    model: nn.Module
    prepare: Callable[[Image], npt.NDArray[Any]]
    normalise: Normalisation
    frozen: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    settle: Callable[[], None] | None = None
    outputs: Callable[..., Rows] | None = None
    gives: tuple[str, ...] = ("logit",)
    informed: bool = False
    input: InputSettings | None = None

    def compile(self) -> None:
        """Compile what is computed in training, each when it is first called."""
        self.model.compile()
        if self.outputs is not None:
            self.outputs = torch.compile(self.outputs)

    def training_outputs(self, inputs: torch.Tensor, given: Given) -> Rows:
        """Return the outputs in training, by name."""
        if self.outputs is None:
            return {"logit": self.model(inputs).flatten()}
        return self.outputs(inputs, given) if self.informed else self.outputs(inputs)


def fit_network(job: TrainingJob, network: Network) -> FitReport:
    """Train a network for a job, by default with BCE on the logit of fake = 1; best epoch by validation AUC.

    Batches hold both classes equally often, or what the card's source, loss and `classes` want. `sampling`, `train_on`,
    `source`, `loss`, `views`, `freeze` and `freeze_epochs` of the job's settings are obeyed here, `ema` and `sam` in
    the loop.

    Writes `model.safetensors` (the whole model) into `job.out`, and a checkpoint after each epoch and each
    `checkpoint_steps`. An unreadable image adds nothing to its step's gradient, which is still divided by the planned
    batch size. Curves hold, per epoch: epoch (from 1), train_loss, lr (the base rate of the last step), val_loss and
    val_auc; undefined values are left out. Several processes share out each part of a batch and learn what one would
    learn with as many parts: batch normalisation also takes its statistics over a part in all processes. Only dropout
    differs, since each process draws its own masks. Raises as `loop.fit`, and DetectorError for an `lr_of` or `freeze`
    that does not fit, CardError for a loss that the network, the views or the source do not fit, DataError for a
    missing class, and for a loss that needs masks or pairs where the dataset has none.
    """
    return fit(job, job.settings.precision, partial(_Detection, job, network))


class _Detection(Objective[Part]):
    """Loss over real and fake images: binary cross-entropy, or the one that the card names."""

    seed_key = "step"
    divisible = False  # batch statistics are taken over a part
    shardable = False
    validates_first = False
    memory_advice = (
        "a part of a batch: raise `accumulation` or lower `batch_size` in the card's training settings",
        "the optimiser's state: train a smaller network",
    )

    settings: TrainingSettings
    network: Network

    def __init__(self, job: TrainingJob, network: Network, accelerator: Any) -> None:
        """Freeze what `network` and the card name. Raises as `fit_network`."""
        if job.settings.channels_last:
            channels_last(network.model)
        else:
            network.normalise = by_channels(network.model, network.normalise)
        super().__init__(job, network.model, accelerator)
        self.settings, self.optimizing, self.network = job.settings, job.settings, network
        if self.settings.compile:
            check_compiling(self.device)
            network.compile()
        loss = training_loss(job, network.gives)
        self.source = make_source(job.settings.source, job.card.name, job.landmarks)
        self.plan = make_plan(job, self.source, pairs=loss is not None and loss.pairs)
        self.resizes = _resized_here(job, network)
        """How the device resizes; None: the images are resized."""
        self.making = Making(
            network.prepare,
            self.plan.unit,
            self.source,
            method_numbers(job) if loss is not None and loss.methods else None,
            loss is not None and loss.masks,
            whole=self.resizes is not None,
        )
        own = job.settings.source is not None and job.settings.source.validate_on == "dataset"
        self.judged = Making(network.prepare, whole=self.making.whole) if own else self.making
        """How samples of the validation are made."""
        self.own_loss = None
        if loss is not None:
            self.own_loss = LossPass(loss, network.training_outputs, self.module, accelerator, job.settings.views)
        self.steps = self.plan.steps
        self.total = self.steps * job.settings.epochs
        self.warmup = round(job.settings.warmup_epochs * self.steps)
        self.reader = FrameReader(job.read)
        self.left_out = self.reader.unreadable
        self.frames = frozenset(frame.id for frame in (*job.train, *job.val))
        parts = Parts(job, self.reader, self.making, self.judged)
        self.feed = Feed(parts, self.plan, self.rank, self.world, self.device)
        self._planned = 0
        """Images of the step's batch."""
        for name in network.frozen:
            self.module.get_submodule(name).requires_grad_(False)
        freeze(self.module, job.settings.freeze, job.card.name)
        until = {pattern: round(epochs * self.steps) for pattern, epochs in job.settings.freeze_epochs.items()}
        self.held = Held(self.module, until, job.card.name)
        self.reader.fill([*job.train, *job.val])

    def tensors(self) -> Tensors:
        return self._without(self.network.frozen)

    def _without(self, parts: tuple[str, ...]) -> Tensors:
        """Return all tensors but those of some submodules."""
        prefixes = tuple(f"{name}." for name in parts)
        return {name: value for name, value in self.module.state_dict().items() if not name.startswith(prefixes)}

    def close(self) -> None:
        self.feed.close()

    def train_mode(self) -> None:
        self.module.train()
        for part in [*map(self.module.get_submodule, self.network.frozen), *self.held.submodules()]:
            part.eval()

    def lr_factor(self, progress: Progress) -> float:
        settings, step = self.settings, progress.step
        if settings.schedule == "cosine":
            return lr_factor(step, self.total, self.warmup)
        if settings.schedule == "linear":
            return linear_lr_factor(step, self.total, self.warmup)
        losses = [row.get("val_loss") for row in progress.curves]
        own = (settings.plateau_factor, settings.plateau_patience, settings.plateau_cooldown)
        return plateau_lr_factor(step, self.warmup, losses, *own)

    def begins(self) -> Mapping[str, int]:
        return self.held.until

    def rise(self, step: int) -> float:
        return linear_rise(step, self.warmup)

    def batches(self, step: int, parts: int) -> list[Part]:
        """Return the next parts from the loader of the step's epoch."""
        if self.held.begin(step):
            self.train_mode()
        found = self.feed.batch(step, parts)
        self._planned = found[0].planned
        for part in found:
            self.left_out.update(part.unreadable)
        self.check_unreadable()
        return found

    def size(self, batch: Part) -> int:
        return len(batch.labels)

    def divisor(self, step: int, counts: list[int]) -> int:
        return self._planned

    def loss(self, batch: Part, count: int) -> torch.Tensor | None:
        images, labels = batch.images, batch.labels
        shared = self.world > 1 and count > 0
        statistics = SharedStatistics(counted=images is not None) if shared else contextlib.nullcontext()
        with statistics:
            if images is None:
                return self._blank(shared)
            inputs = self._inputs(images)
            if self.own_loss is not None:
                return self.own_loss(inputs, batch)
            logits = self.shared.model(inputs)
            losses = binary_cross_entropy_with_logits(
                logits.reshape(len(labels)).float(), labels.to(self.device), reduction="none"
            )
        total = losses.sum()
        return torch.stack([total, total.new_tensor(float(len(labels)))])

    def _inputs(self, images: torch.Tensor | Whole) -> torch.Tensor:
        """Return the network's input, on the device."""
        if isinstance(images, Whole):
            assert self.resizes is not None
            return self.network.normalise(resized(images, self.resizes, self.device))
        return self.network.normalise(images.to(self.device, non_blocking=True))

    def _blank(self, shared: bool) -> torch.Tensor:
        """Return a zero that touches every weight, for a part without readable images: a blank image's logit times 0.

        With `shared` every process must take part in each exchange of batch statistics, to which a blank adds nothing.
        If no process has an image, the blank passes in eval mode and leaves the statistics alone.
        """
        blank = torch.from_numpy(self.network.prepare(np.zeros((64, 64, 3), dtype=np.uint8)))[None]
        if not shared:
            self.module.eval()
        elif self.own_loss is not None:  # the others gather rows, of which a blank has none
            blank = blank.repeat_interleave(self.plan.unit * self.settings.views, 0)
            return self.own_loss(self.network.normalise(blank.to(self.device)), None)
        logits = self.shared.model(self.network.normalise(blank.to(self.device)))
        self.train_mode()
        nothing = logits.float().sum() * 0.0
        return torch.stack([nothing, torch.zeros_like(nothing)])

    def validation(self, parts: int) -> list[Callable[[], list[Part]]]:
        return self.feed.validation(len(self.job.val) * self.judged.count)

    def judge(self, batch: Part) -> list[tuple[float, float]]:
        """Return the numbers of validation frames and their logits."""
        self.left_out.update(batch.unreadable)
        if batch.images is None:
            return []
        inputs = self._inputs(batch.images)
        return list(zip(batch.numbers, self.shared.judge(inputs).reshape(len(batch.numbers)).tolist(), strict=True))

    def validate(self, results: list[tuple[float, float]], progress: Progress) -> dict[str, float]:
        """Return mean loss and AUC of the readable validation frames. Raises NothingJudged if none is readable."""
        val = self.job.val
        if not results:
            if val:
                first = (val[0].id, "unreadable", self.left_out.get(val[0].id, ""))
                raise NothingJudged.of(f"validation of '{self.job.card.name}'", "frames", len(val), *first)
            return {}
        judged = sorted(results)
        logits = np.array([logit for _, logit in judged])
        labels = [self._label(int(number)) for number, _ in judged]
        loss = float(np.mean(np.logaddexp(0.0, logits) - np.array(labels) * logits))
        if not math.isfinite(loss):
            return {"val_loss": loss}
        auc = self.job.auc(labels, (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700)))).tolist())
        return {"val_loss": loss} | ({} if auc is None else {"val_auc": auc})

    def _label(self, number: int) -> int:
        """Return the label of a sample of the validation."""
        source = self.judged.source
        return self.job.val[number].label if source is None else source.labels[number % self.judged.count]

    def due(self, step: int) -> tuple[bool, bool, bool]:
        every = self.settings.checkpoint_steps
        ends = step % (self.settings.validate_steps or self.steps) == 0 or step == self.total
        return ends, ends, ends or (every is not None and step % every == 0)

    def row(self, progress: Progress, lr: float, validation: dict[str, float]) -> dict[str, float]:
        loss = progress.loss_sum / max(1, progress.count)
        return {"epoch": progress.step / self.steps, "train_loss": loss, "lr": lr, **validation}

    def improves(self, progress: Progress, validation: dict[str, float]) -> bool:
        """Return whether it has the best AUC so far; without AUC, the lowest loss; without both, always."""
        auc, loss = validation.get("val_auc"), validation.get("val_loss")
        if auc is not None:
            better = progress.best_auc is None or auc > progress.best_auc
            if self.settings.ties == "loss" and auc == progress.best_auc:
                better = loss is not None and progress.best_loss is not None and loss < progress.best_loss
        elif loss is not None:
            better = progress.best_auc is None and (progress.best_loss is None or loss < progress.best_loss)
        else:
            better = True
        if better:
            progress.best_epoch, progress.best_auc, progress.best_loss = len(progress.curves), auc, loss
        return better

    def ends(self, progress: Progress) -> bool:
        patience, between = self.settings.stop_after, self.due(progress.step)[0]
        return patience is not None and between and len(progress.curves) - progress.best_epoch >= patience

    def finish(self, progress: Progress, best: Tensors | None) -> Tensors:
        assert best is not None  # the first epoch always is
        self.module.load_state_dict(best, strict=False)
        if self.network.settle is not None:
            self.network.settle()
        return self._without(self.network.training_only)

    def notes(self, progress: Progress) -> list[str]:
        how = "validation AUC" if progress.best_auc is not None else "validation loss"
        unit, count = "epoch", self.settings.epochs
        if self.settings.validate_steps is not None:
            unit, count = "validation", -(-self.total // self.settings.validate_steps)
        chosen = f"{unit} {progress.best_epoch} of {count} chosen by {how}"
        if progress.best_loss is None:
            chosen = f"last {unit} taken: there are no validation frames"
        stopped = f"ended after {unit} {len(progress.curves)}: no better one in the last {self.settings.stop_after}"
        made = [] if self.own_loss is None else [self.own_loss.loss.note()]
        if chosen_loss(self.job) != self.settings.loss:
            made.append(f"the dataset has no masks for loss {self.settings.loss.name}: cross-entropy alone")
        made += self.plan.notes()
        if self.source is not None:
            made += [*self.source.notes(), f"the epoch is chosen by {_chosen_by(self.judged.source)}"]
        stopped_notes = [stopped] if progress.step < self.total else []
        return [chosen, *stopped_notes, *unreadable_notes(self.left_out), *made]


def _resized_here(job: TrainingJob, network: Network) -> InputSettings | None:
    """Return how the device resizes, if the card wants that. Raises CardError if it cannot."""
    if job.settings.resize == "workers":
        return None
    where = f"detector '{job.card.name}': resize `device`"
    if network.input is None:
        raise CardError(f"{where} is not for a network that prepares its images in its own way")
    if network.input.interpolation not in FILTERS:
        raise CardError(f"{where} is for interpolation {' and '.join(FILTERS)}, not {network.input.interpolation}")
    return network.input


def _chosen_by(source: Source | None) -> str:
    return "the dataset's own validation frames" if source is None else "what the source makes of the validation frames"
