"""Questions that leak their answer: by stating the label, by an example answer, or by their words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cores import one_blas_thread
from ..core.errors import M2F2BenchError, MachineError
from ..core.records import FAKE, REAL, Frame
from ..datasets.base import Adapter
from ..datasets.calls import frames_of, questions_of
from ..metrics.answer_sets import folded
from ..metrics.detection.intervals import auc_interval
from ..metrics.verdicts.verdict import read_verdict
from .heldout import FOLDS, Codes, fold_scores, people_or_videos
from .report import Finding, Section, plural, with_interval

if TYPE_CHECKING:
    from ..core.records import Floats

KINDS = ("blind", "released", "judge")
LINE = 0.55
"""The words of a set of questions predict the label if the lower end of their AUC's 95% interval is over this."""
EXTREME = 0.9
"""From this AUC on it is a leak; a lower one may come from the subjects (the whole image more often for fakes)."""

TITLE = "Questions: the label without the image"
COUNTS = {
    "questions": "n",
    "fake": "n_fake",
    "state a label": "stated",
    "the right one": "stated_right",
    "example": "examples",
    "echoed": "echoes",
}
"""Columns of the report's table, with the fields of QuestionLeak that they show."""
_QUOTED = re.compile(r'"([^"]*)"|“([^“”]*)”')
_SENTENCE_END = re.compile(r"(?<=[.?!\n])")
_TAKES_FOR_GRANTED = re.compile(
    r"\b(?:why|which|where|what (?:makes|shows|gives)|explain|describe|tell me|how (?:do|can) \w+ (?:know|tell))\b",
    re.IGNORECASE,
)
_SHORTEST = 3
_VERDICTS = ("real", "fake")


@dataclass(frozen=True)
class QuestionLeak:
    """Leak of the label through a set of questions, without the image.

    `n` questions, `n_fake` of them with the label 1; `stated` state real or fake, `stated_right` of these the right
    label; `examples` quote an example answer, and `echoes` of these a literal reference (None without references).
    `auc` in [0, 1] is that of a classifier of the words on held-out `groups`, with its 95% interval `ci`; .5 is chance.
    `reason` says why there is no AUC, or no interval.
    """

    n: int
    n_fake: int
    stated: int
    stated_right: int
    examples: int
    echoes: int | None
    groups: int
    auc: float | None
    ci: tuple[float, float] | None
    reason: str = ""

    @property
    def severity(self) -> str:
        """`leak` if a question states a label or the words separate the labels; `note` if they hint; else empty."""
        if self.stated or (self.auc is not None and self.auc >= EXTREME and self._predictive):
            return "leak"
        return "note" if self._predictive else ""

    @property
    def _predictive(self) -> bool:
        return self.ci is not None and self.ci[0] > LINE


def question_leaks(
    texts: Sequence[str],
    labels: Sequence[int] | Codes,
    groups: Sequence[int] | Codes,
    seed: int = 0,
    references: Sequence[Sequence[str]] | None = None,
    resamples: int = 1000,
) -> QuestionLeak:
    """Return how much a list of N questions reveals about the label without the image.

    `labels` [N] are 0 (real) or 1 (fake); `groups` [N] are codes of frames or people: no group is used for both
    training and test, and the interval resamples groups. Stated labels are read by `stated_verdict`. The classifier is
    logistic regression on TF-IDF of single words and pairs, five-fold over groups; `balanced_ranks` makes the folds'
    scores comparable. `references` [N] are the right answers of each question. Raises ValueError if the lengths differ.
    """
    label, group = np.asarray(labels, dtype=np.int64), np.asarray(groups, dtype=np.int64)
    if not len(texts) == len(label) == len(group) == len(references if references is not None else texts):
        raise ValueError("texts, labels, groups and references must have one entry for each question")
    read = {text: (stated_verdict(text), example_answers(text)) for text in dict.fromkeys(texts)}
    said = [read[text][0] for text in texts]
    right = sum(word == _VERDICTS[value] for word, value in zip(said, label.tolist(), strict=True))
    echoes = None
    if references is not None:
        pairs = [(read[text][1], known) for text, known in zip(texts, references, strict=True)]
        echoes = sum(not set(map(folded, quoted)).isdisjoint(map(folded, known)) for quoted, known in pairs)
    codes = np.unique(group, return_inverse=True)[1].astype(np.int64)
    auc, ci, reason = _words_auc(texts, label, codes, seed, resamples)
    return QuestionLeak(
        n=len(texts),
        n_fake=int((label == FAKE).sum()),
        stated=sum(word != "none" for word in said),
        stated_right=right,
        examples=sum(bool(read[text][1]) for text in texts),
        echoes=echoes,
        groups=len(np.unique(codes)),
        auc=auc,
        ci=ci,
        reason=reason,
    )


def stated_verdict(question: str) -> str:
    """Return the label that a question states or presupposes: `real`, `fake` or `none`; read by `read_verdict`.

    "Is the image fake?" and "real or fake?" state no label; "Why does the image look fake?" does.
    """
    said = [
        one[:-1] + "." if one.endswith("?") and _TAKES_FOR_GRANTED.search(one) else one
        for one in _SENTENCE_END.split(question)
    ]
    found = read_verdict("".join(said))
    return found if found in _VERDICTS else "none"


def example_answers(question: str) -> list[str]:
    """Return the quoted sentences of a question: at least three words, a full stop at the end, no gap to fill in."""
    quoted = [(a or b).strip() for a, b in _QUOTED.findall(question)]
    whole = [text for text in quoted if text.endswith((".", "!")) and "…" not in text and "..." not in text]
    return [text for text in whole if len(text.split()) >= _SHORTEST]


def _words_auc(
    texts: Sequence[str], label: Codes, group: Codes, seed: int, resamples: int
) -> tuple[float | None, tuple[float, float] | None, str]:
    """Return the AUC of held-out scores with its interval, or the reason why there is no AUC."""
    least = min(len(np.unique(group[label == value])) for value in (REAL, FAKE))
    if least < 2:
        return None, None, "fewer than two groups have questions of one label"
    if len(set(texts)) == 1:
        return 0.5, None, "all questions are the same"
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    def learned(train: Codes, test: Codes) -> Floats:
        if not any(texts[i].split() for i in train):
            return np.zeros(len(test))  # without a word there is nothing to learn
        words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
        model = LogisticRegression(max_iter=1000, class_weight="balanced")
        model.fit(words.fit_transform([texts[i] for i in train]), label[train])
        return np.asarray(model.decision_function(words.transform([texts[i] for i in test])))

    with one_blas_thread():
        scores = fold_scores(learned, label, group, np.zeros_like(label), least, seed)
    auc, ci = auc_interval(label, scores, group, resamples=resamples, seed=seed)
    return auc, ci, ""


@dataclass(frozen=True)
class QuestionLeaks:
    """Leaks of a dataset's questions by (split, kind), and the kinds that could not be read, with the reason."""

    found: dict[tuple[str, str], QuestionLeak]
    refused: dict[tuple[str, str], str]


def of_dataset(
    adapter: Adapter, splits: Sequence[str], kinds: Sequence[str], seed: int = 0, resamples: int = 1000
) -> QuestionLeaks:
    """Return the leaks of the questions of each split and kind; missing kinds are left out.

    People (connected over shared videos and identities) are held out. No pixels are read.
    """
    asked = QuestionLeaks({}, {})
    for split in splits:
        frames: dict[str, Frame] = {}
        for kind in kinds:
            try:
                questions = questions_of(adapter, split, kind)
            except MachineError:
                raise
            except M2F2BenchError as error:
                asked.refused[split, kind] = str(error)
                continue
            if not questions:
                continue
            frames = frames or {frame.id: frame for frame in frames_of(adapter, split)}
            group, _ = people_or_videos([frames[question.frame] for question in questions])
            asked.found[split, kind] = question_leaks(
                [question.text for question in questions],
                [question.label for question in questions],
                group,
                seed,
                [question.references for question in questions],
                resamples,
            )
    return asked


def findings(asked: QuestionLeaks) -> list[Finding]:
    """Return a finding for each set of questions that states labels, or whose words predict them."""
    out: list[Finding] = []
    for (split, kind), leak in asked.found.items():
        what = f"{plural(leak.n, f'{kind} question')} of {split}"
        if leak.stated:
            text = f"{leak.stated:,} of {what} state a label ({leak.stated_right:,} the right one)"
            if leak.examples:
                text += f", {leak.examples:,} quote an example answer"
            text += ": answers to these say nothing about detection"
            out.append(Finding("leak", "questions", text))
        elif leak.severity == "leak":
            out.append(Finding("leak", "questions", f"the words of {what} predict the label: AUC {_auc(leak)}"))
        elif leak.severity == "note":
            text = f"the words of {what} hint at the label: AUC {_auc(leak)} (perhaps only through their subjects)"
            out.append(Finding("note", "questions", text))
        if leak.examples and not leak.stated:
            out.append(Finding("warning", "questions", f"{leak.examples:,} of {what} quote an example answer"))
    return out


def section(asked: QuestionLeaks) -> Section:
    """Return a table with a row for each split and kind."""
    rows = []
    for (split, kind), leak in asked.found.items():
        counts = [getattr(leak, name) for name in COUNTS.values()]
        rows.append((split, kind, *("" if n is None else f"{n:,}" for n in counts), _auc(leak)))
    lines = [f"{split} {kind}: none ({why})" for (split, kind), why in asked.refused.items()]
    if not rows:
        return Section(TITLE, tuple(lines))
    how = (
        "Example: questions that quote a whole sentence as an answer; echoed: those whose example is a reference. "
        f"AUC (with 95% interval): prediction of the label from the question's words alone, {FOLDS}-fold with people "
        "held out; .5 is chance."
    )
    return Section(TITLE, (how, *lines), ("split", "kind", *COUNTS, "AUC of words"), tuple(rows))


def to_json(asked: QuestionLeaks) -> dict[str, Any]:
    """Return all numbers by split and kind, and the kinds that could not be read."""
    out: dict[str, Any] = {}
    for (split, kind), leak in asked.found.items():
        one = dataclasses.asdict(leak) | {"ci": list(leak.ci) if leak.ci else None, "severity": leak.severity or None}
        out.setdefault(split, {})[kind] = one
    refused: dict[str, dict[str, str]] = {}
    for (split, kind), why in asked.refused.items():
        refused.setdefault(split, {})[kind] = why
    return {"sets": out, "refused": refused}


def _auc(leak: QuestionLeak) -> str:
    """Return `.512 [.480, .544]`, or the reason why there is no number."""
    if leak.auc is None:
        return leak.reason
    return with_interval(leak.auc, leak.ci) + (f" ({leak.reason})" if leak.reason and not leak.ci else "")
