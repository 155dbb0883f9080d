"""What a backend freezes (in eval mode, without gradients, in no checkpoint), and what a card holds at first."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from toy_kill import kept_at_first_checkpoint
from toy_training import read, toy_job

from m2f2bench.cards.quick import quick_settings
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.errors import DetectorError, FrameError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.training import loop
from m2f2bench.training.job import FitReport, TrainingJob, latest_checkpoint, load_checkpoint
from m2f2bench.training.network import Network, fit_network
from m2f2bench.training.objective import make_optimizer

OPTIONS = {"clip": {"width": 8, "layers": [1, 2]}}


class Half(nn.Module):
    """Half of it is meant to be frozen; it notes the mode in which each half is run."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Sequential(nn.Conv2d(3, 6, 5, stride=4), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        self.mind = nn.Sequential(nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(6, 1)
        self.modes: set[tuple[str, bool, bool]] = set()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        grad = torch.is_grad_enabled()
        for name in ("eyes", "mind"):
            self.modes |= {(name, grad, module.training) for module in self.get_submodule(name).modules()}
        out: torch.Tensor = self.head(self.mind(self.eyes(inputs)).mean((2, 3)))
        return out


def train(job: TrainingJob, frozen: tuple[str, ...] = ("eyes",)) -> tuple[FitReport, Half]:
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Half()
    prepare = partial(resize, settings=job.card.input)
    network = Network(model, prepare, Normalise(job.card.input), frozen, {"a": "b"}, options=OPTIONS)
    return fit_network(job, network), model


def start() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Half().state_dict()


def test_frozen_is_run_in_eval_mode_and_does_not_change(tmp_path: Path) -> None:
    report, model = train(toy_job(tmp_path, epochs=3, accumulation=2, weight_decay=0.1, decay="all"))
    in_training = {(name, mode) for name, grad, mode in model.modes if grad}
    assert in_training == {("eyes", False), ("mind", True)}
    assert {mode for _, grad, mode in model.modes if not grad} == {False}  # validation
    before, after = start(), read_tensors(report.weights)[0]
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == name.startswith("eyes."), name
    assert all(value.grad is None for value in model.eyes.parameters())


def test_frozen_stays_so_after_a_part_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
    monkeypatch.setattr("m2f2bench.training.frames.UNREADABLE_SHARE", 1.0)

    def broken(frame: Any) -> Any:
        if frame.split == "train" and frame.id[-1] in "02468":
            raise FrameError(frame.id, "torn")
        return read(frame)

    job = toy_job(tmp_path, epochs=2, batch_size=2, accumulation=2)
    report, model = train(replace(job, read=broken))
    assert ("mind", True, False) in model.modes  # there were blanks: the trained half in eval mode
    assert not any(mode for name, _, mode in model.modes if name == "eyes")
    before, after = start(), read_tensors(report.weights)[0]
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("eyes."))


@pytest.mark.slow
def test_frozen_is_in_no_checkpoint_and_resume_gives_the_same_bits(tmp_path: Path) -> None:
    whole, _ = train(toy_job(tmp_path / "whole", epochs=3))
    reads = 0

    def dying(frame: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads > 110:  # in the third epoch: each reads 32 frames for training and 16 for validation
            raise KeyboardInterrupt
        return read(frame)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
        train(replace(toy_job(tmp_path / "cut", epochs=3), read=dying))
    path = latest_checkpoint(tmp_path / "cut")
    assert path is not None
    held = load_checkpoint(path, "toy")
    assert held.best is not None
    trained = {name for name in start() if not name.startswith("eyes.")}
    assert held.tensors.keys() == held.best.keys() == trained
    parameters = sum(len(group["params"]) for group in held.optimizer["optimizer"]["param_groups"])
    assert parameters == len([name for name, _ in Half().named_parameters() if not name.startswith("eyes.")])
    again, _ = train(toy_job(tmp_path / "cut", epochs=3, resume=True))
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


def test_options_of_the_network_are_reported(tmp_path: Path) -> None:
    report, _ = train(toy_job(tmp_path, epochs=1))
    assert report.options == OPTIONS
    again, _ = train(toy_job(tmp_path, epochs=1, resume=True))
    assert again == report


def test_a_network_that_is_frozen_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="has no weights to train: all of it is frozen"):
        train(toy_job(tmp_path), frozen=("eyes", "mind", "head"))


HELD: dict[str, Any] = {
    "epochs": 4,
    "freeze_epochs": {"eyes.*": 2},
    "checkpoint_steps": 1,
    "weight_decay": 0.1,
    "decay": "all",
}


@pytest.fixture
def after_each_step(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The network's tensors after each optimiser step."""
    found: list[dict[str, torch.Tensor]] = []
    take = loop._Training.take_step

    def noted(self: Any) -> Any:
        done = take(self)
        found.append({name: value.clone() for name, value in self.objective.module.state_dict().items()})
        return done

    monkeypatch.setattr(loop._Training, "take_step", noted)
    return found


def test_held_learns_after_its_epochs(tmp_path: Path, after_each_step: list[dict[str, torch.Tensor]]) -> None:
    """Two of four epochs: weights and statistics stay, dropout is off; then all of it learns, and the rest always."""
    _, model = train(toy_job(tmp_path, **HELD), frozen=())
    before, steps = start(), len(after_each_step)
    for name, first in before.items():
        moved = [not torch.equal(first, one[name]) for one in after_each_step]
        if name.startswith("eyes."):
            assert not any(moved[: steps // 2]) and all(moved[steps // 2 :]), name
        else:
            assert all(moved), name
    assert {("eyes", True, False), ("eyes", True, True), ("mind", True, True)} == {one for one in model.modes if one[1]}


@pytest.mark.slow
@pytest.mark.parametrize("reads", [70, 110, 160])
def test_held_is_resumed_to_the_same_bits(tmp_path: Path, reads: int) -> None:
    """Killed while a part is held, at its release, and after it; each epoch reads 32 and 16 frames."""
    whole, _ = train(toy_job(tmp_path / "whole", **HELD), frozen=())

    def dying(frame: Any) -> Any:
        nonlocal reads
        reads -= 1
        if reads < 0:
            raise KeyboardInterrupt
        return read(frame)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
        train(replace(toy_job(tmp_path / "cut", **HELD), read=dying), frozen=())
    again, _ = train(toy_job(tmp_path / "cut", resume=True, **HELD), frozen=())
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


def test_held_has_the_warm_up_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps an epoch: 8 of 16 are held, 4 of warm-up. At its release a part has a quarter of the others' rate."""
    rates: list[dict[str, float]] = []
    take = loop._Training.take_step

    def noted(self: Any) -> Any:
        done = take(self)
        names = {id(value): name for name, value in self.objective.module.named_parameters()}
        groups = self.shared.optimizer.param_groups
        rates.append({names[id(value)].split(".")[0]: group["lr"] for group in groups for value in group["params"]})
        return done

    monkeypatch.setattr(loop._Training, "take_step", noted)
    train(toy_job(tmp_path, warmup_epochs=1, **HELD), frozen=())
    assert [rate["eyes"] / rate["mind"] for rate in rates[8:]] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    cosine = [0.5 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    highest = rates[3]["mind"]
    assert [rate["mind"] / highest for rate in rates] == pytest.approx([0.25, 0.5, 0.75, 1.0, *cosine])


@pytest.mark.slow
def test_a_checkpoint_without_first_steps_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As older versions wrote it: their groups of the optimiser do not say when they begin."""

    def older(*given: Any) -> torch.optim.Optimizer:
        made = make_optimizer(*given)
        for group in made.param_groups:
            del group["begins"]
        return made

    with monkeypatch.context() as patch, kept_at_first_checkpoint(tmp_path / "whole", tmp_path / "cut"):
        patch.setattr(loop, "make_optimizer", older)
        whole, _ = train(toy_job(tmp_path / "whole", epochs=2), frozen=())
    again, _ = train(toy_job(tmp_path / "cut", epochs=2, resume=True), frozen=())
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


def test_what_is_held_and_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="`freeze_epochs` pattern 'ears' matches no trained parameter"):
        train(toy_job(tmp_path / "none", freeze_epochs={"ears": 1}), frozen=())
    with pytest.raises(DetectorError, match=r"`freeze_epochs` pattern 'eyes\.\*' matches no trained parameter"):
        train(toy_job(tmp_path / "frozen", freeze_epochs={"eyes.*": 1}))
    with pytest.raises(DetectorError, match="`freeze_epochs` leaves no parameter to train in the first epoch"):
        train(toy_job(tmp_path / "all", freeze_epochs={"*": 0.5}), frozen=())
    with pytest.raises(ValidationError, match="greater than 0"):
        toy_job(tmp_path, freeze_epochs={"eyes.*": 0})


def test_quick_keeps_the_share_that_is_held() -> None:
    settings = TrainingSettings(epochs=12, freeze_epochs={"eyes.*": 3})
    assert quick_settings(settings).freeze_epochs == {"eyes.*": 1.5}
    assert "freeze_epochs" not in TrainingSettings().content()
