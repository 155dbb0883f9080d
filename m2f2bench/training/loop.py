"""The training loop of every torch backend: seeded, resumable to the bit, the same over any number of processes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Generic

import torch

from ..core.arithmetic import repeatable
from ..core.errors import DetectorError
from ..core.files import make_folder
from ..core.progress import Advance, progress_bar
from ..core.seeds import derived_seed
from .averaging import Average, climb
from .device import make_accelerator, own_draws
from .job import (
    WEIGHTS,
    Checkpoint,
    FitReport,
    Tensors,
    TrainingJob,
    finished_report,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_report,
)
from .objective import B, Objective, Progress, in_order, make_optimizer
from .processes import agreed, gathered, summed, together
from .sharing import FullySharded, Whole

log = logging.getLogger("m2f2bench")


def fit(
    job: TrainingJob, precision: str, objective: Callable[[Any], Objective[Any]], accelerator: Any = None
) -> FitReport:
    """Train a job's objective from the start or, with `job.resume`, from its newest checkpoint, and write the weights.

    `objective` is called with the accelerator, which is made for `precision` unless one is passed. A training that was
    cut off and resumed ends with the same bits as an uninterrupted one, on a CPU. Raises DetectorError for a value that
    is not finite, too little memory, an unusable device or precision, or a folder in use; DataError if more than 5% of
    the frames are unreadable.
    """
    done = finished_report(job)
    if done is not None:
        return done
    accelerator = accelerator or make_accelerator(job, precision)
    settings = job.settings if job.language is None else job.language.settings
    with own_draws(), repeatable(settings.deterministic):
        with together():
            made = objective(accelerator)
        with contextlib.closing(made):
            training = _Training(made, accelerator)
            if job.rehearsal is not None:
                job.rehearsal.run(made, training.take_step, training.progress.parts)
            return training.run()


def share_network(accelerator: Any, objective: Objective[Any]) -> Whole:
    """Return the objective's network, distributed as accelerate is configured. Raises DetectorError for other ways."""
    kind = str(accelerator.distributed_type.value)
    sharded = kind == "FSDP" and objective.shardable
    if not sharded and kind not in ("NO", "MULTI_CPU", "MULTI_GPU"):
        ways = "one or more GPUs or CPUs" + (", or FSDP" if objective.shardable else "")
        raise DetectorError(f"accelerate is configured for {kind}: this training supports {ways}")
    where = (objective.job.card.name, accelerator.device)
    optimizer = make_optimizer(objective.module, objective.optimizing, *where, objective.begins())
    clip = objective.settings.clip_grad_norm or 0.0
    if sharded:
        return FullySharded(accelerator, objective.module, optimizer, clip)
    return Whole(accelerator, objective.module, optimizer, clip, objective.tensors)


class _Training(Generic[B]):
    """State of one run of the loop."""

    def __init__(self, objective: Objective[B], accelerator: Any) -> None:
        self.objective, self.job, self.settings = objective, objective.job, objective.settings
        self.accelerator = accelerator
        self.progress = Progress(self.job.identity, self.settings.accumulation)
        self.earlier = 0.0
        """Seconds of the runs before this one."""
        self.shared = objective.shared = share_network(accelerator, objective)
        self.best: Tensors | None = None
        ema = objective.optimizing.ema
        self._held: tuple[list[B], list[int]] | None = None
        """The step's batches, between the two passes of SAM."""
        self.average = None if ema is None else Average(ema, objective.tensors())
        self.label = "training" if self.job.stage == "detector" else f"stage {self.job.stage}"

    def run(self) -> FitReport:
        """Train to the end and write the weights."""
        objective, progress = self.objective, self._restore()
        objective.left_out.update(progress.left_out)
        shown = objective.total if self.accelerator.is_main_process else 0
        with progress_bar(self.label, shown, progress.step) as advance:
            if progress.step == 0 and objective.validates_first and (first := self._validate()):
                self._close_row(0.0, first)
            objective.train_mode()
            while progress.step < objective.total and not objective.ends(progress):
                self._step(advance)
        return self._finish()

    def _restore(self) -> Progress:
        """Go on from the newest checkpoint, if there is one. Raises DetectorError if processes see different ones."""
        checkpoint: Checkpoint | None = None
        with together():
            path = latest_checkpoint(self.job.out)
            if path is not None:
                checkpoint = load_checkpoint(path, self.job.identity)
                try:
                    self.progress = Progress(**checkpoint.state)
                except TypeError:
                    raise DetectorError(
                        f"checkpoint '{path}' was written by another version of m2f2bench: start again with another "
                        f"--out"
                    ) from None
        agreed(self.progress.step, f"checkpoints in '{self.job.out}': put --out on a disk that all of them see")
        if checkpoint is not None:
            tensors = checkpoint.tensors
            if self.average is not None:  # the checkpoint's tensors are the averages, as the best ones are
                self.average.values = {
                    name: tensors[name].to(value.device) for name, value in self.objective.tensors().items()
                }
                tensors = checkpoint.optimizer.pop("live")
            self.shared.restore(tensors, checkpoint.optimizer)
            self.best = checkpoint.best
            self.earlier = self.progress.seconds
        return self.progress

    def take_step(self) -> tuple[float, float]:
        """Take one optimiser step; return the mean loss, and the factor of the learning rates."""
        objective, progress = self.objective, self.progress
        factor = objective.lr_factor(progress)
        for group in self.shared.optimizer.param_groups:
            begins = group.get("begins", 0)  # the groups of an older version's checkpoint have none
            own = objective.rise(progress.step - begins) if 0 < begins <= progress.step else 1.0
            group["lr"] = group["initial_lr"] * factor * own
        loss, count, divisor = self._with_memory(self._gradients)
        self._check_finite("loss", loss, f"at step {progress.step + 1}")
        if divisor:
            if objective.optimizing.sam is not None:
                self._sharpen(objective.optimizing.sam)
            self._update()
            if self.average is not None:
                self.average.update(objective.tensors(), progress.step + 1)
        progress.loss_sum += loss
        progress.count += count
        progress.step += 1
        return loss / max(1, count), factor

    def _step(self, advance: Advance) -> None:
        """Take one optimiser step, and then what is due: a validation, a row of the curve, a checkpoint."""
        objective, progress = self.objective, self.progress
        loss, factor = self.take_step()
        advance(1, f"{self.label} loss {loss:.3f}")
        validated, ends_row, saved = objective.due(progress.step)
        validation = self._validate() if validated else {}
        best_is_new = False
        if validation or ends_row:
            self._close_row(self.settings.lr * factor, validation)
            best_is_new = objective.improves(progress, validation)
        if best_is_new:
            tensors = objective.tensors() if self.average is None else self.average.values
            self.best = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        if saved:
            self._save(best_is_new)

    def _close_row(self, lr: float, validation: dict[str, float]) -> None:
        progress = self.progress
        progress.curves.append(self.objective.row(progress, lr, validation))
        progress.loss_sum, progress.count = 0.0, 0

    def _gradients(self) -> tuple[float, int, int] | None:
        """Add up a step's gradients; return the sum of losses and its count, over all processes, and the divisor.

        Returns None if a part did not fit into the memory of some process.
        """
        objective, step, parts = self.objective, self.progress.step, self.progress.parts
        torch.manual_seed(derived_seed(objective.seed_key, self.settings.seed, step, objective.rank))
        self.shared.optimizer.zero_grad(set_to_none=True)
        if self._held is None:
            self._held = self._fetch(partial(objective.batches, step, parts), parts)
        batches, counts = self._held
        if objective.optimizing.sam is None:
            self._held = None
        divisor = objective.divisor(step, counts)
        found: list[torch.Tensor] = []
        short = False
        try:
            for batch, count in zip(batches, counts, strict=True) if divisor else ():
                out = objective.loss(batch, count)
                if out is not None:
                    self.accelerator.backward(out[0] * (self.shared.scale / divisor))
                    found.append(out.detach())
        except torch.cuda.OutOfMemoryError as error:
            self._refuse_alone(error, not objective.divisible)
            short = True
        sums = list(zip(*[one.tolist() for one in found], strict=True)) or [(), ()]
        loss, counted, missing = summed([*map(in_order, sums), float(short)], objective.device)
        if missing:
            return None
        if divisor and counted != sum(counts):
            raise ValueError(f"the network counts {counted:g} images or tokens in batches that have {sum(counts)}")
        return loss, int(counted), divisor

    def _sharpen(self, radius: float) -> None:
        """Replace the step's gradients by those at the worst weights near by, with the same images and draws (SAM)."""
        parameters = list(self.shared.trained.values())
        self.shared.exchange()
        statistics = {name: value.detach().clone() for name, value in self.objective.module.named_buffers()}
        before = climb(parameters, radius)
        self._with_memory(self._gradients)
        self._held = None
        with torch.no_grad():
            for parameter, old in zip(parameters, before, strict=True):
                parameter.copy_(old)
            for name, value in self.objective.module.named_buffers():
                value.copy_(statistics[name])

    def _fetch(self, make: Callable[[], list[B]], parts: int) -> tuple[list[B], list[int]]:
        """Return this process's batches, and the images or tokens of each of `parts` parts over all processes.

        If one process fails, its error is raised in all of them, before they wait for it.
        """
        batches: list[B] = []
        sizes, error = [0.0] * parts, None
        try:
            batches = make()
            sizes = [float(self.objective.size(batch)) for batch in batches[:parts]]
        except Exception as found:
            error = found
        return batches, [int(count) for count in summed(sizes, self.objective.device, error)]

    def _update(self) -> None:
        """Take the optimiser's step."""
        error, norm, skipped = None, 0.0, False
        try:
            norm, skipped = self.shared.update()
        except torch.cuda.OutOfMemoryError:
            error = self._no_memory(f"the optimiser's state: {self.objective.memory_advice[1]}")
        summed([], self.objective.device, error)
        self._check_finite("gradient's norm", norm, f"at step {self.progress.step + 1}")
        self.progress.skipped += skipped

    def _validate(self) -> dict[str, float]:
        """Return the values of a validation; empty without validation data."""
        self.objective.module.eval()
        self._exchange_average()
        results = self._with_memory(self._judge)
        self._exchange_average()
        self.objective.train_mode()
        self._share_left_out()
        everything = [one for process in gathered(results) for one in process]
        found = self.objective.validate(everything, self.progress)
        if "val_loss" in found:
            self._check_finite("validation loss", found["val_loss"], f"after step {self.progress.step}")
        return found

    def _exchange_average(self) -> None:
        """Put the averaged weights into the network, or the live ones back; nothing without an average."""
        if self.average is not None:
            self.average.exchange(self.objective.tensors())

    def _judge(self) -> list[tuple[float, float]] | None:
        """Return the results of this process's share of the validation; None if a process had too little memory."""
        results: list[tuple[float, float]] = []
        short = False
        for make in self.objective.validation(self.progress.parts):
            batches, _ = self._fetch(make, 0)
            try:
                for batch in [] if short else batches:
                    with torch.no_grad():
                        results += self.objective.judge(batch)
            except torch.cuda.OutOfMemoryError as error:
                self._refuse_alone(error, False)
                short = True  # the other processes still expect this one at each chunk
        (missing,) = summed([float(short)], self.objective.device)
        return None if missing else results

    def _with_memory(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns, with smaller parts of a batch while that is None."""
        found = work()
        while found is None:
            self._halve()
            found = work()
        return found

    def _halve(self) -> None:
        """Work through batches in twice as many parts from now on. Raises DetectorError if they cannot be smaller."""
        progress, objective = self.progress, self.objective
        self.shared.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not objective.divisible or progress.parts * objective.world >= self.settings.batch_size:
            raise self._no_memory(objective.memory_advice[0])
        progress.parts *= 2
        if self.accelerator.is_main_process:
            short = "step %d: the memory does not hold a part of a batch; from now on a batch is split into %d parts"
            log.warning(short, progress.step + 1, progress.parts)

    def _refuse_alone(self, error: Exception, exchanging: bool) -> None:
        """Raise DetectorError if the other processes wait inside the pass in which this one ran out of memory."""
        if self.shared.sharded or (exchanging and self.objective.world > 1):
            raise self._no_memory("a part of a batch: raise `accumulation`") from error

    def _no_memory(self, what: str) -> DetectorError:
        return DetectorError(f"detector '{self.job.card.name}': the GPU's memory does not hold {what}")

    def _check_finite(self, what: str, value: float, when: str) -> None:
        if not math.isfinite(value):
            raise DetectorError(
                f"detector '{self.job.card.name}': the {what} is {value} {when}: lower `lr` or set `clip_grad_norm` in "
                f"the card's settings of {self.label}"
            )

    def _share_left_out(self) -> None:
        """Tell every process what the others have left out. Raises DataError if it is too much."""
        left_out = self.objective.left_out
        for other in gathered(dict(left_out)):
            left_out.update(other)
        self.progress.left_out = dict(left_out)
        self.objective.check_unreadable()

    def _save(self, best_is_new: bool) -> None:
        self._share_left_out()
        tensors, optimizer = self.shared.state()
        if self.average is not None:
            optimizer, tensors = {**optimizer, "live": tensors}, self.average.values
        self.progress.seconds = self.earlier + time.monotonic() - self.job.began
        with together():
            if self.accelerator.is_main_process:
                checkpoint = Checkpoint(tensors, None, optimizer, dataclasses.asdict(self.progress))
                save_checkpoint(self.job.out, self.progress.step, checkpoint, best_is_new)

    def _finish(self) -> FitReport:
        """Write the weights and the report."""
        self._share_left_out()
        objective, progress, out = self.objective, self.progress, self.job.out
        tensors = objective.finish(progress, self.best)
        report = FitReport(out / WEIGHTS, progress.best_auc, progress.curves, objective.network.options, self._notes())
        report.seconds = self.earlier
        with together():
            if self.accelerator.is_main_process:
                self._check_weights(tensors)
                make_folder(out)
                objective.write(out, tensors)
                write_report(self.job, report)
        self.accelerator.free_memory()
        return report

    def _check_weights(self, tensors: Tensors) -> None:
        """Raise DetectorError for trained weights that are not finite."""
        for name in self.shared.names:
            if name in tensors and not torch.isfinite(tensors[name]).all():
                raise DetectorError(
                    f"detector '{self.job.card.name}': '{name}' is not finite after the last step: lower `lr`"
                )

    def _notes(self) -> list[str]:
        device, world = self.objective.device, self.objective.world
        # Both decide how sums are rounded, and thus the last digits of the weights.
        notes = [f"trained on {device.type}, {torch.get_num_threads()} threads a process"]
        if world > 1:
            notes.append(f"each batch shared out over {world} processes")
        if self.shared.sharded:
            notes.append(f"the network sharded by {self.accelerator.distributed_type.value}")
        return [*self.objective.notes(self.progress), *notes, *self.objective.network.notes]
