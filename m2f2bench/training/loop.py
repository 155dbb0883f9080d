"""The training loop of every torch backend: seeded, resumable to the bit, the same over any number of processes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..core.arithmetic import repeatable
from ..core.errors import DetectorError, NothingJudged
from ..core.files import make_folder
from ..core.progress import Advance, progress_bar
from ..core.seeds import derived_seed
from ..core.tensors import write_tensors
from .batchnorm import SharedStatistics
from .checkpoint import (
    WEIGHTS,
    Checkpoint,
    finished_report,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_report,
)
from .device import make_accelerator, own_draws
from .job import FitReport, TrainingJob
from .loader import Parts, part_loader, prepared_batches
from .optimizer import make_optimizer
from .processes import agreed, gathered, summed, together
from .reading import FrameReader
from .sampling import epoch_batches, steps_per_epoch
from .schedule import lr_factor, plateau_lr_factor

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image


@dataclass
class Network:
    """What a backend hands to the loop.

    `model` maps the output of `normalise` to one logit an image, [B] or [B, 1], the higher the more fake; over several
    processes every trained parameter must take part in it. `prepare` turns an RGB uint8 image [H, W, 3] into an array
    of a fixed shape (in workers); `normalise` a stacked batch of these, on the device, into the model's input.
    Submodules named in `frozen` stay in eval mode, get no gradient and are in no checkpoint, so a backend that resumes
    must give them the same weights again; the final weights hold them. `metadata` goes into the weights file, `options`
    (JSON values) into the report and so onto the trained detector's card; `notes` into the report. `settle` is called
    once, before the last weights are written: it may bring them to another form that computes the same.
    """

    model: nn.Module
    prepare: Callable[[Image], npt.NDArray[Any]]
    normalise: Callable[[torch.Tensor], torch.Tensor]
    frozen: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    settle: Callable[[], None] | None = None


@dataclass
class Counters:
    """The counters of a training; all that a checkpoint holds besides tensors."""

    identity: str
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    best_epoch: int = 0
    best_auc: float | None = None
    best_loss: float | None = None
    curves: list[dict[str, float]] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def fit_network(job: TrainingJob, network: Network) -> FitReport:
    """Train a network for a job: class-balanced batches, BCE on the logit of fake = 1, best epoch by validation AUC.

    Writes `model.safetensors` (all of the model) into `job.out`, a checkpoint there after each epoch and each
    `checkpoint_steps`. With `job.resume` a training that was cut off goes on; on a CPU it ends with the very same
    bits. An image that cannot be read adds nothing to its step's gradient, which is still divided by the planned
    batch size. Curves hold, per epoch: epoch (from 1), train_loss, val_loss, val_auc, lr (the base rate of the last
    step); what is not defined is left out. Several processes share out each part of a batch and learn what one would
    learn with as many parts: batch normalisation, too, takes its statistics over a part of all processes. Dropout
    alone differs: each process draws masks of its own. Raises DetectorError for a loss that is not finite, an unusable
    device or precision, an `lr_of` that does not fit, or a folder in use; DataError for a missing class or more than
    5% of unreadable frames.
    """
    done = finished_report(job)
    if done is not None:
        return done
    accelerator = make_accelerator(job, job.settings.precision)
    with own_draws(), repeatable():
        return _Training(job, network, accelerator).run()


class _Training:
    """One run of the loop: what it holds while it lasts."""

    def __init__(self, job: TrainingJob, network: Network, accelerator: Any) -> None:
        self.job, self.settings, self.network = job, job.settings, network
        self.labels = [frame.label for frame in job.train]
        self.steps = steps_per_epoch(self.labels, self.settings.batch_size)
        self.total = self.steps * self.settings.epochs
        self.warmup = round(self.settings.warmup_epochs * self.steps)
        self.reader = FrameReader(job.read)
        self.accelerator = accelerator
        self.plain_forward = network.model.forward  # before accelerate wraps it: validation runs in fp32
        self._freeze()
        self.optimizer = self.accelerator.prepare(make_optimizer(network.model, self.settings, job.card.name))
        self.model = self.accelerator.prepare(network.model.to(memory_format=torch.channels_last))
        self.progress = Counters(job.identity)
        self.best: dict[str, torch.Tensor] | None = None

    def run(self) -> FitReport:
        """Train from the start or from the newest checkpoint to the end, and write the weights."""
        with together():
            self._restore()
        agreed(self.progress.step, f"checkpoints in '{self.job.out}': put --out on a disk that all of them see")
        with together():
            self.reader.fill([*self.job.train, *self.job.val])
        self.reader.unreadable.update(self.progress.unreadable)
        shown = self.total if self.accelerator.is_main_process else 0
        with progress_bar("training", shown, self.progress.step) as advance:
            while self.progress.step < self.total and not self._stops():
                self._epoch(self.progress.step // self.steps, self.progress.step % self.steps, advance)
        return self._finish()

    def _freeze(self) -> None:
        for name in self.network.frozen:
            self.network.model.get_submodule(name).requires_grad_(False)

    def _train_mode(self) -> None:
        """All of the model in train mode but for what is frozen."""
        self.model.train()
        for name in self.network.frozen:
            self.network.model.get_submodule(name).eval()

    def _stops(self) -> bool:
        """Whether the training ends before its last epoch: `stop_after` epochs in a row were no better."""
        progress, patience = self.progress, self.settings.stop_after
        between = progress.step % self.steps == 0
        return patience is not None and between and len(progress.curves) - progress.best_epoch >= patience

    def _changing(self) -> dict[str, torch.Tensor]:
        """The model's tensors without those of frozen submodules."""
        prefixes = tuple(f"{name}." for name in self.network.frozen)
        return {k: v for k, v in self.network.model.state_dict().items() if not k.startswith(prefixes)}

    def _restore(self) -> None:
        path = latest_checkpoint(self.job.out)
        if path is None:
            return
        checkpoint = load_checkpoint(path, self.job.identity)
        self.network.model.load_state_dict(checkpoint.tensors, strict=False)
        self.optimizer.load_state_dict(checkpoint.optimizer["optimizer"])
        if self.accelerator.scaler is not None and checkpoint.optimizer["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(checkpoint.optimizer["scaler"])
        self.progress = Counters(**checkpoint.state)
        self.best = checkpoint.best

    def _epoch(self, epoch: int, first: int, advance: Advance) -> None:
        """The steps of one epoch from `first` on, its validation and its checkpoint."""
        settings, progress = self.settings, self.progress
        batches = epoch_batches(self.labels, settings.batch_size, settings.seed, epoch)[first:]
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        parts = Parts(self.job, self.reader, self.network.prepare, epoch, batches, rank, world)
        loader = iter(part_loader(parts, pin_memory=self.accelerator.device.type == "cuda"))
        self._train_mode()
        for batch in batches:
            lr = self._step(loader, len(batch))
            progress.step += 1
            advance(1, f"epoch {epoch + 1} loss {progress.loss_sum / max(1, progress.images):.3f}")
            ends = progress.step % self.steps == 0
            if not ends and settings.checkpoint_steps and progress.step % settings.checkpoint_steps == 0:
                self._save(best_is_new=False)
        self._save(best_is_new=self._close_epoch(epoch, lr))

    def _step(self, loader: Iterator[Any], planned: int) -> float:
        """One optimiser step over all parts of a batch of `planned` images; returns its learning rate."""
        settings, accelerator, progress = self.settings, self.accelerator, self.progress
        factor = self._lr_factor()
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        torch.manual_seed(derived_seed("step", settings.seed, progress.step, accelerator.process_index))
        self.optimizer.zero_grad()
        own = np.zeros(2)
        for part in range(settings.accumulation):
            images, labels, readable = self._part(loader)
            loss = self._backward(images, labels, planned, readable, last=part + 1 == settings.accumulation)
            own += np.array([loss, len(labels)])
        loss, images_seen = summed(own.tolist(), accelerator.device)
        if not math.isfinite(loss):
            raise DetectorError(
                f"detector '{self.job.card.name}': the loss is {loss} at step {progress.step + 1}: "
                "lower `lr` or set `clip_grad_norm` in the card's training settings"
            )
        if settings.clip_grad_norm is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), settings.clip_grad_norm)
        self.optimizer.step()
        progress.loss_sum += loss
        progress.images += int(images_seen)
        return settings.lr * factor

    def _part(self, loader: Iterator[Any]) -> tuple[torch.Tensor | None, torch.Tensor, int]:
        """This process's next part of a batch, images and labels, and how many images all processes have of it."""
        error: Exception | None = None
        images, labels = None, torch.zeros(0)
        try:
            images, labels, failed = next(loader)
            self.reader.unreadable.update(failed)
            self._check_readable()
        except Exception as found:  # the other processes, too, are told before they wait for this one
            error = found
        (readable,) = summed([float(len(labels))], self.accelerator.device, error)
        return images, labels, int(readable)

    def _check_readable(self) -> None:
        self.reader.check(len(self.job.train) + len(self.job.val))

    def _share_unreadable(self) -> None:
        """Let every process know of all frames that any could not read. Raises DataError where they are too many."""
        for other in gathered(self.reader.unreadable):
            self.reader.unreadable.update(other)
        self._check_readable()

    def _lr_factor(self) -> float:
        """What the learning rates are multiplied by at this step."""
        settings, step = self.settings, self.progress.step
        if settings.schedule == "cosine":
            return lr_factor(step, self.total, self.warmup)
        losses = [row.get("val_loss") for row in self.progress.curves]
        return plateau_lr_factor(step, self.warmup, losses, settings.plateau_factor, settings.plateau_patience)

    def _backward(
        self, images: torch.Tensor | None, labels: torch.Tensor, planned: int, readable: int, last: bool
    ) -> float:
        """Add one part's gradients, with the `last` of a step exchange them, and return the part's sum of losses.

        `readable` is how many images all processes have of the part.
        """
        accelerator = self.accelerator
        world = accelerator.num_processes
        shared = world > 1 and readable > 0
        statistics = SharedStatistics(counted=images is not None) if shared else contextlib.nullcontext()
        with contextlib.nullcontext() if last else accelerator.no_sync(self.model):
            with statistics:
                loss = self._blank(shared) if images is None else self._loss(images, labels)
            # DDP averages gradients over processes; the loss is the mean over the whole planned batch.
            accelerator.backward(loss * (world / planned))
        return float(loss.detach())

    def _loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum of the losses of a part's images."""
        device = self.accelerator.device
        logits = self.model(self.network.normalise(images.to(device, non_blocking=True)))
        losses = binary_cross_entropy_with_logits(
            logits.reshape(len(labels)).float(), labels.to(device), reduction="none"
        )
        return losses.sum()

    def _blank(self, shared: bool) -> torch.Tensor:
        """For a part without readable images a zero that touches every weight: the outcome for a blank image, times 0.

        Every process must take part in each exchange, of gradients and (with `shared`) of batch statistics, to which
        a blank adds nothing. Where no process has an image the blank passes in eval mode and leaves them alone.
        """
        blank = torch.from_numpy(self.network.prepare(np.zeros((64, 64, 3), dtype=np.uint8)))[None]
        if not shared:
            self.model.eval()
        logits = self.model(self.network.normalise(blank.to(self.accelerator.device)))
        self._train_mode()
        nothing: torch.Tensor = logits.sum() * 0.0
        return nothing

    def _close_epoch(self, epoch: int, lr: float) -> bool:
        """Validate, note the epoch in the curves, and return whether it is the best so far."""
        progress = self.progress
        auc, loss = self._validate()
        row = {"epoch": float(epoch + 1), "train_loss": progress.loss_sum / max(1, progress.images), "lr": lr}
        row |= {key: value for key, value in (("val_loss", loss), ("val_auc", auc)) if value is not None}
        progress.curves.append(row)
        progress.loss_sum, progress.images = 0.0, 0
        if auc is not None:
            better = progress.best_auc is None or auc > progress.best_auc
        elif loss is not None:
            better = progress.best_auc is None and (progress.best_loss is None or loss < progress.best_loss)
        else:
            better = True
        if better:
            progress.best_epoch, progress.best_auc, progress.best_loss = epoch + 1, auc, loss
            self.best = {name: value.detach().cpu().clone() for name, value in self._changing().items()}
        return better

    def _validate(self) -> tuple[float | None, float | None]:
        """AUC and mean loss over the readable validation frames, in fp32; None where they are not defined."""
        mine: list[tuple[int, float]] = []
        with together():
            mine = self._judged()
        self._share_unreadable()
        judged = sorted(one for part in gathered(mine) for one in part)
        if not judged:
            self._refuse_unseen()
            return None, None
        logits = np.array([logit for _, logit in judged])
        labels = [self.job.val[number].label for number, _ in judged]
        loss = float(np.mean(np.logaddexp(0.0, logits) - np.array(labels) * logits))
        if not math.isfinite(loss):
            raise DetectorError(
                f"detector '{self.job.card.name}': the validation loss is {loss} after epoch "
                f"{len(self.progress.curves) + 1}: lower `lr` in the card's training settings"
            )
        return self.job.auc(labels, (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700)))).tolist()), loss

    def _refuse_unseen(self) -> None:
        """Raise NothingJudged where there are validation frames and none of them could be read."""
        if self.job.val:
            first = self.job.val[0].id
            told = (first, "unreadable", self.reader.unreadable.get(first, ""))
            raise NothingJudged.of(f"validation of '{self.job.card.name}'", "frames", len(self.job.val), *told)

    def _judged(self) -> list[tuple[int, float]]:
        """The numbers of this process's share of the validation frames, and their logits."""
        numbers = range(self.accelerator.process_index, len(self.job.val), self.accelerator.num_processes)
        mine: list[tuple[int, float]] = []
        self.network.model.eval()
        with torch.inference_mode():
            for chunk, images in prepared_batches(self.reader, self.network.prepare, self.job, numbers):
                inputs = self.network.normalise(images.to(self.accelerator.device))
                mine += zip(chunk, self.plain_forward(inputs).reshape(len(chunk)).double().tolist(), strict=True)
        return mine

    def _save(self, best_is_new: bool) -> None:
        self._share_unreadable()
        self.progress.unreadable = dict(self.reader.unreadable)
        with together():
            if self.accelerator.is_main_process:
                self._write_checkpoint(best_is_new)

    def _write_checkpoint(self, best_is_new: bool) -> None:
        scaler = self.accelerator.scaler
        checkpoint = Checkpoint(
            tensors=self._changing(),
            best=None,
            optimizer={
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler is not None else None,
            },
            state=dataclasses.asdict(self.progress),
        )
        save_checkpoint(self.job.out, self.progress.step, checkpoint, best_is_new)

    def _finish(self) -> FitReport:
        """Write the best epoch's weights and the report."""
        progress = self.progress
        assert self.best is not None  # the first epoch always is
        self.network.model.load_state_dict(self.best, strict=False)
        if self.network.settle is not None:
            self.network.settle()
        how = "validation AUC" if progress.best_auc is not None else "validation loss"
        chosen = f"epoch {progress.best_epoch} of {self.settings.epochs} chosen by {how}"
        if progress.best_loss is None:
            chosen = "last epoch taken: there are no validation frames"
        stopped = [f"ended after epoch {len(progress.curves)}: no better one in the last {self.settings.stop_after}"]
        stopped = stopped if progress.step < self.total else []
        world = self.accelerator.num_processes
        # Both decide the rounding of sums, and with it the last digits of the weights.
        shared = [f"trained on {self.accelerator.device.type}, {torch.get_num_threads()} threads a process"]
        shared += [f"each batch shared out over {world} processes"] if world > 1 else []
        report = FitReport(
            weights=self.job.out / WEIGHTS,
            val_auc=progress.best_auc,
            curves=progress.curves,
            options=self.network.options,
            notes=[chosen, *stopped, *self.reader.notes(), *shared, *self.network.notes],
        )
        with together():
            if self.accelerator.is_main_process:
                make_folder(self.job.out)
                write_tensors(report.weights, self.network.model.state_dict(), self.network.metadata)
                write_report(self.job, report)
        self.accelerator.free_memory()
        return report
