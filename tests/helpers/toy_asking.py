"""Explainers for the dataset of toy_questions that take several pictures at once and say more than a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from toy_questions import Faces, Looker

from m2f2bench.core.records import Frame, Reply


class Together(Looker):
    """Takes ten questions at once and gives replies with everything known; notes what it was given."""

    questions_at_once = 10
    scores_with_answers = True
    seen: list[list[int]]
    """Of each call the number of pairs of each picture, in order."""

    def __init__(self) -> None:
        self.seen = []
        self.predicted = 0

    def predict(self, images: Sequence[np.ndarray]) -> list[float]:
        self.predicted += 1
        return super().predict(images)

    def explain(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[Reply]:
        """Refuses a dark picture and cuts off what is said of a mouth."""
        groups: list[int] = []
        for i, image in enumerate(images):
            if i and image is images[i - 1]:
                groups[-1] += 1
            else:
                groups.append(1)
        self.seen.append(groups)
        self.check(images)
        texts = super().explain(images, questions)
        return [self.reply(*pair) for pair in zip(images, questions, texts, strict=True)]

    def check(self, images: Sequence[np.ndarray]) -> None:
        """For subclasses that raise."""

    def reply(self, image: np.ndarray, question: str, text: str) -> Reply:
        score = 0.9 if image.mean() > 150 else 0.1
        if image.mean() < 51:
            return Reply("dropped", score=score, error="refused: too dark")
        cut = "cut off after 7 new tokens" if "mouth" in question else ""
        return Reply(text, cut, score, 0.5, 100, 7, 0.25)


class Crashes(Together):
    """Raises where one of its pictures is the real one of brightness 54."""

    def check(self, images: Sequence[np.ndarray]) -> None:
        if any(image.mean() == 54 for image in images):
            raise RuntimeError("out of memory\nand more")


class Unscored(Together):
    """Has no P(fake) at all."""

    def predict(self, images: Sequence[np.ndarray]) -> list[float]:
        raise AssertionError("it was asked for P(fake)")

    def reply(self, image: np.ndarray, question: str, text: str) -> Reply:
        return Reply(text)


class Judged(Faces):
    """The same pictures, whose ids are folders and names."""

    def frames(self, split: str) -> list[Frame]:
        return [
            Frame(f"{f.method}/{f.id}", f.video, f.label, f.method, f.split, f.identities, f.locator)
            for f in super().frames(split)
        ]
