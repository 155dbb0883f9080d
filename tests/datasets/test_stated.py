"""Questions that state the label: made of annotations, they are those of M2F2-Det's release."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.records import FAKE, REAL, Question
from m2f2bench.datasets.dataset import Dataset
from m2f2bench.datasets.stated import STATED, ask_about_regions, released_manner, stated_questions
from m2f2bench.loading import load_dataset
from m2f2bench.runs.training_job import language_data

SKIN = (
    'The skin in the image is fake, tell me why. Answer in one sentence in the format"The skin ……". Instead of saying, '
    '"The skin is fake because" directly answer why like "The skin is overly smooth and lacks of details, such as skin '
    'texture. "'
)
WHOLE = "This image is fake. Describe the authenticity of the image based on"
OVAL = "The person has naturally oval eyes."
EYES = (
    "The eyes in the image are real, tell me why. Answer in one sentence in the format"
    '"The person has naturally …… eyes."'
)


@pytest.mark.parametrize(
    ("annotation", "released"),
    [
        ("The person's nose looks fake. The person's nose looks a bit fake because the nose lookes curved. . The nose "
         "is incomplete.", "The nose lookes curved. . The nose is incomplete."),
        ("The person's mouth looks fake. The person's mouth looks very fake because overly small mouth.",
         "overly small mouth."),
        ("The image looks fake. The person's eyes look very fake because no eyes. There are stains/flaws.",
         "No eyes. There are stains or flaws."),
        ("The person's skin looks real. The person has smooth skin.", "The person has smooth skin."),
        ("The person's skin looks real.", "The person's skin looks real."),
        ("a  dog", "a dog"),
    ],
)  # fmt: skip
def test_released_manner(annotation: str, released: str) -> None:
    assert released_manner(annotation) == released


@pytest.fixture
def crops(real_data: Path) -> Dataset:
    return load_dataset("ddvqa-c40")


def test_released_manner_on_the_released_references(crops: Dataset) -> None:
    made: dict[tuple[str, str], set[str]] = {}
    for question in crops.questions("test", "blind"):
        texts_ = {released_manner(text) for text in question.references}
        made.setdefault((question.frame, question.region), set()).update(texts_)
    asked = crops.questions("test", "released")
    regions = ["image" if "+" in q.region or q.region == "face" else q.region for q in asked]
    found = sum(q.references[0].strip() in made.get((q.frame, r), ()) for q, r in zip(asked, regions, strict=True))
    assert (found, len(asked)) == (1066, 1070)


def test_each_annotation_makes_a_question_and_equal_ones_are_one() -> None:
    whole = ("The image looks fake. The person's eyes look a bit fake because no eyes.", "The image looks fake. Odd.")
    skin = ("The person's skin looks fake. The person's skin looks very fake because there are stains/flaws.",) * 2
    neutral = [
        Question("a#0", "a", "Does the image looks real/fake?", whole, "image", FAKE),
        Question("a#1", "a", "Does the person's skin look real/fake?", (*skin, "Grey skin."), "skin", FAKE),
        Question("b#1", "b", "Do the person's eyes look real/fake?", (OVAL,), "eyes", REAL),
        Question("b#2", "b", "Do the person's ears look real/fake?", ("Small ears.",), "ears", FAKE),
    ]  # fmt: skip
    stains = "There are stains or flaws."
    assert [(one.frame, one.text, one.references, rows) for one, rows in stated_questions(neutral)] == [
        ("a", f"{WHOLE} eyes.", ("No eyes.",), ("No eyes.",)),
        ("a", f"{WHOLE} .", ("Odd.",), ("Odd.",)),
        ("a", SKIN, (stains, "Grey skin."), (stains, stains, "Grey skin.")),
        ("b", EYES, (OVAL,), (OVAL,)),
        ("b", 'The ears in the image is fake, tell me why. Answer in one sentence in the format"The ears ……".',
         ("Small ears.",), ("Small ears.",)),
    ]  # fmt: skip
    assert {one.kind for one, _ in stated_questions(neutral)} == {STATED}


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(("image", "skin", "eyes+nose", "hair")),
                          st.lists(TEXT, max_size=3)), max_size=5))  # fmt: skip
def test_no_answer_is_lost(asked: list[tuple[str, str, list[str]]]) -> None:
    neutral = [
        Question(f"{frame}{n}", frame, "?", tuple(answers), region, FAKE)
        for n, (frame, region, answers) in enumerate(asked)
    ]
    made = stated_questions(neutral)
    found = Counter((one.frame, answer) for one, rows in made for answer in rows)
    assert found == Counter((one.frame, released_manner(answer)) for one in neutral for answer in one.references)
    assert all(set(one.references) == set(rows) for one, rows in made)
    assert len({one.id for one, _ in made}) == len({(one.frame, one.text) for one, _ in made}) == len(made)


def test_the_released_test_questions_come_out(crops: Dataset) -> None:
    released = Counter((one.frame, " ".join(one.text.split())) for one in crops.questions("test", "released"))
    made = stated_questions(
        [one for one in crops.questions("test", "blind") if one.frame in {frame for frame, _ in released}]
    )
    found = Counter((one.frame, " ".join(one.text.split())) for one, rows in made for _ in rows)
    assert (found.total(), released.total(), (found & released).total()) == (1070, 1070, 1067)


def test_there_are_as_many_as_released_rows_about_training_images(crops: Dataset) -> None:
    assert not ask_about_regions(crops.questions("train", "released"))
    made = stated_questions(crops.questions("train", "blind"))
    assert sum(len(rows) for _, rows in made) == sum(map(len, crops.adapter.answer_rows("train", "released").values()))


def examples(dataset: Dataset, **settings: object) -> list[tuple[str, str, str]]:
    frames = dataset.frames("train")
    found = language_data(dataset, StageSettings.model_validate(settings), frames, []).train
    return [(one.frame.id, one.question, one.answer) for one in found]


def test_a_dataset_with_its_own_keeps_them() -> None:
    dataset = load_dataset("synthetic")
    own = examples(dataset, questions=["judge", "blind", "released"], answers={"released": "first"})
    assert examples(dataset, questions=["judge", "blind", STATED], answers={STATED: "first"}) == own


@pytest.mark.parametrize(("answers", "count"), [("rows", 9252), ("all", 8846), ("first", 7316)])
def test_a_stage_learns_from_them(crops: Dataset, answers: str, count: int) -> None:
    found = examples(crops, questions=[STATED], answers=answers)
    assert len(found) == count
    assert all("tell me why" in question or "Describe the authenticity" in question for _, question, _ in found)
