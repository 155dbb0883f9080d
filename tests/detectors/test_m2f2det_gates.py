"""M2F2-Det behind gates, which begins as its own CNN, and its map learned from masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_m2f2det import OPTIONS, toy_card, toy_network
from toy_training import auc, frames, read, toy_job

from m2f2bench.cards.models import validate
from m2f2bench.cards.settings import LossSettings, TrainingSettings
from m2f2bench.core.errors import CardError, DataError
from m2f2bench.core.records import Frame
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.m2f2det.detector import M2F2Detector
from m2f2bench.detectors.m2f2det.options import ExplainerOptions, PaperOptions
from m2f2bench.detectors.m2f2det.paper import GatedHead
from m2f2bench.training.job import TrainingJob
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.make import make_loss

OWN = {"name": "forgery-map", "variant": "own"}


def pixels(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_it_begins_as_its_own_cnn() -> None:
    network = toy_network(gated=True).eval()
    head = network.head
    assert isinstance(head, GatedHead)
    head.gate_image.data.zero_()
    head.gate_pooled.data.zero_()
    with torch.no_grad():
        last, _ = network.encoder(pixels())
        own, logits = head.cnn(last.mean((2, 3)))[:, 0], network.judge(pixels()).logits
        torch.testing.assert_close(logits, torch.stack([torch.zeros_like(own), own], dim=1))
    network(pixels()).sum().backward()
    assert head.gate_image.grad is not None and float(head.gate_image.grad.abs()) > 0
    assert head.gate_pooled.grad is not None and float(head.gate_pooled.grad.abs()) > 0
    assert float(network.bridge.norm.weight.grad.abs().max()) == 0  # type: ignore[union-attr]
    head.gate_pooled.data.fill_(0.1)
    network.zero_grad()
    network(pixels()).sum().backward()
    assert float(network.bridge.norm.weight.grad.abs().max()) > 0  # type: ignore[union-attr]


def test_new_gates_are_zero_and_old_cards_keep_their_identity() -> None:
    head = GatedHead(5, 3)
    assert head.gate_image.item() == head.gate_pooled.item() == 0.0
    plain, gated = (validate(PaperOptions, {**OPTIONS, "gated": value}, "card") for value in (False, True))
    assert "gated" not in plain.identity() and '"gated":true' in gated.identity()
    options = ExplainerOptions.model_validate({"llm": {"name": "x"}})
    assert "visual" not in options.identity().replace("visual_pool", "")
    assert '"visual_norm":false' in options.model_copy(update={"visual_norm": False}).identity()


def test_the_loss_of_the_map_by_hand() -> None:
    """Two cells a side, of 2 x 2 pixels each: shares 1, 0.5, 0.25 and 0."""
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    heat = torch.tensor([[1.0, 0.8], [0.5, 0.1]])
    outputs = {"logit": torch.tensor([2.0, -1.0]), "map": torch.stack([heat, heat])}
    given = Given(torch.tensor([1.0, 0.0]), None, torch.zeros(2, 3, 4, 4), torch.stack([mask, torch.zeros(4, 4)]))
    loss = make_loss(LossSettings.model_validate(OWN))
    rows = loss.reduced(outputs, given)
    cells = [-np.log(1 - 1e-6)]
    for share, value in ((0.5, 0.8), (0.25, 0.5), (0.0, 0.1)):
        cells.append(-share * np.log(value) - (1 - share) * np.log(1 - value))
    assert rows["error"].tolist() == pytest.approx([np.mean(cells), 0.0], rel=1e-5)
    terms = loss.terms(rows, given.labels, None, 1)
    entropy = (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2
    assert float(loss.total(terms)) == pytest.approx(entropy + 0.5 * np.mean(cells), rel=1e-5)
    reals = Given(torch.zeros(2), None, torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4))
    assert float(loss.terms(loss.reduced(outputs, reals), reals.labels, None, 1)["map"]) == 0.0


def corner(one: Frame, image: Any = None) -> np.ndarray:
    """The upper left quarter of a fake."""
    found = np.zeros((48, 48), dtype=bool)
    found[:24, :24] = bool(one.label)
    return found


def job(out: Path, resume: bool = False, mask: Any = corner, loss: Any = None, **options: Any) -> TrainingJob:
    values = {"epochs": 6, "batch_size": 8, "lr": 1e-2, "loss": loss or OWN, "augmentation": {"flip_p": 0.0}}
    settings = TrainingSettings.model_validate(values)
    card = toy_card(**options).model_copy(update={"training": settings})
    plain = toy_job(out)
    return TrainingJob(
        card, settings, plain.train, plain.val, read, auc, out, "toy", resume=resume, device="cpu", mask=mask
    )


@pytest.mark.slow
def test_the_map_learns_where(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    shares = []
    for name, loss in (("mask", {**OWN, "weights": {"map": 20.0}}), ("label", {"name": "cross-entropy"})):
        report = M2F2Detector.fit(job(tmp_path / name, loss=loss, gated=True))
        card = toy_card(gated=True).model_copy(
            update={"options": {**toy_card(gated=True).options, **report.options}, "weights": str(report.weights)}
        )
        one = M2F2Detector.from_card(card, "cpu")
        fakes = [read(frame) for frame in frames(0, 8, "val") if not frame.id.endswith("13")]
        heat = one.heatmap(fakes)
        half = heat.shape[-1] // 2
        shares.append(float(heat[:, :half, :half].sum() / heat.sum()))
        assert np.isfinite(report.curves[-1]["train_loss"]) and read_tensors(report.weights)[0]
    assert shares[0] > shares[1] + 0.03 and shares[0] > 0.28  # by chance a quarter


def test_what_it_needs_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs masks of the manipulated pixels, and the dataset has none"):
        M2F2Detector.fit(job(tmp_path / "a", mask=None))
    with pytest.raises(CardError, match="needs the output 'map', which backend 'm2f2det' with these options"):
        M2F2Detector.fit(job(tmp_path / "b", map_weighting=False))
    with pytest.raises(CardError, match="loss 'forgery-map' has no variant 'paper'"):
        make_loss(LossSettings(name="forgery-map"))
