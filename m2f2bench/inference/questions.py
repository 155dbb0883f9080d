"""Asking an explainer about pictures of one's own: the same questions about each, outside any dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..cards.models import DetectorCard
from ..core.errors import DataError
from ..core.progress import progress_bar
from ..core.records import JUDGE_QUESTION, REAL, Answer, Frame, Prediction, Question
from ..datasets.base import Adapter
from ..detectors.base import Detector
from ..loading import detector_card
from ..runs.ask import ExplainerClient, answer, require_explainer

QUESTIONS = (
    JUDGE_QUESTION,
    "Does the image looks real/fake?",
    "Does the person's skin look real/fake?",
    "Do the person's eyes look real/fake?",
    "Do the person's eyebrows look real/fake?",
    "Does the person's nose look real/fake?",
    "Does the person's mouth look real/fake?",
)
"""Asked where no question is given: the verdict, then DD-VQA's neutral questions, letter for letter as explainers
learned them."""


def require_explainer_early(detector: Any) -> None:
    """Raise DetectorError for a card or class that answers no questions, before any weights are read."""
    if isinstance(detector, (str, DetectorCard)):
        card, cls = detector_card(detector)
        require_explainer(card.name, cls)


class QuestionSet:
    """Puts the same questions about every picture to one explainer. Raises DetectorError for one that answers none."""

    def __init__(self, detector: Detector, questions: Sequence[str] = ()) -> None:
        """`questions` default to QUESTIONS; DataError for an empty one."""
        self.questions = tuple(questions) or QUESTIONS
        if not all(text.strip() for text in self.questions):
            raise DataError("a question is empty: write one, or leave --question out")
        inner = getattr(detector, "detector", None)  # of one with class activation maps, which has no answers itself
        self.asker = ExplainerClient(inner if isinstance(inner, Detector) else detector)
        self.scored = self.asker.scored
        """Whether P(fake) comes with the answers, if at all."""

    def ask(
        self, adapter: Adapter, frames: Sequence[Frame], scores: Mapping[str, float | None] | None = None
    ) -> dict[str, list[Answer]]:
        """The answers about each picture by its frame's id, in the order of the questions; `scores` where known."""
        asked = [(frame, [self._question(frame, i) for i in range(len(self.questions))]) for frame in frames]
        found = {}
        with progress_bar("answers", len(asked)) as advance:
            for rows in answer(self.asker, adapter, asked, scores or {}):
                found[rows[0].frame] = rows
                advance(1)
        return found

    def _question(self, frame: Frame, number: int) -> Question:
        return Question(f"{frame.id}\0{number}", frame.id, self.questions[number], (), "image", REAL)

    def told(self, rows: Sequence[Answer]) -> list[dict[str, Any]]:
        """Answers to all questions as JSON objects: `question`, `text`, `status`, `message`, and what they took."""
        return [
            {
                "question": text,
                "text": row.text,
                "status": row.status,
                "message": row.message,
                "seconds": row.seconds,
                "tokens_in": row.tokens_in,
                "tokens_out": row.tokens_out,
                "cost": row.cost,
            }
            for text, row in zip(self.questions, rows, strict=True)
        ]


def judgement(rows: Sequence[Answer]) -> Prediction:
    """The judgement of a picture that came with the answers about it: `ok` also where the explainer gives no score."""
    first = rows[0]
    good = any(row.status == "ok" for row in rows) or first.score is not None
    status, message = ("ok", "") if good else (first.status, first.message)
    return Prediction(first.frame, first.frame, "", "", REAL, status, first.score if good else None, message=message)


def transcript(item: Mapping[str, Any]) -> str:
    """What was asked about a file and answered, to be read below its verdict; `item` is one of `predict_paths`."""
    lines = []
    if item["heatmap"] is not None:
        lines.append(f"heat map: {item['heatmap']}")
    if item["asked_frame"] is not None:
        lines.append(f"asked about frame {item['asked_frame']}")
    for one in item["answers"]:
        said = _line(one["text"]) if one["status"] == "ok" else f"no answer, {one['status']}"
        remark = f" ({_line(one['message'])})" if one["message"] else ""
        lines += [_line(one["question"]), f"  {said or 'an empty answer'}{remark}"]
    return "".join(f"        {line}\n" for line in lines)


def _line(text: str) -> str:
    """A text on one line, without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
