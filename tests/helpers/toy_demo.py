"""Detectors for the demo: they know a face by its brightness, draw a map, and say words one by one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from m2f2bench.core.arrays import Image
from m2f2bench.core.hearing import tell
from m2f2bench.detectors.base import Explainer, Localizer


class Brightness:
    """P(fake) is the mean brightness."""

    def predict(self, images: Sequence[Image]) -> list[float]:
        return [float(image.mean()) / 255 for image in images]


class Speaker(Localizer, Explainer):
    """Draws a map whose right half is high, and answers with the picture's brightness, word by word.

    At `first two words` it waits until `go` is set, so that a test can see that words come before the end.
    """

    go = threading.Event()

    def predict(self, images: Sequence[Image]) -> list[float]:
        return [1 - float(image.mean()) / 255 for image in images]

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        half = np.zeros((8, 8), np.float32)
        half[:, 4:] = 1.0
        return np.stack([half] * len(images))

    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[str]:
        return [self._said(image, question) for image, question in zip(images, questions, strict=True)]

    def _said(self, image: Image, question: str) -> str:
        words = ["First", "words", f"of brightness {image.mean():.0f}", f"to <b>{question}</b>"]
        for count in range(1, len(words)):
            tell(" ".join(words[:count]))
            if count == 2 and not self.go.wait(60):
                raise TimeoutError("the test did not let it go on")
        return " ".join(words)


class Broken:
    """Fails on everything."""

    def predict(self, images: Sequence[Image]) -> list[float]:
        raise RuntimeError("out of order\nand more")
