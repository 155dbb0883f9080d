"""Plan of a training before it starts: steps, images, validations, memory, and the time by a rehearsal."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..cards.models import DatasetCard, DetectorCard
from ..core.arguments import checked
from ..core.errors import DetectorError
from ..core.progress import duration
from ..core.text import in_one_line
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..detectors.base import Trainable
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted
from ..loading import load_dataset
from ..training.job import Rehearsed, Rehearsing, TrainingJob
from .training_identity import frame_counts
from .training_job import make_job, own_settings, trainable_card, training_data


@dataclass(frozen=True)
class TrainingPlan:
    """What a training will take; None where it was not measured, or does not apply."""

    detector: str
    dataset: str
    stage: str
    train: dict[str, int]
    """Numbers of training frames, of each class, of their videos and people."""
    val: dict[str, int]
    """The same of the validation."""
    epochs: float | None
    """None for a detector that is fitted at once."""
    steps_per_epoch: int | None
    steps: int | None
    batch_size: int | None
    images: int | None
    """Images, or of a later stage examples, in all steps."""
    validations: int | None
    measured: Rehearsing | None = None
    """What the rehearsal found."""
    problem: str = ""
    """Why nothing was measured."""
    folds: int = 0
    """Further trainings, each without a part of the frames."""

    @property
    def seconds(self) -> float | None:
        """Expected seconds of all steps and validations; of those of the folds, too."""
        found = self.measured
        if found is None or found.step_seconds is None or self.steps is None:
            return None
        # K trainings on (K - 1) / K of the frames cost as much as K - 1 on all of them.
        trainings = max(1, self.folds)
        return trainings * (self.steps * found.step_seconds + (self.validations or 0) * (found.validation_seconds or 0))

    def __str__(self) -> str:
        """Return the plan as lines of text."""
        lines = [f"{self.detector} on {self.dataset}, stage {self.stage}"]
        for name, counts in (("train", self.train), ("validation", self.val)):
            lines.append(f"{name:<12}{', '.join(f'{count:,} {what}' for what, count in counts.items())}")
        unit = "images" if self.stage == "detector" else "examples"
        if self.steps is None:
            lines.append("steps       none: the training frames are fitted at once")
        else:
            lines.append(
                f"steps       {self.steps:,} of {self.batch_size} {unit}: {self.epochs:g} × {self.steps_per_epoch:,} "
                f"(epochs × steps); {self.images:,} {unit} in all"
            )
            lines.append(f"validations {self.validations}")
        if self.folds:
            lines.append(f"folds       {self.folds} more trainings, each without one in {self.folds} of the frames")
        return "\n".join([*lines, *self._measured()])

    def _measured(self) -> list[str]:
        found = self.measured
        if found is None or not found.looped:
            return [f"memory and time are not measured: {self.problem}"] if self.problem else []
        lines = [f"weights     {found.weights:,}, of which {found.trained:,} are trained"]
        sizes = [found.bytes[name] for name in ("weights", "training", "activations")]
        weights, training, activations, whole = map(_memory, [*sizes, sum(sizes)])
        lines.append(
            f"memory      {whole} expected: weights {weights}, gradients and optimiser {training}, activations of a "
            f"part of a batch {activations}"
        )
        if "largest" in found.bytes:
            lines.append(f"            {_memory(found.bytes['largest'])} were in use at most on the GPU")
        if self.seconds is not None:
            judged = f", {found.validation_seconds:.2f} s a validation" if found.validation_seconds is not None else ""
            lines.append(
                f"time        {duration(self.seconds)} expected: {found.step_seconds:.3f} s a step, the median of "
                f"{found.steps}{judged}"
            )
        return lines


def _memory(count: int) -> str:
    """Return a number of bytes in GiB, or in MiB if it is small."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"


@checked
def plan_training(
    detector: str | DetectorCard,
    dataset: str | DatasetCard | Adapter,
    *,
    stage: str = "detector",
    start: str | Path | DetectorCard | None = None,
    device: str = "auto",
    seed: int | None = None,
    crop: str | Path | CropCard | None = None,
    finder: str | FaceFinder = FINDER,
    faces: str = LARGEST,
    quick: bool = False,
    precision: str | None = None,
    size: int | None = None,
    seconds: float = 60.0,
) -> TrainingPlan:
    """Return what `train` with these arguments will take: steps, images, validations, memory and time.

    For memory and time the training begins and is given up after about `seconds`; 0 counts only. A later stage is
    counted without the stage that it starts from, too. Nothing is written. Raises M2F2BenchError as `train`; if the
    detector cannot be built here, `problem` says why.
    """
    own = own_settings(seed, precision)
    card, cls = trainable_card(detector, stage, quick, size)
    place = Wanted.of(crop, finder, faces).on(load_dataset(dataset))
    begun = card if start is None and card.weights is None and stage != "detector" else start
    data = training_data(card, place, stage, begun, own)
    job = make_job(card, cls, place, stage, data, device)
    measured, problem = None, ""
    if begun is card:
        problem = f"stage {stage} starts from the stage before it: give its folder with --from"
    elif seconds > 0:
        measured, problem = _rehearsed(job, cls, seconds)
    counts = _counted(job) if measured is None or measured.looped else dict.fromkeys(COUNTS)
    close_adapter(place.adapter)
    return TrainingPlan(
        card.name,
        place.name,
        stage,
        frame_counts(data.train),
        frame_counts(data.val),
        measured=measured,
        problem=problem,
        folds=cls.folds(card, stage),
        **counts,
    )


COUNTS = ("epochs", "steps_per_epoch", "steps", "batch_size", "images", "validations")


def _counted(job: TrainingJob) -> dict[str, Any]:
    """Return the numbers of steps of a job, and what is counted with them."""
    if job.language is not None:
        from ..training.language import Plan as Examples

        settings, examples = job.language.settings, len(job.language.train)
        plan = Examples(settings, examples)
        first = bool(settings.val_examples and job.language.val)
        every = settings.validate_steps or plan.total
        images = sum(len(plan.batch(step)) for step in range(plan.total))
        found = (plan.total / plan.per_epoch, plan.per_epoch, plan.total, settings.batch_size, images)
        return dict(zip(COUNTS, (*found, first * (1 + -(-plan.total // every))), strict=True))
    from ..training.losses.make import chosen_loss, make_loss
    from ..training.plan import make_plan
    from ..training.sources.base import make_source

    own = job.settings
    source = make_source(own.source, job.card.name)
    batches = make_plan(job, source, make_loss(chosen_loss(job)).pairs)
    size = len(batches.batches(0)[0]) * (1 if source is None else len(source.labels))
    total = batches.steps * own.epochs
    validations = -(-total // (own.validate_steps or batches.steps))
    return dict(zip(COUNTS, (own.epochs, batches.steps, total, size, total * size, validations), strict=True))


def _rehearsed(job: TrainingJob, cls: type[Trainable], seconds: float) -> tuple[Rehearsing | None, str]:
    """Return what a rehearsal finds, and the reason if it cannot be built here."""
    from ..training.rehearsal import Rehearsal

    found = Rehearsal(seconds)
    # Steps in which a part is held back cost less than those after them, of which there are more.
    job = replace(job, settings=job.settings.model_copy(update={"freeze_epochs": {}}))
    with tempfile.TemporaryDirectory() as folder:
        try:
            cls.fit(replace(job, out=Path(folder) / "rehearsal", rehearsal=found))
        except Rehearsed:
            pass
        except DetectorError as error:
            return None, in_one_line(str(error))
    return found, ""
