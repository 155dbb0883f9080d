"""Image-blind baselines for explanations: answers made without looking at an image.

They know more than a question's text (its region, the training answers, some even the label), which a real explainer
may not; so they are not an `Explainer` but a function from questions to answers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..core.errors import ScoreError, near
from ..core.records import FAKE, JUDGE, REAL, Answer, Question
from ..datasets.dataset import Dataset
from ..datasets.stated import ask_about_regions, released_manner
from ..metrics.answer_metrics import WHOLE, region_group
from .control_names import CONTROLS, PREFIX, Needs

Key = tuple[str, str, int | None]
"""A group of training answers: kind, region, and label (None: both)."""
Choice = Callable[[Counter[str]], str]

VERDICTS = {REAL: "The image is real.", FAKE: "The image is fake."}
ACCUSED = "The image looks fake. The skin, the eyes, the eyebrows, the nose and the mouth look fake."

_QUOTED = re.compile(r"(instead of saying,?\s*)?[\"“]([^\"“”]*)[\"”]", re.IGNORECASE)
_GAP = re.compile(r"…+|\.{3,}|_{2,}")


def known_to(detector: str) -> str:
    """Return all that the control of this name knows, in words; empty if the name is not a control's."""
    name, _, by = detector.removeprefix(PREFIX).partition("@")
    if not detector.startswith(PREFIX) or name not in CONTROLS:
        return ""
    knows = CONTROLS[name].knows
    return knows.replace("a detector's verdict", f"the verdict of {by}") if by else knows


def control_answers(
    name: str,
    questions: Sequence[Question],
    training: Sequence[Question],
    *,
    verdicts: Mapping[str, int] | None = None,
    seed: int = 0,
) -> list[Answer]:
    """Return a control's answers to the questions, in their order.

    Answers come from `training` (see `training_pool`), from questions of the same kind and region; a question about
    several regions, or about the face, counts as one about the image. If a region has no answer with the label, the
    image's answers are used; if there are none either, the status is `missing` and the message says why. A question of
    kind `judge` is answered "The image is fake." or "The image is real."; without label or verdict, by the label of
    most training frames. `verdicts` are a detector's, frame id → 0 or 1; a frame without one is `missing`. Only
    `shuffled` uses `seed`. Raises ScoreError for an unknown name, and if verdicts are needed and not given.
    """
    if name not in CONTROLS:
        raise ScoreError(f"unknown control '{name}'{near(name, CONTROLS)}")
    if CONTROLS[name].needs == "verdict" and verdicts is None:
        raise ScoreError(f"control '{name}' needs a detector's verdict on each frame: give a run with P(fake)")
    if name == "example":
        return [_said(q, example(q.text), "the question has no example") for q in questions]
    if name == "accuse":
        return [_said(question, _accusation(question), "") for question in questions]
    if name == "shuffled":
        return _shuffled(questions, seed)
    knows = {
        "nothing": lambda question: None,
        "label": lambda question: question.label,
        "verdict": lambda question: (verdicts or {}).get(question.frame),
    }[CONTROLS[name].needs]
    pick = frequent if name.startswith("frequent") else medoid
    return _from_training(questions, training, pick, knows, CONTROLS[name].needs)


def training_pool(dataset: Dataset, kind: str) -> list[Question]:
    """Return the training questions of a kind, with the answers that the controls use.

    They are the dataset's own. If its questions that state the label (kind `released`) are not about regions, the blind
    ones replace them, worded as released: DD-VQA's released training explanations are not available. Raises DataError
    if the dataset has no training split.
    """
    own = dataset.questions("train", kind)
    if kind != "released" or ask_about_regions(own):
        return own
    blind = dataset.questions("train", "blind")
    return [replace(q, kind=kind, references=tuple(map(released_manner, q.references))) for q in blind] or own


def example(question: str) -> str:
    """Return the sentence that a question gives as an example of an answer; empty if it gives none.

    Examples are in double quotes. Examples of what not to say are skipped. If there is no whole sentence, the words
    around the gap of a format ("The person has naturally …… skin.") are taken.
    """
    quoted = [match[2].strip() for match in _QUOTED.finditer(question) if not match[1] and match[2].strip()]
    whole = [text for text in quoted if not _GAP.search(text)]
    if whole:
        return whole[-1]
    frames = [" ".join(_GAP.sub(" ", text).split()) for text in quoted]
    return frames[-1] if frames else ""


def frequent(texts: Counter[str]) -> str:
    """Return the text with the highest count; of several the first in sorted order."""
    return min(texts, key=lambda text: (-texts[text], text))


def medoid(texts: Counter[str]) -> str:
    """Return the text with the highest mean token F1 to all texts, weighted by count; of several the first in order.

    Token F1 of two texts is twice the number of white-space tokens they share, with multiplicity, over the number of
    tokens of both. Time grows with the square of the number of different texts (1,100 of 40 tokens: under a second).
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


def _accusation(question: Question) -> str:
    """Return the answer that what a question is about is fake."""
    if question.kind == JUDGE:
        return VERDICTS[FAKE]
    region = region_group(question.region)
    return ACCUSED if region == WHOLE else f"The {region} look{'' if region.endswith('s') else 's'} fake."


def _from_training(
    questions: Sequence[Question],
    training: Sequence[Question],
    pick: Choice,
    knows: Callable[[Question], int | None],
    needs: Needs,
) -> list[Answer]:
    """Return the picked training answer for each question, by what `knows` says about its label."""
    groups: dict[Key, Counter[str]] = {}
    for question in training:
        if question.kind != JUDGE:
            label = None if needs == "nothing" else question.label
            key = question.kind, region_group(question.region), label
            groups.setdefault(key, Counter()).update(question.references)
    picked: dict[Key, str] = {}

    def answer(question: Question) -> Answer:
        known = knows(question)
        if needs == "verdict" and known is None:
            return _said(question, "", "the detector gives no verdict on the frame")
        if question.kind == JUDGE:
            label = commoner if known is None else known
            return _said(question, "" if label is None else VERDICTS[label], "there are no training questions")
        keys = [(question.kind, group, known) for group in (region_group(question.region), WHOLE)]
        key = next((key for key in keys if groups.get(key)), None)
        if key is None:
            return _said(question, "", f"no training answer of kind '{question.kind}' about '{question.region}'")
        if key not in picked:
            picked[key] = pick(groups[key])
        return _said(question, picked[key], "")

    commoner = _commoner_label(training) if needs == "nothing" else None
    return [answer(question) for question in questions]


def _commoner_label(training: Sequence[Question]) -> int | None:
    """Return the label of most training frames, fake for a tie; a frame is fake if any of its questions is."""
    frames: dict[str, int] = {}
    for question in training:
        frames[question.frame] = max(frames.get(question.frame, REAL), question.label)
    if not frames:
        return None
    return FAKE if 2 * sum(label == FAKE for label in frames.values()) >= len(frames) else REAL


def _shuffled(questions: Sequence[Question], seed: int) -> list[Answer]:
    """Return for each question a reference of another frame's question, drawn uniformly from the same kind and group.

    The draw depends on the seed, the question's id and the questions of its group, not on their order or labels.
    """
    groups: dict[tuple[str, str], list[Question]] = {}
    for question in sorted(questions, key=lambda question: question.id):
        if question.references:
            groups.setdefault((question.kind, region_group(question.region)), []).append(question)

    def answer(question: Question) -> Answer:
        others = groups.get((question.kind, region_group(question.region)), [])
        if all(other.frame == question.frame for other in others):
            return _said(question, "", "no other image has an answer about the same region")
        digest = hashlib.blake2b(question.id.encode(), digest_size=8).digest()
        rng = np.random.default_rng([seed, int.from_bytes(digest, "big")])
        while True:
            other = others[int(rng.integers(len(others)))]
            if other.frame != question.frame:
                return _said(question, other.references[int(rng.integers(len(other.references)))], "")

    return [answer(question) for question in questions]


def _said(question: Question, text: str, otherwise: str) -> Answer:
    """Return an answer; without a text one that is `missing`, for the reason `otherwise`."""
    if text:
        return Answer(question.id, question.frame, text)
    return Answer(question.id, question.frame, "", "missing", message=otherwise or "the training answer is empty")
