"""The regions that answers call manipulated: other people's cases, sentences to develop with, turns of each kind."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import SHARED, TESTS

from m2f2bench import metrics
from m2f2bench.metrics.languages.patterns import wordset
from m2f2bench.metrics.regions.region_words import GRAMMAR, PATTERNS, REGION, lexicon, regions_in
from m2f2bench.metrics.regions.regions import read_regions
from m2f2bench.metrics.verdicts.verdict_words import FORMS
from m2f2bench.metrics.verdicts.verdict_words import TURNS as ANSWER_TURNS
from m2f2bench.metrics.verdicts.verdict_words import WORDS as VERDICT_WORDS

PARTS = {"skin", "eyes", "eyebrows", "nose", "mouth"}
READERS = Path(metrics.__file__).parent
DEVELOPMENT = TESTS / "development" / "regions.jsonl"
MOST_WRONG = 0.04
"""Of the lines; the reader was written with these sentences."""


def cases() -> Path | None:
    data = os.environ.get("M2F2BENCH_DATA")
    places = [os.environ.get("M2F2BENCH_CASES"), Path(data).parent / "cases" if data else None]
    places.append(SHARED / "cases")
    return next((Path(place) for place in places if place and (Path(place) / "regions.jsonl").is_file()), None)


def wrong(path: Path) -> list[tuple[str, set[str], list[str]]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    read = [(row["text"], set(read_regions(row["text"])), row["regions"]) for row in rows]
    return [(text, called, wanted) for text, called, wanted in read if called != set(wanted)]


@pytest.mark.skipif(cases() is None, reason="no folder of cases: set M2F2BENCH_CASES")
def test_c2_every_case_of_regions_is_read_right() -> None:
    folder = cases()
    assert folder is not None and wrong(folder / "regions.jsonl") == []


@pytest.mark.slow
def test_c2_sentences_to_develop_with() -> None:
    lines = DEVELOPMENT.read_text(encoding="utf-8").count("\n")
    assert len(wrong(DEVELOPMENT)) <= MOST_WRONG * lines


TURNS = [
    # clauses and what they are about
    ("The eyes look realistic, the mouth unrealistic.", "mouth"),
    ("Teeth fine, lips fine, nose fine, eyes glassy.", "eyes"),
    ("The nose, although it is sharp and well lit, has been taken from another face.", "nose"),
    ("The mouth, however, is blurry.", "mouth"),
    ("The mouth is blurry, however the eyes are sharp.", "mouth"),
    ("Despite well-rendered eyes, the brows are smudged.", "eyebrows"),
    ("The skin around the eyes is too smooth, the eyes are fine.", "skin"),
    ("The hair is jagged and melts into the background.", ""),
    ("Ghosting appears around the glasses and the eyes.", "eyes"),
    ("The iris pattern is smeared.", "eyes"),
    ("The forger replaced the eyes and gave the man somebody else's smile.", "eyes mouth"),
    ("The nose and the eyes were compared: the former is grainy, the latter sharp.", "nose"),
    # negation
    ("The eyes are not blurry and look natural.", ""),
    ("The eyes do not look sharp and appear blurry.", "eyes"),
    ("The skin is not natural but waxy.", "skin"),
    ("There are no clear artifacts around the mouth.", ""),
    ("Artifacts are not visible around the mouth.", ""),
    ("Artifacts are absent from the cheeks.", ""),
    ("Pores are absent from the cheeks.", "skin"),
    ("The cheeks lack artifacts.", ""),
    ("The cheeks lack pores.", "skin"),
    ("The nose isn't free of artifacts.", "nose"),
    ("I do not believe that the nose or the eyebrows were edited.", ""),
    ("The eyes could not look more natural.", ""),
    ("The lids do not shut.", "eyes"),
    ("No two teeth are alike.", "mouth"),
    ("That the eyes are genuine, I doubt.", "eyes"),
    # what is not said, or taken back
    ("If the mouth had been altered, we would see smearing along the lips, and there is none.", ""),
    ("If this were a real photo, both pupils would be round. They aren't.", "eyes"),
    ("At first glance the eyes looked odd, but that is merely a reflection.", ""),
    ("The mouth is slightly crooked, but this is normal.", ""),
    ("The blur on the forehead is caused by motion.", ""),
    ("I checked the eyes for mismatched reflections and found none.", ""),
    ("Generators tend to produce mismatched pupils.", ""),
    ("Deepfakes often fail at the teeth, and this one is no exception.", "mouth"),
    # exceptions, comparisons, ellipses
    ("Everything but the nose has been altered.", "skin eyes eyebrows mouth"),
    ("Of the eyes, the nose and the mouth, all but the nose were altered.", "eyes mouth"),
    ("Nothing except the eyebrows raises suspicion.", "eyebrows"),
    ("The face is flawless except for the mouth.", "mouth"),
    ("The gaze is convincing, unlike the lips.", "mouth"),
    ("The mouth looks less natural than the eyes.", "mouth"),
    ("The eyes look just as wrong as the mouth.", "eyes mouth"),
    ("Neither the eyes nor the skin look edited; the mouth does.", "mouth"),
    ("The eyes are fake and so is the mouth.", "eyes mouth"),
    ("The mouth was altered, not the nose.", "mouth"),
    ("It is the eyes that were altered rather than the mouth.", "eyes"),
    ("Eyes and brows are real. The nose isn't.", "nose"),
    # pairs, quantities, what no face has, what is where it should not be
    ("The left iris is brown, the right one blue.", "eyes"),
    ("The left eye is fine and the right one is fine, too.", ""),
    ("No artifacts in the eyes, a few around the nose.", "nose"),
    ("The nose has zero flaws, the mouth has plenty.", "mouth"),
    ("Eyes: 0 artifacts. Mouth: 0 artifacts.", ""),
    ("There are three nostrils.", "nose"),
    ("The teeth stick out through the lower lip.", "mouth"),
    ("Where the teeth should be there is only a grey blur.", "mouth"),
    ("The nose is not where it should be.", "nose"),
    ("The nose is where it should be.", ""),
    ("The mouth keeps moving after she stops speaking.", "mouth"),
    ("The eyebrows look like strips of felt.", "eyebrows"),
    ("She has a narrow nose and crooked teeth.", ""),
    # what others say, what is supposed, explained or taken back
    ("Had the lips been edited, we would expect a blur along their border, and there is none.", ""),
    ("If this were a face swap, the skin would show a seam.", ""),
    ("If the mouth had been edited, the teeth would be blurred, but they are sharp.", ""),
    ("I'd like the mouth more if it hadn't been generated by a machine.", "mouth"),
    ("Some say the nose is fake. They are wrong.", ""),
    ("The suspicion against the nose proved groundless.", ""),
    ("No amount of makeup can explain the jagged cut-out around her lips.", "mouth"),
    ("The blur on the mouth can't be explained by motion.", "mouth"),
    ("The dark patch on her cheek is a birthmark.", ""),
    ("The detector marked the brows, but wrongly so.", ""),
    ("Nose and skin were suspected, but only the latter is fake.", "skin"),
    ("While the lighting on the nose is right, that on the forehead is not.", "skin"),
    ("Between the eyes the skin is doubled.", "skin"),
    ("Why does the skin shimmer?", "skin"),
    # questions, names, headings
    ("Is the nose right? No. Are the eyes right? Yes.", "nose"),
    ("Is it the mouth? No. It's the eyes.", "eyes"),
    ("The mouth.", "mouth"),
    ("Fake. Skin.", "skin"),
    ("Tampered with: nose (contour), eyes (reflections). Left alone: mouth.", "nose eyes"),
    ("Activation over the nose: negligible.", ""),
    ("<think>The eyes look fake.</think> The mouth is manipulated.", "mouth"),
    ("The image is fake. I found no manipulation in the nose, but the eyes are asymmetric.", "eyes"),
    # forms
    ('{"regions": [{"name": "mouth", "manipulated": true}, {"name": "eyes", "manipulated": false}]}', "mouth"),
    ('{"authentic": {"eyes": true, "mouth": false}}', "mouth"),
    ('{"regions": {"eyes": 0.93, "mouth": 0.12}}', "eyes"),
    ("| Region | Natural? |\n|---|---|\n| Eyes | yes |\n| Nose | no |", "nose"),
    ("| Region | Fake? |\n|---|---|\n| Eyes | yes |\n| Nose | no |", "eyes"),
    ("The following parts look wrong:\n* the eyes\n* the mouth", "eyes mouth"),
    ("The following parts look right:\n* the eyes\n* the mouth", ""),
    ("FLAGGED\n  eyes\n  skin\nCLEARED\n  nose", "eyes skin"),
    ("- [ ] skin\n- [x] mouth", "mouth"),
    ("☐ skin ☑ eyes ☐ nose", "eyes"),
    ("Mouth ❌ Eyes ✅", "mouth"),
    ("[0, 0, 0, 1, 0] (skin, eyes, eyebrows, nose, mouth)", "nose"),
    ("eyes=0, nose=1, mouth=0 (1 = real)", "eyes mouth"),
    ("Key: 1 = manipulated. eyes 0, eyebrows 0, nose 1, mouth 0, skin 1", "nose skin"),
    ("Scores from 0 (clean) to 10 (clearly edited): eyes 9, nose 0, mouth 4.", "eyes"),
    ("Eyes - fine, nose - distorted, mouth - fine", "nose"),
    ("Which region was manipulated: eyes, nose, mouth or skin?", ""),
    ("Most suspicious region: eyes. Least suspicious region: mouth.", "eyes"),
    ("<skin>0</skin><nose>1</nose>", "nose"),
    ("<region>eyes</region><region>mouth</region>", "eyes mouth"),
    # other languages
    ("Die Augen wirken natürlich, der Mund hingegen ist verschwommen.", "mouth"),
    ("Während Augen und Nase echt wirken, ist der Mund unscharf.", "mouth"),
    ("Seule la bouche a été modifiée.", "mouth"),
    ("Ni los ojos ni la boca parecen auténticos.", "eyes mouth"),
    ("眼睛很自然，嘴唇却模糊变形。", "mouth"),
]


@pytest.mark.parametrize(("text", "regions"), TURNS)
def test_c2_turns(text: str, regions: str) -> None:
    assert read_regions(text) == frozenset(regions.split())


WORDS = wordset(
    "the eyes mouth skin not and , is no but except unlike which if ? . that both former would doubt lacks of as "
    "yes : ( only it there too blurry natural shadow restofit such exception"
)


@given(st.lists(st.sampled_from(sorted({*WORDS, "\n"})), max_size=25))
def test_no_row_of_words_breaks_the_reader(row: list[str]) -> None:
    assert read_regions(" ".join(row)) <= PARTS


def test_every_word_of_the_pattern_of_regions_names_one() -> None:
    named = [word for word in re.findall(r"[a-z]+", REGION.replace("(?:e?s)", "")) if not regions_in(word)]
    assert named == []


def test_every_word_of_the_lists_is_text_and_every_phrase_compiles() -> None:
    known = lexicon()
    assert set(known.region.values()) == PARTS
    assert all(isinstance(word, str) and word for word in (*known.roles, *known.exact, *known.verbs, *known.deeds))
    assert len(known.phrases) > 50


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("GRAMMAR", GRAMMAR),
        ("PATTERNS", PATTERNS),
        ("WORDS", VERDICT_WORDS),
        ("TURNS", ANSWER_TURNS),
        ("FORMS", FORMS),
    ],
)
def test_the_readers_use_every_list_and_pattern_of_their_files_and_no_other(name: str, held: dict[str, object]) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in READERS.rglob("*.py"))
    assert set(re.findall(rf'(?<!_)\b{name}\["(\w+)"\]', source)) == set(held)
