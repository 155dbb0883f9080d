"""Names of the image-blind baselines, and what each answers and knows. `controls` makes their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Needs = Literal["nothing", "label", "verdict"]

PREFIX = "control-"
"""The start of every control's name in tables and folders."""


@dataclass(frozen=True)
class Control:
    """What a control answers, and what it needs besides the question: nothing, the true label (a cheat by design), or a
    detector's verdict on the frame. `knows` is all that its answers are made from."""

    description: str
    needs: Needs
    knows: str


CONTROLS: dict[str, Control] = {
    "frequent-hidden": Control(
        "the most frequent training answer about the region", "nothing", "the region, the training answers"
    ),
    "frequent-label": Control(
        "the most frequent training answer about the region with this true label",
        "label",
        "the region, the training answers, the true label",
    ),
    "frequent-verdict": Control(
        "the most frequent training answer about the region with this verdict",
        "verdict",
        "the region, the training answers, a detector's verdict",
    ),
    "medoid-hidden": Control(
        "the training answer about the region most like all others", "nothing", "the region, the training answers"
    ),
    "medoid-label": Control(
        "the training answer about the region with this true label most like all others",
        "label",
        "the region, the training answers, the true label",
    ),
    "medoid-verdict": Control(
        "the training answer about the region with this verdict most like all others",
        "verdict",
        "the region, the training answers, a detector's verdict",
    ),
    "example": Control("the example sentence that the question itself holds", "nothing", "the question's text"),
    "accuse": Control("that it is fake, image and every region alike", "nothing", "the region"),
    "shuffled": Control(
        "a reference of another image's question about the same region",
        "nothing",
        "the region, the references of other images",
    ),
}
"""The controls by name. `shuffled` knows the references of the questions, but not which question each belongs to."""
