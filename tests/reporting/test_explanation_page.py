"""The report page as text: what is selected, escaped, cut and marked."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toy_report import LONG, SCRIPT, toy_answers, toy_heat, toy_images, toy_page, toy_result

from m2f2bench.core.errors import ScoreError
from m2f2bench.core.records import Score
from m2f2bench.reporting.pages.cards import data_uri, fitted, main_metric, overlay, selected, verdict_word
from m2f2bench.reporting.pages.explanation import (
    KEPT_CHARACTERS,
    SHOWN_CHARACTERS,
    clean,
    details,
    earned,
    explanation_page,
    passage,
    reaches,
)


class Tags(HTMLParser):
    """Start tags with their attributes, and that all are closed in order."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_the_same_each_time() -> None:
    page = toy_page()
    tags = Tags(page).found
    assert page == toy_page() and page.endswith("</html>\n")
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")), (tag, target)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    for link in re.findall(r'href="#([^"]+)"', page):
        assert link in ids
    for label in (a["aria-labelledby"] for _, a in tags if "aria-labelledby" in a):
        assert label in ids


def test_the_policy_admits_the_pages_own_style_and_script() -> None:
    page = toy_page()
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
        assert policy and f"{directive} &#39;sha256-{digest}&#39;" in policy[1]
        assert policy[1].startswith("default-src &#39;none&#39;")


def test_hostile_text_is_text() -> None:
    page = toy_page()
    assert "<script>window.ran" not in page and "<img src='https" not in page
    assert "&lt;script&gt;window.ran" in page
    assert "tag{{ 7 * 7 }}" in page, "a template in an answer is not one"
    assert page.encode("utf-8") and "\x00" not in page and "\x07" not in page
    assert page.count("Java is not installed &lt;b&gt;") >= 1


def test_long_answers_are_cut_and_say_so() -> None:
    page = toy_page()
    assert "100,000 words: show more" in page and "The text is cut here" in page
    assert len(page) < 3_000_000 and page.count("word word word") < LONG.count("word word word")


@pytest.mark.parametrize(
    ("text", "head", "whole", "cut"),
    [
        ("short", "short", False, False),
        ("", "", False, False),
        ("a " * 90, "a " * 90, False, False),
        ("a " * 91, ("a " * 90).strip(), True, False),
        ("x" * 901, "x" * SHOWN_CHARACTERS, True, False),
        ("x" * (KEPT_CHARACTERS + 1), "x" * SHOWN_CHARACTERS, True, True),
    ],
)
def test_passages(text: str, head: str, whole: bool, cut: bool) -> None:
    found = passage(text)
    assert (found.head, bool(found.whole), found.cut, found.words) == (head, whole, cut, len(text.split()))


@given(st.text(st.characters(), max_size=400))
@settings(deadline=None)
def test_any_text_becomes_a_passage(text: str) -> None:
    found = passage(text)
    assert (found.whole or found.head) == clean(text) and clean(text).startswith(found.head)
    clean(text).encode("utf-8")


def test_details_of_any_shape() -> None:
    told = details(
        {"a": 1, "b": {"x": {"p": 1.5, "q": None}, "y": {"p": 2, "q": [0.1, 0.2]}}, "c": {"z": True}, "d": {}}
    )
    assert told.facts == (("a", "1"),)
    (b, inner), (d, empty) = told.parts
    assert (b, d) == ("b", "d") and empty.facts == ()
    assert inner.heads == ("p", "q") and inner.rows == (("x", ("1.500", "–")), ("y", ("2.000", "[0.100, 0.200]")))
    assert told.rows == (("c", ("yes",)),) and told.heads == ("z",)


def test_selection() -> None:
    answers, items, verdicts = toy_answers()
    found = selected(answers, items, verdicts, 3)
    values = items["rouge_l"]
    ok = answers.status == "ok"
    worst = sorted((v, i) for i, v in enumerate(values) if ok[i])[:3]
    assert {i for i, groups in found.items() if "worst" in groups} == {i for _, i in worst}
    best = sorted((-v, i) for i, v in enumerate(values) if ok[i])[:3]
    assert {i for i, groups in found.items() if "best" in groups} == {i for _, i in best}
    assert {i for i, groups in found.items() if "missing" in groups} == set(np.flatnonzero(~ok))
    wrong = [i for i, groups in found.items() if "wrong verdict" in groups]
    assert len(wrong) == 3 and all(verdict_word(answers, verdicts, i) in ("wrong", "none") for i in wrong)
    assert list(found) == sorted(found)


def test_of_equally_bad_answers_each_image_comes_once_first() -> None:
    answers, items, verdicts = toy_answers()
    found = selected(answers, {"cider": np.zeros(len(answers))}, ["real"] * len(answers), 6)
    worst = [answers.frame[i] for i, groups in found.items() if "worst" in groups]
    assert len(set(worst)) == 6
    assert main_metric(items) == "rouge_l" and main_metric({"bleu": np.zeros(2)}) == "bleu"
    assert main_metric({"rouge_l": np.full(2, np.nan)}) is None
    alone = selected(answers, {}, verdicts, 5)
    assert {i for i, groups in alone.items() if "missing" in groups} == set(np.flatnonzero(answers.status != "ok"))


def test_verdicts_of_questions_that_state_the_label_are_none() -> None:
    answers, _, _ = toy_answers()
    words = [verdict_word(answers, ["fake"] * len(answers), i) for i in range(len(answers))]
    for word, kind, status, label in zip(words, answers.kind, answers.status, answers.label, strict=True):
        expected = "" if kind == "released" or status != "ok" else "right" if label else "wrong"
        assert word == expected


def test_where_controls_do_as_well() -> None:
    assert reaches(Score(0.5, 1, 1), Score(0.5, 1, 1), "rouge_l")
    assert not reaches(Score(0.4, 1, 1), Score(0.5, 1, 1), "rouge_l")
    assert reaches(Score(0.4, 1, 1), Score(0.5, 1, 1), "verdict_none_rate"), "lower is better"
    assert not reaches(Score(None, 1, 1), Score(0.5, 1, 1), "rouge_l")
    assert not reaches(Score(0.5, 1, 1), None, "rouge_l")
    assert earned("frequent-hidden", "verdict_accuracy") and not earned("frequent-label", "verdict_accuracy")
    assert not earned("frequent-hidden", "verdict_accuracy", "fake") and earned("medoid-label", "cider", "fake")
    page = toy_page()
    warning = re.search(r'<div class="warn">.*?</div>', page, re.DOTALL)
    assert warning and "<b>frequent-hidden</b>: ROUGE-L; verdict accuracy</li>" in warning[0]
    assert "<b>frequent-label</b>, given the true label: ROUGE-L</li>" in warning[0]
    assert warning[0].count("<li>") == 3, "the third does as well in verdict accuracy alone"


def test_without_anything() -> None:
    answers, _, _ = toy_answers()
    none = answers.only(np.zeros(len(answers), dtype=bool))
    page = explanation_page(toy_result(), none, {}, [], lambda _: None, lambda _: None)
    Tags(page)
    assert "This page holds 0 of 0 questions" in page and "controls</h2>" not in page


def test_lengths_that_differ_are_refused() -> None:
    answers, items, verdicts = toy_answers()
    with pytest.raises(ScoreError, match="the numbers differ"):
        explanation_page(toy_result(), answers, items, verdicts[1:], toy_images, toy_heat)


def test_each_picture_is_asked_for_once_and_only_where_shown() -> None:
    answers, items, verdicts = toy_answers()
    asked: list[str] = []
    explanation_page(
        toy_result(), answers, items, verdicts, lambda f: asked.append(f) or toy_images(f), toy_heat, count=2
    )
    assert len(asked) == len(set(asked)) and 0 < len(asked) <= 8


def test_pictures_are_small_jpegs() -> None:
    image = toy_images("f1")
    uri, columns, rows = data_uri(image)
    assert (columns, rows) == (168, 224) == fitted(320, 240)[::-1]
    decoded = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))))
    assert decoded.size == (168, 224) and decoded.format == "JPEG"
    assert fitted(10, 20) == (10, 20) and fitted(1, 4000) == (1, 224)
    over = overlay(image, *toy_heat("f2"))
    assert over.shape == (224, 168, 3) and over.dtype == np.uint8
    inside, edge = over[100:120, 80:100], over[:10, :10]
    assert np.ptp(edge.reshape(-1, 3), axis=1).max() == 0 < np.ptp(inside.reshape(-1, 3), axis=1).min()


def test_a_page_of_48_pictures_is_small() -> None:
    smooth = np.asarray(Image.fromarray(toy_images("f1")).resize((8, 8)).resize((224, 224), Image.Resampling.BICUBIC))
    answers, items, verdicts = toy_answers(24)
    page = explanation_page(
        toy_result(), answers, items, verdicts, lambda _: smooth, lambda _: toy_heat("f2"), count=24
    )
    assert page.count('class="card"') >= 48 and len(page) < 3_000_000
    assert SCRIPT not in page
