"""Training as a job: card and dataset in, a trained detector's card with its record out."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from .adapters.base import Adapter
from .backends.base import Trainable, file_fingerprint, trained_weights
from .cards import DatasetCard, DetectorCard, read_card
from .errors import DataError, DetectorError, first_line, near
from .files import make_folder, write_json, write_text
from .loading import Dataset, detector_card, load_dataset
from .protocol import check_unique, list_frames, spread
from .records import Conversation, Frame
from .rules import FrameSelection
from .scoring.delong import auc_or_none
from .settings import StageSettings, TrainingSettings
from .signature import versions
from .training.job import FitReport, Talk, TrainingJob
from .training.processes import agreed, is_main_process, join, together
from .version import __version__

CARD, RECORD = "card.yaml", "training.json"
FINGERPRINT_FRAMES = 256


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
) -> Path:
    """Fit a trainable detector on a dataset's `train` split and return the trained detector's card.

    The folder `out` (default `runs/trained/<detector>--<dataset>`) gets the weights, `card.yaml`, which `run` takes
    as a detector, and `training.json`: card, seed, data fingerprint, versions, commit, curves. Validation is the
    dataset's `val` split, or is carved from `train` by identity; `test` is never looked at. With `resume` a training
    that was cut off goes on to the very same weights, and a finished one is left as it is. `seed` overrides the
    card's.

    The stages after `detector` learn from the dataset's questions and their answers, as the card's `stages` say, and
    begin with what the stage before them trained: `start`, its folder; by default `detector` itself, where that is one.
    Raises M2F2BenchError.
    """
    join(device)
    with together():
        job, place, cls, fingerprint = _planned(detector, dataset, stage, start, out, resume, device, seed)
        finished = _finished(job.out, job.identity, resume)
    agreed(
        (job.identity, finished), "data, cards or folders: give all of them the same dataset, and an --out on one disk"
    )
    if finished:
        return job.out / CARD
    with together():
        make_folder(job.out)
    report = cls.fit(job)
    with together():
        place.adapter.close()
        if is_main_process():
            _write(job, report, place, fingerprint)
    return job.out / CARD


def _planned(
    detector: str | DetectorCard,
    dataset: str | DatasetCard | Adapter,
    stage: str,
    start: str | Path | DetectorCard | None,
    out: str | Path | None,
    resume: bool,
    device: str,
    seed: int | None,
) -> tuple[TrainingJob, Dataset, type[Trainable], str]:
    """The training that `train` is asked for: job, dataset, the detector's class and the data's fingerprint."""
    card, cls = detector_card(detector)
    if not issubclass(cls, Trainable):
        raise DetectorError(f"detector '{card.name}' (backend {card.backend}) has nothing to train")
    if stage not in cls.stages:
        raise DetectorError(f"detector '{card.name}' has no stage '{stage}'{near(stage, cls.stages)}")
    settings = card.training or TrainingSettings()
    place = load_dataset(dataset)
    talk, begun = None, None
    if stage != "detector":
        begun = _start(card, start, stage)
        # The people held out are those of the detector's own training, so that it has not seen them either.
        settings = begun.training or settings
        training, validation = split_frames(place, settings.model_copy(update={"frames_per_video": None}))
        talk = conversations(place, _stage_settings(card, stage, seed), training, validation)
    else:
        if start is not None:
            raise DetectorError("--from is for the stages align and tune: stage detector starts from the card alone")
        if seed is not None:
            settings = settings.model_copy(update={"seed": seed})
        training, validation = split_frames(place, settings)
    fingerprint = data_fingerprint(place.adapter, training, validation)
    more = [*_begun(talk, begun), *filter(None, [cls.identity(card, stage)])]
    identity = _identity(card, settings, place, stage, fingerprint, *more)
    folder = Path(out) if out is not None else Path("runs/trained") / _folder_name(card.name, place.name, stage)
    job = TrainingJob(
        card=card,
        settings=settings,
        train=training,
        val=validation,
        read=place.adapter.read,
        auc=auc_or_none,
        out=folder,
        identity=identity,
        resume=resume,
        device=device,
        stage=stage,
        start=begun,
        talk=talk,
    )
    return job, place, cls, fingerprint


def _folder_name(detector: str, dataset: str, stage: str) -> str:
    return f"{detector}--{dataset}" + ("" if stage == "detector" else f"--{stage}")


def _start(card: DetectorCard, start: str | Path | DetectorCard | None, stage: str) -> DetectorCard:
    """The trained detector that a later stage begins with. Raises DetectorError where there is none."""
    if start is None:
        if card.weights is None:
            raise DetectorError(
                f"detector '{card.name}' is not trained, and stage `{stage}` begins with what the stage before it "
                "trained: give its folder with --from"
            )
        return card
    return detector_card(str(start) if isinstance(start, Path) else start)[0]


def _stage_settings(card: DetectorCard, stage: str, seed: int | None) -> StageSettings:
    settings = card.stages.get(cast("Literal['align', 'tune']", stage)) or StageSettings()
    return settings if seed is None else settings.model_copy(update={"seed": seed})


def conversations(dataset: Dataset, settings: StageSettings, training: list[Frame], validation: list[Frame]) -> Talk:
    """The dataset's questions about these frames with their answers, an example for each answer.

    Raises DataError where there are none.
    """

    def listed(frames: list[Frame]) -> list[Conversation]:
        there = {frame.id: frame for frame in frames}
        return [
            Conversation(there[question.frame], question.text, answer)
            for split in dict.fromkeys(frame.split for frame in frames)
            for kind in settings.questions
            for question in dataset.adapter.questions(split, kind)
            if question.frame in there
            for answer in (question.references if settings.answers == "all" else question.references[:1])
        ]

    found = Talk(settings, listed(training), listed(validation))
    if not found.train:
        kinds = ", ".join(settings.questions)
        raise DataError(
            f"dataset '{dataset.name}' has no questions of the kind {kinds} about its training images: mend "
            "stages.questions on the detector's card, or take a dataset with questions (ddvqa-c40, synthetic)"
        )
    return found


def _begun(talk: Talk | None, start: DetectorCard | None) -> list[Any]:
    """What of a later stage decides its weights: what it begins with, its settings, all that is said."""
    if talk is None or start is None:
        return []
    digest = hashlib.sha256()
    for one in (*talk.train, *talk.val):
        digest.update("\0".join((one.frame.id, one.question, one.answer)).encode("utf-8", "surrogatepass"))
    weights = trained_weights(start)
    return [talk.settings.model_dump(mode="json"), digest.hexdigest(), file_fingerprint(weights)]


def split_frames(dataset: Dataset, settings: TrainingSettings) -> tuple[list[Frame], list[Frame]]:
    """Training and validation frames; no identity is in both (DataError where the dataset's own splits share one)."""
    from .training.split import carve_validation

    count = settings.frames_per_video
    selection = FrameSelection(which="uniform", count=count) if count else FrameSelection()

    def listed(split: str) -> list[Frame]:
        frames = list_frames(dataset.adapter, split, selection)
        if not frames:
            raise DataError(f"dataset '{dataset.name}': split '{split}' has no frames: nothing to train on")
        check_unique(frames)
        return frames

    training = listed("train")
    if "val" not in dataset.card.splits:
        return carve_validation(training, settings.val_fraction, settings.seed)
    validation = listed("val")
    people = {person for frame in training for person in frame.identities}
    shared = next((p for frame in validation for p in frame.identities if p in people), None)
    if shared is not None:
        raise DataError(f"dataset '{dataset.name}': identity '{shared}' is in train and in val: the splits must differ")
    return training, validation


def data_fingerprint(adapter: Adapter, training: list[Frame], validation: list[Frame]) -> str:
    """16 hex digits over the list of all frames and the pixels of 256 of them, spread evenly."""
    digest = hashlib.sha256()
    for frame in (*training, *validation):
        digest.update(json.dumps([frame.id, frame.video, frame.label, frame.method, frame.identities]).encode())
    for frame in spread([*training, *validation], FINGERPRINT_FRAMES):
        try:
            digest.update(adapter.digest(frame, adapter.read(frame)).encode())
        except Exception:  # an unreadable frame is the fit's to report; here it only leaves no digest
            digest.update(b"unreadable")
    return digest.hexdigest()[:16]


def _identity(
    card: DetectorCard, settings: TrainingSettings, dataset: Dataset, stage: str, fingerprint: str, *more: Any
) -> str:
    """A hash of everything that decides the weights."""
    content = card.model_dump(mode="json", exclude={"description", "licence", "reference", "training", "stages"})
    parts = [content, settings.model_dump(mode="json"), dataset.name, stage, fingerprint, __version__, *more]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _finished(folder: Path, identity: str, resume: bool) -> bool:
    """Whether this very training is done already. Raises DetectorError where the folder holds something else."""
    path = folder / RECORD
    if not path.is_file():
        return False
    try:
        held = json.loads(path.read_text(encoding="utf-8")).get("identity")
    except (OSError, ValueError, AttributeError) as error:
        raise DetectorError(f"'{path}' cannot be read: {first_line(error)}; give another --out, or remove it") from None
    if held != identity:
        raise DetectorError(
            f"'{folder}' holds a training with another card, seed, dataset or version: give another --out, or remove it"
        )
    if not resume:
        raise DetectorError(f"'{folder}' holds this training, finished: use it as the detector, or give another --out")
    read_card("detectors", folder / CARD)
    return True


def _write(job: TrainingJob, report: FitReport, dataset: Dataset, fingerprint: str) -> None:
    card, out = job.card, job.out
    before = job.start.training_datasets if job.start is not None else ()
    seen = tuple(dict.fromkeys((*before, *card.training_datasets, dataset.name)))
    trained = card.model_copy(
        update={
            "weights": report.weights.name,
            "training_datasets": seen,
            "training": job.settings,
            "options": {**card.options, **report.options},
        }
    )
    record: dict[str, Any] = {
        "identity": job.identity,
        "detector": card.name,
        "dataset": dataset.name,
        "stage": job.stage,
        "seed": job.settings.seed,
        "card": card.model_dump(mode="json"),
        "dataset_card": dataset.card.model_dump(mode="json"),
        "settings": job.settings.model_dump(mode="json"),
        "data_fingerprint": fingerprint,
        "n_train": _counts(job.train),
        "n_val": _counts(job.val),
        "val_auc": report.val_auc,
        "curves": report.curves,
        "notes": report.notes,
        **_talked(job),
        "versions": versions(),
        "commit": _commit(),
    }
    text = yaml.safe_dump(trained.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=110)
    write_text(out / CARD, text)
    write_json(out / RECORD, record)  # last: its presence means that the training is finished


def _talked(job: TrainingJob) -> dict[str, Any]:
    """What the record of a later stage says besides."""
    if job.talk is None or job.start is None:
        return {}
    return {
        "stage_settings": job.talk.settings.model_dump(mode="json"),
        "n_conversations": {"train": len(job.talk.train), "val": len(job.talk.val)},
        "start": {"detector": job.start.name, "weights": file_fingerprint(trained_weights(job.start))},
    }


def _counts(frames: list[Frame]) -> dict[str, int]:
    return {
        "frames": len(frames),
        "real": sum(frame.label == 0 for frame in frames),
        "fake": sum(frame.label == 1 for frame in frames),
        "videos": len({frame.video for frame in frames}),
        "identities": len({person for frame in frames for person in frame.identities}),
    }


def _commit() -> str | None:
    """The checkout's commit, `-dirty` where it has changes; None outside a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != here.parent:
            return None
        return git("rev-parse", "HEAD").strip() + ("-dirty" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
