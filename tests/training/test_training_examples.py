"""Examples of the language stages: which of a dataset's questions and answers are taught."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from pydantic import ValidationError
from toy_questions import Faces

import m2f2bench
from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.records import Question
from m2f2bench.runs.training_job import language_data

KINDS = ("judge", "blind", "released")


class Answered(Faces):
    """Three answers to each question that has words of its own."""

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        found = super().questions(split, kind)
        more = () if kind == "judge" else ("Nothing is off.", "One can see it.")
        return [replace(one, references=(*one.references, *more)) for one in found]


def test_answers_by_kind_of_question() -> None:
    """All answers to one kind, the first ones to another, counted from the dataset's own questions."""
    dataset = m2f2bench.load_dataset(f"{__file__}:Answered")
    frames = list(dataset.frames("train"))[:12]
    known = {frame.id for frame in frames}
    asked = {kind: [one for one in dataset.questions(kind=kind, split="train") if one.frame in known] for kind in KINDS}
    taught = {}
    for answers in ("all", "first", {"released": "first"}):
        settings = StageSettings(questions=KINDS, answers=answers)  # type: ignore[arg-type]
        taught[str(answers)] = Counter(
            (one.frame.id, one.question, one.answer) for one in language_data(dataset, settings, frames, []).train
        )
    every = {kind: [(q.frame, q.text, answer) for q in asked[kind] for answer in q.references] for kind in KINDS}
    first = {kind: [(q.frame, q.text, q.references[0]) for q in asked[kind]] for kind in KINDS}
    assert taught["all"] == Counter(one for kind in KINDS for one in every[kind])
    assert taught["first"] == Counter(one for kind in KINDS for one in first[kind])
    assert taught["{'released': 'first'}"] == Counter([*every["judge"], *every["blind"], *first["released"]])
    assert len(first["released"]) < len(every["released"])


def test_answers_to_questions_that_are_not_asked() -> None:
    with pytest.raises(ValidationError, match="answers: released is not among the questions, blind"):
        StageSettings(questions=("blind",), answers={"released": "first"})


def test_one_word_for_all_kinds_is_the_training_of_before() -> None:
    assert StageSettings().content()["answers"] == "all" and StageSettings().answers_to("judge") == "all"
    assert StageSettings(questions=KINDS, answers={"released": "rows"}).answers_to("blind") == "all"
