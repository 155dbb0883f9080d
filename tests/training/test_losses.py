"""Losses of the methods, by hand on small cases; views, pairs, averages and SAM in whole trainings."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_losses import TRAININGS, train
from toy_training import fit, frames, toy_job

from m2f2bench.cards.settings import LossSettings, TrainingSettings
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.detectors.tuned.svd import SVDLinear
from m2f2bench.training import loop
from m2f2bench.training.averaging import climb
from m2f2bench.training.losses.am_softmax import am_softmax
from m2f2bench.training.losses.core import consistency
from m2f2bench.training.losses.effort import orthogonality, singular_values
from m2f2bench.training.losses.gend import alignment, uniformity
from m2f2bench.training.losses.make import LOSSES, make_loss, training_loss
from m2f2bench.training.losses.recce import metric, reconstruction
from m2f2bench.training.plan import mates
from m2f2bench.training.sources.base import SOURCES, Made, Source

CORNERS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
"""Three points of the unit circle; squared distances 2 (0-1), 4 (0-2), 2 (1-2)."""


def test_gend_on_three_points() -> None:
    assert float(uniformity(CORNERS)) == pytest.approx(math.log((2 * math.exp(-4) + math.exp(-8)) / 3))
    assert float(alignment(CORNERS, torch.tensor([0.0, 1.0, 0.0]))) == pytest.approx(4.0)  # the pair 0-2 alone
    assert float(alignment(CORNERS, torch.zeros(3))) == pytest.approx(8 / 3)
    assert float(uniformity(CORNERS[:1])) == 0.0 == float(alignment(CORNERS[:1], torch.zeros(1)))


def test_the_consistency_of_two_views() -> None:
    """Cosines 1, 0 and -1 cost 0, 1 and 4."""
    first, second = torch.tensor([[2.0, 0.0]] * 3), torch.tensor([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert float(consistency(first, second)) == pytest.approx(5 / 3)


def test_core_compares_views_of_one_image_and_deepfakebench_halves_of_a_batch() -> None:
    rows = {"logit": torch.zeros(4), "features": torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])}
    own = make_loss(LossSettings(name="core")).terms(rows, torch.tensor([0.0, 0.0, 1.0, 1.0]), None, 2)
    theirs = make_loss(LossSettings(name="core", variant="deepfakebench")).terms(rows, torch.zeros(4), None, 1)
    assert float(own["consistency"]) == 0.0 and float(theirs["consistency"]) == 1.0
    assert float(own["cross_entropy"]) == pytest.approx(math.log(2))


def test_recce_reconstructs_reals_only() -> None:
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    errors = torch.tensor([1.0, 100.0, 3.0, 100.0], requires_grad=True)
    found = reconstruction(errors, labels)
    found.backward()
    assert found.item() == 2.0 and errors.grad is not None and errors.grad.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert float(reconstruction(torch.ones(2), torch.ones(2))) == 0.0


def test_recce_metric_draws_reals_together_and_fakes_away() -> None:
    """Reals at similarity 1/2; real-fake similarities 1 and 1/2: 1 - 1/2 + 3/4. Fakes are compared with no fake."""
    points = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    assert float(metric(points, torch.tensor([0.0, 0.0, 1.0]))) == pytest.approx(1.25)
    assert float(metric(torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0.0, 0.0, 1.0]))) == 0.0


def test_am_softmax_subtracts_the_margin_from_the_own_class() -> None:
    found = am_softmax(torch.tensor([[0.5, 0.2]]), torch.tensor([0.0]), 0.45, 30.0)
    assert float(found) == pytest.approx(math.log(1 + math.exp(30 * (0.2 - 0.05))))


@pytest.mark.parametrize("shape", [(6, 6), (5, 7), (8, 4)])
def test_effort_equals_the_whole_decomposition(shape: tuple[int, int]) -> None:
    """The frozen vectors, never kept by the layer, come from an SVD of their own here; and a fold gives the weight."""
    torch.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0]).double()
    split = SVDLinear.of(layer, 2).double()
    torch.testing.assert_close(split.whole(), layer.weight.detach(), atol=1e-6, rtol=1e-6)
    assert singular_values(split.whole(), split.size_before).item() < 1e-4  # type: ignore[arg-type]
    assert orthogonality(split.U_residual, split.complement_u).item() < 1e-9  # type: ignore[arg-type]
    moved = split.U_residual.detach() + 0.1 * torch.randn(shape[0], 2, dtype=torch.float64)
    kept = min(shape) - 2
    whole = torch.cat([torch.linalg.svd(layer.weight.detach())[0][:, :kept], moved], 1)
    gram = whole.T @ whole - torch.eye(whole.shape[1], dtype=torch.float64)
    found = orthogonality(moved, split.complement_u)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(float((gram**2).sum()), rel=1e-4)
    assert not any("complement" in name or "size" in name for name in split.state_dict())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_says_its_variants_and_terms(name: Any) -> None:
    variants: Any = ("own",) if name == "forgery-map" else ("paper", "deepfakebench")
    for variant in variants:
        made = make_loss(LossSettings(name=name, variant=variant))
        assert variant in made.note() and made.weights
    with pytest.raises(CardError, match="has no term 'nonsense'") as error:
        make_loss(LossSettings(name=name, variant=variants[0], weights={"nonsense": 1.0}))
    assert "\n" not in str(error.value)


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    job = toy_job(tmp_path, loss={"name": "core"})
    with pytest.raises(CardError, match=r"needs at least 2 views of an image, and training.views is 1"):
        training_loss(job, ("logit", "features"))
    with pytest.raises(CardError, match="needs the output 'features', which backend 'timm'"):
        training_loss(job, ("logit",))
    with pytest.raises(ValueError, match="train_on `real` needs a `source`"):
        TrainingSettings(train_on="real")
    with pytest.raises(DetectorError, match="`freeze` pattern 'nothing' matches no trained parameter"):
        fit(tmp_path / "none", freeze=("nothing",))
    with pytest.raises(DetectorError, match=r"`freeze` pattern '\*' leaves no parameter to train"):
        fit(tmp_path / "all", freeze=("*",))


def test_mates_are_of_one_video_or_person() -> None:
    """The toy's fakes are people of their own."""
    assert mates(frames(3, 3)) == {}


def test_climbing_follows_the_gradient() -> None:
    value = nn.Parameter(torch.tensor([3.0, 4.0]))
    (value**2).sum().backward()  # the gradient (6, 8) has length 10
    before = climb([value], 0.5)
    torch.testing.assert_close(value.detach(), torch.tensor([3.3, 4.4]))
    assert before[0].tolist() == [3.0, 4.0]


def test_old_settings_have_the_hash_that_they_had() -> None:
    later = {"loss", "views", "train_on", "source", "freeze", "ema", "sam"}
    assert not later & set(TrainingSettings().content()) and "sam" in TrainingSettings(sam=0.1).content()


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"ema": 0.9, "sam": 0.05, "views": 2}])
def test_average_and_sam_resume_to_the_same_bits(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(tmp_path / "whole", **more)
    saved = loop.save_checkpoint

    def killed(*given: Any) -> None:
        saved(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", resume=resume, checkpoint_steps=3, **more)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = fit(tmp_path / "cut", resume=True, checkpoint_steps=3, **more)
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()
    plain = read_tensors(fit(tmp_path / "plain").weights)[0]
    assert any(not torch.equal(value, plain[name]) for name, value in read_tensors(again.weights)[0].items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["core", "recce", "am-softmax", "effort", "forada", "self-blended"])
def test_a_loss_resumes_to_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**TRAININGS[name], "checkpoint_steps": 3}
    whole = train(tmp_path / "whole", **values)
    saved = loop.save_checkpoint

    def killed(*given: Any) -> None:
        saved(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", **values)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = train(tmp_path / "cut", resume=True, **values)
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


class Darker(Source):
    """Makes a fake of a real: its upper half, brighter."""

    def make(self, image: Any, frame: Any, rng: np.random.Generator) -> list[Made]:
        assert frame.label == 0
        mask = np.zeros(image.shape[:2], np.float32)
        mask[: len(image) // 2] = 1
        brighter = np.clip(image + 60 * mask[..., None], 0, 255).astype(np.uint8)
        return [Made(image, 0), Made(brighter, 1, mask)]


def test_a_source_makes_fakes_from_reals_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "darker", f"{__name__}:Darker")
    torch.set_num_threads(1)
    job = toy_job(tmp_path, train_on="real", source={"name": "darker"}, epochs=8)
    job = replace(job, train=frames(12, 0), val=frames(8, 0, "val"))
    report = TimmDetector.fit(job)
    assert report.val_auc is not None and report.val_auc > 0.9  # the validation's fakes are made, too
    nameless = toy_job(tmp_path / "none", source={"name": "darkest"})
    with pytest.raises(CardError, match=r"training.source: there is no source 'darkest'; did you mean 'darker'\?"):
        TimmDetector.fit(nameless)
