"""Verdicts: what is read from an answer, on which the published judgements and the annotators' own words agree."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from verdict_cases import CASES, lines_run

from m2f2bench.loading import load_dataset
from m2f2bench.metrics.answer_metrics import consistency
from m2f2bench.metrics.languages.patterns import wordset
from m2f2bench.metrics.regions.regions import read_regions
from m2f2bench.metrics.verdicts.stated import stated
from m2f2bench.metrics.verdicts.verdict import (
    LONGEST,
    VERDICT_RULES,
    VERDICTS,
    read_verdict,
    substring_verdict,
    verdict_statistics,
)
from m2f2bench.stats.statistic import Statistic

MOUTHS = (
    "The image looks like a typical photo that you would take with a smartphone. The person has realistic facial "
    "features. The person has mismatched beard. The person's face looks like it has 4 mouths. There are no boundaries "
    "on the person's face. The person has blurry hairlines."
)
STYLED = "The image looks like a computer-generated artist styled image for animation, carton or films. The person has "
READ_BY_HAND = {
    "The image is fake.": "fake",
    "The image is real.": "real",
    "Real": "real",
    "The image appears to be real.": "real",
    "The image looks like a real person.": "real",
    "The image looks real to me.": "real",
    "The image is fake because the person has blurry hairlines the person has mismatched beard.": "fake",
    "The image appears to be fake because:\n\n1. There are boundaries on the person's face.\n2. There are stains or "
    "flaws on the person's face.\n3. There are areas looking unnaturally brighter.\n4. There area of looking "
    "unnaturally darker.": "fake",
    "The image appears to be manipulated because the eyes appear unnaturally asymmetric. The eyes appear overly large "
    "to the face. The eyes appear overly small to the face. The person has mismatched bangs. The lighting in the image "
    "is inconsistent, unrealistic shadows.": "fake",
    STYLED + "blurry hairlines mismatched beard.###": "fake",
    STYLED + "mismatched bangs. Verdict: The image is fake.": "fake",
    STYLED + "mismatched bangs. The lighting in the image is inconsistent, unrealistic shadows.": "fake",
    MOUTHS: "unreadable",
}
"""Every distinct text of the 144 published judgements."""


@pytest.mark.parametrize(("verdict", "text"), [*CASES, *(("unreadable", text) for text in ("", " ", MOUTHS))])
def test_what_a_reader_takes_from_it(verdict: str, text: str) -> None:
    assert read_verdict(text) == verdict
    for changed in (text.upper(), f"<s> **{text}**</s>", f"\n\n  {text}\n", text.replace("'", "’"), text + " 🙂"):
        assert read_verdict(changed) == verdict, changed
    assert read_verdict(f"Is the image real or fake? {text}") == verdict


OTHER_LANGUAGES = (
    ("real", "没有发现换脸的痕迹。这是真实的照片。"),
    ("fake", "未見修圖痕跡的是背景。這張臉是偽造的。"),
    ("real", "照片非常真实。"),
    ("real", "說它是合成的，我可不信。"),
    ("fake", "与其说是照片，不如说是电脑合成的画。"),
    ("real", "伪造的可能性很低。"),
    ("fake", "举报人说这是真的，但他错了。"),
    ("undetermined", "光凭这一张图，真假难辨。"),
    ("refused", "恕難從命。"),
    ("real", "la imagen esta autentica, sin retoques"),
    ("fake", "Esto, de auténtico, solo tiene el marco."),
    ("real", "Se equivoca quien diga que es falsa."),
    ("fake", "Sería un milagro que no estuviera manipulada."),
    ("fake", "Será bonita, pero auténtica no es."),
    ("real", "¿Retocada? Qué va."),
    ("undetermined", "La balanza no se inclina hacia ningún lado."),
    ("refused", "Me niego a contestar."),
    ("unreadable", "De haber sido real, la sombra caería al otro lado."),
    ("undetermined", "If there were a reference I would be able to tell whether it is real."),
)
"""What was read wrong while turns of Spanish and Chinese were put into English word by word."""


@pytest.mark.parametrize(("verdict", "text"), OTHER_LANGUAGES)
def test_turns_of_other_languages_are_read(verdict: str, text: str) -> None:
    assert read_verdict(text) == verdict
    assert read_verdict(f"**{text.upper()}** 🙂") == verdict


def test_the_cases_are_many_of_each() -> None:
    assert len(CASES) == len({text for _, text in CASES})
    count = Counter(verdict for verdict, _ in CASES)
    assert min(count["real"], count["fake"], sum(count.values()) - count["real"] - count["fake"]) > 60


def test_substring_is_what_it_is_said_to_be() -> None:
    assert [substring_verdict(t) for t in ("Unrealistic.", "It is not real.", "", "REAL", "fake")] == [
        *("real", "real", "fake", "real", "fake")
    ]
    assert VERDICT_RULES["words"] is read_verdict and VERDICT_RULES["substring"] is substring_verdict


def _published(real_data: Path) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    lines = (real_data / "ddvqa/outputs/DDVQA_det_c40.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    labels = [0 if Path(row["image"]).name.startswith("5_") else 1 for row in rows]
    return [row["text"] for row in rows], np.array(labels, dtype=np.int64)


def value(one: Statistic, kept: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> float:
    """A statistic of all its items, or of those kept."""
    n = len(one.has)
    everything = np.ones(n, dtype=bool) if kept is None else kept
    return float(one.over(everything, np.zeros(n, dtype=np.int64), 1)(np.ones((1, 1)))[0])


def test_published_judgements_are_read_as_by_hand(real_data: Path) -> None:
    texts = {text.removeprefix("<s> ").removesuffix("</s>"): text for text in _published(real_data)[0]}
    assert set(texts) == set(READ_BY_HAND)
    for plain, text in texts.items():
        assert read_verdict(text) == READ_BY_HAND[plain], plain


def test_trap_14(real_data: Path) -> None:
    """133 of 144 are right by words; by substring 136, and F1 .942, since an unreadable answer counts as "fake"."""
    texts, labels = _published(real_data)
    everything = np.ones(144, dtype=bool)
    by_words = verdict_statistics([read_verdict(text) for text in texts], labels, everything)
    by_substring = verdict_statistics([substring_verdict(text) for text in texts], labels, everything)
    assert value(by_words["verdict_accuracy"]) == 133 / 144 == pytest.approx(0.9236, abs=5e-5)
    assert value(by_substring["verdict_accuracy"]) == 136 / 144 == pytest.approx(0.9444, abs=5e-5)
    assert value(by_substring["verdict_f1"]) == pytest.approx(0.9420, abs=5e-5)
    assert value(by_words["verdict_none_rate"]) == 1 / 144 and value(by_substring["verdict_none_rate"]) == 0.0
    # 65 of 72 fakes and 68 of 72 reals; three reals are called fake and one is called nothing.
    assert value(by_words["verdict_balanced_accuracy"]) == pytest.approx((65 / 72 + 68 / 72) / 2)
    assert value(by_words["verdict_f1"]) == pytest.approx(2 * 65 / (2 * 65 + 3 + 7))


@pytest.mark.slow
def test_annotators_answers_agree_with_their_labels(real_data: Path) -> None:
    """10,322 neutral references: first sentences always, whole texts but for 22, most of which end in "Real."."""
    data = load_dataset("ddvqa-c40")
    read = cache(read_verdict)  # a quarter of the texts are different
    wrong, first, n = [], 0, 0
    for split in ("train", "test"):
        for question in data.questions(split, "blind"):
            label = ("real", "fake")[question.label]
            for text in question.references:
                n += 1
                first += read(text.partition(".")[0]) == label
                if read(text) != label:
                    wrong.append(text)
    assert n == first == 10_322
    assert len(wrong) <= 22
    assert sum("real" in text.lower().split("fake.", 1)[-1] for text in wrong) >= len(wrong) - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "not ",
        "real or fake ",
        "The image is not real, ",
        "eyes and nose ",
        "it is fake. ",
        "although real ",
        "<",
        "to be ",
    ],
)
def test_time_is_linear_in_the_text(piece: str) -> None:
    short, long = (lines_run(read_verdict, piece * n) for n in (400, 1600))
    assert long <= 4 * short + 100


def test_a_hundred_thousand_words() -> None:
    assert read_verdict("the eyes and the nose are not unlike those of " * 10_000 + ". The image is fake.") == "fake"


@pytest.mark.slow
def test_of_a_text_that_nobody_reads_the_end_is_read() -> None:
    padding = "lorem ipsum " * (LONGEST // 12 + 1)
    assert read_verdict(f"The image is fake. {padding}") == "unreadable"
    assert read_verdict(f"{padding}. The image is fake.") == "fake"
    assert read_regions(f"The mouth is blurry. {padding}") == set() and read_regions(f"{padding}. The mouth is blurry.")


@given(st.text(max_size=200))
def test_any_text_has_a_verdict(text: str) -> None:
    assert read_verdict(text) in VERDICTS
    assert read_verdict(text) == read_verdict(text)


WORDS = st.sampled_from(
    sorted(
        wordset(
            "the image is not real fake or , . ? neither nor if whether no eyes looks manipulated although but because "
            "to too unlike it natural unrealistic — : ( ) ' would"
        )
    )
)


@given(st.lists(WORDS, max_size=30))
def test_any_words_have_a_verdict_and_a_last_sentence_decides(words: list[str]) -> None:
    text = " ".join(words)
    assert read_verdict(text) in VERDICTS
    assume(not stated(text))  # "fake : no" is a form, and a form goes before any sentence
    for verdict in ("real", "fake"):
        assert read_verdict(f"{text}. The image is {verdict}.") == verdict


@given(
    st.lists(st.tuples(st.sampled_from(["real", "fake", "none"]), st.integers(0, 1), st.booleans()), min_size=1),
)
def test_statistics_are_those_counted_by_hand(rows: list[tuple[str, int, bool]]) -> None:
    verdicts, labels = [row[0] for row in rows], np.array([row[1] for row in rows], dtype=np.int64)
    asked = np.array([row[2] for row in rows])
    found = {name: value(one) for name, one in verdict_statistics(verdicts, labels, asked).items()}
    count = Counter((verdict, label) for verdict, label, kept in rows if kept)
    real, fake = (sum(n for (_, label), n in count.items() if label == which) for which in (0, 1))
    right_real, right_fake = count["real", 0], count["fake", 1]

    def share(above: float, below: float) -> float:
        return above / below if below else float("nan")

    wanted = {
        "verdict_accuracy": share(right_real + right_fake, real + fake),
        "verdict_balanced_accuracy": (share(right_real, real) + share(right_fake, fake)) / 2,
        "verdict_f1": share(2 * right_fake, 2 * right_fake + count["fake", 0] + (fake - right_fake)),
        "verdict_none_rate": share(count["none", 0] + count["none", 1], real + fake),
    }
    if not fake:
        wanted["verdict_f1"] = float("nan")  # nothing to find
    assert found == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Das Foto ist alles andere als echt.", "fake"),
        ("Gegen die Echtheit spricht nichts.", "real"),
        ("Dass das Bild manipuliert wurde, kann ich ausschließen.", "real"),
        ("Ein echtes Foto? Von wegen!", "fake"),
        ("Eine Manipulation lässt sich weder nachweisen noch ausschließen.", "undetermined"),
        ("Bilder von Menschen bewerte ich nicht.", "refused"),
        ("Cette photo est tout sauf authentique.", "fake"),
        ("On aurait tort d'y voir une image de synthèse.", "real"),
        ("Il est impossible que cette photo soit authentique.", "fake"),
        ("Un deepfake ? Jamais de la vie.", "real"),
        ("Les indices se contredisent.", "undetermined"),
        ("Permettez-moi de décliner poliment.", "refused"),
        ("| Check | Manipulated? |\n|---|---|\n| Eyes | no |\n| **Overall** | **no** |", "real"),
        ("| Region | Authentic |\n|---|---|\n| Eyes | yes |\n| Mouth | no |", "fake"),
    ],
)
def test_c1_turns_of_german_and_french_and_tables_are_read(text: str, verdict: str) -> None:
    assert read_verdict(text) == verdict


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="'unsure': not one of real, fake, undetermined, refused, unreadable, none"):
        verdict_statistics(["unsure"], np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool))


def test_consistency_counts_agreement_with_the_own_score() -> None:
    verdicts = ["fake", "fake", "real", "real", "none", "fake", "fake"]
    scores = np.array([0.5, 0.49, 0.2, 0.9, 0.9, np.nan, 0.9])
    asked = np.array([True] * 6 + [False])
    one = consistency(verdicts, scores, asked)
    assert one.has.tolist() == [True] * 6 + [False]
    assert value(one) == 2 / 6  # a verdict beside no score agrees with nothing
    constant = consistency(["fake"] * 4, np.array([0.9, 0.8, 0.7, 0.1]), np.ones(4, dtype=bool))
    assert value(constant) == 0.75  # the detector's commoner call
