"""Answers ready for scoring: every question of a protocol with its answer, its truth, and the signature."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.folders import EXPLANATION, HEATMAPS
from ..cards.models import AnyProtocol, DatasetCard, DetectorCard, ExplanationCard
from ..core.answers import Answers, joined
from ..core.arrays import Codes
from ..core.connected import factorize, first_rows
from ..core.errors import CardError, DataError, NothingJudged, ScoreError
from ..core.files import user_path
from ..core.frame_lists import column, only
from ..core.records import Answer, Frame, Question, question_digest
from ..datasets.calls import altered_regions_of
from ..datasets.dataset import Dataset, frame_digests, spread_by_method
from ..datasets.scenes import scene_warning
from ..loading import load_dataset, load_explanation, measured_dataset
from ..metrics.answer_metrics import AnswerMetrics, answer_metrics
from ..metrics.text.bert import bert_identity
from ..results.in_memory import InMemory
from ..results.read_answers import read_answer_files
from ..results.result import Result
from ..results.signature import DETECTOR, altered_hash, answer_fields, detector_fields, drawn_field, question_hash
from ..results.store import ANSWERS
from ..results.stored import run_name, stored_at, stored_card
from ..results.units import clusters
from .controls import training_pool
from .scored import OWN, Origin, Scored, Source

log = logging.getLogger("m2f2bench")


@dataclass(frozen=True, eq=False)
class AnswerPlan:
    """The questions of a protocol on a dataset's split, with everything that scoring and controls need.

    `altered` are the manipulated regions by frame id, for the frames where they are known.
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
        """The digest of each question's image, by frame id; empty for an image that cannot be read."""
        about = dict.fromkeys(question.frame for question in self.questions)
        return frame_digests(self.dataset, [self.frames[name] for name in about])

    @cached_property
    def training(self) -> list[Question]:
        """The training split's questions of the same kinds; empty if there are none."""
        if "train" not in self.dataset.splits:
            return []
        return [question for kind in self.protocol.questions for question in training_pool(self.dataset, kind)]


@dataclass(frozen=True, eq=False)
class ScoredAnswers(Scored):
    """One explainer's answers to all questions of a protocol."""

    protocol: ExplanationCard
    answers: Answers
    plan: AnswerPlan
    clusters: tuple[Codes, int, str]
    """The clusters to resample: a code per question, their number, and their unit."""

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        plan = self.plan
        return run_name(self.detector, plan.dataset.name, plan.protocol.name, plan.split, plan.limit)

    @cached_property
    def explained(self) -> AnswerMetrics:
        """The protocol's metrics, ready to be resampled."""
        return answer_metrics(self.answers, self.protocol, self.plan.altered)


def question_clusters(answers: Answers, wanted: str) -> tuple[Codes, int, str]:
    """Return a code per question, the number of clusters, and their unit; see `units.clusters`.

    All questions about an image have the same code.
    """
    frame, _ = factorize(answers.frame)
    once = np.zeros(len(answers), dtype=bool)
    once[first_rows(frame)] = True
    codes, by = clusters(answers.only(once), wanted)
    return codes[frame], int(codes.max(initial=-1)) + 1, by


def plan_questions(
    dataset: str | DatasetCard | Dataset,
    protocol: str | AnyProtocol,
    split: str = "test",
    limit: int | None = None,
) -> AnswerPlan:
    """List the questions of a protocol on a dataset. `limit` takes that many images, evenly spread.

    Raises DataError if the dataset has no such questions.
    """
    loaded = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    card = load_explanation(protocol)
    loaded.check_split(split)
    questions: list[Question] = []
    for kind in card.questions:
        found = loaded.questions(split, kind)
        if not found:
            raise DataError(f"dataset '{loaded.name}' has no {kind} questions, which protocol '{card.name}' needs")
        questions += found
    _check_unique(questions)
    if limit is not None:
        about = {question.frame for question in questions}
        kept = set(column(spread_by_method(only(loaded.frames(split), about), limit), "id"))
        questions = [question for question in questions if question.frame in kept]
    return AnswerPlan(loaded, split, card, questions, limit, _altered(loaded, split))


def _altered(dataset: Dataset, split: str) -> dict[str, frozenset[str]]:
    try:
        return altered_regions_of(dataset.adapter, split)
    except DataError as error:
        log.warning("%s: the manipulated regions are unknown: %s", dataset.name, error)
        return {}


def _check_unique(questions: Sequence[Question]) -> None:
    seen: dict[str, Question] = {}
    for question in questions:
        if question.id in seen:
            raise DataError(f"question id '{question.id}' is used for two questions: ids must be unique in a dataset")
        seen[question.id] = question


def gather_answers(
    answers: Mapping[str, Answer],
    plan: AnswerPlan,
    by: Mapping[str, Any],
    card: DetectorCard | None = None,
    predicted: Mapping[str, Any] | None = None,
) -> ScoredAnswers:
    """Return answers ready for scoring, from answers by question id; `by` has the explainer's fields of the signature.

    Raises NothingJudged if no question has an answer.
    """
    columns = joined(plan.questions, plan.frames, answers)
    if not (columns.status == "ok").any():
        who = f"{by['det']} on {plan.dataset.name}"
        first = [str(getattr(columns, name)[0]) for name in ("question", "status", "message")]
        raise NothingJudged.of(who, "questions", len(columns), *first)
    bert = "none"
    if "bertscore_f1" in plan.protocol.metrics:
        bert = bert_identity(plan.protocol.bertscore)
    altered = altered_hash(plan.altered, plan.pixels) if "region_f1" in plan.protocol.metrics else "none"
    clustered = question_clusters(columns, plan.protocol.bootstrap.cluster)
    drawn = drawn_field(clustered[2], clustered[0][np.argsort(columns.question, kind="stable")].tolist())
    data, place = question_hash(columns, plan.pixels), (plan.dataset.name, plan.split)
    of, crop, number = plan.dataset.card, plan.dataset.crop, len(plan.questions)
    fields = answer_fields(*place, data, number, plan.protocol, plan.limit, bert, drawn, altered, crop)
    warnings = tuple(filter(None, [scene_warning(of)]))
    more: dict[str, Any] = {"warnings": warnings, "people": of.people, "crop": crop}
    origin = Origin(*place, plan.limit, dict(by), card, dict(predicted or {}), of.corpus, **more)
    return ScoredAnswers(plan.protocol, fields | origin.by, origin, columns, plan, clustered)


def load_answers(*paths: str | Path | InMemory, source: Source = OWN) -> ScoredAnswers:
    """Load one explainer's answers from a run's folder, from memory, or from files that complete each other.

    See `read_answer_files` for the file formats. Protocol, dataset and split default to the run's own; for other files
    protocol and dataset are required. Raises ScoreError or DataError in one line.
    """
    places = [path if isinstance(path, InMemory) else user_path(path) for path in paths]
    stored = stored_at(places[0]) if len(places) == 1 and isinstance(places[0], Path) else None
    if stored is not None and stored.result.task != EXPLANATION:
        what = {HEATMAPS: "heat maps"}.get(stored.result.task, "P(fake) of frames")
        raise ScoreError(f"'{places[0]}' holds {what}: this takes answers to questions")
    for place in places:
        if isinstance(place, InMemory):
            continue
        if not place.exists():
            raise ScoreError(f"there is no file or folder '{place}'")
        if place.is_dir() and not (place / ANSWERS).is_file():
            raise ScoreError(f"'{place}' holds no answers to questions: give a run's folder, which has '{ANSWERS}'")
    result = stored.result if stored is not None and stored.result.task == EXPLANATION else None
    plan = _plan_of(result, places[0], source)
    files = [place.parent if isinstance(place, Path) and place.suffix == ".json" else place for place in places]
    found = read_answer_files(files, plan.questions, source.columns)
    if result is not None:
        by = {key: result.measured[key] for key in DETECTOR if key in result.measured}
        card = stored_card(DetectorCard, result.detector_card, Path(str(places[0]))) if result.detector_card else None
    else:
        stems = (place.name if isinstance(place, InMemory) else place.stem for place in places)
        name = source.detector or "+".join(stems)
        by, card = detector_fields(name, "unknown", "unknown", "unknown", environment="unknown"), None
    if (detector := source.detector) is not None:
        if "/" in detector or "\\" in detector or detector.startswith("."):
            raise ScoreError(f"'{detector}' is not a valid name of an explainer: leave out slashes and a leading dot")
        by = by | {"det": detector}
    _refuse_stale(found, plan, places[0])
    return gather_answers(found, plan, by, card, result.predicted if result is not None else None)


def _refuse_stale(answers: Mapping[str, Answer], plan: AnswerPlan, place: Path | InMemory) -> None:
    """Raise ScoreError for an answer to a question, or about pixels, that have changed in the dataset."""
    questions = {question.id: question for question in plan.questions}
    for name, answer in answers.items():
        question = questions[name]
        if answer.wording and answer.wording != question_digest(question):
            raise ScoreError(
                f"'{place}': the text of question '{name}' has changed in '{plan.dataset.name}' since it was "
                f"answered; ask again"
            )
        now = plan.pixels[question.frame]
        if answer.digest and answer.digest != now:
            raise ScoreError(
                f"'{place}': the pixels of '{question.frame}' have changed in '{plan.dataset.name}' since question "
                f"'{name}' was answered; ask again"
            )


def _plan_of(result: Result | None, place: Path | InMemory, source: Source) -> AnswerPlan:
    protocol, dataset, split, limit = source.protocol, source.dataset, source.split, None
    if result is not None:
        run = Path(str(place))
        protocol = protocol or stored_card(ExplanationCard, result.protocol_card, run)
        if dataset is None:
            dataset, split = measured_dataset(result.dataset, run), result.split
        limit = result.limit
    option = "{}=" if isinstance(place, InMemory) else "--{} "
    if protocol is None:
        named = f"{option.format('protocol')}explain-blind"
        raise CardError(f"'{place}' holds answers: name the protocol of their questions ({named}, …)")
    if dataset is None:
        named = option.format("dataset").strip()
        raise ScoreError(f"answers are scored against a dataset's references: give {named} with '{place}'")
    return plan_questions(dataset, protocol, split, limit)
