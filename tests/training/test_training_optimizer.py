"""Parameter groups and the plateau schedule, each on its own and in a training."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_training import fit, read, toy_job

from m2f2bench.cards.models import validate
from m2f2bench.cards.settings import TrainingSettings
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.records import Frame
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.training.job import latest_checkpoint, load_checkpoint
from m2f2bench.training.objective import make_optimizer, plateau_factor, plateau_lr_factor


class Scaled(nn.Module):
    """A matrix, its bias, a norm and two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
        self.vision_scale, self.map_scale = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.fixed_scale = nn.Parameter(torch.ones(1), requires_grad=False)


def groups(**values: object) -> list[tuple[list[str], float, float]]:
    """(names, learning rate, decay) of each group of the optimiser over a `Scaled`."""
    model = Scaled()
    names = {id(value): name for name, value in model.named_parameters()}
    made = make_optimizer(model, TrainingSettings.model_validate(values), "toy")
    assert all(group["lr"] == group["initial_lr"] for group in made.param_groups)
    return [
        ([names[id(value)] for value in group["params"]], group["lr"], group["weight_decay"])
        for group in made.param_groups
    ]


def test_groups_by_rate_and_decay() -> None:
    scales = ["vision_scale", "map_scale"]
    body = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"]
    assert groups(lr=1e-3, weight_decay=1e-6) == [
        (body[:1], 1e-3, 1e-6),
        (scales + body[1:], 1e-3, 0.0),
    ]
    own = {"*vision_scale": 1e-3, "map_*": 3e-3}
    assert groups(lr=1e-3, weight_decay=1e-6, decay="all", lr_of=own) == [
        (["vision_scale", *body], 1e-3, 1e-6),
        (["map_scale"], 3e-3, 1e-6),
    ]
    assert groups(lr=1e-3, weight_decay=1e-6, lr_of={"body.0.*": 1e-4, "map_*": 3e-3}) == [
        (["vision_scale", *body[2:]], 1e-3, 0.0),
        (body[:1], 1e-4, 1e-6),
        (body[1:2], 1e-4, 0.0),
        (["map_scale"], 3e-3, 0.0),
    ]
    assert groups(lr_of={"*": 1e-4})[0][1:] == (1e-4, 0.0)  # nothing is left for `lr`


@pytest.mark.parametrize(
    ("lr_of", "told"),
    [
        ({"*map_scal": 1.0}, "pattern '*map_scal' matches no trained parameter; did you mean 'map_scale'?"),
        ({"*.wieght": 1.0}, "did you mean 'body.1.weight'?"),
        ({"fixed_*": 1.0}, "matches no trained parameter"),
        ({"nothing like it": 1.0}, "; trained are body.0.bias, body.0.weight, body.1.bias and 3 more"),
        ({"map_*": 1.0, "*_scale": 2.0}, "patterns 'map_*' and '*_scale' both match parameter 'map_scale'"),
    ],
)
def test_a_pattern_that_does_not_fit_is_one_line(lr_of: dict[str, float], told: str) -> None:
    with pytest.raises(DetectorError) as error:
        groups(lr_of=lr_of)
    assert told in str(error.value) and str(error.value).startswith("detector 'toy': `lr_of` pattern")
    assert "\n" not in str(error.value)


def test_settings_are_checked() -> None:
    for values in ({"lr_of": {"a": 0.0}}, {"plateau_factor": 1.0}, {"decay": "some"}, {"stop_after": 0}):
        with pytest.raises(CardError, match=next(iter(values))):
            validate(TrainingSettings, values, "card")


PATIENCES = st.tuples(st.integers(0, 7), st.integers(0, 6))
losses = st.lists(st.floats(0.0, 3.0) | st.sampled_from([0.5, 0.50004, 0.50006]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(curve=losses, factor=st.sampled_from([0.1, 0.4, 0.9]), counts=PATIENCES, data=st.data())
def test_plateau_is_torchs(curve: list[float], factor: float, counts: tuple[int, int], data: st.DataObject) -> None:
    patience, cooldown = counts
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, cooldown=cooldown, eps=0.0
    )
    gaps: list[float | None] = []
    for number, loss in enumerate(curve):
        assert plateau_factor(curve[:number], factor, patience, cooldown) == optimizer.param_groups[0]["lr"]
        torchs.step(loss)
        gaps += [None] * data.draw(st.integers(0, 2)) + [loss]
    found = plateau_factor(curve, factor, patience, cooldown)
    assert found == optimizer.param_groups[0]["lr"]
    assert plateau_factor(gaps, factor, patience, cooldown) == found  # an epoch without a loss counts for nothing


def test_plateau_by_hand() -> None:
    assert plateau_factor([], 0.4, 6) == plateau_factor([None] * 50, 0.4, 0) == 1.0
    assert plateau_factor([1.0] * 7, 0.4, 6) == 1.0  # the first is the best: six bad ones are borne
    assert plateau_factor([1.0] * 8, 0.4, 6) == 0.4
    assert plateau_factor([1.0] * 15, 0.4, 6) == 0.4 * 0.4
    assert plateau_factor([1.0, 0.99995, 0.9998], 0.5, 0) == 0.5  # 5e-5 lower is none, 2e-4 is an improvement
    assert [plateau_lr_factor(step, 4, [], 0.4, 6) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert plateau_lr_factor(1, 4, [1.0, 1.0], 0.4, 0) == 0.5 * 0.4


def misled(frame: Frame) -> np.ndarray:
    """Fakes look like reals in validation, and the other way round: the better it learns, the worse its loss."""
    return read(replace(frame, label=1 - frame.label) if frame.split == "val" else frame)


@pytest.mark.slow
def test_a_training_follows_the_plateau_and_resumes_to_the_bit(tmp_path: Path) -> None:
    values = {"epochs": 7, "schedule": "plateau", "plateau_patience": 1, "warmup_epochs": 0.5, "lr_of": {"fc.*": 1e-3}}
    job = toy_job(tmp_path / "whole", **values)
    whole = TimmDetector.fit(replace(job, read=misled))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-3)
    torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.4, patience=1)
    for row in whole.curves:
        assert row["lr"] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        torchs.step(row["val_loss"])
    assert 3e-3 * 0.4**3 < whole.curves[-1]["lr"] < 3e-3 * 0.4  # it was reduced, and not in every epoch

    reads = 0

    def dying(frame: Frame) -> np.ndarray:
        nonlocal reads
        reads += 1
        if reads > 48 * 5 + 25:  # in the sixth epoch: each reads 32 frames for training and 16 for validation
            raise KeyboardInterrupt
        return misled(frame)

    cut = replace(job, out=tmp_path / "cut", settings=job.settings.model_copy(update={"checkpoint_steps": 2}))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("m2f2bench.training.frames.FrameReader.fill", lambda self, frames: None)
        TimmDetector.fit(replace(cut, read=dying))
    path = latest_checkpoint(cut.out)
    assert path is not None
    held = load_checkpoint(path, "toy")
    rates = {(group["initial_lr"], group["lr"]) for group in held.optimizer["optimizer"]["param_groups"]}
    assert {rate for rate, _ in rates} == {3e-3, 1e-3}
    (share,) = {round(lr / rate, 12) for rate, lr in rates}  # the groups keep their ratio
    assert 0 < share < 1
    again = TimmDetector.fit(replace(cut, read=misled, resume=True))
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
def test_a_rate_of_its_own_moves_only_what_it_names(tmp_path: Path) -> None:
    # Both rates are too low for the batch norms to matter, one of them by far.
    values = {"epochs": 1, "optimizer": "sgd", "lr": 1e-12, "warmup_epochs": 0.0}
    still = read_tensors(fit(tmp_path / "still", **values).weights)[0]
    moved = read_tensors(fit(tmp_path / "moved", **values, lr_of={"fc.bias": 1e-3}).weights)[0]
    change = {name: float((moved[name] - still[name]).abs().max()) for name in still}
    assert change.pop("fc.bias") > 1e-5
    assert max(change.values()) < 1e-9


@pytest.mark.slow
def test_decay_of_everything_reaches_biases(tmp_path: Path) -> None:
    """One step of SGD with a decay that outweighs the gradient: w ← w - lr · (gradient + decay · w)."""
    values = {"epochs": 1, "optimizer": "sgd", "lr": 1e-6, "weight_decay": 1e5, "warmup_epochs": 0.0, "batch_size": 32}
    norm = {kind: read_tensors(fit(tmp_path / kind, **values, decay=kind).weights)[0] for kind in ("matrices", "all")}
    gamma = "layer1.0.bn1.weight"  # starts at 1
    assert torch.allclose(norm["matrices"][gamma], torch.ones(()), atol=1e-4)
    assert torch.allclose(norm["all"][gamma], torch.full((), 0.9), atol=1e-4)
    assert torch.allclose(norm["all"]["conv1.0.weight"], norm["matrices"]["conv1.0.weight"], atol=1e-6)


@pytest.mark.slow
def test_it_stops_when_no_epoch_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"epochs": 40, "lr": 1e-2, "stop_after": 3}

    def cut(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("m2f2bench.training.objective.write_tensors", cut)
        fit(tmp_path, **values)
    report = fit(tmp_path, **values, resume=True)  # it was over: no further epoch is trained
    best = next(row["epoch"] for row in report.curves if row["val_auc"] == report.val_auc)
    assert len(report.curves) == best + 3 < 40
    assert report.notes[1] == f"ended after epoch {len(report.curves)}: no better one in the last 3"
    assert report.notes[0] == f"epoch {int(best)} of 40 chosen by validation AUC"
    last = 4 * len(report.curves) - 1  # steps of 8 of 32 frames; the schedule is that of all 40 epochs
    assert report.curves[-1]["lr"] == pytest.approx(1e-2 * 0.5 * (1 + math.cos(math.pi * (last - 4) / 156)))
