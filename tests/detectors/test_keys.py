"""What identifies a judge and its rows: the seed of the training, the place of the data."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.datasets.dataset import Dataset
from m2f2bench.detectors.controls import ConstantDetector
from m2f2bench.detectors.keys import device_name, environment, identify_judge, made_with, row_key
from m2f2bench.loading import load_dataset


def judge_of(**card: object) -> ConstantDetector:
    detector = m2f2bench.load_detector("constant")
    detector.card = DetectorCard(name="toy", backend="constant", **card)
    return detector


def test_f4_the_seed_is_that_of_the_training_whose_weights_are_there() -> None:
    trained = TrainingSettings(seed=3)
    for card, seed in (
        ({}, "none"),
        ({"training": trained}, "none"),
        ({"weights": "model.safetensors"}, "none"),
        ({"weights": "model.safetensors", "training": trained}, 3),
    ):
        assert identify_judge(judge_of(**card)).fields["seed"] == seed, card
    own = judge_of(weights="model.safetensors", training=trained)
    own.seed = 5
    assert identify_judge(own).fields["seed"] == 5


class Session:
    """What nothing can identify: it holds what has no state to read."""

    def __init__(self) -> None:
        self.session = (one for one in ())

    def predict(self, images: Any) -> list[float]:
        return [0.5] * len(images)


def test_f4_a_key_is_good_for_one_call_where_nothing_identifies_the_judge() -> None:
    known, again = (identify_judge(judge_of()).key for _ in range(2))
    assert known == again and "call" not in known and known["detector"] == "toy" and len(known["code"]) == 16
    assert known["torch"] == metadata.version("torch") and "m2f2bench" not in known
    first, second = (identify_judge(m2f2bench.load_detector(Session())).key for _ in range(2))
    assert first["weights"] == "unknown" and len(first["call"]) == 12 and first["call"] != second["call"]


def test_f4_a_key_tells_where_the_data_lie(tmp_path: Path) -> None:
    judge = identify_judge(judge_of())
    places: list[Dataset] = []
    for name in ("one", "two"):
        (tmp_path / name / "real").mkdir(parents=True)
        (tmp_path / name / "fake").mkdir()
        places.append(load_dataset(str(tmp_path / name)))
    one, two = (row_key(judge, place)["root"] for place in places)
    assert one != two and len(one) == 12 and row_key(judge, load_dataset(str(tmp_path / "one")))["root"] == one
    assert row_key(judge, load_dataset("synthetic"))["root"] == "none" not in (one, two)


def test_f4_the_environment_is_named_in_a_few_letters_whatever_the_order() -> None:
    made = made_with(m2f2bench.load_detector("constant"))
    name = environment(made)
    assert re.fullmatch(r"cpu-[0-9a-f]{8}", name)
    assert environment(dict(reversed(made.items()))) == name != environment({**made, "python": "3.9"})


@pytest.mark.parametrize(
    ("held", "kind"),
    [
        ({}, "cpu"),
        ({"device": "meta:0"}, "meta"),
        ({"weight": torch.ones(1, device="meta")}, "meta"),
        ({"other": 1, "net": torch.nn.Linear(1, 1, device="meta")}, "meta"),
        ({"device": "mps", "weight": torch.ones(1, device="meta")}, "mps"),
        ({"net": torch.nn.Identity()}, "cpu"),
        pytest.param({"device": "cuda:0"}, "cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU")),
    ],
)
def test_f4_the_device_is_the_detectors(held: dict[str, Any], kind: str) -> None:
    detector = m2f2bench.load_detector("constant")
    vars(detector).update(held)
    assert device_name(detector) == made_with(detector)["device"] == kind
