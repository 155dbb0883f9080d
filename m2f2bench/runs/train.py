"""Training of a detector, from its card and a dataset to the trained one's card."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ..cards.models import DatasetCard, DetectorCard, read_card
from ..cards.registry import is_file_reference
from ..core.arguments import checked
from ..core.cores import processor_name, usable_cores
from ..core.errors import DetectorError
from ..core.files import replacing, write_json, write_text
from ..core.identity import UNKNOWN, identify
from ..core.locks import holding
from ..core.parsing import Refused, read_json
from ..core.places import moved, without_folders
from ..core.sources import Unidentified
from ..datasets.base import Adapter
from ..datasets.calls import close_adapter
from ..datasets.dataset import Dataset
from ..datasets.landmarks import Landmarks
from ..datasets.scenes import announce
from ..detectors.base import Trainable, file_fingerprint, trained_weights
from ..detectors.keys import device_title
from ..faces.crops import CropCard
from ..faces.find import DEFAULT as FINDER
from ..faces.find import FaceFinder
from ..faces.wanted import LARGEST, Wanted
from ..loading import load_dataset
from ..results.signature import versions
from ..training.curves import RECORD, TrainedCard
from ..training.job import FitReport, TrainingJob
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
from .training_job import make_job, own_settings, trainable_card, training_data

CARD = "card.yaml"


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
    own = own_settings(seed, precision)
    with together():
        cropped = Wanted.of(crop, finder, faces)
        card, cls = trainable_card(detector, stage, quick, size)
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
    data = training_data(card, place, stage, start, own)
    settings, training, validation, language, begun = data
    job = make_job(card, cls, place, stage, data, device)
    if is_main_process():
        announce(place, "train", training)
    fingerprint = data_fingerprint(place, training, validation)
    read = cls.stage_card(card, stage)
    source = _Source.of(read, cls)
    if resume and source.code.startswith(UNKNOWN):
        raise DetectorError(
            f"detector '{card.name}': cannot check that its code is unchanged ({source.code}): "
            "start again without --resume"
        )
    known = [f"landmarks {job.landmarks.digest()}"] if isinstance(job.landmarks, Landmarks) else []
    known += [f"masks {masks_digest(place, training)}"] if job.mask is not None and needs_masks(settings) else []
    taken = [cls.identity(card, stage), "" if begun is None else cls.start_identity(begun), source.code]
    more = [*stage_identity(language, begun), *filter(None, taken), *known]
    identity = training_identity(read, settings, place, stage, fingerprint, *more)
    name = f"{card.name}--{place.name}" + ("" if stage == "detector" else f"--{stage}")
    folder = Path(out) if out is not None else Path("runs/trained") / name
    return _Planned(replace(job, out=folder, identity=identity, resume=resume), place, cls, fingerprint, source)


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
        "machine": _machine(job.device),
        "versions": versions(),
        "commit": commit(),
    }
    content = trained.model_dump(mode="json", exclude_defaults=True)
    if report.input is not None:  # in full: the rest would be looked up in the network again
        content["input"] = trained.input.model_dump(mode="json")
    source.write(out)
    write_text(out / CARD, yaml.safe_dump(content, sort_keys=False, width=110))
    write_json(out / RECORD, record)  # last: its presence means that the training is finished


def _machine(device: str) -> dict[str, Any]:
    """Return what a training ran on, which decides how its sums are rounded."""
    found = {"processor": processor_name(), "cores": usable_cores()}
    if (torch := sys.modules.get("torch")) is None:
        return found
    from ..training.device import pick_device

    chosen = pick_device(device)
    idle = chosen.type == "cuda" and not torch.cuda.is_initialized()  # a method without a network
    return {"device": "cpu" if idle else device_title(chosen), **found, "threads": torch.get_num_threads()}


def _stage_record(job: TrainingJob) -> dict[str, Any]:
    """Return the additional entries in the record of a later stage."""
    if job.language is None or job.start is None:
        return {}
    return {
        "stage_settings": job.language.settings.model_dump(mode="json"),
        "n_conversations": {"train": len(job.language.train), "val": len(job.language.val)},
        "start": {"detector": job.start.name, "weights": file_fingerprint(trained_weights(job.start))},
    }
