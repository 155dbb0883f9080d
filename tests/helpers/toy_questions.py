"""A small dataset with questions, and explainers for it: one that looks, one that does not, one that fails."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import m2f2bench
from m2f2bench.core.errors import FrameError
from m2f2bench.core.records import Frame, Locator, Question
from m2f2bench.datasets.base import Adapter, judge_questions
from m2f2bench.results.result import Result

REGIONS = ("image", "eyes", "mouth")
FAULTS = {"image": "The mouth is misaligned.", "eyes": "The eyes look blurry.", "mouth": "The mouth is misaligned."}
RULES = """
name: toy
task: explanation
questions: [blind]
tokenizer: none
metrics: [bleu, rouge_l, cider, verdict_accuracy, verdict_f1, verdict_none_rate, consistency, region_f1]
bootstrap: {resamples: 200}
"""


class Faces(Adapter):
    """24 grey pictures a split, 12 of them fake and brighter, each of another person; three questions a picture."""

    name = "toy-faces"
    splits = ("train", "test")

    def frames(self, split: str) -> list[Frame]:
        start = 0 if split == "train" else 100
        return [
            Frame(
                f"{split}{i:02d}", f"v{start + i}", i % 2, "swap" if i % 2 else "original", split,
                (f"p{start + i}",), Locator("", index=i),
            )
            for i in range(24)
        ]  # fmt: skip

    def read(self, frame: Frame) -> np.ndarray:
        assert frame.locator.index is not None
        return np.full((16, 16, 3), 200 if frame.label else 50 + frame.locator.index, np.uint8)

    def questions(self, split: str, kind: str = "blind") -> list[Question]:
        if kind == "judge":
            return judge_questions(self.frames(split))
        return [
            Question(
                f"{frame.id}_{region}",
                frame.id,
                f"Does the {region} look real/fake?" if kind == "blind" else f"The {region} is {word}, tell me why.",
                (f"The {region} looks {word}. {FAULTS[region] if frame.label else 'All is well.'}",),
                region,
                frame.label,
                kind,
            )
            for frame in self.frames(split)
            for region in REGIONS
            for word in ["fake" if frame.label else "real"]
        ]

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        return {f.id: frozenset(["mouth"] if f.label else []) for f in self.frames(split)}


class Torn(Faces):
    """The same with one picture that cannot be read."""

    def read(self, frame: Frame) -> np.ndarray:
        if frame.id == "test03":
            raise FrameError(frame.id, "torn")
        return super().read(frame)


class Looker:
    """Sees whether a picture is bright and answers as the references do."""

    def predict(self, images: Sequence[np.ndarray]) -> list[float]:
        return [0.9 if image.mean() > 150 else 0.1 for image in images]

    def explain(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[str]:
        assert all(isinstance(question, str) for question in questions)  # never a reference or a label
        answers = []
        for image, question in zip(images, questions, strict=True):
            region = next(region for region in REGIONS if region in question)
            fake = image.mean() > 150
            answers.append(f"The {region} looks fake. {FAULTS[region]}" if fake else f"The {region} looks real. Well.")
        return answers


class Parrot(Looker):
    """Says the same whatever it is shown."""

    def explain(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[str]:
        return ["The mouth looks fake. The mouth is misaligned."] * len(images)


class Odd(Looker):
    """Answers with half of a surrogate pair, a line break and a NUL."""

    def explain(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[str]:
        return [text + "\ud800\r\u2028\x00" for text in super().explain(images, questions)]


class Fails(Looker):
    """Fails on dark pictures below 60."""

    def explain(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[str]:
        if 51 < images[0].mean() < 60:
            raise RuntimeError("too dark")
        return super().explain(images, questions)


class Mute:
    """Judges and does not answer."""

    def predict(self, images: Sequence[np.ndarray]) -> list[float]:
        return [0.5] * len(images)


TOY = Path(__file__)
FACES = f"{TOY}:Faces"


def run_toy(rules: Path, out: Path, *explainers: str, dataset: str = FACES) -> dict[str, Result]:
    """Runs of the explainers here under a protocol, and those of the controls, by name."""
    found = m2f2bench.run(
        detectors=[f"{TOY}:{name}" for name in explainers], datasets=dataset, protocols=str(rules), out=out
    )
    return {result.detector: result for result in found}


def answer_lines(path: Path, texts: dict[str, Any]) -> Path:
    """A file of question ids and texts."""
    path.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
    return path
