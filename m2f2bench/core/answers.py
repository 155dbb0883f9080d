"""Answers as columns: every planned question with its frame, its references and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from .records import ANSWER_STATUSES, Answer, Frame, Question
from .rows import Strings


@dataclass(frozen=True, eq=False)
class Answers:
    """Planned questions with their answers, one array element per question, in the order of the plan.

    `label` int64 (0 real, 1 fake: what a right answer says); `score` float64, the explainer's own P(fake) of the frame,
    NaN if it gives no score; `references` a tuple of texts each; the others are strings. `asked` is the question's text
    and `text` the answer, empty unless `status` is `ok`; `message` is a remark on it, or the reason why there is no
    answer. `identity` are the frame's people joined by `+`. `seconds`, `tokens_in`, `tokens_out` and `cost` (US
    dollars) are float64, NaN where unknown. `wording`, `digest` and `stamp` identify what was answered; see
    `records.Answer`.
    """

    question: Strings
    frame: Strings
    video: Strings
    method: Strings
    identity: Strings
    label: npt.NDArray[np.int64]
    kind: Strings
    region: Strings
    asked: Strings
    references: Strings
    text: Strings
    status: Strings
    score: npt.NDArray[np.float64]
    message: Strings
    seconds: npt.NDArray[np.float64]
    tokens_in: npt.NDArray[np.float64]
    tokens_out: npt.NDArray[np.float64]
    cost: npt.NDArray[np.float64]
    wording: Strings
    digest: Strings
    stamp: Strings

    def __len__(self) -> int:
        return len(self.question)

    def statuses(self) -> dict[str, int]:
        """Return the number of questions by status, in the order of `records.ANSWER_STATUSES`, without zeros."""
        counts = {status: int((self.status == status).sum()) for status in ANSWER_STATUSES}
        return {status: n for status, n in counts.items() if n}

    def only(self, kept: npt.NDArray[np.bool_]) -> Answers:
        """Return the questions where `kept` [N] is true."""
        return replace(self, **{f.name: getattr(self, f.name)[kept] for f in fields(self)})


def joined(questions: Sequence[Question], frames: Mapping[str, Frame], answers: Mapping[str, Answer]) -> Answers:
    """Join questions with their frames (by id) and answers (by the question's id); without an answer: `missing`.

    A frame's score is the score of any answer about it: all of them are equal.
    """
    given = [answers.get(q.id) or Answer(q.id, q.frame, "", "missing") for q in questions]
    scores = {one.frame: one.score for one in given if one.score is not None}
    asked = [frames[q.frame] for q in questions]
    references = np.empty(len(questions), dtype=object)
    references[:] = [q.references for q in questions]

    def strings(values: list[str]) -> Strings:
        return np.array(values, dtype=object)

    def numbers(name: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(a, name) for a in given], dtype=np.float64)  # None becomes NaN

    return Answers(
        question=strings([q.id for q in questions]),
        frame=strings([q.frame for q in questions]),
        video=strings([f.video for f in asked]),
        method=strings([f.method for f in asked]),
        identity=strings(["+".join(f.identities) for f in asked]),
        label=np.array([q.label for q in questions], dtype=np.int64),
        kind=strings([q.kind for q in questions]),
        region=strings([q.region for q in questions]),
        asked=strings([q.text for q in questions]),
        references=references,
        text=strings([a.text if a.status == "ok" else "" for a in given]),
        status=strings([a.status for a in given]),
        score=np.array([scores.get(q.frame, np.nan) for q in questions], dtype=np.float64),
        message=strings([a.message for a in given]),
        seconds=numbers("seconds"),
        tokens_in=numbers("tokens_in"),
        tokens_out=numbers("tokens_out"),
        cost=numbers("cost"),
        wording=strings([a.wording for a in given]),
        digest=strings([a.digest for a in given]),
        stamp=strings([a.stamp for a in given]),
    )
