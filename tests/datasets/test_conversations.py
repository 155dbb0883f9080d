"""Conversations in the form of LLaVA: FakeClue, where label 1 is real, and cards with other keys."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from field_lists import fakeclue, shade_of, write_pictures
from one_line import error_of

from m2f2bench import load_dataset
from m2f2bench.cards.folders import find_card
from m2f2bench.cards.models import DatasetCard, read_card
from m2f2bench.core.errors import FrameError
from m2f2bench.datasets.dataset import Dataset, check_unique
from m2f2bench.datasets.layouts.conversations import ConversationsAdapter, ConversationsOptions, states_label


def opened(root: Path, **options: Any) -> Dataset:
    path = find_card("datasets", "fakeclue")
    assert path is not None
    found = read_card("datasets", path)
    assert isinstance(found, DatasetCard)
    return load_dataset(found.model_copy(update={"root": str(root), "options": {**found.options, **options}}))


@pytest.mark.parametrize("doubled", [False, True])
def test_fakeclue_counts_one_as_real(tmp_path: Path, doubled: bool) -> None:
    dataset = opened(fakeclue(tmp_path, doubled))
    frames = dataset.frames("test")
    check_unique(frames)
    assert dataset.adapter.fits() and dataset.adapter.holds("train") and not dataset.adapter.holds("val")
    assert {f.id: f.label for f in frames} == {
        "doc/fake/a.png": 1,
        "ff++/fake/Deepfakes/c23/frames/071_054/20.png": 1,
        "ff++/fake/Deepfakes/c23/frames/071_054/160.png": 1,
        "ff++/real/youtube/c23/frames/033/010.png": 0,
        "satellite/real/1.jpg": 0,
    }
    assert [
        f.id.rpartition("/")[2] for f in frames if f.identities == ("FaceForensics++:071", "FaceForensics++:054")
    ] == ["20.png", "160.png"]
    assert Counter(f.method for f in frames) == {"original": 2, "deepfake": 2, "doc": 1}
    assert len({f.video for f in frames}) == 4
    for frame in frames:
        assert abs(int(dataset.read(frame)[0, 0, 0]) - shade_of(frame.id)) < 4
    assert Counter(f.label for f in dataset.frames("train")) == {0: 2, 1: 2}


def test_questions_have_the_answers_as_references(tmp_path: Path) -> None:
    dataset = opened(fakeclue(tmp_path))
    ids = {frame.id for frame in dataset.frames("test")}
    blind = dataset.questions("test", "blind")
    assert len(blind) == 5 and {q.frame for q in blind} == ids
    doc = next(q for q in blind if q.frame == "doc/fake/a.png")
    assert (doc.id, doc.text, doc.label, doc.kind) == (
        "doc/fake/a.png_0",
        "Does the image looks real/fake?",
        1,
        "blind",
    )
    assert doc.references == ("This is a fake image. The edges are blurred.",) and doc.region == "image"
    (released,) = dataset.questions("test", "released")
    assert (released.id, released.text) == ("doc/fake/a.png_1", "The image is fake. Why?")
    assert dataset.adapter.remarks("test") == [
        "1 test questions state the label; they are `released`, the others `blind`"
    ]
    assert dataset.adapter.remarks("train") == []
    judge = dataset.questions("test", "judge")
    assert len(judge) == 5 and {q.references for q in judge if q.label} == {("The image is fake.",)}
    assert "no 'neutral' questions" in error_of(lambda: dataset.questions("test", "neutral"))


@pytest.mark.parametrize(
    ("question", "states"),
    [
        ("Does the image looks real/fake?", False),
        ("Is this image real or fake?", False),
        ("Is this picture fake?", False),
        ("Can you tell whether the photo is authentic?", False),
        ("What do you see?", False),
        ("Does the light match real-world light?", False),
        ("Why is this image fake?", True),
        ("The eyes in the image are fake, tell me why.", True),
        ("This photograph is real. Explain.", True),
        ("Can you explain why the image is manipulated?", True),
        ("What makes this picture authentic?", True),
    ],
)
def test_which_questions_state_the_label(question: str, states: bool) -> None:
    assert states_label(question) is states


def test_the_wrong_polarity_contradicts_the_folders(tmp_path: Path) -> None:
    line = error_of(lambda: opened(fakeclue(tmp_path), real_is=0).frames("test"))
    assert "row 0" in line and "lies in a folder real; is options.real_is wrong?" in line


def write(root: Path, rows: Any, **options: Any) -> ConversationsAdapter:
    (root / "all.json").write_text(json.dumps(rows))
    return ConversationsAdapter(root, ConversationsOptions.model_validate({"files": {"test": "all.json"}, **options}))


def said(question: str = "Is it real or fake?", answer: str = "It is fake.") -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]


def test_another_form_by_options_alone(tmp_path: Path) -> None:
    """No label key: the folder tells it; all pictures in one folder of another name."""
    write_pictures(tmp_path / "pics", ["Real/1.png", "Fake/1.png"])
    rows = [{"img": f"/home/someone/{kind}/1.png", "conversations": said()} for kind in ("Real", "Fake")]
    one = write(tmp_path, rows, label=None, image="img", images=["pics"])
    assert {f.id: f.label for f in one.frames("test")} == {
        "/home/someone/Real/1.png": 0,
        "/home/someone/Fake/1.png": 1,
    }
    assert {f.method for f in one.frames("test")} == {"original", "fake"}
    assert all(one.read(f).shape == (12, 12, 3) for f in one.frames("test"))


def test_rows_of_one_picture_are_one_frame_with_all_answers(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a/1.png"])
    answers = ("It is fake.", "Fake, by its eyes.", "It is fake.")
    rows = [{"image": "a/1.png", "label": 1, "conversations": said(answer=answer)} for answer in answers]
    one = write(tmp_path, [*rows, {"image": "a/gone.png", "label": 0, "conversations": said("Is it?")}])
    there, gone = one.frames("test")
    assert one.questions("test")[0].references == answers[:2] and len(one.questions("test")) == 2
    assert one.answer_rows("test") == {"a/1.png_0": answers, "a/gone.png_0": ("It is fake.",)}
    assert one.answer_rows("test", "judge") == {}
    assert one.read(there).shape == (12, 12, 3)
    with pytest.raises(FrameError):
        one.read(gone)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({}, "should be a list of conversations"),
        ([], "should be a list of conversations, not empty"),
        ([{"image": "a/1.png", "label": 1}], "row 0: it needs a text 'image' and a list 'conversations'"),
        ([{"image": "a/1.png", "label": 2, "conversations": said()}], "'label' is 2, neither 0 nor 1"),
        ([{"image": "a/1.png", "conversations": said()}], "'label' is None, neither 0 nor 1"),
        ([{"image": "a/1.png", "label": True, "conversations": said()}], "'label' is True"),
        ([{"image": "a/1.png", "label": 1, "conversations": said()[:1]}], "must alternate between human and gpt"),
        ([{"image": "a/1.png", "label": 1, "conversations": said()[::-1]}], "must alternate"),
        ([{"image": "a/1.png", "label": 1, "conversations": ["x"]}], "must alternate"),
        ([{"image": "a/1.png", "label": n, "conversations": said()} for n in (0, 1)], "another label or method"),
        ([{"image": "a/2.png", "label": 1, "conversations": said()}], "none of its 1 pictures exists; looked for"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, rows: Any, words: str) -> None:
    write_pictures(tmp_path, ["a/1.png"])
    one = write(tmp_path, rows)
    line = error_of(lambda: one.frames("test"))
    assert words in line and "all.json" in line


def test_a_missing_key_of_the_method_and_other_roots(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a/1.png"])
    rows = [{"image": "a/1.png", "label": 1, "conversations": said()}]
    assert "'cate' is None, not the name of a fake's method" in error_of(
        lambda: write(tmp_path, rows, method="cate").frames("test")
    )
    assert "has no train split: options.files names test" in error_of(lambda: write(tmp_path, rows).frames("train"))
    assert "does not exist; see options.files" in error_of(lambda: opened(tmp_path).frames("test"))
    assert not opened(tmp_path).adapter.fits() and not ConversationsAdapter(None).fits()
    assert "need a root" in error_of(lambda: opened(tmp_path / "nowhere").frames("test"))
