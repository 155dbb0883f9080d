"""Answers as columns: every planned question with its frame, its references and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .records import ANSWER_STATUSES, Answer, Frame, Question
from .rows import Columns, Strings


@dataclass(frozen=True, eq=False)
class Answers(Columns):
    """Planned questions with their answers, one array element per question, in the order of the plan.

    `label` int64 (0 real, 1 fake: what a right answer says); `score` float64, the explainer's own P(fake) of the frame,
    NaN if it gives no score; `references` a tuple of texts each; the others are strings. `asked` is the question's text
    and `text` the answer, empty unless `status` is `ok`; `message` is a remark on it, or the reason why there is no
    answer. `identity` are the frame's people joined by `+`. `seconds`, `tokens_in`, `tokens_out` and `cost` (US
    dollars) are float64, NaN where unknown. `wording`, `digest` and `stamp` identify what was answered; see
    `records.Answer`.
    """

    STATUSES = ANSWER_STATUSES
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


def joined(questions: Sequence[Question], frames: Mapping[str, Frame], answers: Mapping[str, Answer]) -> Answers:
    """Join questions with their frames (by id) and answers (by the question's id); without an answer: `missing`.

    A frame's score is the score of any answer about it: all of them are equal.
    """
    given = [answers.get(q.id) or Answer(q.id, q.frame, "", "missing") for q in questions]
    scores = {one.frame: one.score for one in given if one.score is not None}
    asked = [frames[q.frame] for q in questions]
    references = np.empty(len(questions), dtype=object)
    references[:] = [q.references for q in questions]

    def column(values: Sequence[Any], name: str, kind: type = object) -> npt.NDArray[Any]:
        return np.array([getattr(value, name) for value in values], dtype=kind)  # of numbers None becomes NaN

    status = column(given, "status")
    return Answers(
        question=column(questions, "id"),
        asked=column(questions, "text"),
        references=references,
        label=column(questions, "label", np.int64),
        identity=np.array(["+".join(frame.identities) for frame in asked], dtype=object),
        status=status,
        text=np.where(status == "ok", column(given, "text"), ""),
        score=np.array([scores.get(q.frame, np.nan) for q in questions], dtype=np.float64),
        **{name: column(questions, name) for name in ("frame", "kind", "region")},
        **{name: column(asked, name) for name in ("video", "method")},
        **{name: column(given, name) for name in ("message", "wording", "digest", "stamp")},
        **{name: column(given, name, np.float64) for name in ("seconds", "tokens_in", "tokens_out", "cost")},
    )
