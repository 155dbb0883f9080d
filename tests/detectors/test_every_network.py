"""Every card's network is under the tests that all networks must pass: batch, repetition, gradients and heat maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_cnn
import test_forada
import test_tuned
import torch
import toy_m2f2det
from small_backbones import BACKBONES
from toy_training import toy_job

from m2f2bench.cards.folders import iter_cards
from m2f2bench.detectors.base import Detector
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.cnn.base import ClassifierDetector
from m2f2bench.detectors.forada.detector import ForadaDetector
from m2f2bench.detectors.m2f2det.detector import M2F2Detector
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.detectors.timm import TimmDetector, TimmOptions, classifier
from m2f2bench.detectors.tuned.detector import TunedDetector, tuned_options
from m2f2bench.loading import detector_card

CARDS = sorted(path.stem for path in iter_cards("detectors"))
OWN_TESTS = {
    "forada": "test_forada",
    "m2f2det": "test_m2f2det",
    "m2f2det-explainer": "test_m2f2det_explainer",
    "timm": "test_backends_timm",
}
"""Backends of torch networks that have these tests in a file of their own."""
STAND_INS = {
    "openai/clip-vit-large-patch14": "clip",
    "facebook/dinov2-base": "dinov2",
    "facebook/dinov3-vitl16-pretrain-lvd1689m": "dinov3",
    "MCG-NJU/videomae-base-finetuned-kinetics": "videomae",
    "vit_pe_core_large_patch14_336.fb": "pe",
    "convnext_tiny.in12k_ft_in1k": "convnext",
    "tf_efficientnet_lite0": "timm-resnet",
}
"""Small backbones of the same architecture as those of the cards."""


@pytest.mark.parametrize("name", CARDS)
def test_the_network_of_a_card_is_tested(name: str) -> None:
    card, cls = detector_card(name)
    if issubclass(cls, ClassifierDetector):
        options = {key: value for key, value in card.options.items() if key != "pretrained"}
        own = [(backend, {k: v for k, v in one.items() if k != "drop_path_rate"}) for backend, one in networks()]
        assert (card.backend, options) in own or any(
            backend == card.backend and options.items() <= one.items() for backend, one in own
        ), f"'{name}' is not in test_cnn.NETWORKS"
    elif issubclass(cls, TunedDetector):
        made = tuned_options(card)
        source = made.backbone.transformers or made.backbone.timm
        stand_in = STAND_INS[str(getattr(source, "name", None) or getattr(source, "model", None))]
        assert stand_in in BACKBONES and (stand_in, made.tune) in test_tuned.PAIRS
    elif issubclass(cls, NetworkDetector):
        assert card.backend in OWN_TESTS, f"'{name}': name the file with the tests of backend '{card.backend}'"
    else:
        assert issubclass(cls, Detector)


def networks() -> list[tuple[str, dict[str, object]]]:
    return list(test_cnn.NETWORKS.values())


def forada_card() -> Any:
    """A card of the backend `forada` whose head is wide enough that its ReLUs do not all end at zero."""
    clip = {"config": {**test_forada.CLIP, "projection_dim": 128}}
    return test_forada.CARD.model_copy(update={"options": {**test_forada.OPTIONS, "clip": clip, "queries": 32}})


def trained(backend: str, out: Path) -> Any:
    """A small detector of a backend, trained for an epoch."""
    torch.set_num_threads(1)
    job = toy_job(out, epochs=1, size=64)
    cards = {"timm": job.card, "forada": forada_card(), "m2f2det": toy_m2f2det.toy_card()}
    cls = {"timm": TimmDetector, "forada": ForadaDetector, "m2f2det": M2F2Detector}[backend]
    card = cards[backend].model_copy(update={"training": job.settings})
    report = cls.fit(replace(job, card=card))
    made = {"options": {**card.options, **report.options}, "weights": str(report.weights)}
    detector = cls.from_card(card.model_copy(update=made), "cpu")
    detector.card = card
    return detector


@pytest.mark.parametrize("backend", [name for name in OWN_TESTS if name != "m2f2det-explainer"])
def test_a_trained_detector_of_another_backend(backend: str, tmp_path: Path) -> None:
    """One image and eight, twice, and a map; gradients are in the file of its own tests."""
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    detector = trained(backend, tmp_path)
    images = [np.random.default_rng(i).integers(0, 256, (48, 48, 3), dtype=np.uint8) for i in range(8)]
    together = np.asarray(detector.predict(images))
    assert np.array_equal(together, detector.predict(images)) and together.std() > 0
    alone = [float(detector.predict([image])[0]) for image in images]
    assert np.abs(together - alone).max() < 1e-5
    maps = CamDetector(detector).heatmap(images[:2])
    assert len(maps) == 2 and np.isfinite(maps).all() and 0.0 <= maps.min() < maps.max() <= 1.0


def test_every_tensor_of_a_timm_network_learns() -> None:
    model = classifier(TimmOptions(model="test_resnet"), classes=1).train()
    for value in model.parameters():
        if not value.any():  # what starts at zero switches layers off
            value.data.fill_(0.3)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_the_files_of_own_tests_are_there() -> None:
    for file in OWN_TESTS.values():
        assert (Path(__file__).parent / f"{file}.py").is_file()
