"""DD-VQA: a small tree in the release's form with exact expectations, every bad input, and the real data's counts."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from m2f2bench.core.errors import CardError, DataError, FrameError
from m2f2bench.datasets.files.images import digest_file
from m2f2bench.datasets.layouts.ddvqa import REGIONS, DDVQAAdapter, DDVQAOptions, region
from m2f2bench.loading import load_dataset

REAL_DATA = Path(os.environ.get("M2F2BENCH_DATA", "/nowhere")) / "ddvqa"
needs_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="M2F2BENCH_DATA is not set, or has no ddvqa")

WHOLE = "Does the image looks real/fake?"
STATED = (
    'The nose in the image is fake, tell me why. Answer like "The eyes look odd. " and not "The skin is fake because"'
)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def image(path: Path, colour: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", (16, 16), (colour, 0, 0)).save(path)


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]


def asked(question: str, *answers: str) -> dict[str, object]:
    return {"question": question, "answer": list(answers)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two test images (one real), three train images, both forms of questions."""
    for name in ("6_120_118", "5_056"):
        image(tmp_path / "DDVQA_images/c40/test" / f"{name}.jpg")
    for name in ("5_001", "0_111_094", "1_002_003"):
        image(tmp_path / "DDVQA_images/c40/train" / f"{name}.jpg")
    notes = {
        "6_120_118": {"0": asked(WHOLE, "It looks fake.", "Fake."), "3": asked("Do the person's eyes look x?", "Odd.")},
        "6_777_888": {"0": asked(WHOLE, "No image of this one.")},
    }
    write(tmp_path / "DQ_FF++/test_set/Neuraltexture/Neuraltexture.json", json.dumps(notes))
    write(tmp_path / "DQ_FF++/test_set/Original/Original.json", json.dumps({"5_056": {"0": asked(WHOLE, "Real.")}}))
    released = [{"6_120_118_0": asked(STATED, "It is bent.")}, {"5_056_7": asked("Why? Based on nose, eyes.", "Well.")}]
    write(tmp_path / "DDVQA_eval/c40/test.jsonl", "\n".join(json.dumps(row) for row in released) + "\n\n")
    ask = "<image>\n<deepfake>\nDo the image looks real or fake?"
    rows = [
        {"id": "111_094", "image": "0_111_094.jpg", "conversations": turns(ask, "The image looks fake.")},
        {"id": "001", "image": "5_001.jpg", "conversations": turns(ask, "The image looks real.")},
        {"id": "111_094", "image": "0_111_094.jpg", "conversations": turns(ask, "The image looks fake.")},
        {
            "id": "111_094",
            "image": "0_111_094.jpg",
            "conversations": turns(ask, "Fake it is.", "And the mouth?", "Odd."),
        },
    ]
    write(tmp_path / "DDVQA_split/c40/train_DDVQA_format_judge_only.json", json.dumps(rows))
    return tmp_path


def fails(root: Path | None, *words: str, split: str = "test", kind: str | None = None) -> None:
    adapter = DDVQAAdapter(root)
    with pytest.raises(DataError) as caught:
        adapter.frames(split) if kind is None else adapter.questions(split, kind)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_frames(root: Path) -> None:
    frames = DDVQAAdapter(root).frames("test")
    assert [f.id for f in frames] == ["5_056", "6_120_118"]
    real, fake = frames
    assert (real.video, real.label, real.method, real.identities) == ("original/056", 0, "original", ("056",))
    assert (fake.video, fake.label, fake.method) == ("NeuralTextures/120_118", 1, "NeuralTextures")
    assert fake.identities == ("120", "118")
    assert fake.split == "test"


def test_reading_and_digest_are_of_the_file(root: Path) -> None:
    adapter = pickle.loads(pickle.dumps(DDVQAAdapter(root)))
    frame = adapter.frames("test")[0]
    pixels = adapter.read(frame)
    assert pixels.shape == (16, 16, 3) and pixels.dtype == np.uint8
    assert adapter.digest(frame, pixels) == digest_file(Path(frame.locator.path), "x")
    Path(frame.locator.path).write_bytes(b"")
    with pytest.raises(FrameError, match="5_056: the file is empty"):
        adapter.read(frame)


def test_altered_regions_are_those_that_annotators_found_fake(root: Path) -> None:
    """Of a real image none; of a fake those of its neutral questions; the question about the whole image names none."""
    adapter = DDVQAAdapter(root)
    assert adapter.altered_regions("test") == {"5_056": frozenset(), "6_120_118": {"eyes"}}
    other = {"5_056": {"0": asked("Does the nose look x?", "No.")}}
    write(root / "DQ_FF++/test_set/Original/Original.json", json.dumps(other))
    assert adapter.altered_regions("test") == {"5_056": frozenset(), "6_120_118": {"eyes"}}
    two = {"6_120_118": {"1": asked("Does the nose look x?", "Bent."), "2": asked("Do the eyes look x?", "Odd.")}}
    write(root / "DQ_FF++/test_set/Neuraltexture/Neuraltexture.json", json.dumps(two))
    assert adapter.altered_regions("test")["6_120_118"] == {"nose", "eyes"}
    only = {"6_120_118": {"0": asked(WHOLE, "Fake.")}}
    write(root / "DQ_FF++/test_set/Neuraltexture/Neuraltexture.json", json.dumps(only))
    assert adapter.altered_regions("test") == {"5_056": frozenset()}  # which is not known


def test_rows_of_neutral_questions_stand_for_one_each(root: Path) -> None:
    found = DDVQAAdapter(root).repeats("test", "blind")
    assert set(found.values()) == {1} and "6_120_118_3" in found
    assert DDVQAAdapter(root).repeats("test", "judge") == {"5_056_judge": 1, "6_120_118_judge": 1}


def test_known_wordings_are_read_exactly_though_other_regions_are_named() -> None:
    assert region("Does the person's mouth look more natural than the eyes?") == "mouth"
    assert region("The nose in the image is fake, unlike the eyes, tell me why.") == "nose"
    assert region("Tell of eyes and mouth, based on the nose.") == "nose"
    assert region("Are eyes and mouth natural? And the nose!") == "eyes+mouth"


def test_a_root_that_holds_something_else_is_told_by_eight_names(tmp_path: Path) -> None:
    for name in "abcdefghij":
        (tmp_path / name).mkdir()
    fails(tmp_path, "which holds a, b, c, d, e, f, g, h;")


def test_blind_questions_keep_all_references_and_tell_what_has_no_image(root: Path) -> None:
    adapter = DDVQAAdapter(root)
    questions = adapter.questions("test")
    assert [q.id for q in questions] == ["5_056_0", "6_120_118_0", "6_120_118_3"]
    assert questions[1].references == ("It looks fake.", "Fake.")
    assert [q.region for q in questions] == ["image", "image", "eyes"]
    assert [q.label for q in questions] == [0, 1, 1]
    assert {q.kind for q in questions} == {"blind"}
    assert adapter.missing_images("test") == ["6_777_888"]
    assert adapter.unannotated_images("test") == []


def test_released_test_questions(root: Path) -> None:
    adapter = DDVQAAdapter(root)
    questions = adapter.questions("test", "released")
    assert [(q.id, q.frame, q.region, q.kind) for q in questions] == [
        ("5_056_7", "5_056", "nose+eyes", "released"),
        ("6_120_118_0", "6_120_118", "nose", "released"),
    ]
    assert questions[1].text == STATED
    assert adapter.missing_images("test", "released") == []


def test_released_training_rows_are_joined_and_counted(root: Path) -> None:
    adapter = DDVQAAdapter(root)
    questions = adapter.questions("train", "released")
    assert [q.id for q in questions] == ["0_111_094_0", "0_111_094_1", "5_001_0"]
    assert questions[0].text == "Do the image looks real or fake?"
    assert questions[0].references == ("The image looks fake.", "Fake it is.")
    assert questions[1].region == "mouth" and questions[1].references == ("Odd.",)
    assert adapter.repeats("train") == {"0_111_094_0": 3, "0_111_094_1": 1, "5_001_0": 1}
    assert adapter.unannotated_images("train", "released") == ["1_002_003"]


def test_some_methods_leave_all_reals_and_their_own_questions(root: Path) -> None:
    adapter = DDVQAAdapter(root, DDVQAOptions(methods=("Deepfakes",)))
    assert [frame.id for frame in adapter.frames("train")] == ["0_111_094", "5_001"]
    assert [frame.id for frame in adapter.frames("test")] == ["5_056"]
    assert [question.frame for question in adapter.questions("test")] == ["5_056"]
    assert adapter.missing_images("test") == [] and adapter.unannotated_images("train", "released") == []
    assert set(adapter.repeats("test", "blind")) == {"5_056_0"}
    (root / "DDVQA_images/c40/test/5_056.jpg").unlink()
    with pytest.raises(DataError, match="no images of Deepfakes, and no real ones in"):
        adapter.frames("test")
    with pytest.raises(ValueError, match="Deepfakes"):
        DDVQAOptions(methods=("original",))  # type: ignore[arg-type]


def test_rows_from_before_there_was_a_choice_of_methods_stay_valid() -> None:
    assert DDVQAOptions().content() == {"compression": "c40", "forms": ["blind", "released", "judge"]}
    assert DDVQAOptions(methods=("FaceSwap",)).content()["methods"] == ["FaceSwap"]


@needs_data
def test_all_but_one_method_and_that_one_are_all() -> None:
    whole = {frame.id for frame in DDVQAAdapter(REAL_DATA).frames("train")}
    one = load_dataset("ddvqa-c40@NeuralTextures")
    rest = load_dataset("ddvqa-c40@Deepfakes+Face2Face+FaceSwap")
    left, right = ({frame.id for frame in dataset.frames("train")} for dataset in (one, rest))
    assert left | right == whole and {key[0] for key in left & right} == {"5"} and len(left & right) == 455
    assert one.card.counts["test"] == Counter(frame.method for frame in one.frames("test"))
    with pytest.raises(CardError, match="no method 'NeuralTexture'"):
        load_dataset("ddvqa-c40@NeuralTexture")


def test_other_compressions_take_the_questions_of_c40(root: Path) -> None:
    (root / "DDVQA_images/c40").rename(root / "DDVQA_images/c23")
    adapter = DDVQAAdapter(root, DDVQAOptions(compression="c23"))
    assert len(adapter.questions("test", "released")) == 2
    assert len(adapter.questions("train", "released")) == 3
    fails(root, "DDVQA_images/c40/test", "DDVQA_images", "compression")


def test_hidden_files_are_passed_over(root: Path) -> None:
    for name in (".DS_Store", "._5_056.jpg", "Thumbs.db", "desktop.ini"):
        write(root / "DDVQA_images/c40/test" / name, "x")
    assert len(DDVQAAdapter(root).frames("test")) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notes.txt", ["notes.txt", "is not an image"]),
        ("4_001_002.jpg", ["unknown method digit 4", "4_001_002.jpg", "6 NeuralTextures"]),
        ("portrait.jpg", ["'portrait' does not follow the scheme"]),
        ("5_001_002.jpg", ["5_001_002", "one video number"]),
        ("0_001.jpg", ["0_001", "two video numbers"]),
        ("0_001_002_003.jpg", ["does not follow the scheme"]),
        ("٣_001_002.jpg", ["does not follow the scheme"]),
        ("5_056.png", ["same frame"]),
    ],
)
def test_names_that_are_not_of_the_scheme(root: Path, name: str, words: list[str]) -> None:
    image(root / "DDVQA_images/c40/test" / f"{name}.png")
    (root / "DDVQA_images/c40/test" / f"{name}.png").rename(root / "DDVQA_images/c40/test" / name)
    fails(root, *words)


def test_a_folder_among_the_images(root: Path) -> None:
    (root / "DDVQA_images/c40/test/5_999.jpg").mkdir()
    fails(root, "5_999.jpg", "is not an image")


def test_splits_that_are_not_there(root: Path, tmp_path: Path) -> None:
    fails(root, "no split 'val'; known: test, train", split="val")
    fails(root, "no split 'tset'", "did you mean 'test'", split="tset")
    for path in (root / "DDVQA_images/c40/test").iterdir():
        path.unlink()
    fails(root, "split 'test' is empty")


def test_roots_that_are_not_there(tmp_path: Path) -> None:
    fails(None, "needs a root")
    fails(tmp_path / "nowhere", "no DD-VQA folder at", "nowhere")
    fails(tmp_path, "DDVQA_images/c40/test", "holds nothing")
    (tmp_path / "other").mkdir()
    fails(tmp_path, "DDVQA_images/c40/test", "holds other")


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("DDVQA_eval/c40/test.jsonl", '{"5_056_0": {}}', ["line 1", "5_056_0", "'question'"]),
        ("DDVQA_eval/c40/test.jsonl", '\n{"5_056_0": ', ["line 2", "is not JSON"]),
        ("DDVQA_eval/c40/test.jsonl", "[1]", ["line 1", "mapping"]),
        ("DDVQA_eval/c40/test.jsonl", '{"9_056_0": {"question": "q", "answer": ["a"]}}', ["line 1", "digit 9"]),
        ("DDVQA_eval/c40/test.jsonl", '{"5_056_0": {"question": "q", "answer": "a"}}', ["line 1", "'answer'"]),
        ("DDVQA_eval/c40/test.jsonl", '{"5_056_0": {"question": "q", "answer": []}}', ["line 1", "'answer'"]),
        (
            "DDVQA_eval/c40/test.jsonl",
            '{"5_056_0": {"question": "q", "answer": ["a"]}}\n{"5_056_0": {"question": "r", "answer": ["a"]}}',
            ["line 2", "'5_056_0' is already in", "line 1"],
        ),
    ],
)
def test_bad_released_test_files(root: Path, place: str, text: str, words: list[str]) -> None:
    write(root / place, text)
    fails(root, *words, kind="released")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({}, ["list of conversations"]),
        ([3], ["row 0", "mapping"]),
        ([{"image": "5_001.jpg", "conversations": []}], ["row 0", "'conversations'"]),
        ([{"image": "5_001.jpg", "conversations": turns("only a question")}], ["row 0", "must alternate"]),
        ([{"image": "5_001.jpg", "conversations": [{"from": "gpt", "value": "x"}, 3]}], ["row 0", "must alternate"]),
        ([{"image": "me.jpg", "conversations": turns("q", "a")}], ["row 0", "'me' does not follow the scheme"]),
    ],
)
def test_bad_training_conversations(root: Path, rows: object, words: list[str]) -> None:
    write(root / "DDVQA_split/c40/train_DDVQA_format_judge_only.json", json.dumps(rows))
    fails(root, *words, split="train", kind="released")


def test_bad_annotations(root: Path) -> None:
    path = root / "DQ_FF++/test_set/FaceSwap/FaceSwap.json"
    write(path, json.dumps({"5_056": {"0": asked(WHOLE, "Again.")}}))
    fails(root, "'5_056_0' is already in", "FaceSwap.json", kind="blind")
    write(path, "{")
    fails(root, "FaceSwap.json", "is not JSON", kind="blind")
    path.write_bytes(b"\xff\xfe")
    fails(root, "FaceSwap.json", "is not UTF-8", kind="blind")


def test_missing_question_files_and_kinds(root: Path) -> None:
    fails(root, "no 'blinded' questions", "did you mean 'blind'", kind="blinded")
    fails(root, "no DD-VQA annotations", "DQ_FF++", split="train", kind="blind")
    (root / "DDVQA_eval/c40/test.jsonl").unlink()
    fails(root, "no released test questions", "DDVQA_eval/c40/test.jsonl", kind="released")
    with pytest.raises(DataError, match="switched off"):
        DDVQAAdapter(root, DDVQAOptions(forms=("blind",))).questions("test", "released")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (WHOLE, "image"),
        ("Does the person's skin look real/fake?", "skin"),
        ("Do the person's eyebrows look real/fake?", "eyebrows"),
        (STATED, "nose"),
        ("This image is fake. Describe the authenticity of the image based on nose, eyebrows.", "nose+eyebrows"),
        ("This image is fake. Describe the authenticity of the image based on .", "image"),
        ("This image is real. Describe the image based on face, skin, face.", "face+skin"),
        ("Do the image looks real or fake?", "image"),
        ("Is the mouth odd? The nose is not.", "mouth"),
    ],
)
def test_regions(text: str, want: str) -> None:
    assert region(text) == want


@given(st.lists(st.sampled_from([r for r in REGIONS if r != "image"]), min_size=1, unique=True))
def test_listed_regions_come_back_in_order(named: list[str]) -> None:
    assert region(f"This image is fake. Describe it based on {', '.join(named)}.") == "+".join(named)


@given(st.text())
def test_any_question_has_a_region(text: str) -> None:
    assert set(region(text).split("+")) <= set(REGIONS)


@needs_data
def test_counts_of_the_real_release() -> None:
    adapter = DDVQAAdapter(REAL_DATA)
    train, test = adapter.frames("train"), adapter.frames("test")
    assert Counter(f.label for f in train) == {0: 455, 1: 884}
    assert Counter(f.label for f in test) == {0: 72, 1: 72}
    assert Counter(f.method for f in test) == {
        "original": 72,
        "Deepfakes": 30,
        "FaceSwap": 16,
        "Face2Face": 14,
        "NeuralTextures": 12,
    }
    assert not {i for f in train for i in f.identities} & {i for f in test for i in f.identities}
    assert adapter.read(test[0]).shape == (224, 224, 3)


@needs_data
def test_questions_of_the_real_release() -> None:
    adapter = DDVQAAdapter(REAL_DATA)
    released, blind = adapter.questions("test", "released"), adapter.questions("test")
    assert (len(released), len({q.frame for q in released})) == (1070, 144)
    assert all("fake" in q.text.split(".")[0] or "real" in q.text.split(".")[0] for q in released)
    assert {len(q.references) for q in released} == {1}
    assert len({q.frame for q in blind}) == 144 and {q.region for q in blind} == set(REGIONS) - {"face"}
    assert Counter(len(q.references) for q in blind) == {1: 474, 2: 238, 3: 40}
    assert len(adapter.missing_images("test")) == 262 - 144
    assert len(adapter.missing_images("train")) == 1430 - 1339
    assert len(adapter.questions("train", "released")) == 1339
    assert sum(adapter.repeats("train").values()) == 9252
