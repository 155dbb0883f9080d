"""Precision of a training: of its card, or in place of it from `train` or a suite's card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from m2f2bench.cards.columns import TrainStep
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.loading import detector_card
from m2f2bench.runs.train import train
from m2f2bench.training.curves import RECORD


@pytest.mark.slow
def test_a_training_says_its_precision_and_is_another_one(tmp_path: Path) -> None:
    card = detector_card("small-cnn")[0]
    assert card.training is not None
    short = card.training.model_copy(update={"epochs": 1, "epoch_images": 32})
    card = card.model_copy(update={"training": short})
    weights = []
    for precision in ("fp32", "bf16"):
        train(card, "synthetic", out=tmp_path / precision, precision=precision)
        record = json.loads((tmp_path / precision / RECORD).read_text())
        assert record["settings"]["precision"] == precision
        weights.append(read_tensors(tmp_path / precision / "model.safetensors")[0])
    assert any(not bool((weights[0][key] == value).all()) for key, value in weights[1].items())
    with pytest.raises(DetectorError, match="another"):
        train(card, "synthetic", out=tmp_path / "fp32", precision="bf16", resume=True)


@pytest.mark.parametrize(
    ("detector", "precision", "problem"),
    [
        ("small-cnn", "half", "key 'precision': Input should be 'fp32', 'bf16' or 'fp16', not 'half'"),
        ("sbi", "fp16", "sam needs precision fp32 or bf16"),
        ("small-cnn", "fp16", "precision fp16 cannot be used on cpu: set `precision` to fp32 or bf16"),
    ],
)
def test_a_precision_that_cannot_be_is_one_line(detector: str, precision: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DetectorError) as refused:
        train(detector, "synthetic", out=tmp_path / "out", precision=precision, device="cpu")
    assert problem in str(refused.value) and "\n" not in str(refused.value)


def test_a_step_of_a_suite_names_it() -> None:
    assert TrainStep(detector="a", dataset="b", precision="bf16").precision == "bf16"
    assert TrainStep(detector="a", dataset="b").precision is None
