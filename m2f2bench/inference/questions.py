"""Questions to an explainer about single images without a dataset: the same questions about each image."""

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
from ..results.row_files import USAGE
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
"""Asked if no question is given: the verdict, then DD-VQA's neutral questions, exactly as explainers learned them."""


def require_explainer_early(detector: Any) -> None:
    """Raise DetectorError for a card or class that answers no questions, before any weights are read."""
    if isinstance(detector, (str, DetectorCard)):
        card, cls = detector_card(detector)
        require_explainer(card.name, cls)


class QuestionSet:
    """The same questions about every image to one explainer. Raises DetectorError if it answers no questions."""

    def __init__(self, detector: Detector, questions: Sequence[str] = ()) -> None:
        """Take questions, by default QUESTIONS. Raises DataError for an empty one."""
        self.questions = tuple(questions) or QUESTIONS
        if not all(text.strip() for text in self.questions):
            raise DataError("a question is empty: write one, or leave --question out")
        self.client = ExplainerClient(detector)
        self.scored = self.client.scored
        """Whether P(fake) can only come with the answers."""

    def ask(
        self, adapter: Adapter, frames: Sequence[Frame], scores: Mapping[str, float | None] | None = None
    ) -> dict[str, list[Answer]]:
        """Return the answers about each image by its frame's id, in the order of the questions; `scores` if known."""
        asked = [(frame, [self._question(frame, i) for i in range(len(self.questions))]) for frame in frames]
        found = {}
        with progress_bar("answers", len(asked)) as advance:
            for rows in answer(self.client, adapter, asked, scores or {}):
                found[rows[0].frame] = rows
                advance(1)
        return found

    def _question(self, frame: Frame, number: int) -> Question:
        return Question(f"{frame.id}\0{number}", frame.id, self.questions[number], (), "image", REAL)

    def as_json(self, rows: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return the answers as JSON objects: `question`, `text`, `status`, `message`, seconds, tokens and cost."""
        fields = ("text", "status", "message", *USAGE)
        pairs = zip(self.questions, rows, strict=True)
        return [{"question": text} | {name: getattr(row, name) for name in fields} for text, row in pairs]


def judgement(rows: Sequence[Answer]) -> Prediction:
    """Return the judgement that came with the answers about an image: `ok` also if the explainer gives no score."""
    first = rows[0]
    good = any(row.status == "ok" for row in rows) or first.score is not None
    status, message = ("ok", "") if good else (first.status, first.message)
    return Prediction(first.frame, first.frame, "", "", REAL, status, first.score if good else None, message=message)


def transcript(item: Mapping[str, Any]) -> str:
    """Return the questions about a file and the answers, as text; `item` is one of `predict_paths`.

    Of several faces each has its own.
    """
    faces = item.get("faces", ())
    lines = [f"heat map: {item['heatmap']}"] if item["heatmap"] is not None else []
    for one in faces if len(faces) > 1 else [item]:
        lines += [f"face {one['face']}"] if len(faces) > 1 else []
        if one["asked_frame"] is not None:
            lines.append(f"asked about frame {one['asked_frame']}")
        lines += _said(one["answers"])
    return "".join(f"        {line}\n" for line in lines)


def _said(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for one in answers:
        said = _line(one["text"]) if one["status"] == "ok" else f"no answer, {one['status']}"
        remark = f" ({_line(one['message'])})" if one["message"] else ""
        lines += [_line(one["question"]), f"  {said or 'an empty answer'}{remark}"]
    return lines


def _line(text: str) -> str:
    """Return a text on one line, without characters that a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
