"""Training of a detector, from its card and a dataset to the trained one's card."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import yaml
from pydantic import ValidationError

from ..cards.models import DatasetCard, DetectorCard, problem_of, read_card
from ..cards.quick import altered_card
from ..cards.registry import is_file_reference
from ..cards.settings import StageSettings, TrainingSettings
from ..core.arguments import checked
from ..core.clips import join_clips
from ..core.errors import CardError, DataError, DetectorError, near
from ..core.files import replacing, write_json, write_text
from ..core.identity import UNKNOWN, identify
from ..core.locks import holding
from ..core.parsing import Refused, read_json
from ..core.places import moved, without_folders
from ..core.records import Example, Frame
from ..core.sources import Unidentified
from ..datasets.base import Adapter, close_adapter, has_landmarks, has_masks, questions_of
from ..datasets.dataset import Dataset
from ..datasets.joined import joined
from ..datasets.landmarks import Landmarks
from ..datasets.read_ahead import read_mask
from ..datasets.scenes import announce
from ..detectors.base import Trainable, file_fingerprint, trained_weights
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted
from ..loading import detector_card, load_dataset
from ..results.signature import versions
from ..stats.delong import auc_or_none
from ..training.curves import RECORD, TrainedCard
from ..training.frames import split_frames
from ..training.job import FitReport, LanguageData, TrainingJob
from ..training.processes import agreed, is_main_process, join, together
from ..version import commit
from .training_identity import (
    data_fingerprint,
    frame_counts,
    masks_digest,
    needs_masks,
    stage_identity,
    training_identity,
)

CARD = "card.yaml"
S = TypeVar("S", TrainingSettings, StageSettings)


@checked
def train(
    detector: str | DetectorCard,
    dataset: str | DatasetCard | Adapter,
    *,
    stage: str = "detector",
    start: str | Path | DetectorCard | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    crop: str | Path | CropCard | None = None,
    finder: str | FaceFinder = FINDER,
    faces: str = LARGEST,
    quick: bool = False,
    precision: str | None = None,
    size: int | None = None,
) -> TrainedCard:
    """Fit a trainable detector on a dataset's `train` split and return the trained detector's card.

    The folder `out` (default `runs/trained/<detector>--<dataset>`) gets the weights, `card.yaml`, which `run` accepts
    as a detector, and `training.json`: card, seed, data fingerprint, versions, commit, curves. Validation is the
    dataset's `val` split, or a part of `train` with other identities; `test` is never read. With `resume` an
    interrupted training goes on to exactly the same weights, and a finished one is left unchanged; a second one into
    the folder of one that goes on is refused. `seed` and `precision` (fp32, bf16 or fp16) replace the card's. With
    `crop` faces are found in a dataset of scenes, and their crops are learned from, see `run`. With `quick` the
    training is scaled to minutes on two cores (`NAME-quick`); `size` is the pictures' side in pixels (`NAME-96px`).

    The stages after `detector` learn from the dataset's questions and answers, as the card's `stages` say. They start
    from the result of the stage before: `start` is its folder, by default `detector` itself if that is trained.
    Raises M2F2BenchError.
    """
    join(device)
    own = {key: value for key, value in (("seed", seed), ("precision", precision)) if value is not None}
    with together():
        cropped = Wanted.of(crop, finder, faces)
        card, cls = _trainable(detector, stage, quick, size)
        planned = _planned(card, cls, dataset, stage, start, out, resume, device, own, cropped)
        job = planned.job
        finished = _finished(job.out, job.identity, resume)
    agreed(
        (job.identity, finished), "data, cards or folders: give all of them the same dataset, and an --out on one disk"
    )
    if finished:
        return TrainedCard(job.out / CARD)
    with contextlib.ExitStack() as held:
        with together():
            if is_main_process():
                held.enter_context(holding(job.out))
            finished = _finished(job.out, job.identity, resume)  # by another process, until now
            planned.source.check(job.out)
        if not finished:
            report = planned.backend.fit(job)
            with together():
                close_adapter(planned.dataset.adapter)
                if is_main_process():
                    _write(planned, report)
    return TrainedCard(job.out / CARD)


@dataclass(frozen=True)
class _Planned:
    """Training to carry out: the job, its data with their fingerprint, and the code that does it."""

    job: TrainingJob
    dataset: Dataset
    backend: type[Trainable]
    fingerprint: str
    source: _Source


def _planned(
    card: DetectorCard,
    cls: type[Trainable],
    dataset: str | DatasetCard | Adapter,
    stage: str,
    start: str | Path | DetectorCard | None,
    out: str | Path | None,
    resume: bool,
    device: str,
    own: dict[str, Any],
    cropped: Wanted,
) -> _Planned:
    """Return the training for the arguments of `train`; `own` has settings in place of the card's."""
    place = cropped.on(load_dataset(dataset))
    settings, training, validation, language, begun = _data(card, place, stage, start, own)
    length = cls.clip_frames(card)
    if length > 1 and settings.source is not None:
        raise CardError(
            f"detector '{card.name}': training.source '{settings.source.name}' makes samples of single frames, and "
            f"the detector judges clips of {length}: remove the source"
        )
    if is_main_process():
        announce(place, "train", training)
    fingerprint = data_fingerprint(place, training, validation)
    source = _Source.of(card, cls)
    if resume and source.code.startswith(UNKNOWN):
        raise DetectorError(
            f"detector '{card.name}': cannot check that its code is unchanged ({source.code}): "
            "start again without --resume"
        )
    landmarks = None
    if settings.source is not None and stage == "detector" and has_landmarks(place.adapter):
        landmarks = Landmarks.of(place.adapter, [*training, *validation])
    masked = stage == "detector" and has_masks(place.adapter)
    known = [] if landmarks is None else [f"landmarks {landmarks.digest()}"]
    known += [f"masks {masks_digest(place, training)}"] if masked and needs_masks(settings) else []
    more = [*stage_identity(language, begun), *filter(None, [cls.identity(card, stage), source.code]), *known]
    identity = training_identity(card, settings, place, stage, fingerprint, *more)
    name = f"{card.name}--{place.name}" + ("" if stage == "detector" else f"--{stage}")
    folder = Path(out) if out is not None else Path("runs/trained") / name
    if length > 1:
        training, validation = join_clips(training, length), join_clips(validation, length)
    job = TrainingJob(
        card=card,
        settings=settings,
        train=training,
        val=validation,
        read=joined(place, length).read if length > 1 else place.adapter.read,
        auc=auc_or_none,
        out=folder,
        identity=identity,
        resume=resume,
        device=device,
        stage=stage,
        start=begun,
        mask=partial(read_mask, place.adapter) if masked else None,
        landmarks=landmarks,
        language=language,
    )
    return _Planned(job, place, cls, fingerprint, source)


def _trainable(
    detector: str | DetectorCard, stage: str, quick: bool, size: int | None
) -> tuple[DetectorCard, type[Trainable]]:
    """Return the card to train, as `quick` and `size` alter it, and its backend. Raises DetectorError and CardError."""
    card, cls = detector_card(detector)
    if not issubclass(cls, Trainable):
        raise DetectorError(f"detector '{card.name}' (backend {card.backend}) has nothing to train")
    if stage not in cls.stages:
        raise DetectorError(f"detector '{card.name}' has no stage '{stage}'{near(stage, cls.stages)}")
    if stage == "detector":
        return altered_card(card, partial(cls.takes_size, card), quick, size), cls
    if size is not None:
        raise DetectorError("--size is for stage detector: later stages have the pictures of that one")
    if quick:
        raise DetectorError(
            f"--quick is for stage detector: for stage {stage} set `max_steps` in stages.{stage} of the card"
        )
    return card, cls


def _data(
    card: DetectorCard, dataset: Dataset, stage: str, start: str | Path | DetectorCard | None, own: dict[str, Any]
) -> tuple[TrainingSettings, list[Frame], list[Frame], LanguageData | None, DetectorCard | None]:
    """Return settings, training and validation frames, and for a later stage its examples and what it starts from."""
    settings = card.training or TrainingSettings()
    if stage == "detector":
        if start is not None:
            raise DetectorError("--from is for the stages align and tune: stage detector starts from the card alone")
        settings = _replaced(settings, own)
        return settings, *split_frames(dataset, settings), None, None
    begun = _start(card, start, stage)
    # The same people are held out as in the detector's own training, so that it has not seen them either.
    settings = begun.training or settings
    everything = {"frames_per_video": None, "val_frames": None}
    training, validation = split_frames(dataset, settings.model_copy(update=everything))
    learning = card.stages.get(cast("Literal['align', 'tune']", stage)) or StageSettings()
    language = language_data(dataset, _replaced(learning, own), training, validation)
    return settings, training, validation, language, begun


def _replaced(settings: S, own: dict[str, Any]) -> S:
    """Return settings with some values of its own. Raises DetectorError if these are none, or do not fit the others."""
    try:
        return type(settings).model_validate(settings.model_dump() | own)
    except ValidationError as error:
        raise DetectorError(f"this training's settings: {problem_of(type(settings), error)}") from None


def _start(card: DetectorCard, start: str | Path | DetectorCard | None, stage: str) -> DetectorCard:
    """Return the trained detector that a later stage starts from. Raises DetectorError if there is none."""
    if start is not None:
        return detector_card(str(start) if isinstance(start, Path) else start)[0]
    if card.weights is None:
        raise DetectorError(
            f"detector '{card.name}' is not trained, and stage `{stage}` starts from the stage before it: give its "
            f"folder with --from"
        )
    return card


def language_data(
    dataset: Dataset, settings: StageSettings, training: list[Frame], validation: list[Frame]
) -> LanguageData:
    """Return an example for each answer to the dataset's questions about these frames.

    Raises DataError if there are none about the training frames.
    """

    def listed(frames: list[Frame]) -> list[Example]:
        there = {frame.id: frame for frame in frames}
        return [
            Example(there[question.frame], question.text, answer)
            for split in dict.fromkeys(frame.split for frame in frames)
            for kind in settings.questions
            for question in questions_of(dataset.adapter, split, kind)
            if question.frame in there
            for answer in (question.references if settings.answers == "all" else question.references[:1])
        ]

    found = LanguageData(settings, listed(training), listed(validation))
    if not found.train:
        kinds = ", ".join(settings.questions)
        raise DataError(
            f"dataset '{dataset.name}' has no questions of the kind {kinds} about its training images: change "
            "stages.questions on the detector's card, or use a dataset with questions (ddvqa-c40, synthetic)"
        )
    return found


def _finished(folder: Path, identity: str, resume: bool) -> bool:
    """Return whether this training is already finished. Raises DetectorError if the folder holds another one."""
    path = folder / RECORD
    if not path.is_file():
        return False
    try:
        record = read_json(path)
    except Refused as error:
        raise DetectorError(f"'{path}' cannot be read: {error}; give another --out, or remove it") from None
    held = record.get("identity") if isinstance(record, dict) else None
    if held != identity:
        raise DetectorError(
            f"'{folder}' holds a training with another card, seed, dataset or version: give another --out, or remove it"
        )
    if not resume:
        raise DetectorError(f"'{folder}' holds this training, finished: use it as the detector, or give another --out")
    read_card("detectors", folder / CARD)
    return True


@dataclass(frozen=True)
class _Source:
    """Python file that a card names as its backend, as it was when training began; empty for other backends.

    A copy is written beside the trained weights, so that their folder can be moved. `code` is a hash of the user's own
    code in the detector's class, and of the files that the card names.
    """

    name: str = ""
    content: bytes = b""
    code: str = ""

    @classmethod
    def of(cls, card: DetectorCard, backend: type) -> _Source:
        try:
            code = identify(backend, card.options, card.weights_path(), folders=(card.folder,))
        except Unidentified as error:
            code = f"{UNKNOWN}: {error}"
        if not is_file_reference(card.backend):
            return cls(code=code)
        path = card.folder / Path(card.backend.rpartition(":")[0]).expanduser()
        return cls(path.name, path.read_bytes(), code)

    def check(self, folder: Path) -> None:
        """Raise DetectorError if the copy would replace another file."""
        place = folder / self.name
        if self.name and place.exists() and place.read_bytes() != self.content:
            raise DetectorError(f"'{folder}' holds another '{self.name}': give another --out, or remove it")

    def backend(self, card: DetectorCard) -> str:
        """Return the backend for the trained card."""
        return f"{self.name}:{card.backend.rpartition(':')[2]}" if self.name else card.backend

    def write(self, folder: Path) -> None:
        """Write the copy into the folder."""
        if self.name:
            with replacing(folder / self.name) as temporary:
                temporary.write_bytes(self.content)


def _write(planned: _Planned, report: FitReport) -> None:
    job, dataset, source = planned.job, planned.dataset, planned.source
    card, out = job.card, job.out
    before = [*([job.start] if job.start is not None else []), card]
    datasets = dict.fromkeys([*(name for one in before for name in one.training_datasets), dataset.name])
    sources = [*(name for one in before for name in one.training_sources), dataset.card.corpus]
    people = dict.fromkeys([*(name for one in before for name in one.training_people), *dataset.card.people])
    trained = card.model_copy(
        update={
            "backend": source.backend(card),
            "weights": report.weights.name,
            "training_datasets": tuple(datasets),
            "training_sources": tuple(dict.fromkeys(sources)),
            "training_people": tuple(people),
            "training": job.settings,
            "options": moved({**card.options, **report.options}, [one.folder for one in before], out),
            "input": report.input or card.input,
        }
    )
    record: dict[str, Any] = {
        "identity": job.identity,
        "detector": card.name,
        "dataset": dataset.name,
        "training_sources": list(trained.training_sources),
        **({"training_people": list(people)} if people else {}),
        "stage": job.stage,
        "seed": job.settings.seed,
        "card": without_folders(card.model_dump(mode="json")),
        **({"crop": dataset.crop} if dataset.crop else {}),
        "dataset_card": without_folders(dataset.card.model_dump(mode="json")),
        "settings": job.settings.content(),
        "data_fingerprint": planned.fingerprint,
        "n_train": frame_counts(job.train),
        "n_val": frame_counts(job.val),
        # A class of somebody's own need not measure its time.
        "seconds": round(report.seconds or time.monotonic() - job.began, 1),
        "val_auc": report.val_auc,
        "curves": report.curves,
        "notes": report.notes,
        **_stage_record(job),
        "versions": versions(),
        "commit": commit(),
    }
    content = trained.model_dump(mode="json", exclude_defaults=True)
    if report.input is not None:  # in full: the rest would be looked up in the network again
        content["input"] = trained.input.model_dump(mode="json")
    source.write(out)
    write_text(out / CARD, yaml.safe_dump(content, sort_keys=False, width=110))
    write_json(out / RECORD, record)  # last: its presence means that the training is finished


def _stage_record(job: TrainingJob) -> dict[str, Any]:
    """Return the additional entries in the record of a later stage."""
    if job.language is None or job.start is None:
        return {}
    return {
        "stage_settings": job.language.settings.model_dump(mode="json"),
        "n_conversations": {"train": len(job.language.train), "val": len(job.language.val)},
        "start": {"detector": job.start.name, "weights": file_fingerprint(trained_weights(job.start))},
    }
