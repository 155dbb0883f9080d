"""`channels_last: false`, of a training and of judging: the same numbers up to rounding, under other names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import check_alike
from torch import nn
from toy_training import toy_job

from m2f2bench.cards.models import DetectorCard
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.loading import load_detector

IMAGES = list(np.random.default_rng(0).integers(0, 255, size=(5, 40, 40, 3), dtype=np.uint8))
LAST = torch.channels_last


@pytest.fixture()
def seen(monkeypatch: pytest.MonkeyPatch) -> set[tuple[bool, bool]]:
    """Whether pictures and kernels of each convolution were in channels-last memory; not told where both orders are
    one, as of one channel or one pixel."""
    found: set[tuple[bool, bool]] = set()
    forward = nn.Conv2d.forward

    def watched(self: nn.Conv2d, pixels: torch.Tensor) -> torch.Tensor:
        for one in (pixels, self.weight):
            if one.is_contiguous() != one.is_contiguous(memory_format=LAST):
                found.add((one is pixels, one.is_contiguous(memory_format=LAST)))
        return forward(self, pixels)

    monkeypatch.setattr(nn.Conv2d, "forward", watched)
    return found


@pytest.mark.parametrize("last", [True, False])
def test_convolutions_have_the_order_that_is_asked_for(last: bool, tmp_path: Path, seen: set[Any]) -> None:
    trained = TimmDetector.fit(toy_job(tmp_path, epochs=1, channels_last=last))
    assert seen == {(True, last), (False, last)}
    seen.clear()
    values = {"weights": str(trained.weights), "channels_last": last}
    detector = load_detector(toy_job(tmp_path / "card").card.model_copy(update=values), "cpu")
    detector.predict(IMAGES)
    assert seen == {(True, last), (False, last)}
    assert detector.precision == ("fp32" if last else "fp32+by-channels")


def test_it_moves_numbers_by_rounding_alone(tmp_path: Path) -> None:
    one, other = (
        TimmDetector.fit(toy_job(tmp_path / str(last), epochs=1, channels_last=last)) for last in (True, False)
    )
    check_alike(one, other)

    card = toy_job(tmp_path / "card").card
    both = [
        load_detector(card.model_copy(update={"weights": str(one.weights), "channels_last": last}), "cpu")
        for last in (True, False)
    ]
    for images in (IMAGES, IMAGES[:1]):
        np.testing.assert_allclose(both[1].predict(images), both[0].predict(images), atol=1e-5)
    own = both[1].normalise
    assert load_detector(both[1]) is both[1] and both[1].normalise is own, "one that is loaded is not changed again"
    assert both[0].fingerprint() == both[1].fingerprint()
    both[1].compute_in("bf16")
    assert both[1].precision == "bf16+by-channels"


def test_it_is_in_the_record_where_it_is_set_and_identities_of_before_stay(tmp_path: Path) -> None:
    assert "channels_last" not in toy_job(tmp_path).settings.content()
    assert toy_job(tmp_path, channels_last=False).settings.content()["channels_last"] is False
    card = DetectorCard(name="toy", backend="constant")
    assert "channels_last" not in card.model_dump(mode="json")
    assert card.model_copy(update={"channels_last": False}).model_dump(mode="json")["channels_last"] is False


def test_a_detector_without_a_network_says_so(caplog: pytest.LogCaptureFixture) -> None:
    load_detector(DetectorCard(name="toy", backend="constant", channels_last=False))
    assert "has no network of images: channels_last does not change it" in caplog.text
