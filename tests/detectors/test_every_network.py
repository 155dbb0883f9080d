"""Every card's network is under the tests that all networks must pass: batch, repetition, gradients and heat maps."""

from __future__ import annotations

import pytest
import test_cnn
import test_tuned
from small_backbones import BACKBONES

from m2f2bench.cards.folders import iter_cards
from m2f2bench.detectors.base import Detector
from m2f2bench.detectors.cnn.base import ClassifierDetector
from m2f2bench.detectors.network import NetworkDetector
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


def test_the_files_of_own_tests_are_there() -> None:
    from pathlib import Path

    for file in OWN_TESTS.values():
        text = (Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8")
        assert "alone" in text or "batch" in text, file
