"""P(fake) of training images by networks that did not learn from their people, and the scaling of P(fake) to it."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit

from ...cards.models import DetectorCard
from ...core.errors import DetectorError, FrameError
from ...core.files import write_json
from ...core.parsing import Refused, read_json
from ...core.records import FAKE, Frame
from ...datasets.read_ahead import read_pixels
from ...training.frames import people_folds
from ...training.job import FitReport, TrainingJob
from ...training.processes import is_main_process, together
from .options import KEY, ExplainerOptions, Platt, explainer_options

if TYPE_CHECKING:
    import numpy.typing as npt

    from .detector import M2F2Detector

log = logging.getLogger(__name__)
EVIDENCE = "evidence.json"
"""File beside the detector's weights: identity of the training, and each frame's logit."""
FOLDS = "folds"
"""Folder of the networks of the folds, until there is the evidence."""
TOGETHER = 32
"""Images that are judged at once."""
FLATTEST = 1e-3
"""Least factor of Platt's scaling, which never turns the order of scores round."""

Logits = dict[str, dict[str, float]]
"""Split and frame id to the logit, fake less real."""
Fit = Callable[[TrainingJob], FitReport]


class Folded(NamedTuple):
    """What the folds of a training gave: Platt's scaling, the seconds that they took, and a line for the report."""

    platt: Platt
    seconds: float
    note: str


def learn_folds(job: TrainingJob, fit: Fit, cls: type[M2F2Detector], count: int) -> Folded:
    """Train a network without each fold's people, and write the evidence beside the job's weights.

    A training frame is judged by the network that did not learn from its people; a validation frame, from which none
    learned, by all: the mean of their logits. `fit` trains `cls`, a detector without an LLM. Each fold is a training of
    its own, which can be resumed. Raises DataError for fewer groups of people than folds, and as `fit` does.
    """
    path = job.out / EVIDENCE
    with together():
        folds = people_folds(job.train, count, job.settings.seed)
        done = job.resume and path.is_file()
    if not done:
        reports = [fit(_without(job, fold, number)) for number, fold in enumerate(folds, start=1)]
        with together():
            if is_main_process():
                logits = _judged(job, [_trained(job, cls, report) for report in reports], folds)
                seconds = sum(report.seconds for report in reports)
                write_json(path, {"identity": job.identity, "seconds": seconds, "logits": logits})
                shutil.rmtree(job.out / FOLDS, ignore_errors=True)
    with together():
        content = _content(path, job.identity)
    known = content["logits"]
    rows = [(known[one.split][one.id], one.label) for one in job.train if one.id in known.get(one.split, {})]
    platt = platt_scaling([one[0] for one in rows], [one[1] for one in rows], job.settings.classes == "balanced")
    judged = f"P(fake) of {len(rows)} training frames by {count} networks that did not learn from their people"
    return Folded(platt, content["seconds"], f"{judged}; scaled: {platt[0]:.3g} × logit {platt[1]:+.3g}")


def platt_scaling(logits: Sequence[float], labels: Sequence[int], balanced: bool) -> Platt:
    """Return (a, b) of P(fake) = sigmoid(a · logit + b), which fits labels (1 fake) best (Platt 1999).

    The targets are Platt's (n + 1) / (n + 2) and 1 / (n + 2) for a class of n. With `balanced` both classes weigh the
    same. a is at least FLATTEST: the order of scores stays.
    """
    from scipy.optimize import minimize

    z, fake = np.asarray(logits, dtype=np.float64), np.asarray(labels) == FAKE
    many, few = int(fake.sum()), int((~fake).sum())
    targets = np.where(fake, (many + 1) / (many + 2), 1 / (few + 2))
    weights = np.where(fake, 1 / max(1, many), 1 / max(1, few)) if balanced else np.ones(len(z))
    weights = weights / weights.sum()

    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        x = values[0] * z + values[1]
        error = weights * (expit(x) - targets)
        total = (weights * (np.logaddexp(0, x) - targets * x)).sum()
        return float(total), np.array([(error * z).sum(), error.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=[(FLATTEST, None), (None, None)], tol=1e-14)
    return float(found.x[0]), float(found.x[1])


class Evidence:
    """P(fake) of the images that an explainer learns from, by networks that did not learn from their people."""

    def __init__(self, logits: Logits, platt: Platt) -> None:
        self._logits, self._platt = logits, platt

    def probability(self, frame: Frame) -> float | None:
        """Return P(fake) of a frame; None for one that is not known."""
        logit, (factor, shift) = self._logits.get(frame.split, {}).get(frame.id), self._platt
        return None if logit is None else float(expit(factor * logit + shift))


def evidence_of(start: DetectorCard, options: ExplainerOptions, frames: Sequence[Frame]) -> Evidence | None:
    """Return the evidence of a trained detector for these frames; None if its card asks for no folds.

    Raises DetectorError if there is none, or it is of other frames.
    """
    folds, platt = _held(start)
    if options.folds != folds:
        raise DetectorError(
            f"'{start.folder}' was trained with explainer.folds {folds}, but the card has {options.folds}: train its "
            "stage `detector` again, or change explainer.folds"
        )
    if platt is None:
        return None
    found = Evidence(_content(start.folder / EVIDENCE)["logits"], platt)
    if all(found.probability(one) is None for one in frames):
        raise DetectorError(
            f"'{start.folder / EVIDENCE}' knows none of the {len(frames)} images: train stage `detector` on the same "
            "dataset, or set explainer.folds to 0"
        )
    return found


def evidence_digest(start: DetectorCard) -> str:
    """Return a hash of a trained detector's evidence, with its scaling; "" without."""
    _, platt = _held(start)
    path = start.folder / EVIDENCE
    if platt is None or not path.is_file():
        return ""
    return hashlib.sha256(repr(platt).encode() + path.read_bytes()).hexdigest()[:16]


def _held(start: DetectorCard) -> tuple[int, Platt | None]:
    """Return the number of folds that a trained detector has evidence of, and its scaling."""
    if KEY not in start.options:
        return 0, None
    options = explainer_options(start)
    return (options.folds, options.platt) if options.platt is not None else (0, None)


def _without(job: TrainingJob, fold: Sequence[Frame], number: int) -> TrainingJob:
    """Return the training of the network that does not learn from a fold's frames."""
    held = {(one.split, one.id) for one in fold}
    identity = hashlib.sha256(f"{job.identity} fold {number}".encode()).hexdigest()[:32]
    kept = [one for one in job.train if (one.split, one.id) not in held]
    log.info("fold %d: %d of %d training frames", number, len(kept), len(job.train))
    return replace(job, train=kept, out=job.out / FOLDS / str(number), identity=identity)


def _trained(job: TrainingJob, cls: type[M2F2Detector], report: FitReport) -> M2F2Detector:
    options = {**job.card.options, **report.options}
    where = str(report.weights.absolute())  # a relative path on a card is one from the card's folder
    return cls.from_card(job.card.model_copy(update={"weights": where, "options": options}), job.device)


def _judged(job: TrainingJob, networks: Sequence[M2F2Detector], folds: Sequence[Sequence[Frame]]) -> Logits:
    """Return the logits of all frames that can be read."""
    found: Logits = {}
    for network, fold in zip(networks, folds, strict=True):
        for frame, logit in _each(job, network, fold):
            found.setdefault(frame.split, {})[frame.id] = logit
    held: dict[tuple[str, str], list[float]] = {}
    for network in networks:
        for frame, logit in _each(job, network, job.val):
            held.setdefault((frame.split, frame.id), []).append(logit)
    for (split, name), logits in held.items():
        found.setdefault(split, {})[name] = float(np.mean(logits))
    return found


def _each(job: TrainingJob, network: M2F2Detector, frames: Sequence[Frame]) -> Iterator[tuple[Frame, float]]:
    """Yield frames with a network's logits; an unreadable frame is left out, as training did."""
    for first in range(0, len(frames), TOGETHER):
        readable, images = [], []
        for frame in frames[first : first + TOGETHER]:
            try:
                images.append(network.prepare(read_pixels(job.read, frame)))
            except FrameError:
                continue
            readable.append(frame)
        yield from zip(readable, network.logits(images).tolist(), strict=True)


def _content(path: Path, identity: str | None = None) -> dict[str, Any]:
    """Return a file of evidence. Raises DetectorError for one that is not there, or not of the training `identity`."""
    try:
        data: Any = read_json(path)
    except (OSError, Refused) as error:
        raise DetectorError(f"'{path}', the detector's evidence, cannot be read: {error}; train it again") from None
    if not isinstance(data, dict) or not isinstance(data.get("logits"), dict):
        raise DetectorError(f"'{path}' is not a detector's evidence: train it again")
    if identity is not None and data.get("identity") != identity:
        raise DetectorError(f"'{path}' is of another training: remove it, or give another --out")
    return data
