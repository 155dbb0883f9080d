"""A small program that uses every public name, for type checkers: it is never executed. `test_wheel.py` checks it with
`mypy --strict` against the installed package, and that no name is missing.

`m2f2bench.X` must be used for each X as a user would: subclassed, called, or written as a type.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from typing_extensions import assert_type

import m2f2bench

Image = npt.NDArray[np.uint8]


@m2f2bench.register_backend("typed-brightness")
class Brightness(m2f2bench.Detector, m2f2bench.Localizer, m2f2bench.Explainer):
    """P(fake) is the mean brightness, and the heat map the brightness of each pixel."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.array([min(1.0, self.gain * float(image.mean()) / 255) for image in batch])

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        return np.stack([image.mean(axis=2) / 255 for image in images]).astype(np.float32)

    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[m2f2bench.Reply]:
        return [m2f2bench.Reply(text=f"{question} It is bright.") for question in questions]


class Linear(m2f2bench.NetworkDetector):
    """One weight a pixel."""

    @classmethod
    def build(cls, size: int = 32) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 1))


class Trained(m2f2bench.Trainable):
    """A detector with a training of its own."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights

    @classmethod
    def from_card(cls, card: m2f2bench.DetectorCard, device: str = "auto") -> Trained:
        return cls(m2f2bench.trained_weights(card))

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> npt.NDArray[np.float64]:
        return np.zeros(len(batch))

    @classmethod
    def fit(cls, job: m2f2bench.TrainingJob) -> m2f2bench.FitReport:
        network = m2f2bench.Network(Linear.build(), prepare=lambda image: image[:32, :32], normalise=lambda x: x / 255)
        return m2f2bench.fit_network(job, network)


class PhotoOptions(m2f2bench.AdapterOptions):
    """Options of the dataset's card."""

    ending: str = ".png"


@m2f2bench.register_adapter("typed-photos")
class Photos(m2f2bench.FileAdapter[PhotoOptions]):
    """Two files."""

    def frames(self, split: str) -> list[m2f2bench.Frame]:
        return [
            m2f2bench.Frame(name, name, label, "original", split, (), m2f2bench.Locator(name + self.options.ending))
            for label, name in enumerate(("a", "b"))
        ]

    def questions(self, split: str, kind: str = "blind") -> list[m2f2bench.Question]:
        return [m2f2bench.Question("q", "a", "Is it real?", ("Yes.",), "image", 0)]


class Drawn(m2f2bench.Adapter):
    """No pictures at all."""

    splits = ("test",)

    def frames(self, split: str) -> list[m2f2bench.Frame]:
        return []

    def read(self, frame: m2f2bench.Frame) -> Image:
        raise m2f2bench.FrameError(frame.id, "there is no picture")


@m2f2bench.register_metric("typed_error", better="lower")
def typed_error(label: npt.NDArray[np.int64], score: npt.NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(label - score)))


typed_bias = m2f2bench.register_metric(
    m2f2bench.Metric("typed_bias", better="lower", compute=lambda label, score: float(np.mean(score - label)))
)


def use_results(folder: Path) -> None:
    results = m2f2bench.run(detectors=["constant", Brightness()], datasets="synthetic", out=folder)
    assert_type(results, m2f2bench.Results)
    result = m2f2bench.score("rows.csv", protocol="frame")
    assert_type(result, m2f2bench.Result)
    assert_type(result.metrics["auc"], m2f2bench.Score)
    assert_type(result.metrics["auc"].value, float | None)
    assert_type(m2f2bench.compare("a.csv", "b.csv"), m2f2bench.Comparison)
    assert_type(m2f2bench.compare("a.csv", {"id": ["a"], "label": [0], "score": [0.5]}), m2f2bench.Comparison)
    assert_type(m2f2bench.compare({"a": "a.csv", "b": result}), m2f2bench.Comparison)
    assert_type(m2f2bench.compare(results), m2f2bench.Comparisons)
    assert_type(m2f2bench.multiverse("a.csv", results), m2f2bench.Multiverse)
    assert_type(m2f2bench.power("a.csv", dataset="synthetic"), m2f2bench.Power)
    assert_type(m2f2bench.score((np.array([0, 1]), np.array([0.2, 0.7]))), m2f2bench.Result)
    assert_type(m2f2bench.leaderboard(results, {"mine": "a.csv"}, out="board.html"), m2f2bench.Board)
    assert_type(m2f2bench.predict("a.png", "constant"), m2f2bench.Predictions)
    assert_type(m2f2bench.predict(np.zeros((9, 9, 3), np.uint8), "constant", names=["a"]), m2f2bench.Predictions)
    assert_type(m2f2bench.localize("small", "synthetic"), m2f2bench.Localization)
    assert_type(m2f2bench.faithfulness("small", "synthetic", steps=4), m2f2bench.Faithfulness)
    assert_type(m2f2bench.audit("synthetic"), m2f2bench.Audit)
    assert_type(m2f2bench.audit_checkpoint("model.pth", kind="xception"), m2f2bench.CheckpointAudit)
    assert_type(m2f2bench.detector_from("model.onnx", fake_class=1), m2f2bench.DetectorCard)
    assert_type(m2f2bench.prepare("scenes", out=folder, crop="sbi", frames=None), m2f2bench.Prepared)
    problems: list[str] = m2f2bench.validate_result(folder / "result.json")
    written: list[Path] = [
        m2f2bench.import_weights("model.pth", "m2f2det-released-detector", folder),
        m2f2bench.train("frequency", "synthetic"),
        m2f2bench.merge("runs/tune", folder),
        m2f2bench.plot("roc", folder, out="roc.pdf"),
    ]
    print(problems, written, m2f2bench.train("frequency", "synthetic").to_pandas())
    assert_type(typed_error, m2f2bench.Metric)
    assert_type(typed_bias.lower_is_better, bool)
    if not all(report.passed for report in m2f2bench.check(folder, detector="constant")):
        raise m2f2bench.M2F2BenchError(f"it fell, with m2f2bench {m2f2bench.__version__}")


def use_records() -> tuple[m2f2bench.Prediction, m2f2bench.Answer]:
    detector = m2f2bench.load_detector("constant")
    dataset = m2f2bench.load_dataset("synthetic")
    frame = dataset.frames("test")[0]
    assert_type(frame, m2f2bench.Frame)
    score = float(detector.predict([dataset.read(frame)])[0])
    assert_type(m2f2bench.read_verdict("It is fake."), str)
    assert_type(m2f2bench.read_regions("The nose is blurred."), frozenset[str])
    prediction = m2f2bench.Prediction(frame.id, frame.video, frame.method, "", frame.label, "ok", score)
    return prediction, m2f2bench.Answer("q", frame.id, "It is fake.")
