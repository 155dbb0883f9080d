"""Forensics Adapter trained with its own loss: what is trained, what is written, resuming, refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_every_network import forada_card
from toy_losses import mask
from toy_training import toy_job

from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.forada.boundary import BoundaryHead
from m2f2bench.detectors.forada.detector import ForadaDetector, build, forada_options
from m2f2bench.training import loop
from m2f2bench.training.job import TrainingJob
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.make import make_loss


def job(out: Path, resume: bool = False, options: dict[str, Any] | None = None, **settings: Any) -> TrainingJob:
    """A training of two steps; the small side network has two layers."""
    values = {"epochs": 1, "batch_size": 16, "loss": {"name": "forada"}, "checkpoint_steps": 1, "lr": 1e-3, **settings}
    made = toy_job(out, size=64, resume=resume, **values)
    card = forada_card()
    update = {"training": made.settings, "options": {**card.options, "contrast_after": (1, 2), **(options or {})}}
    return replace(made, card=card.model_copy(update=update), mask=mask)


def test_everything_but_clip_learns() -> None:
    card = forada_card()
    options = forada_options(card).model_copy(update={"contrast_after": (1, 2)})
    torch.manual_seed(0)
    model, _ = build(options, card)
    model.boundary = BoundaryHead(options)
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0])
    masks = torch.zeros(4, 64, 64)
    masks[1::2, 8:40, 20:] = 1
    given = Given(labels, None, torch.randn(4, 3, 64, 64), masks)
    loss = make_loss(toy_job(Path(), loss={"name": "forada"}).settings.loss)
    outputs = model.train().training_outputs(given.inputs, given)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "logit": (4,),
        "boundary": (4, 64, 64),
        "patches": (4, 2, 16, 64),
        "clip_patches": (4, 16, 6),
    }
    assert tuple(outputs) == model.gives and set(loss.needs) == set(outputs)
    torch.testing.assert_close(model(given.inputs), outputs["logit"])
    loss.total(loss.terms(loss.reduced(outputs, given), labels, None, 1)).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert [name for name in silent if not name.startswith("clip.")] == []


@pytest.mark.slow
def test_only_what_judges_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is killed and goes on ends with the same bytes, though checkpoints hold more than the weights."""
    torch.set_num_threads(1)
    whole = ForadaDetector.fit(job(tmp_path / "whole"))
    saved = loop.save_checkpoint
    held: list[str] = []

    def killed(out: Path, step: int, checkpoint: Any, *more: Any) -> None:
        saved(out, step, checkpoint, *more)
        held.extend(checkpoint.tensors)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        ForadaDetector.fit(job(tmp_path / "cut"))
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = ForadaDetector.fit(job(tmp_path / "cut", resume=True))
    assert again.weights.read_bytes() == whole.weights.read_bytes() and again.curves == whole.curves
    assert any(name.startswith("boundary.process.") for name in held)
    assert "loss forada (paper): 10 cross_entropy + 200 boundary + 20 intra + 10 clip_intra" in whole.notes
    written = read_tensors(whole.weights)[0]
    assert any(name.startswith("clip.") for name in written) and not any("boundary" in name for name in written)
    card = job(tmp_path).card
    update = {"options": {**card.options, **whole.options}, "weights": str(whole.weights)}
    detector = ForadaDetector.from_card(card.model_copy(update=update), "cpu")
    assert np.isfinite(detector.predict([np.zeros((48, 48, 3), np.uint8)])).all()
    other = {"options": {**update["options"], "contrast_after": [2]}, "weights": str(whole.weights)}
    assert ForadaDetector.from_card(card.model_copy(update=other), "cpu").fingerprint() == detector.fingerprint()


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"\(4, 5\)|\[4, 5\]: the side network of 2 layers has no layer 4") as error:
        ForadaDetector.fit(job(tmp_path, options={"contrast_after": (4, 5)}))
    assert "\n" not in str(error.value)
    with pytest.raises(CardError, match=r"loss 'gend' needs the output 'features', which backend 'forada'"):
        ForadaDetector.fit(job(tmp_path, loss={"name": "gend"}))
