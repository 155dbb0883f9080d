"""Image-blind baselines: their answers, what they may know, and trap 15 on the published test."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2f2bench.core.errors import ScoreError
from m2f2bench.core.records import FAKE, REAL, Question
from m2f2bench.datasets.dataset import Dataset
from m2f2bench.datasets.stated import released_manner
from m2f2bench.loading import load_dataset
from m2f2bench.scoring.controls import (
    CONTROLS,
    control_answers,
    example,
    frequent,
    medoid,
    training_pool,
)

REGIONS = ("image", "skin", "nose", "eyes+mouth", "face")
WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6).map(" ".join)


def ask(id: str, region: str, label: int, *references: str, kind: str = "blind", text: str = "?") -> Question:
    return Question(id, id.split("#")[0], text, references, region, label, kind)


TRAINING = [
    ask("t1#0", "nose", FAKE, "bent nose", "odd nose"),
    ask("t2#0", "nose", FAKE, "bent nose"),
    ask("t3#0", "nose", REAL, "straight nose", "straight nose"),
    ask("t4#0", "nose", REAL, "straight nose", "long straight nose"),
    ask("t1#1", "image", FAKE, "seams"),
    ask("t5#0", "eyes+mouth", FAKE, "lines", "lines"),
    ask("t6#0", "image", REAL, "all fits"),
]
ASKED = [
    ask("a#0", "nose", FAKE, "A"),
    ask("b#0", "nose", REAL, "B"),
    ask("c#0", "face", FAKE, "C"),
    ask("d#0", "skin", REAL, "D"),
]


def texts(name: str, asked: Sequence[Question] = ASKED, verdicts: dict[str, int] | None = None, seed: int = 0) -> list:
    answers = control_answers(name, asked, TRAINING, verdicts=verdicts, seed=seed)
    assert [(a.question, a.frame) for a in answers] == [(q.id, q.frame) for q in asked]
    assert all((a.status == "missing") == (a.text == "") == bool(a.message) for a in answers)
    return [a.text for a in answers]


def test_frequent_by_what_is_known() -> None:
    assert texts("frequent-hidden") == ["straight nose", "straight nose", "lines", "lines"]
    assert texts("frequent-label") == ["bent nose", "straight nose", "lines", "all fits"], (
        "skin falls back on the image"
    )
    verdicts = {"a": REAL, "b": FAKE, "c": REAL}
    assert texts("frequent-verdict", verdicts=verdicts) == ["straight nose", "bent nose", "all fits", ""]
    (last,) = control_answers("frequent-verdict", ASKED[3:], TRAINING, verdicts=verdicts)
    assert "no verdict" in last.message


def test_ties_go_to_the_first_in_order() -> None:
    assert frequent(Counter({"b": 2, "a": 2, "c": 1})) == "a"
    assert medoid(Counter({"z y": 1, "a b": 1})) == "a b"


def test_medoid_by_hand() -> None:
    # Token F1 with "x x y": "x y" 4/5, "x x" 4/5, "w" 0. Weighted sums: "x x y" 1 + .8 + .8·3; "x y" .8 + 1 + 3·.5;
    # "x x" .8 + .5 + 3.
    assert medoid(Counter({"x x y": 1, "x y": 1, "x x": 3, "w": 1})) == "x x"
    assert medoid(Counter({"x x y": 1, "x y": 1, "x x": 1, "w": 1})) == "x x y"
    assert medoid(Counter({"": 1})) == ""


@given(st.dictionaries(WORDS, st.integers(1, 4), min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_medoid_against_the_definition(counts: dict[str, int]) -> None:
    def f1(a: str, b: str) -> float:
        both = Counter(a.split()) & Counter(b.split())
        return 2 * both.total() / (len(a.split()) + len(b.split()))

    def mean(text: str) -> float:
        return sum(f1(text, other) * n for other, n in counts.items())

    assert mean(medoid(Counter(counts))) == pytest.approx(max(map(mean, counts)))


def test_nothing_to_draw_on_is_missing() -> None:
    (answer,) = control_answers("medoid-label", ASKED[:1], [])
    assert answer.status == "missing" and "about 'nose'" in answer.message
    (answer,) = control_answers("frequent-hidden", [replace(ASKED[0], kind="released")], TRAINING)
    assert answer.status == "missing" and "kind 'released'" in answer.message, "a blind answer is no released one"


def test_errors() -> None:
    with pytest.raises(ScoreError, match="did you mean 'frequent-label'"):
        control_answers("frequent-labels", ASKED, TRAINING)
    for name in ("frequent-verdict", "medoid-verdict"):
        with pytest.raises(ScoreError, match="needs a detector's verdict"):
            control_answers(name, ASKED, TRAINING)


def test_judge_questions() -> None:
    judged = [ask(f"{f}#j", "image", y, f"is {y}", kind="judge") for f, y in (("a", 1), ("b", 0), ("c", 0))]
    assert texts("frequent-label", judged) == ["The image is fake.", "The image is real.", "The image is real."]
    # Of the training frames t1, t2 and t5 are fake, t3, t4 and t6 real: as many.
    assert texts("medoid-hidden", judged) == ["The image is fake."] * 3
    more = [*TRAINING, ask("t7#0", "nose", REAL, "x")]
    assert {a.text for a in control_answers("frequent-hidden", judged, more)} == {"The image is real."}
    assert control_answers("frequent-hidden", judged, [])[0].status == "missing"
    assert texts("frequent-verdict", judged, {"a": 0, "b": 1})[:2] == ["The image is real.", "The image is fake."]
    assert texts("example", judged) == ["", "", ""]
    assert texts("shuffled", judged, seed=3)[0] == "is 0"


def test_shuffled_is_somebody_elses_answer_by_seed() -> None:
    asked = [ask(f"{f}#{r}", r, f % 2, f"{f}-{r}-0", f"{f}-{r}-1") for f in range(20) for r in REGIONS]
    answers = texts("shuffled", asked, seed=1)
    for question, text in zip(asked, answers, strict=True):
        frame, region, _ = text.split("-")
        assert frame != question.frame
        wide = {"image", "eyes+mouth", "face"}
        assert region in (wide if question.region in wide else {question.region})
    assert texts("shuffled", asked[::-1], seed=1) == answers[::-1], "the order does not matter"
    assert texts("shuffled", asked, seed=1) == answers != texts("shuffled", asked, seed=2)
    assert len(set(answers)) > 50
    assert texts("shuffled", [asked[0], asked[2]]) == ["", ""], "no other image"


@pytest.mark.parametrize("name", [n for n, c in CONTROLS.items() if c.needs == "nothing"])
@given(flips=st.lists(st.booleans(), min_size=4, max_size=4))
def test_hidden_controls_do_not_see_the_label(name: str, flips: list[bool]) -> None:
    flipped = [replace(q, label=q.label ^ flip) for q, flip in zip(ASKED, flips, strict=True)]
    assert texts(name, flipped) == texts(name)
    judged = [replace(q, kind="judge") for q in flipped]
    assert texts(name, judged) == texts(name, [replace(q, kind="judge") for q in ASKED])


@pytest.mark.parametrize("name", ["frequent-label", "medoid-label"])
def test_label_controls_do(name: str) -> None:
    assert texts(name, [replace(q, label=1 - q.label) for q in ASKED]) != texts(name)


def test_verdict_controls_see_the_verdict_and_not_the_label() -> None:
    verdicts = {"a": 1, "b": 1, "c": 0, "d": 0}
    flipped = [replace(q, label=1 - q.label) for q in ASKED]
    assert texts("medoid-verdict", flipped, verdicts) == texts("medoid-verdict", ASKED, verdicts)
    other = {frame: 1 - verdict for frame, verdict in verdicts.items()}
    assert texts("medoid-verdict", ASKED, other) != texts("medoid-verdict", ASKED, verdicts)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ('Tell me why. Instead of saying, "It is fake because" answer like "The nose is bent. "', "The nose is bent."),
        ('Answer in the format"The eyes ……" like. Instead of saying, "x because" answer why "The eyes look odd. "',
         "The eyes look odd."),
        ('Answer in one sentence in the format"The person has naturally …… skin."', "The person has naturally skin."),
        ("Answer like “It glows”.", "It glows"),
        ("Does the person's nose look real/fake?", ""),
        ('An empty one: "" and a half "one', ""),
    ],
)  # fmt: skip
def test_example(question: str, said: str) -> None:
    assert example(question) == said


@given(st.text(max_size=60))
def test_example_takes_any_text(question: str) -> None:
    assert example(question) in question or example(question).split()[0] in question


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["blind", "released"])
def test_synthetic_questions(kind: str) -> None:
    dataset = load_dataset("synthetic")
    asked, pool = dataset.questions("test", kind), training_pool(dataset, kind)
    assert pool == dataset.questions("train", kind)
    verdicts = {q.frame: 1 for q in asked}
    known = {text for q in [*pool, *asked] for text in q.references}
    for name in CONTROLS:
        answers = control_answers(name, asked, pool, verdicts=verdicts)
        if name == "example":
            assert {a.status for a in answers} == ({"missing"} if kind == "blind" else {"ok", "missing"})
        else:
            assert all(a.status == "ok" and (a.text in known or name == "accuse") for a in answers), name


@pytest.fixture
def crops(real_data: Path) -> Dataset:
    return load_dataset("ddvqa-c40")


def scores(asked: Sequence[Question], answers: Sequence[str]) -> tuple[float, float, float]:
    """Compute BLEU-1 to -4, ROUGE-L and CIDEr of white-space tokens with the field's own implementation."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    references = {i: [text.strip() for text in q.references] for i, q in enumerate(asked)}
    given_ = {i: [text] for i, text in enumerate(answers)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(references, given_)[0]
        return (
            sum(bleu) / 4,
            float(Rouge().compute_score(references, given_)[0]),
            float(Cider().compute_score(references, given_)[0]),
        )


def published_verdicts(data: Path) -> dict[str, int]:
    """The published detector's judgements, read by substring as its own evaluation does (94.4% right)."""
    lines = (data / "ddvqa/outputs/DDVQA_det_c40.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {Path(row["image"]).stem: REAL if "real" in row["text"].lower() else FAKE for row in rows}


def published_answers(data: Path) -> dict[str, str]:
    lines = (data / "ddvqa/outputs/DDVQA_exp_c40.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["key"]: row["text"].replace("<s>", "").replace("</s>", "").strip() for row in rows}


def test_training_pool_of_the_crops(crops: Dataset) -> None:
    pool = training_pool(crops, "released")
    assert len(pool) == 6861 and {q.kind for q in pool} == {"released"}
    assert not any(text.startswith("The person's nose looks") for q in pool for text in q.references)
    assert training_pool(crops, "judge") == crops.questions("train", "judge")


def as_it_was(pool: Sequence[Question]) -> list[Question]:
    """The pool with "stains/flaws" as annotated, which the published table of controls used."""
    return [
        replace(q, references=tuple(t.replace("stains or flaws", "stains/flaws") for t in q.references)) for q in pool
    ]


def without_images(data: Path, there: Sequence[Question]) -> list[Question]:
    """Training annotations of frames whose image was not released (all of FaceShifter), in the released manner."""
    frames, out = {q.frame for q in there}, []
    for path in sorted((data / "ddvqa/DQ_FF++/train_set").glob("*/*.json")):
        for key, entries in json.loads(path.read_text("utf-8")).items():
            for qid, entry in entries.items() if key not in frames else ():
                word = entry["question"].split(" look")[0].split()[-1]
                texts_ = tuple(map(released_manner, entry["answer"]))
                out.append(Question(f"{key}_{qid}", key, "", texts_, word, int(key[0] != "5"), "released"))
    return out


@pytest.mark.slow
def test_the_published_table_of_controls(crops: Dataset, real_data: Path) -> None:
    asked, pool = crops.questions("test", "released"), training_pool(crops, "released")
    verdicts = published_verdicts(real_data)

    def of(name: str, pool: Sequence[Question], asked_as: Sequence[Question] = asked) -> tuple[float, ...]:
        answers = control_answers(name, asked_as, pool, verdicts=verdicts)
        assert all(a.status == "ok" for a in answers)
        return tuple(round(value, 4) for value in scores(asked, [a.text for a in answers]))

    assert of("frequent-label", as_it_was(pool)) == pytest.approx((0.431, 0.673, 4.18), abs=0.005)
    assert of("frequent-verdict", as_it_was(pool)) == pytest.approx((0.419, 0.660, 4.06), abs=0.005)
    wrong = [replace(q, label=1 - q.label) for q in asked]
    assert of("frequent-label", as_it_was(pool), wrong) == pytest.approx((0.049, 0.152, 0.03), abs=0.005)
    # Label hidden, the skin's answer hangs on a near tie (373 real, 360 fake), which the annotations of frames without
    # an image turn round.
    every = as_it_was([*pool, *without_images(real_data, pool)])
    assert of("frequent-hidden", every) == pytest.approx((0.355, 0.506, 2.71), abs=0.01)
    assert of("frequent-hidden", pool) == pytest.approx((0.286, 0.536, 3.05), abs=0.005)
    # With the flaws spelt out as in the release, the same control does better still.
    assert of("frequent-label", pool) == pytest.approx((0.445, 0.675, 4.27), abs=0.005)
    assert of("medoid-label", pool) == pytest.approx((0.531, 0.704, 4.17), abs=0.005)


@pytest.mark.slow
def test_trap_15(crops: Dataset, real_data: Path) -> None:
    """The label in the question: its own example sentence, echoed, beats the published model on the fake questions."""
    asked = [q for q in crops.questions("test", "released") if q.label == FAKE]
    echoed = [a.text for a in control_answers("example", asked, [])]
    model = [published_answers(real_data)[q.id] for q in asked]
    assert (len(asked), sum(text == "" for text in echoed)) == (474, 102), "questions of the image have no example"
    cider, published = scores(asked, echoed)[2], scores(asked, model)[2]
    assert (cider, published) == pytest.approx((2.257, 1.655), abs=0.001)

    def exact(said: Sequence[str]) -> float:
        def words(text: str) -> str:
            return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

        return sum(words(t) == words(q.references[0]) for t, q in zip(said, asked, strict=True)) / len(asked)

    assert (exact(echoed), exact(model)) == pytest.approx((0.194, 0.135), abs=0.0005)
    # The wrong conclusion: with real questions pooled, whose format gives an echo nothing, the model seems far ahead.
    both = crops.questions("test", "released")
    pooled = [a.text for a in control_answers("example", both, [])]
    everything = published_answers(real_data)
    assert scores(both, pooled)[2] < 2.0 < 3.38 < scores(both, [everything[q.id] for q in both])[2]
    # And where the question does not state the label there is nothing to echo.
    blind = control_answers("example", crops.questions("test", "blind"), [])
    assert {a.status for a in blind} == {"missing"}


def test_accusing_all_regions_is_what_region_grounding_has_to_beat() -> None:
    """Perfect recall for every picture; its precision is just the share of altered regions."""
    from m2f2bench.metrics.regions.regions import read_regions, region_statistics
    from m2f2bench.metrics.verdicts.verdict import read_verdict

    asked = [Question(f"q{i}", f"f{i}", "?", ("x",), region, 0, kind) for i, (region, kind) in enumerate(
        [("image", "blind"), ("nose+mouth", "released"), ("eyes", "blind"), ("skin", "blind"), ("image", "judge")]
    )]  # fmt: skip
    said = [answer.text for answer in control_answers("accuse", asked, [])]
    assert said[2:] == ["The eyes look fake.", "The skin looks fake.", "The image is fake."]
    assert {read_verdict(text) for text in said} == {"fake"}
    called = [read_regions(text) for text in said[:2]]
    assert called[0] == called[1] == {"skin", "eyes", "eyebrows", "nose", "mouth"}
    truth = [frozenset({"nose"}), frozenset[str]()]
    everything = np.ones(2, dtype=bool)
    of = {
        name: float(one.over(everything, np.zeros(2, dtype=np.int64), 1)(np.ones((1, 1)))[0])
        for name, one in region_statistics(called, truth, everything).items()
    }
    assert of == pytest.approx({"region_recall": 1.0, "region_precision": 0.1, "region_f1": 2 / 11})
