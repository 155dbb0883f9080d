"""Float32 is float32: what is set while somebody judges, maps, answers or learns, and that it is put back."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_generation
import toy_language
import toy_m2f2det
import toy_training
from paths import HELPERS
from toy_arithmetic import WAYS, is_exact, loose, settings
from toy_explainer import EXPLAINER
from toy_llm import tiny_llm
from toy_vlm import tiny_llava

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.arithmetic import exact_fp32
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.projectors import PREFIX, new_projectors
from m2f2bench.detectors.vlm.detector import VisionLanguageModel
from m2f2bench.heatmaps.mapping import HeatMapper
from m2f2bench.loading import load_detector

FACES = [np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8) for seed in range(3)]


@pytest.mark.slow
def test_a14_whatever_is_set_is_exact_inside_and_as_it_was_afterwards() -> None:
    script = HELPERS / "toy_arithmetic.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{len(WAYS)} ways\n"), done.stderr[-2000:]


def test_a14_the_last_of_several_threads_puts_it_back() -> None:
    before, first, second = settings(), threading.Event(), threading.Event()
    seen: list[dict[str, Any]] = []

    def stays() -> None:
        with exact_fp32():
            first.set()
            second.wait(10)
            seen.append(settings())

    thread = threading.Thread(target=stays)
    with exact_fp32():
        thread.start()
        assert first.wait(10)
    assert is_exact(settings())  # the other one is still in there
    second.set()
    thread.join(10)
    assert is_exact(seen[0]) and settings() == before


def test_a14_without_torch_nothing_is_loaded() -> None:
    code = "import sys; from m2f2bench.core.arithmetic import exact_fp32\n"
    code += "with exact_fp32(): assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


class Toy(torch.nn.Module):
    """A detector of somebody's own."""

    def predict(self, images: Any) -> Any:
        return self(torch.stack([torch.from_numpy(image) for image in images]).float())

    def heatmap(self, images: Any) -> Any:
        return self(torch.zeros(len(images)))[:, None, None].expand(-1, 2, 2)

    def forward(self, values: Any) -> Any:
        return values.flatten(1).mean(1) / 255 if values.ndim > 1 else values


class OwnClass(m2f2bench.Detector):
    """The same as a class of the package's."""

    def __init__(self) -> None:
        self.net = Toy()

    def forward(self, batch: Any, ids: Any) -> Any:
        return self.net.predict(batch).numpy()


class Speaks(OwnClass, m2f2bench.Explainer):
    """One that answers."""

    def explain(self, images: Any, questions: Any) -> list[str]:
        return [f"{float(score):.3f}" for score in self.net.predict(images)]


class Loose(OwnClass):
    """One that has asked for its own arithmetic."""

    precision = "tf32"


@pytest.fixture()
def seen() -> Iterator[list[dict[str, Any]]]:
    """The settings at every pass through any module, in a process that is set to round."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    loose()
    found: list[dict[str, Any]] = []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: found.append(settings()))
    outside = settings()
    try:
        yield found
        assert settings() == outside and not is_exact(outside)
    finally:
        hook.remove()
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def assert_exact(seen: list[dict[str, Any]]) -> None:
    assert seen and all(map(is_exact, seen))
    seen.clear()


def test_a14_networks_judge_map_and_learn_in_fp32(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    report, job = toy_m2f2det.fit(tmp_path / "trained", epochs=1)
    assert_exact(seen)
    card = job.card.model_copy(
        update={"weights": str(report.weights), "options": {**job.card.options, **report.options}}
    )
    detector = load_detector(card, "cpu")
    seen.clear()  # to load weights computes shapes at most
    detector.predict(FACES)
    assert_exact(seen)
    detector.forward([detector.prepare(image) for image in FACES], ["a", "b", "c"])
    assert_exact(seen)
    detector.heatmap(FACES)  # type: ignore[attr-defined]
    assert_exact(seen)
    maps = CamDetector(detector, "gradcam")
    seen.clear()
    maps.heatmap(FACES)
    assert_exact(seen)
    assert detector.precision == "fp32"


def test_a14_a_probe_learns_in_fp32(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    from m2f2bench.cards.settings import InputSettings
    from m2f2bench.detectors import timm

    job = toy_training.toy_job(tmp_path, size=32)
    probe = timm._probe(timm.TimmOptions(model="test_resnet", mode="probe")).eval()
    timm._probe_features(job, probe, InputSettings(size=32), job.train[:4])
    assert_exact(seen)


def test_a14_answers_are_read_and_learned_in_fp32(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    generated = toy_generation.generate(toy_generation.language(), toy_generation.questions(1))
    assert_exact(seen)
    assert len(generated) == 5
    toy_language.fit(tmp_path / "tune", max_steps=2)
    assert_exact(seen)


def test_a14_an_explainer_encodes_in_fp32(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    network, options = toy_m2f2det.toy_network(), ExplainerOptions.model_validate({**EXPLAINER, "stage": "align"})
    tiny_llm(tmp_path / "llm")
    projectors = {PREFIX + name: value for name, value in new_projectors(network, options, 32).state_dict().items()}
    write_tensors(tmp_path / "model.safetensors", {**network.state_dict(), **projectors})
    card = toy_m2f2det.toy_card(tmp_path / "card.yaml", explainer=options.model_dump(mode="json")).model_copy(
        update={"backend": "m2f2det-explainer", "weights": str(tmp_path / "model.safetensors")}
    )
    detector = load_detector(card, "cpu")
    assert isinstance(detector, M2F2Explainer)
    seen.clear()
    detector.encode(FACES)
    assert_exact(seen)


def test_a14_vision_language_models_answer_and_judge_in_fp32(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    card = DetectorCard(name="toy", backend="vlm", options={"model": str(tiny_llava(tmp_path / "llava"))})
    model = load_detector(card, "cpu")
    assert isinstance(model, VisionLanguageModel)
    seen.clear()
    model.forward(FACES, ["a", "b", "c"])
    assert_exact(seen)
    model.explain(FACES, ["Why?"] * 3)
    assert_exact(seen)


@pytest.mark.parametrize("detector", [Toy(), OwnClass(), Loose(), f"{__file__}:Toy", f"{__file__}:Loose"])
def test_a14_detectors_of_somebodys_own_judge_in_fp32(
    seen: list[dict[str, Any]], tmp_path: Path, detector: Any
) -> None:
    (result,) = m2f2bench.run(
        detectors=[detector], datasets="synthetic", protocols="frame", limit=4, out=tmp_path, device="cpu"
    )
    loosely = str(detector).endswith("Loose") or isinstance(detector, Loose)
    assert f"prec:{'tf32' if loosely else 'fp32'}" in result.signature
    assert seen and all(is_exact(one) is not loosely for one in seen)


def test_a14_maps_and_answers_of_somebodys_own(seen: list[dict[str, Any]]) -> None:
    from m2f2bench.runs.ask import ExplainerClient

    HeatMapper(load_detector(Toy(), "cpu"))
    assert_exact(seen)
    ExplainerClient(load_detector(Speaks(), "cpu")).answers([(FACES[0], ["Why?"])])
    assert_exact(seen)
    OwnClass().predict(FACES)
    assert_exact(seen)
