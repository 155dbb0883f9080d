"""The plan of a training before it starts: the counts of the real training, and what a rehearsal measures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import nn
from toy_explainer import card_file, detector_folder
from typer.testing import CliRunner

from m2f2bench.cards.models import DatasetCard, DetectorCard
from m2f2bench.cli.main import app
from m2f2bench.core.errors import DetectorError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.runs.train import train
from m2f2bench.runs.training_plan import TrainingPlan, plan_training
from m2f2bench.training.curves import RECORD
from m2f2bench.training.job import Rehearsing
from m2f2bench.training.rehearsal import Rehearsal

FACES = {"seed": 3, "size": 64, "train": 6, "val": 2, "frames_per_video": 2, "methods": ["swap", "lowres"]}


@pytest.fixture
def faces(tmp_path: Path) -> DatasetCard:
    return DatasetCard(name="faces", adapter="synthetic", options={**FACES, "cache": str(tmp_path / "cache")})


def tiny(**training: Any) -> DetectorCard:
    values = {"epochs": 2, "batch_size": 8, "warmup_epochs": 0.0, **training}
    options = {"model": "resnet10t", "pretrained": None, "model_kwargs": {"channels": [8, 8, 16, 16]}}
    return DetectorCard(name="tiny", backend="timm", input={"size": 32}, options=options, training=values)


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [
        {},
        {"validate_steps": 5, "sampling": "video", "classes": "natural"},
        {"epoch_images": 24, "accumulation": 2},
        {"loss": {"name": "core"}, "views": 2},
        {"train_on": "real", "source": {"name": "self-blended"}},
    ],
    ids=["plain", "video", "few", "views", "source"],
)
def test_its_counts_are_those_of_the_training(training: dict[str, Any], faces: DatasetCard, tmp_path: Path) -> None:
    card = tiny(**training)
    if "loss" in training:
        options = {"backbone": {"timm": {"model": "test_resnet", "pretrained": None}}, "tune": "full"}
        card = card.model_copy(update={"backend": "tuned", "options": options})
    plan = plan_training(card, faces, device="cpu", seconds=0.0)
    assert plan.measured is None and plan.problem == ""
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        from m2f2bench.training.loop import _Training

        kept = _Training.take_step

        def counted(self: Any) -> Any:
            found = kept(self)
            steps.append(self.progress.count)
            return found

        patch.setattr(_Training, "take_step", counted)
        done = train(card, faces, out=tmp_path / "out", device="cpu")
    record = json.loads((Path(done).parent / RECORD).read_text())
    assert (plan.steps, plan.validations) == (len(steps), len(record["curves"]))
    assert plan.images == len(steps) * steps[0] and plan.batch_size == steps[0]
    assert plan.train["frames"] == record["n_train"]["frames"]


@pytest.mark.slow
def test_a_rehearsal_measures_and_leaves_nothing(
    faces: DatasetCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    plan = plan_training(tiny(optimizer="adamw", ema=0.9), faces, device="cpu", seconds=0.5)
    found = plan.measured
    assert found is not None and found.looped and plan.problem == "" and list(work.iterdir()) == []
    network = timm.create_model("resnet10t", num_classes=1, channels=[8, 8, 16, 16])
    own = sum(value.numel() for value in network.parameters())
    assert found.trained == own and found.bytes["training"] == own * 4 * (1 + 2 + 1)
    # The input alone is 8 x 3 x 32 x 32 floats; what the layers keep is more, and less than a hundred times that.
    assert 1 < found.bytes["activations"] / (8 * 3 * 32 * 32 * 4) < 100
    assert found.step_seconds and found.validation_seconds and found.steps >= 1
    assert plan.seconds == pytest.approx(plan.steps * found.step_seconds + 2 * found.validation_seconds)  # type: ignore[operator]


def test_activations_by_hand() -> None:
    """Two linear layers keep their inputs and a ReLU its output, which is one of these; weights are not counted."""
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    found = Rehearsal()
    with found._activations(SimpleNamespace(module=module)):  # type: ignore[arg-type]
        for _ in range(2):  # one part after the other: what the first kept is given back
            module(torch.ones(8, 4)).sum().backward()
    assert found.bytes["activations"] == 8 * (4 + 3) * 4


@pytest.mark.slow
def test_activations_grow_with_a_part(faces: DatasetCard) -> None:
    """Twice the images in a part keep twice the memory, and two parts no more than one."""

    def kept(**training: Any) -> int:
        plan = plan_training(tiny(**training), faces, device="cpu", seconds=1e-6)
        assert plan.measured is not None
        return plan.measured.bytes["activations"]

    once, twice, parts = kept(batch_size=4), kept(batch_size=8), kept(batch_size=8, accumulation=2)
    assert twice / once == pytest.approx(2.0, rel=0.1) and parts / once == pytest.approx(1.0, rel=0.1)


class Frames(Adapter[Any]):
    """FaceForensics++'s training videos, without a picture in them."""

    splits = ("train", "val")

    def frames(self, split: str) -> list[Frame]:
        people = range(720) if split == "train" else range(1000, 1140)
        return [
            Frame(f"{m}/{p}/{n}", f"{m}/{p}", int(m > 0), f"m{m}", split, (f"{p}",), Locator(""))
            for m in range(5)
            for p in people
            for n in range(3)
        ]

    def read(self, frame: Frame) -> Any:
        raise AssertionError("a count reads no picture")


def test_the_full_size_recipe_on_faceforensics() -> None:
    plan = plan_training("m2f2det", Frames(), seconds=0.0)
    assert (plan.train["videos"], plan.steps_per_epoch, plan.epochs, plan.steps) == (3600, 45, 200, 9000)
    assert (plan.validations, plan.val["frames"], plan.val["real"], plan.images) == (180, 700, 140, 720_000)
    text = str(plan)
    assert (
        "steps       9,000 of 80 images: 200 × 45 (epochs × steps); 720,000 images in all" in text
        and "validations 180" in text
    )


def test_align_has_the_steps_of_the_release(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_DATA", str(real_data))
    plan = plan_training("m2f2det-explainer", "ddvqa-c40", stage="align")
    assert (plan.steps, plan.images, plan.batch_size, plan.validations) == (39, 9252, 240, 0)
    assert plan.train["frames"] == 1339 and plan.val["frames"] == 0
    assert "stage align starts from the stage before it: give its folder with --from" in plan.problem


@pytest.mark.slow
def test_a_stage_of_questions(faces: DatasetCard, tmp_path: Path) -> None:
    card, detector = str(card_file(tmp_path / "cards")), detector_folder(tmp_path / "detector")
    plan = plan_training(card, faces, stage="align", start=detector, device="cpu", seconds=0.5)
    assert plan.measured is not None and plan.measured.looped and plan.measured.step_seconds
    done = train(card, faces, stage="align", start=detector, out=tmp_path / "align", device="cpu")
    curves = json.loads((Path(done).parent / RECORD).read_text())["curves"]
    assert plan.steps == curves[-1]["step"] and plan.validations == sum("val_loss" in row for row in curves)
    assert plan.images == 8 * plan.steps  # type: ignore[operator]


@pytest.mark.slow
def test_what_is_fitted_at_once_and_what_cannot_be_built(faces: DatasetCard) -> None:
    plan = plan_training("frequency", faces, seconds=0.5)
    assert plan.steps is None and "steps       none: the training frames are fitted at once" in str(plan)
    missing = plan_training("xception", faces, seconds=0.5, size=32).problem
    assert missing == ""
    broken = DetectorCard(name="gone", backend="timm", options={"model": "resnet10t", "pretrained": "no/such/file"})
    plan = plan_training(broken, faces, seconds=0.5)
    assert plan.measured is None and "\n" not in plan.problem and "memory and time are not measured: " in str(plan)


@pytest.mark.slow
def test_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["train", "small-cnn", "-s", "synthetic", "--quick", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "steps       324 of 16 images: 6 × 54 (epochs × steps); 5,184 images in all" in done.output
    assert "memory      " in done.output and "s a step" in done.output and list(tmp_path.iterdir()) == []


def test_large_and_small_numbers() -> None:
    found = Rehearsing(looped=True, steps=3, step_seconds=2.0, validation_seconds=30.0, weights=10, trained=4)
    found.bytes = {"weights": 3 << 30, "training": 1 << 29, "activations": 5 << 20, "largest": 4 << 30}
    plan = TrainingPlan("a", "b", "detector", {}, {}, 1.0, 100, 100, 8, 800, 2, found)
    assert "3.5 GiB expected: weights 3.0 GiB, gradients and optimiser 512 MiB" in str(plan)
    assert "4.0 GiB were in use at most on the GPU" in str(plan) and "4 min expected: 2.000 s a step" in str(plan)
    assert plan.seconds == 260.0


def test_several_processes_are_refused() -> None:
    with pytest.raises(DetectorError, match="--dry-run measures one process"):
        Rehearsal().run(SimpleNamespace(world=2), torch.zeros, 1)  # type: ignore[arg-type]
