"""Explainers that never look at an image: what an answer is worth that anyone could have given without it.

They know more than a question's text (its region, the training answers, some even the label), which no real explainer
may; so they are no `Explainer` but a function from questions to answers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..core.errors import ScoreError, near
from ..core.records import FAKE, JUDGE, REAL, Answer, Question

if TYPE_CHECKING:
    from ..datasets.dataset import Dataset

Needs = Literal["nothing", "label", "verdict"]
Key = tuple[str, str, int | None]
"""A group of training answers: kind, region, and label (None: both)."""
Choice = Callable[[Counter[str]], str]

WHOLE = "image"
"""The group of questions about the whole image, the face, or several regions."""
PREFIX = "control-"
"""What the names of controls begin with in tables and folders."""
VERDICTS = {REAL: "The image is real.", FAKE: "The image is fake."}
ACCUSED = "The image looks fake. The skin, the eyes, the eyebrows, the nose and the mouth look fake."

_QUOTED = re.compile(r"(instead of saying,?\s*)?[\"“]([^\"“”]*)[\"”]", re.IGNORECASE)
_GAP = re.compile(r"…+|\.{3,}|_{2,}")
_VERDICT = re.compile(r"(?:the person's \w+|the image) looks? (?:very |a bit )?(?:real|fake)\.\s*", re.IGNORECASE)
_BECAUSE = re.compile(r"the person's \w+ looks? (?:very |a bit )?(?:real|fake) because ", re.IGNORECASE)


@dataclass(frozen=True)
class Control:
    """What a control answers, and what it needs to know beside the question: nothing more, the true label (a cheat by
    design), or a detector's verdict on the frame."""

    description: str
    needs: Needs


CONTROLS: dict[str, Control] = {
    "frequent-hidden": Control("the most frequent training answer about the region", "nothing"),
    "frequent-label": Control("the most frequent training answer about the region with this true label", "label"),
    "frequent-verdict": Control("the most frequent training answer about the region with this verdict", "verdict"),
    "medoid-hidden": Control("the training answer about the region most like all others", "nothing"),
    "medoid-label": Control("the training answer about the region with this true label most like all others", "label"),
    "medoid-verdict": Control("the training answer about the region with this verdict most like all others", "verdict"),
    "example": Control("the example sentence that the question itself holds", "nothing"),
    "accuse": Control("that it is fake, image and every region alike", "nothing"),
    "shuffled": Control("a reference of another image's question about the same region", "nothing"),
}
"""The controls by name. `shuffled` knows the references of what is asked, though not whose they are."""


def control_answers(
    name: str,
    asked: Sequence[Question],
    training: Sequence[Question],
    *,
    verdicts: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[Answer]:
    """A control's answers to the questions `asked`, in their order.

    Answers are taken from `training` (see `training_pool`), from questions of the same kind and region; a question
    about several regions, or the face, is one about the image. Where a region has none with the label, the image's are
    taken; where there are none at all, the status is `missing` and the message says why. A question of kind `judge` is
    answered "The image is fake." or "The image is real.": without label or verdict as most training frames are.
    `verdicts` are a detector's, frame id → 0 or 1; a frame without one is `missing`. `seed` is for `shuffled` alone.
    Raises ScoreError for an unknown name, or where verdicts are needed and there are none.
    """
    if name not in CONTROLS:
        raise ScoreError(f"unknown control '{name}'{near(name, CONTROLS)}")
    if CONTROLS[name].needs == "verdict" and verdicts is None:
        raise ScoreError(f"control '{name}' needs a detector's verdict on each frame: give a run with P(fake)")
    if name == "example":
        return [_said(q, example(q.text), "the question holds no example") for q in asked]
    if name == "accuse":
        return [_said(question, _accusation(question), "") for question in asked]
    if name == "shuffled":
        return _shuffled(asked, seed)
    knows = {
        "nothing": lambda question: None,
        "label": lambda question: question.label,
        "verdict": lambda question: (verdicts or {}).get(question.frame),
    }[CONTROLS[name].needs]
    pick = frequent if name.startswith("frequent") else medoid
    return _from_training(asked, training, pick, knows, CONTROLS[name].needs)


def training_pool(dataset: Dataset, kind: str) -> list[Question]:
    """The training questions of a kind, with the answers that the controls draw on.

    They are the dataset's own. Where its label-stating ones (kind `released`) are not about regions, as in DD-VQA,
    whose released training explanations are not to be had, the blind ones take their place, in the released manner.
    Raises DataError for a dataset without a training split.
    """
    own = dataset.questions("train", kind)
    if kind != "released" or any(question.region != WHOLE for question in own):
        return own
    blind = dataset.questions("train", "blind")
    return [replace(q, kind=kind, references=tuple(map(released_manner, q.references))) for q in blind] or own


def released_manner(reference: str) -> str:
    """An original DD-VQA annotation as M2F2-Det's release words it.

    The sentence that gives the verdict is dropped, "The person's nose looks very fake because" too, and "stains/flaws"
    is spelt out. Of the 1,070 references of the released test set 1,066 are, to the letter, original test annotations
    of their frame and region treated so. What would leave nothing is left as it is.
    """
    whole = reference.lower().startswith("the image")
    text = _BECAUSE.sub("", _VERDICT.sub("", reference, count=1) if _VERDICT.match(reference) else reference)
    text = " ".join(text.replace("stains/flaws", "stains or flaws").split())
    if whole or text.startswith("the"):
        text = text[:1].upper() + text[1:]
    return text or reference


def example(question: str) -> str:
    """The sentence that a question gives as an example of an answer; empty where it gives none.

    Sentences stand in double quotes. What is not to be said is passed over, and of a format with a gap ("The person has
    naturally …… skin.") the words around the gap are taken where there is no whole sentence.
    """
    quoted = [match[2].strip() for match in _QUOTED.finditer(question) if not match[1] and match[2].strip()]
    whole = [text for text in quoted if not _GAP.search(text)]
    if whole:
        return whole[-1]
    frames = [" ".join(_GAP.sub(" ", text).split()) for text in quoted]
    return frames[-1] if frames else ""


def frequent(texts: Counter[str]) -> str:
    """The text with the highest count; of several the first in sorted order."""
    return min(texts, key=lambda text: (-texts[text], text))


def medoid(texts: Counter[str]) -> str:
    """The text with the highest mean token F1 to all texts, weighted by their counts; of several the first in order.

    Token F1 of two texts is twice the number of white-space tokens they share, with multiplicity, over the number they
    have. Time grows with the square of the number of different texts (1,100 of 40 tokens: under a second).
    """
    from scipy import sparse

    names = sorted(texts)
    bags = [Counter(text.split()) for text in names]
    numbers = {token: i for i, token in enumerate(sorted(set().union(*bags)))}
    lengths = np.array([sum(bag.values()) for bag in bags], dtype=np.float64)
    weights = np.array([texts[name] for name in names], dtype=np.float64)
    # The overlap of two bags is a sum over k of the tokens that both hold at least k times.
    held = [(row, numbers[token], k) for row, bag in enumerate(bags) for token, n in bag.items() for k in range(n)]
    depth = 1 + max((k for _, _, k in held), default=0)
    rows, columns = [row for row, _, _ in held], [column * depth + k for _, column, k in held]
    shape = (len(names), depth * max(len(numbers), 1))
    ones = sparse.csr_matrix((np.ones(len(held)), (rows, columns)), shape=shape)
    likeness = np.empty(len(names))
    for start in range(0, len(names), 512):
        part = slice(start, start + 512)
        both = np.maximum(lengths[part, None] + lengths[None, :], 1.0)
        likeness[part] = (2.0 * (ones[part] @ ones.T).toarray() / both) @ weights
    best: str = names[int(np.argmax(likeness.round(9)))]
    return best


def _group(question: Question) -> str:
    """The region a question's training answers are kept under."""
    return WHOLE if "+" in question.region or question.region == "face" else question.region


def _accusation(question: Question) -> str:
    """That what a question is about is fake."""
    if question.kind == JUDGE:
        return VERDICTS[FAKE]
    region = _group(question)
    return ACCUSED if region == WHOLE else f"The {region} look{'' if region.endswith('s') else 's'} fake."


def _from_training(
    asked: Sequence[Question],
    training: Sequence[Question],
    pick: Choice,
    knows: Callable[[Question], int | None],
    needs: Needs,
) -> list[Answer]:
    """The picked training answer for each question, by what is known of its label."""
    groups: dict[Key, Counter[str]] = {}
    for question in training:
        if question.kind != JUDGE:
            label = None if needs == "nothing" else question.label
            groups.setdefault((question.kind, _group(question), label), Counter()).update(question.references)
    picked: dict[Key, str] = {}

    def answer(question: Question) -> Answer:
        known = knows(question)
        if needs == "verdict" and known is None:
            return _said(question, "", "the detector gives no verdict on the frame")
        if question.kind == JUDGE:
            label = commoner if known is None else known
            return _said(question, "" if label is None else VERDICTS[label], "there are no training questions")
        keys = [(question.kind, group, known) for group in (_group(question), WHOLE)]
        key = next((key for key in keys if groups.get(key)), None)
        if key is None:
            return _said(question, "", f"no training answer of kind '{question.kind}' about '{question.region}'")
        if key not in picked:
            picked[key] = pick(groups[key])
        return _said(question, picked[key], "")

    commoner = _commoner_label(training) if needs == "nothing" else None
    return [answer(question) for question in asked]


def _commoner_label(training: Sequence[Question]) -> int | None:
    """What most training frames are; fake if any of their questions has that label, and fake if as many are."""
    frames: dict[str, int] = {}
    for question in training:
        frames[question.frame] = max(frames.get(question.frame, REAL), question.label)
    if not frames:
        return None
    return FAKE if 2 * sum(label == FAKE for label in frames.values()) >= len(frames) else REAL


def _shuffled(asked: Sequence[Question], seed: int) -> list[Answer]:
    """For each question a reference of another frame's, of the same kind and group, evenly over those questions.

    What is drawn depends on the seed, the question's id and the questions of its group; not on their order, nor on any
    label.
    """
    groups: dict[tuple[str, str], list[Question]] = {}
    for question in sorted(asked, key=lambda question: question.id):
        if question.references:
            groups.setdefault((question.kind, _group(question)), []).append(question)

    def answer(question: Question) -> Answer:
        others = groups.get((question.kind, _group(question)), [])
        if all(other.frame == question.frame for other in others):
            return _said(question, "", "no other image has an answer about the same region")
        digest = hashlib.blake2b(question.id.encode(), digest_size=8).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest, "big")])
        while True:
            other = others[int(rng.integers(len(others)))]
            if other.frame != question.frame:
                return _said(question, other.references[int(rng.integers(len(other.references)))], "")

    return [answer(question) for question in asked]


def _said(question: Question, text: str, otherwise: str) -> Answer:
    """An answer, or one that is missing for the reason `otherwise`."""
    if text:
        return Answer(question.id, question.frame, text)
    return Answer(question.id, question.frame, "", "missing", message=otherwise or "the training answer is empty")
