"""What a detector can do beside scores, asked of the detector itself: answers and heat maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from m2f2bench import Detector, Explainer, Localizer
from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import InputSettings
from m2f2bench.detectors.base import PlainDetector
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.keys import device_name, identify_judge
from m2f2bench.detectors.network import NetworkDetector

IMAGES = [np.zeros((8, 8, 3), np.uint8)] * 2


class Scores:
    def predict(self, images: list[np.ndarray]) -> list[float]:
        return [0.5] * len(images)


class Talks(Scores):
    questions_at_once = 3
    errors_pass = True

    def explain(self, images: list[np.ndarray], questions: list[str]) -> list[str]:
        return [f"{question} no" for question in questions]


class Maps(Scores):
    def heatmap(self, images: list[np.ndarray]) -> torch.Tensor:
        return torch.ones(len(images), 2, 2, requires_grad=True)

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        return 0.25, 0.0, 0.75, 1.0


class Whole(Detector, Explainer, Localizer):
    """A user's detector, with an attribute that has the name of a capability."""

    explainer = "an LLM of mine"

    def forward(self, batch, ids):
        return np.zeros(len(batch))

    def explain(self, images, questions):
        return ["real"] * len(images)

    def heatmap(self, images):
        return np.zeros((len(images), 2, 2), np.float32)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).mean((2, 3)))


class TalkingNetwork(NetworkDetector):
    """A network that also answers and has maps of its own."""

    fit = None  # type: ignore[assignment]

    def explain(self, images, questions):
        return ["fake"] * len(images)

    def heatmap(self, images):
        raise AssertionError("not its own maps")


def plain(own: object) -> PlainDetector:
    detector = PlainDetector(own)
    detector.card = DetectorCard(name="mine", backend="mine.py:Mine")
    return detector


def test_a_wrapped_object_answers_for_itself() -> None:
    talks, maps = plain(Talks()), plain(Maps())
    explainer, localizer = talks.as_explainer(), maps.as_localizer()
    assert explainer is not None and localizer is not None
    assert explainer.explain(IMAGES, ["a", "b"]) == ["a no", "b no"]
    assert (explainer.questions_at_once, explainer.errors_pass, explainer.scores_with_answers) == (3, True, False)
    assert localizer.heatmap(IMAGES).shape == (2, 2, 2) and isinstance(localizer.heatmap(IMAGES), np.ndarray)
    assert localizer.seen(8, 8) == (0.25, 0.0, 0.75, 1.0)
    assert talks.as_localizer() is None and maps.as_explainer() is None


@pytest.mark.parametrize("detector", [plain(Scores()), plain(Talks()), Whole()])
def test_what_is_unwrapped_is_the_object_of_the_user(detector: Detector) -> None:
    own = detector.unwrapped()
    assert not isinstance(own, PlainDetector) and device_name(detector) == "cpu"


def test_a_subclass_is_its_own_explainer_and_localizer_whatever_its_attributes_are_called() -> None:
    detector = Whole()
    assert detector.as_explainer() is detector and detector.as_localizer() is detector
    assert plain(detector).as_explainer() is detector  # a Detector that is wrapped all the same


def test_class_activation_maps_take_the_place_of_maps_and_leave_the_answers() -> None:
    network = TalkingNetwork(Small(), InputSettings(size=8), "cpu", "0" * 16)
    network.card = DetectorCard(name="net", backend="mine.py:Net")
    cam = CamDetector(network, "gradcam")
    localizer, explainer = cam.as_localizer(), cam.as_explainer()
    assert explainer is not None and explainer.explain(IMAGES, ["a", "b"]) == ["fake", "fake"]
    assert localizer.heatmap(IMAGES).shape == (2, 8, 8)
    own, with_maps = identify_judge(network), identify_judge(cam)
    assert with_maps.key["detector"] == "net+gradcam" and with_maps.key["code"] == own.key["code"]
    assert plain(Talks()).as_explainer() is not None
