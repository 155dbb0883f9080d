"""Questions that state the label, made of neutral ones in the manner of M2F2-Det's release.

The release has such questions about its test images alone: one for each neutral annotation, with that as its reference.
Of its training questions only "real or fake?" was published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.parsing import read_yaml
from ..core.records import FAKE, Question

STATED = "stated"
"""Kind of a training stage's questions: a dataset's own that state the label, or else those made here."""
WHOLE = "image"
WORDS: dict[str, Any] = read_yaml(Path(__file__).with_name("stated.yaml"))

_VERDICT = re.compile(r"(?:the person's \w+|the image) looks? (?:very |a bit )?(?:real|fake)\.\s*", re.IGNORECASE)
_BECAUSE = re.compile(r"the person's \w+ looks? (?:very |a bit )?(?:real|fake) because ", re.IGNORECASE)


def ask_about_regions(questions: Iterable[Question]) -> bool:
    """Return whether any question is about a part of the face: DD-VQA's released training questions are not."""
    return any(question.region != WHOLE for question in questions)


def stated_questions(neutral: Sequence[Question]) -> list[tuple[Question, tuple[str, ...]]]:
    """Return questions that state the label, each with all its answers, as often as annotators gave them.

    Each neutral answer makes a question, and equal questions about an image are one, whose references are distinct. Of
    the 1,070 released test questions, 1,067 come out of the test images' annotations to the letter (white space apart).
    """
    made: dict[tuple[str, str], tuple[Question, list[str]]] = {}
    for question in neutral:
        for answer in map(released_manner, question.references):
            text = stated_text(question, answer)
            name = f"{question.id}_{STATED}{len(made)}"
            first = replace(question, id=name, text=text, references=(), kind=STATED)
            made.setdefault((question.frame, text), (first, []))[1].append(answer)
    return [(replace(one, references=tuple(dict.fromkeys(given))), tuple(given)) for one, given in made.values()]


def stated_text(question: Question, answer: str) -> str:
    """Return a neutral question's text as the release puts it: with the label and, of a whole image, with the parts of
    the face that the answer names.
    """
    label = "fake" if question.label == FAKE else "real"
    if question.region == WHOLE or "+" in question.region:
        words = set(re.findall(r"\w+", answer.lower()))
        named = ", ".join(name for name in WORDS["named"] if name in words)
        return str(WORDS["whole"].format(label=label, named=named))
    forms = {"region": question.region, "be": "are" if question.region in WORDS["plural"] else "is"}
    return str(WORDS[label].format(rest=WORDS["rest"].get(question.region, "."), **forms))


def released_manner(reference: str) -> str:
    """Return an original DD-VQA annotation in the words of M2F2-Det's release.

    The sentence with the verdict is dropped, as is "The person's nose looks very fake because", and "stains/flaws" is
    spelt out. Of the 1,070 references of the released test set, 1,066 are exactly the original test annotations of
    their frame and region after these changes. An annotation that would become empty is not changed.
    """
    whole = reference.lower().startswith("the image")
    text = _BECAUSE.sub("", _VERDICT.sub("", reference, count=1) if _VERDICT.match(reference) else reference)
    text = " ".join(text.replace("stains/flaws", "stains or flaws").split())
    if whole or text.startswith("the"):
        text = text[:1].upper() + text[1:]
    return text or reference
