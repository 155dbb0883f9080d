"""Job of a training: from a detector's card and a dataset to frames, settings, questions and what it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from pydantic import ValidationError

from ..cards.models import DetectorCard, problem_of
from ..cards.quick import altered_card
from ..cards.settings import StageSettings, TaughtAnswers, TrainingSettings
from ..core.clips import join_clips
from ..core.errors import CardError, DataError, DetectorError, near
from ..core.records import FAKE, REAL, Example, Frame, Question
from ..datasets.calls import answer_rows_of, has_landmarks, has_masks, questions_of
from ..datasets.dataset import Dataset
from ..datasets.joined import joined
from ..datasets.landmarks import Landmarks
from ..datasets.read_ahead import read_mask
from ..datasets.stated import STATED, ask_about_regions, stated_questions
from ..detectors.base import Trainable
from ..loading import detector_card
from ..stats.delong import auc_or_none
from ..training.frames import split_frames
from ..training.job import LanguageData, TrainingJob

S = TypeVar("S", TrainingSettings, StageSettings)


class TrainingData(NamedTuple):
    """What a training learns from."""

    settings: TrainingSettings
    train: list[Frame]
    val: list[Frame]
    language: LanguageData | None
    """Examples of a later stage."""
    start: DetectorCard | None
    """The trained detector that a later stage starts from."""


def trainable_card(
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


def own_settings(seed: int | None, precision: str | None) -> dict[str, Any]:
    """Return the settings of a training in place of its card's; None keeps the card's."""
    return {key: value for key, value in (("seed", seed), ("precision", precision)) if value is not None}


def training_data(
    card: DetectorCard, dataset: Dataset, stage: str, start: str | Path | DetectorCard | None, own: dict[str, Any]
) -> TrainingData:
    """Return settings, training and validation frames, and for a later stage its examples and what it starts from."""
    settings = card.training or TrainingSettings()
    if stage == "detector":
        if start is not None:
            raise DetectorError("--from is for the stages align and tune: stage detector starts from the card alone")
        settings = _replaced(settings, own)
        return TrainingData(settings, *split_frames(dataset, settings), None, None)
    begun = _start(card, start, stage)
    # The same people are held out as in the detector's own training, so that it has not seen them either.
    settings = begun.training or settings
    everything = {"frames_per_video": None, "val_frames": None}
    training, validation = split_frames(dataset, settings.model_copy(update=everything))
    learning = _replaced(card.stages.get(cast("Literal['align', 'tune']", stage)) or StageSettings(), own)
    if not learning.val_examples:
        training = sorted([*training, *(one for one in validation if one.split == "train")], key=lambda one: one.id)
        validation = [one for one in validation if one.split != "train"]
    language = language_data(dataset, learning, training, validation)
    return TrainingData(settings, training, validation, language, begun)


def make_job(
    card: DetectorCard, cls: type[Trainable], dataset: Dataset, stage: str, data: TrainingData, device: str
) -> TrainingJob:
    """Return the job of a training, without a folder and an identity.

    Raises CardError for a source of single frames on a card of clips, and as the dataset's landmarks do.
    """
    settings, training, validation, language, begun = data
    length = cls.clip_frames(card)
    if length > 1 and settings.source is not None:
        raise CardError(
            f"detector '{card.name}': training.source '{settings.source.name}' makes samples of single frames, and "
            f"the detector judges clips of {length}: remove the source"
        )
    landmarks = None
    if settings.source is not None and stage == "detector" and has_landmarks(dataset.adapter):
        landmarks = Landmarks.of(dataset.adapter, [*training, *validation])
    return TrainingJob(
        card=card,
        settings=settings,
        train=join_clips(training, length) if length > 1 else training,
        val=join_clips(validation, length) if length > 1 else validation,
        read=joined(dataset, length).read if length > 1 else dataset.adapter.read,
        auc=auc_or_none,
        out=Path(),
        identity="",
        device=device,
        stage=stage,
        start=begun,
        mask=partial(read_mask, dataset.adapter) if stage == "detector" and has_masks(dataset.adapter) else None,
        landmarks=landmarks,
        language=language,
    )


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
            for question, answers in _taught(dataset, split, kind, settings.answers_to(kind))
            if question.frame in there
            for answer in answers
        ]

    found = LanguageData(settings, listed(training), listed(validation))
    if not found.train:
        kinds = ", ".join(settings.questions)
        raise DataError(
            f"dataset '{dataset.name}' has no questions of the kind {kinds} about its training images: change "
            "stages.questions on the detector's card, or use a dataset with questions (ddvqa-c40, synthetic)"
        )
    if settings.classes == "balanced":
        found.train = balanced(found.train, dataset.name)
    return found


def _taught(
    dataset: Dataset, split: str, kind: str, answers: TaughtAnswers
) -> Iterator[tuple[Question, tuple[str, ...]]]:
    """Yield the questions of a split and kind, each with the answers that are examples."""
    if kind == STATED:
        own = questions_of(dataset.adapter, split, "released")
        if not ask_about_regions(own):
            for question, found in stated_questions(questions_of(dataset.adapter, split, "blind")):
                chosen = {"rows": found, "all": question.references, "first": question.references[:1]}
                yield question, chosen[answers]
            return
        kind = "released"
    rows = answer_rows_of(dataset.adapter, split, kind) if answers == "rows" else {}
    for question in questions_of(dataset.adapter, split, kind):
        found = rows.get(question.id, question.references)
        yield question, found[:1] if answers == "first" else found


def balanced(examples: list[Example], dataset: str) -> list[Example]:
    """Return examples about reals and about fakes in equal numbers: the rarer ones are repeated in their order.

    Raises DataError if there are none of one class.
    """
    own = {label: [one for one in examples if one.frame.label == label] for label in (REAL, FAKE)}
    rare, common = sorted(own.values(), key=len)
    if not rare:
        raise DataError(
            f"dataset '{dataset}' has questions about images of one class alone, so a stage with `classes: balanced` "
            "cannot learn from it: set stages.classes to natural on the detector's card"
        )
    return examples + [rare[number % len(rare)] for number in range(len(common) - len(rare))]


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
