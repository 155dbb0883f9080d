"""The loop of the stages that learn to answer: seeded, resumable to the bit, the same over any number of processes."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.arithmetic import repeatable
from ..core.errors import DetectorError, NothingJudged
from ..core.files import make_folder
from ..core.progress import Advance, progress_bar
from ..core.records import Conversation
from ..core.seeds import derived_seed
from ..core.tensors import write_tensors
from ..datasets.planning import spread
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
from .language_parts import (
    Batch,
    Counters,
    Feeder,
    Plan,
    answer_tokens,
    check_left_out,
    language_optimizer,
    left_out_notes,
)
from .processes import agreed, gathered, summed, together
from .schedule import lr_factor
from .sharing import share_network

if TYPE_CHECKING:
    from .checkpoint import Tensors

log = logging.getLogger("m2f2bench")


@dataclass
class LanguageNetwork:
    """What a backend hands to the loop.

    `module(**batch)` is float32 [2]: the sum of the losses over the answers' tokens, and their number; all of its
    parameters that require a gradient are trained, no other changes. `collate` makes a batch of examples, tensors on
    the CPU, in which `labels` is -100 wherever nothing is learned (elsewhere a token of an answer); it is called in a
    thread of its own, draws nothing from torch's generator, raises nothing, leaves out what cannot be learned from
    and says so in `left_out`: under the frame's id where it cannot be read, else under "frame: question"; a batch of
    which nothing is left is empty. `train_mode` puts what is trained into train mode and the frozen rest into eval
    mode. `write` gets the job's folder and the trained tensors by their names in `module` (whole, on the CPU, whatever
    the processes share out) and writes at least `model.safetensors`; None: these tensors and `metadata` are that file.
    Parameters whose name begins with `projectors` have their own learning rate. `options` and `notes` go into the
    report. Gradient checkpointing is the module's own: it is switched on before.
    """

    module: nn.Module
    collate: Callable[[Sequence[Conversation]], Batch]
    train_mode: Callable[[], None]
    left_out: dict[str, str]
    write: Callable[[Path, Tensors], None] | None = None
    projectors: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fit_language(job: TrainingJob, network: LanguageNetwork, accelerator: Any = None) -> FitReport:
    """Train a network on `job.talk`: cross-entropy of the answers' tokens by AdamW, linear warm-up and half a cosine.

    The loss of a step is the mean over all answer tokens of its examples, however these are shared out over parts and
    processes. The last weights are taken. `job.out` gets the weights and, after each `checkpoint_steps`, a checkpoint
    of what is trained; with `job.resume` a training that was cut off goes on, and on a CPU ends with the very same
    bits. Rows of the curves: step (from 1), epoch (the share done), train_loss (mean over the row's tokens), lr,
    tokens (of the row's answers), and val_loss where it was measured: before the first step (step 0, without the
    others), at each `validate_steps` and at the end, in eval mode and without autocast, on `val_examples`; what is not
    defined is left out. When the GPU's memory does not hold a part of a batch, parts are halved and the step is begun
    anew. Several processes share out each batch; FSDP and DeepSpeed are taken from accelerate's configuration. FSDP was
    tried over gloo on CPUs; DeepSpeed was never run, and cannot go on with a training.

    Raises DetectorError for a loss that is not finite, an example that does not fit into memory, an unusable device or
    precision, or a folder in use; DataError for more than 5% of unreadable frames.
    """
    done = finished_report(job)
    if done is not None:
        return done
    assert job.talk is not None
    accelerator = accelerator or make_accelerator(job, job.talk.settings.precision)
    with own_draws(), repeatable():
        training = _Training(job, network, accelerator)
        try:
            return training.run()
        finally:
            training.feeder.close()


class _Training:
    """One run of the loop: what it holds while it lasts."""

    def __init__(self, job: TrainingJob, network: LanguageNetwork, accelerator: Any) -> None:
        assert job.talk is not None
        self.job, self.network, self.settings = job, network, job.talk.settings
        self.train, limit = job.talk.train, self.settings.val_examples
        self.val = spread(job.talk.val, limit) if limit else []
        self.frames = {talk.frame.id for talk in (*self.train, *self.val)}
        lengths = tuple(len(talk.question) + len(talk.answer) for talk in self.train)
        self.plan = Plan(self.settings, len(self.train), lengths)
        self.accelerator = accelerator
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.feeder = Feeder(network.collate, self.rank, self.world)
        optimizer = language_optimizer(
            network.module, self.settings, network.projectors, job.card.name, self.accelerator.device
        )
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.progress = Counters(job.identity, self.settings.accumulation)
        clip = self.settings.clip_grad_norm or 0.0
        self.shared = share_network(self.accelerator, network.module, optimizer, self.progress.parts, clip)
        self._blank: Batch = {}

    def run(self) -> FitReport:
        """Train from the start or from the newest checkpoint to the end, and write the weights."""
        self._restore()
        plan, progress = self.plan, self.progress
        shown = plan.seen(plan.total) if self.accelerator.is_main_process else 0
        with progress_bar(f"stage {self.job.stage}", shown, plan.seen(progress.step)) as advance:
            first = self._validate() if progress.step == 0 else None
            if first is not None:
                progress.close_row(0.0, 0.0, first)
            self.network.train_mode()
            while progress.step < plan.total:
                self._step(advance)
        return self._finish()

    def _restore(self) -> None:
        checkpoint: Checkpoint | None = None
        with together():
            path = latest_checkpoint(self.job.out)
            if path is not None:
                checkpoint = load_checkpoint(path, self.job.identity)
                self.progress = Counters(**checkpoint.state)
        agreed(self.progress.step, f"checkpoints in '{self.job.out}': put --out on a disk that all of them see")
        if checkpoint is None:
            return
        self.shared.restore(checkpoint.tensors, checkpoint.optimizer)
        self.network.left_out.update(self.progress.left_out)

    def _step(self, advance: Advance) -> None:
        """One optimiser step, and what is due after it: a validation, a row of the curve, a checkpoint."""
        settings, plan, progress = self.settings, self.plan, self.progress
        factor = lr_factor(progress.step, plan.total, plan.warmup)
        for group, rate in zip(self.shared.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        found = self._gradients()
        while found is None:
            self._halve()
            found = self._gradients()
        loss, tokens = found
        self._check_finite("loss", loss)
        if tokens:
            self._update()
        progress.loss_sum += loss
        progress.tokens += tokens
        progress.step += 1
        last = progress.step == plan.total
        due = last or (settings.validate_steps is not None and progress.step % settings.validate_steps == 0)
        val_loss = self._validate() if due else None
        if last or val_loss is not None or progress.step % plan.row_steps == 0:
            progress.close_row(progress.step / plan.per_epoch, settings.lr * factor, val_loss)
        if self.world == 1:
            check_left_out(dict(self.network.left_out), self.frames)
        if last or progress.step % plan.checkpoint_steps == 0:
            self._save()
        seen = plan.seen(progress.step) - plan.seen(progress.step - 1)
        advance(seen, f"stage {self.job.stage} step {progress.step} loss {loss / max(1, tokens):.3f}")

    def _gradients(self) -> tuple[float, int] | None:
        """Add up the gradients of a step's examples; the sum of their losses and the number of tokens, over all
        processes. None where a part did not fit into some process's memory."""
        step, parts = self.progress.step, self.progress.parts
        torch.manual_seed(derived_seed("language", self.settings.seed, step, self.rank))
        self.shared.clear()
        batches, tokens = self._batches(step, self._talks(step))
        if step + 1 < self.plan.total:
            self.feeder.ahead(step + 1, self._talks(step + 1), parts)
        found, short = self._backward(batches, tokens) if tokens else ([0.0, 0.0], False)
        loss, counted, missing = summed([*found, float(short)], self.accelerator.device)
        if missing:
            return None
        if counted != tokens:
            raise ValueError(f"the module counts {counted:g} tokens of answers where the labels have {tokens}")
        return loss, tokens

    def _batches(self, key: object, talks: list[Conversation]) -> tuple[list[Batch], int]:
        """This process's share of examples in batches, in place of an empty one some other where all must go through a
        pass, and the tokens of answers in all processes' shares."""
        batches: list[Batch] = []
        error: Exception | None = None
        try:
            batches = self.feeder.take(key, talks, self.progress.parts)
            own = sum(answer_tokens(batch) for batch in batches)
            if self.shared.sharded and not all(batches):
                self._prepare_blank()
        except Exception as found:  # the other processes, too, are told before they wait for this one
            error, own = found, 0
        (tokens,) = summed([float(own)], self.accelerator.device, error)
        return batches, int(tokens)

    def _backward(self, batches: list[Batch], tokens: int) -> tuple[list[float], bool]:
        """Gradients of this process's parts over `tokens`; their sum of losses and tokens, and if memory was short."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
        try:
            for number, batch in enumerate(batches):
                if not batch and not self.shared.sharded:
                    continue
                out = self.shared.loss(batch or self._blank)
                counts = 1.0 if batch else 0.0
                self.shared.backward(out[0] * (counts / tokens), last=number + 1 == len(batches))
                sums += out.detach().double() * counts
            return sums.tolist(), False
        except torch.cuda.OutOfMemoryError as error:
            if self.shared.sharded:  # the other processes wait in this pass and cannot be told
                raise self._no_memory("a part of a batch: raise `accumulation`") from error
        return [0.0, 0.0], True

    def _update(self) -> None:
        error, norm, skipped = None, 0.0, False
        try:
            norm, skipped = self.shared.update()
        except torch.cuda.OutOfMemoryError:
            error = self._no_memory("the optimiser's state: lower `lora.r`, or use several GPUs with FSDP")
        summed([], self.accelerator.device, error)
        self._check_finite("gradient's norm", norm)
        self.progress.skipped += skipped

    def _halve(self) -> None:
        """Work off batches in twice as many parts from now on. Raises DetectorError where a part is one example."""
        progress = self.progress
        self.shared.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if progress.parts * self.world >= self.settings.batch_size:
            raise self._no_memory(
                "a single example: set `gradient_checkpointing`, a lower `max_length`, or load the LLM in fewer bits"
            )
        progress.parts *= 2
        if self.accelerator.is_main_process:
            log.warning(
                "step %d: the memory does not hold a part of a batch; from here on a batch is worked off in %d parts",
                progress.step + 1,
                progress.parts,
            )

    def _validate(self) -> float | None:
        """Mean loss over the tokens of the validation answers, in eval mode; None where there are none."""
        found = self._judged()
        while found is None:
            self._halve()
            found = self._judged()
        self.network.train_mode()
        loss, tokens = found
        self._check_finite("validation loss", loss)
        if not tokens and self.progress.learned:
            self._refuse_unseen()
        return loss / tokens if tokens else None

    def _refuse_unseen(self) -> None:
        """Raise NothingJudged where there are validation answers and nothing of any can be learned from."""
        if self.val:
            self._share_left_out()
            first = self.val[0]
            known = self.progress.left_out
            why = known.get(first.frame.id) or known.get(f"{first.frame.id}: {first.question}", "the answer is empty")
            who = f"validation of '{self.job.card.name}', stage {self.job.stage}"
            raise NothingJudged.of(who, "questions", len(self.val), first.frame.id, why)

    def _judged(self) -> tuple[float, float] | None:
        """The sum of the validation losses and their tokens, over all processes; None where memory was short."""
        self.network.module.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self.accelerator.device)
        short, size = False, self.settings.batch_size
        for start in range(0, len(self.val), size):
            batches, _ = self._batches(("validation", start), self.val[start : start + size])
            try:
                for batch in [] if short else batches:
                    if batch or self.shared.sharded:
                        out = self.shared.judged(batch or self._blank)
                        sums += out.double() * (1.0 if batch else 0.0)
            except torch.cuda.OutOfMemoryError as error:
                if self.shared.sharded:
                    raise self._no_memory("a part of a batch: raise `accumulation`") from error
                short = True  # the others are still told with each batch that this one goes on
        loss, tokens, missing = summed([*sums.tolist(), float(short)], self.accelerator.device)
        return None if missing else (loss, tokens)

    def _talks(self, step: int) -> list[Conversation]:
        return [self.train[number] for number in self.plan.batch(step)]

    def _prepare_blank(self) -> None:
        """Find an example that can be learned from, for a process without one in a pass that all must go through."""
        for number, talk in enumerate(self.train):
            if self._blank:
                return
            self._blank = self.feeder.take(("blank", number), [talk] * self.world, 1)[0]
        if not self._blank:
            raise DetectorError(f"detector '{self.job.card.name}': no example can be learned from: mend the dataset")

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise DetectorError(
                f"detector '{self.job.card.name}': the {what} is {value} at step {self.progress.step + 1}: lower `lr`, "
                f"or set `clip_grad_norm`, in the card's settings of stage {self.job.stage}"
            )

    def _no_memory(self, what: str) -> DetectorError:
        return DetectorError(f"detector '{self.job.card.name}': the GPU's memory does not hold {what}")

    def _share_left_out(self) -> None:
        """Let every process know what any has left out. Raises DataError where it is too much."""
        left_out = self.network.left_out
        for other in gathered(dict(left_out)):
            left_out.update(other)
        self.progress.left_out = dict(left_out)
        check_left_out(self.progress.left_out, self.frames)

    def _save(self) -> None:
        self._share_left_out()
        if not self.shared.keeps:
            return
        tensors, optimizer = self.shared.state()
        with together():
            if self.accelerator.is_main_process:
                checkpoint = Checkpoint(tensors, None, optimizer, dataclasses.asdict(self.progress))
                save_checkpoint(self.job.out, self.progress.step, checkpoint, best_is_new=False)

    def _finish(self) -> FitReport:
        """Write the last weights and the report."""
        self._share_left_out()
        if not self.progress.learned:
            why = next(iter(self.progress.left_out.values()), "their answers are empty")
            raise DetectorError(
                f"detector '{self.job.card.name}': no example could be learned from, the first was {why}: raise "
                f"max_length in the card's settings of stage {self.job.stage}, or take fewer image tokens"
            )
        tensors = self.shared.weights()
        network, out = self.network, self.job.out
        report = FitReport(out / WEIGHTS, None, self.progress.curves, network.options, self._notes())
        with together():
            if self.accelerator.is_main_process:
                self._write(report, tensors)
        self.accelerator.free_memory()
        return report

    def _write(self, report: FitReport, tensors: Tensors) -> None:
        """Write weights and report. Raises DetectorError for weights that are no numbers."""
        network, out = self.network, self.job.out
        for name, value in tensors.items():
            if not torch.isfinite(value).all():
                raise DetectorError(
                    f"detector '{self.job.card.name}': '{name}' is not finite after the last step: lower `lr`"
                )
        make_folder(out)
        if network.write is None:
            write_tensors(report.weights, tensors, network.metadata)
        else:
            network.write(out, tensors)
        write_report(self.job, report)

    def _notes(self) -> list[str]:
        plan, progress, settings = self.plan, self.progress, self.settings
        steps = f"{plan.total} steps ({plan.total / plan.per_epoch:.3g} epochs of {plan.examples} examples)"
        losses = [row["val_loss"] for row in progress.curves if "val_loss" in row]
        how = "no validation loss was measured"
        if losses:
            how = f"validation loss {losses[0]:.4f} before the first, {losses[-1]:.4f} after the last"
        notes = [f"last weights taken, after {steps}; {how}", *left_out_notes(progress.left_out, self.frames)]
        if progress.parts != settings.accumulation:
            notes.append(f"memory was short: batches in {progress.parts} parts, not {settings.accumulation}")
        if progress.skipped:
            notes.append(f"{progress.skipped} steps changed nothing: fp16 gradients overflowed")
        # Both decide the rounding of sums, and with it the last digits of the weights.
        notes.append(f"trained on {self.accelerator.device.type}, {torch.get_num_threads()} threads a process")
        if self.world > 1:
            notes.append(f"each batch shared out over {self.world} processes")
        if self.shared.sharded:
            notes.append(f"the network sharded by {self.accelerator.distributed_type.value}")
        return [*notes, *self.network.notes]
