"""Which regions answers call manipulated, how much answers differ, and whether they depend on the image."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verdict_cases import lines_run

from m2f2bench.loading import load_dataset
from m2f2bench.metrics.answer_sets import diversity, swaps
from m2f2bench.metrics.regions.region_prose import known_regions
from m2f2bench.metrics.regions.regions import read_regions, region_statistics
from m2f2bench.stats.statistic import Statistic

PARTS = ("skin", "eyes", "eyebrows", "nose", "mouth")
CALLED = [
    ("The eyes look unnaturally asymmetric.", "eyes"),
    ("The eyes look fake.", "eyes"),
    ("Overly large mouth.", "mouth"),
    ("There are boundaries between eyebrows.", "eyebrows"),
    ("Left broken eyebrows.", "eyebrows"),
    ("The left eyebrow is blurry.", "eyebrows"),
    ("The skin is overly smooth and lacks of details, such as skin texture.", "skin"),
    ("There are stains/flaws on the person's face.", "skin"),
    ("There are areas looking unnaturally brighter.", "skin"),
    ("The nose do not align properly with other facial features.", "nose"),
    ("The nose lacks of subtle details, such as pores, fine lines.", "nose"),
    ("The nose lookes curved.", "nose"),
    ("The teeth look misaligned with the rest of the mouth.", "mouth"),
    ("The lips are distorted.", "mouth"),
    ("The gaze is strange.", "eyes"),
    ("The forehead is blotchy.", "skin"),
    ("The nose doesn’t look real.", "nose"),
    ("The eyes do not match.", "eyes"),
    ("The person does not have eyes.", "eyes"),
    ("The nose and the mouth look fake.", "nose mouth"),
    ("The skin, nose and lips are blurry.", "skin nose mouth"),
    ("The skin around the eyes is too smooth.", "skin"),
    ("The eyes do not go with the nose: they look odd.", "eyes"),
    ("The eyes look fake. The nose looks real.", "eyes"),
    ("The eyes look real but the nose is distorted.", "nose"),
    ("The eyes look fake because they are blurry the nose is bent.", "eyes nose"),
    ("There are no boundaries on the skin, the eyes look asymmetric.", "eyes"),
    ("The image is fake. The eyes are not sharp.", "eyes"),
    ("The image is real, except that the mouth looks edited.", "mouth"),
    ("The skin shows signs of manipulation.", "skin"),
    ("**THE EYES LOOK FAKE**", "eyes"),
    ("There are no boundaries on the skin.", ""),
    ("The skin has no stains.", ""),
    ("The person has naturally round eyes.", ""),
    ("The person has smooth skin.", ""),
    ("The person has naturally misaligned teeth.", ""),
    ("The skin does not look naturally lit.", "skin"),
    ("The nose looks real.", ""),
    ("The nose is not distorted.", ""),
    ("The eyes are not too large.", ""),
    ("The person has mismatched beard.", ""),
    ("The lighting in the image is inconsistent, unrealistic shadows.", ""),
    ("The person has blurry hairlines.", ""),
    ("The chin is misaligned with the mouth.", ""),
    ("The image is fake.", ""),
    ("It is an image with manipulated face regions.", ""),
    ("Do the person's eyes look fake?", ""),
    ("If the eyes were asymmetric I would call it fake.", ""),
    ("The image is real. The eyes are a little asymmetric and the skin is blurry.", ""),
    ("The eyes exist and the nose knows.", ""),
    ("", ""),
    ("眼睛看起来是假的", "eyes"),
]


@pytest.mark.parametrize(("text", "regions"), CALLED)
def test_called_regions(text: str, regions: str) -> None:
    assert read_regions(text) == frozenset(regions.split())


def test_the_known_regions() -> None:
    assert set(known_regions()) == set(PARTS)


@given(st.text(max_size=200))
def test_any_text_calls_known_regions_only(text: str) -> None:
    assert read_regions(text) <= set(PARTS)


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["and the ", "the eyes and ", "not too ", "The nose looks bent, ", "such as ", "if "])
def test_time_is_linear_in_the_text(piece: str) -> None:
    read_regions(piece)  # the words are read
    short, long = (lines_run(read_regions, piece * n) for n in (400, 1600))
    assert long <= 4 * short + 100


def test_long_words_and_texts() -> None:
    assert read_regions("y" * 50_000 + ". The eyes look odd.") == {"eyes"}
    assert read_regions("the nose, the mouth and the eyes of " * 10_000 + ". The skin looks fake.") >= {"skin"}


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5))
def test_each_complaint_is_heard(parts: list[str]) -> None:
    text = " ".join(f"The {part} look{'' if part.endswith('s') else 's'} distorted." for part in parts)
    assert read_regions(text) == frozenset(parts)


@pytest.mark.slow
def test_annotators_answers_about_a_region(real_data: Any) -> None:
    """Of a fake region exactly that region, of a real one none, but for a few that name others too."""
    count: Counter[tuple[int, bool]] = Counter()
    read = cache(read_regions)  # a quarter of the texts are different
    for split in ("train", "test"):
        for question in load_dataset("ddvqa-c40").questions(split, "blind"):
            wanted = frozenset([question.region] if question.label else ())
            if question.region != "image":
                for text in question.references:
                    count[question.label, read(text) == wanted] += 1
    assert count[1, True] >= 4608 and count[1, False] <= 5
    assert count[0, True] >= 3623 and count[0, False] <= 1


@pytest.mark.slow
def test_annotators_answers_about_the_image(real_data: Any) -> None:
    """Their own words "the person's nose looks a bit fake" against what is read: 2,965 hits, no miss, 14 more."""
    pattern = re.compile(rf"the person's ({'|'.join(PARTS)}) looks? (?:a bit|very) fake", re.IGNORECASE)
    read = cache(read_regions)
    hits = extra = missed = on_reals = 0
    for split in ("train", "test"):
        for question in load_dataset("ddvqa-c40").questions(split, "blind"):
            for text in question.references if question.region == "image" else ():
                called = read(text)
                stated = {word.lower() for word in pattern.findall(text)} if question.label else set()
                hits += len(called & stated)
                extra += len(called - stated)
                missed += len(stated - called)
                on_reals += bool(called) and question.label == 0
    assert hits == 2965 and missed == 0 and extra <= 14 and on_reals <= 1


def value(one: Statistic) -> float:
    n = len(one.has)
    return float(one.over(np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64), 1)(np.ones((1, 1)))[0])


def test_published_explanations_of_one_region(real_data: Path) -> None:
    """864 answers of the published model to "The nose in the image is fake, tell me why" and its like: 860 as asked."""
    asked = re.compile(r"The (\w+) in the image (?:is|are) (real|fake)")
    lines = (real_data / "ddvqa/outputs/DDVQA_exp_c40.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [(asked.search(row["prompt"]), row["text"]) for row in map(json.loads, lines)]
    right = [read_regions(text) == ({m[1]} if m[2] == "fake" else set()) for m, text in rows if m]
    assert len(right) == 864 and sum(right) >= 860


def test_region_statistics_by_hand() -> None:
    called = [frozenset(c.split()) for c in ("eyes nose", "", "skin", "mouth", "eyes")]
    truth = [frozenset(["eyes", "skin"]), frozenset(["nose"]), frozenset[str](), None, frozenset(["eyes"])]
    asked = np.array([True, True, True, True, False])
    found = region_statistics(called, truth, asked)
    # one right (eyes), two wrong (nose; skin of a real image), two missed (skin, nose)
    assert {name: value(one) for name, one in found.items()} == pytest.approx(
        {"region_precision": 1 / 3, "region_recall": 1 / 3, "region_f1": 1 / 3}
    )
    assert found["region_f1"].has.tolist() == [True, True, True, False, False]
    nothing = region_statistics([frozenset()], [frozenset()], np.ones(1, dtype=bool))
    assert all(math.isnan(value(one)) for one in nothing.values())


def test_diversity_by_hand() -> None:
    texts = ["The eyes are fake.", "the  eyes are FAKE.", "It is real.", "Other."]
    found = diversity(texts, {"THE EYES ARE FAKE.", "unused"})
    assert found == {
        "n": 4,
        "distinct": 3,
        "distinct_share": 0.75,
        "entropy_bits": pytest.approx(1.5),
        "entropy_max": 2.0,
        "commonest_share": 0.5,
        "commonest": "The eyes are fake.",
        "training_copies": 0.5,
    }
    assert diversity(texts)["training_copies"] is None
    assert diversity(["same"] * 9)["entropy_bits"] == 0.0
    assert diversity([])["n"] == 0 and diversity([])["entropy_bits"] is None


@given(st.lists(st.text(max_size=3), min_size=1, max_size=40))
def test_entropy_is_between_its_ends(texts: list[str]) -> None:
    found = diversity(texts, texts)
    entropy, most = found["entropy_bits"], found["entropy_max"]
    assert isinstance(entropy, float) and isinstance(most, float)
    assert 0.0 <= entropy <= most + 1e-9 and found["training_copies"] == 1.0


def columns(rows: list[tuple[str, int, int]], kind: str = "blind") -> tuple[Any, Any, Any, Any]:
    """Question text, frame and label of each question as `swaps` takes them."""
    asked = np.array([row[0] for row in rows], dtype=object)
    frame = np.array([f"f{row[1]}" for row in rows], dtype=object)
    label = np.array([row[2] for row in rows], dtype=np.int64)
    return asked, frame, label, np.array([kind] * len(rows), dtype=object)


GRID = [(text, frame, frame % 2) for frame in range(20) for text in ("Eyes?", "Nose?")]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=30),
    st.integers(0, 5),
)
def test_partners_are_as_they_should_be(rows: list[tuple[str, int]], seed: int) -> None:
    asked, frame, label, kind = columns([(text, number, number % 2) for text, number in rows])
    found = swaps(asked, frame, label, kind, seed, rounds=3)
    for name, same in (("within", True), ("across", False)):
        for i, partners in enumerate(found[name].T.tolist()):
            fit = [
                j
                for j in range(len(rows))
                if asked[j] == asked[i] and frame[j] != frame[i] and (label[j] == label[i]) == same
            ]
            assert all(j in fit for j in partners) if fit else partners == [-1] * 3


def test_swaps_are_drawn_by_the_seed_and_use_each_answer_once() -> None:
    asked, frame, label, kind = columns(GRID)
    one, again, other = (swaps(asked, frame, label, kind, seed, rounds=10) for seed in (3, 3, 4))
    for name in ("within", "across"):
        assert one[name].shape == (10, 40) and (one[name] == again[name]).all()
        assert (one[name] != other[name]).any()
        assert all(sorted(turn) == list(range(40)) for turn in one[name].tolist())  # as many reals as fakes
        assert len({tuple(turn) for turn in one[name].tolist()}) == 10
    asked, frame, label, kind = columns([("Eyes?", n, int(n < 4)) for n in range(12)])
    used = Counter(swaps(asked, frame, label, kind, 0, rounds=1)["across"][0].tolist())
    assert [used[i] for i in range(4)] == [2] * 4 and max(used[i] for i in range(4, 12)) == 1


def kept(answers: list[str], true: list[str], partners: Any) -> float:
    """Share of right answers that stays when the answers are swapped; those without a partner are left out."""
    has = partners[0] >= 0
    right = np.mean([answers[i] == true[i] for i in np.flatnonzero(has)])
    swapped = np.mean([[answers[turn[i]] == true[i] for i in np.flatnonzero(has)] for turn in partners])
    return float(swapped / right)


def test_who_does_not_look_keeps_all_and_who_does_does_not() -> None:
    asked, frame, label, kind = columns(GRID)
    found = swaps(asked, frame, label, kind, 0, rounds=10)
    by_text = [f"{text} {number % 4}" for text, number, _ in GRID]  # depends on image and question
    constant = [f"{text} 0" for text, _, _ in GRID]
    assert kept(constant, by_text, found["within"]) == 1.0
    assert kept(constant, by_text, found["across"]) == 1.0
    assert 0.2 < kept(by_text, by_text, found["within"]) < 0.7  # half of the other frames of a label are alike
    assert kept(by_text, by_text, found["across"]) == 0.0
    of_label = [f"{text} {value}" for text, _, value in GRID]
    assert kept(of_label, of_label, found["within"]) == 1.0 and kept(of_label, of_label, found["across"]) == 0.0


def test_questions_that_state_the_label_have_no_partner_across(real_data: Any) -> None:
    questions = load_dataset("ddvqa-c40").questions("test", "released")
    asked, frame = (np.array([getattr(q, key) for q in questions], dtype=object) for key in ("text", "frame"))
    label = np.array([q.label for q in questions], dtype=np.int64)
    found = swaps(asked, frame, label, np.array([q.kind for q in questions], dtype=object), 0, rounds=2)
    assert (found["across"] == -1).all()
    assert (found["within"] >= 0).mean() > 0.9
