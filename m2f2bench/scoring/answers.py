"""What numbers about answers rest on: every question of a protocol with its answer, its truth, and the signature."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.models import EXPLANATION, DatasetCard, DetectorCard, ExplanationCard, ProtocolCard
from ..core.answers import Answers, joined
from ..core.connected import factorize, first_rows
from ..core.errors import CardError, DataError, NothingJudged, ScoreError
from ..core.records import Answer, Frame, Question, question_digest
from ..datasets.dataset import Dataset
from ..datasets.digests import frame_digests
from ..datasets.listing import altered_regions_of
from ..datasets.planning import spread_by_method
from ..loading import load_dataset, load_explanation, measured_dataset
from ..metrics.explanation import Explained, explain, text_settings
from ..results.read_answers import read_answer_files
from ..results.result import Result
from ..results.signature import (
    DETECTOR,
    altered_hash,
    answer_fields,
    detector_fields,
    drawn_field,
    question_hash,
    short,
)
from ..results.stored import stored_at, stored_card
from ..results.units import clusters
from ..stats.statistic import Codes

log = logging.getLogger("m2f2bench")


@dataclass(frozen=True, eq=False)
class AnswerPlan:
    """The questions of a protocol on a dataset's split, with all that scoring and controls need to know of them.

    `altered` are the manipulated regions by frame id, as far as they are known. `training` are the training split's
    questions of the same kinds with their references, as controls take them.
    """

    dataset: Dataset
    split: str
    protocol: ExplanationCard
    questions: list[Question]
    limit: int | None = None
    altered: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def frames(self) -> dict[str, Frame]:
        """The split's frames by id."""
        return {frame.id: frame for frame in self.dataset.frames(self.split)}

    @cached_property
    def pixels(self) -> dict[str, str]:
        """The digest of the image behind each question, by frame id; empty for one that cannot be read."""
        about = dict.fromkeys(question.frame for question in self.questions)
        return frame_digests(self.dataset, [self.frames[name] for name in about])

    @cached_property
    def training(self) -> list[Question]:
        """The training split's questions; empty where there is no training split or it has none."""
        from .controls import training_pool

        if "train" not in self.dataset.splits:
            return []
        return [question for kind in self.protocol.questions for question in training_pool(self.dataset, kind)]


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """One explainer's answers to all questions of a protocol. `measured` has the fields of the signature."""

    answers: Answers
    asked: AnswerPlan
    measured: dict[str, Any]
    card: DetectorCard | None = None
    predicted: dict[str, Any] = field(default_factory=dict)
    """Device and versions of what answered, as far as that is known."""

    @property
    def detector(self) -> str:
        """The explainer's name."""
        return str(self.measured["det"])

    @property
    def protocol(self) -> ExplanationCard:
        """The protocol they are scored by."""
        return self.asked.protocol

    @property
    def signature(self) -> str:
        """The short form."""
        return short(self.measured)

    @cached_property
    def explained(self) -> Explained:
        """The protocol's metrics, ready to be resampled."""
        return explain(self.answers, self.protocol, self.asked.altered)

    @cached_property
    def clusters(self) -> tuple[Codes, int, str]:
        """What is drawn as one: a code per question, how many there are, and what decides it."""
        return question_clusters(self.answers, self.protocol.bootstrap.cluster)


def question_clusters(answers: Answers, wanted: str) -> tuple[Codes, int, str]:
    """A code per question, so that all questions about images that are drawn together have one; see `units.clusters`.

    With `frame` the questions of an image are drawn together.
    """
    frame, _ = factorize(answers.frame)
    once = np.zeros(len(answers), dtype=bool)
    once[first_rows(frame)] = True
    codes, by = clusters(answers.only(once), wanted)
    return codes[frame], int(codes.max(initial=-1)) + 1, by


def plan_questions(
    dataset: str | DatasetCard | Dataset,
    protocol: str | ProtocolCard | ExplanationCard,
    split: str = "test",
    limit: int | None = None,
) -> AnswerPlan:
    """The questions of a protocol on a dataset. `limit` takes that many images, evenly spread.

    Raises DataError for a dataset without such questions.
    """
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    card = load_explanation(protocol)
    loaded.check_split(split)
    questions: list[Question] = []
    for kind in card.questions:
        found = loaded.questions(split, kind)
        if not found:
            raise DataError(f"dataset '{loaded.name}' has no {kind} questions, which protocol '{card.name}' asks")
        questions += found
    _check_unique(questions)
    if limit is not None:
        about = {question.frame for question in questions}
        frames = [frame for frame in loaded.frames(split) if frame.id in about]
        kept = {frame.id for frame in spread_by_method(frames, limit)}
        questions = [question for question in questions if question.frame in kept]
    return AnswerPlan(loaded, split, card, questions, limit, _altered(loaded, split))


def _altered(dataset: Dataset, split: str) -> dict[str, frozenset[str]]:
    try:
        return altered_regions_of(dataset.adapter, split)
    except DataError as error:
        log.warning("%s: which regions are manipulated is not known: %s", dataset.name, error)
        return {}


def _check_unique(questions: Sequence[Question]) -> None:
    seen: dict[str, Question] = {}
    for question in questions:
        if question.id in seen:
            raise DataError(f"question id '{question.id}' stands for two questions: ids must be unique in a dataset")
        seen[question.id] = question


def gather_answers(
    answers: Mapping[str, Answer],
    asked: AnswerPlan,
    by: Mapping[str, Any],
    card: DetectorCard | None = None,
    predicted: Mapping[str, Any] | None = None,
) -> ScoredAnswers:
    """ScoredRows from answers by question id; `by` are the explainer's fields of the signature.

    Raises NothingJudged where no question has an answer.
    """
    columns = joined(asked.questions, asked.frames, answers)
    if not (columns.status == "ok").any():
        who = f"{by['det']} on {asked.dataset.name}"
        first = [str(getattr(columns, name)[0]) for name in ("question", "status", "message")]
        raise NothingJudged.of(who, "questions", len(columns), *first)
    bert = "none"
    if "bertscore_f1" in asked.protocol.metrics:
        from ..metrics.text.metrics import bert_identity

        bert = bert_identity(text_settings(asked.protocol))
    n = len(asked.questions)
    altered = altered_hash(asked.altered, asked.pixels) if "region_f1" in asked.protocol.metrics else "none"
    codes, _, by_what = question_clusters(columns, asked.protocol.bootstrap.cluster)
    drawn = drawn_field(by_what, codes[np.argsort(columns.question, kind="stable")].tolist())
    fields = answer_fields(
        asked.dataset.name,
        asked.split,
        question_hash(columns, asked.pixels),
        n,
        asked.protocol,
        asked.limit,
        bert,
        drawn,
        altered,
    )
    return ScoredAnswers(columns, asked, fields | dict(by), card, dict(predicted or {}))


def load_answers(
    *paths: str | Path,
    protocol: str | ProtocolCard | ExplanationCard | None = None,
    dataset: str | DatasetCard | Dataset | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> ScoredAnswers:
    """ScoredRows from one explainer's answers: a run's folder, or files that complete each other.

    See `read_answer_files` for what a file may be. Protocol, dataset and split default to the run's own; files need
    both. Raises ScoreError or DataError in one line.
    """
    places = [Path(path).expanduser() for path in paths]
    stored = stored_at(places[0]) if len(places) == 1 else None
    result = stored.result if stored is not None and stored.result.task == EXPLANATION else None
    asked = _asked_of(result, places[0], protocol, dataset, split)
    files = [place.parent if place.suffix == ".json" else place for place in places]
    found = read_answer_files(files, asked.questions, columns)
    if result is not None:
        by = {key: result.measured[key] for key in DETECTOR if key in result.measured}
        card = stored_card(DetectorCard, result.detector_card, places[0]) if result.detector_card else None
    else:
        name = detector or "+".join(p.stem for p in places)
        by, card = detector_fields(name, "unknown", "unknown", "unknown", environment="unknown"), None
    if detector is not None:
        if "/" in detector or "\\" in detector or detector.startswith("."):
            raise ScoreError(f"'{detector}' is no explainer's name: leave out slashes and a leading point")
        by = by | {"det": detector}
    _refuse_stale(found, asked, places[0])
    return gather_answers(found, asked, by, card, result.predicted if result is not None else None)


def _refuse_stale(answers: Mapping[str, Answer], asked: AnswerPlan, place: Path) -> None:
    """Raise ScoreError for an answer to another question, or about other pixels, than the dataset has now."""
    questions = {question.id: question for question in asked.questions}
    for name, answer in answers.items():
        question = questions[name]
        if answer.wording and answer.wording != question_digest(question):
            raise ScoreError(
                f"'{place}': question '{name}' had another text when it was answered than '{asked.dataset.name}' has "
                f"now; ask again"
            )
        now = asked.pixels[question.frame]
        if answer.digest and answer.digest != now:
            raise ScoreError(
                f"'{place}': question '{name}' was answered about other pixels of '{question.frame}' than "
                f"'{asked.dataset.name}' has now; ask again"
            )


def _asked_of(
    result: Result | None,
    place: Path,
    protocol: str | ProtocolCard | ExplanationCard | None,
    dataset: str | DatasetCard | Dataset | None,
    split: str,
) -> AnswerPlan:
    limit = None
    if result is not None:
        protocol = protocol or stored_card(ExplanationCard, result.protocol_card, place)
        if dataset is None:
            dataset, split = measured_dataset(result.dataset, place), result.split
        told = result.measured.get("limit")
        limit = told if isinstance(told, int) else None
    if protocol is None:
        raise CardError(f"'{place}' holds answers: say which questions they are to (--protocol explain-blind, …)")
    if dataset is None:
        raise ScoreError(f"answers are held against a dataset's references: give --dataset with '{place}'")
    return plan_questions(dataset, protocol, split, limit)
