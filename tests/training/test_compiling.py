"""`compile`, of a training and of judging: the same numbers up to rounding, under the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alike import check_alike
from one_line import error_of
from toy_training import toy_job

from m2f2bench.cards.models import DetectorCard
from m2f2bench.detectors.timm import TimmDetector
from m2f2bench.loading import load_detector
from m2f2bench.training.device import check_compiling

IMAGES = list(np.random.default_rng(0).integers(0, 255, size=(5, 40, 40, 3), dtype=np.uint8))


@pytest.mark.slow
def test_a_compiled_training_learns_the_same_and_its_detector_judges_the_same(tmp_path: Path) -> None:
    plain, compiled = (
        TimmDetector.fit(toy_job(tmp_path / name, epochs=1, compile=name == "compiled"))
        for name in ("plain", "compiled")
    )
    check_alike(plain, compiled)

    card = toy_job(tmp_path / "card").card
    own, other = (
        load_detector(card.model_copy(update={"weights": str(plain.weights), "compile": one}), "cpu")
        for one in (False, True)
    )
    # Batches of several sizes, as the last one of a run.
    for images in (IMAGES, IMAGES[:3], IMAGES[:1]):
        np.testing.assert_allclose(other.predict(images), own.predict(images), atol=1e-5)
    assert (own.precision, other.precision) == ("fp32", "fp32+compiled")
    assert own.fingerprint() == other.fingerprint()
    code = other.model._compiled_call_impl
    assert load_detector(other) is other and other.model._compiled_call_impl is code, "compiled once"
    other.compute_in("bf16")
    assert other.precision == "bf16+compiled"


def test_the_setting_is_in_the_record_where_it_is_set_and_identities_of_before_stay(tmp_path: Path) -> None:
    assert "compile" not in toy_job(tmp_path).settings.content()
    assert toy_job(tmp_path, compile=True).settings.content()["compile"] is True
    card = DetectorCard(name="toy", backend="constant")
    assert "compile" not in card.model_dump(mode="json")
    assert card.model_copy(update={"compile": True}).model_dump(mode="json")["compile"] is True


def test_where_torch_cannot_compile_it_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("No working C++ compiler found in torch._inductor.config.cpp.cxx\nmore")

    monkeypatch.setattr(torch, "compile", fail)
    found = error_of(lambda: check_compiling(torch.device("cpu")))
    assert "install a C++ compiler" in found
    assert found == error_of(lambda: TimmDetector.fit(toy_job(tmp_path, epochs=1, compile=True)))


def test_a_detector_without_a_network_says_so(caplog: pytest.LogCaptureFixture) -> None:
    load_detector(DetectorCard(name="toy", backend="constant", compile=True))
    assert "has no network that torch compiles" in caplog.text
