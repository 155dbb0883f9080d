"""LSDA's student: names in the authors' file, one image and eight, gradients, and a heat map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from m2f2bench import import_weights
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.cnn.lsda import LsdaDetector, LsdaStudent, published_name
from m2f2bench.detectors.network import Normalise
from m2f2bench.loading import load_detector


@pytest.fixture(scope="module")
def student() -> LsdaStudent:
    torch.manual_seed(0)
    return LsdaStudent(2, 0.0).eval()


@pytest.fixture(scope="module")
def file(student: LsdaStudent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the authors' code saves it: with a teacher, the encoder of real faces, and ImageNet's last layer."""
    path = tmp_path_factory.mktemp("lsda") / "lsda.pth"
    tensors = {published_name(name): value for name, value in student.state_dict().items()}
    more = ("encoders_f.0.conv.weight", "encoder_c.bn1.weight", "fc_weights.0.weight", "mlp.2.bias")
    tensors |= {f"model.{name}": torch.zeros(3) for name in (*more, "student_encoder.model._fc.weight")}
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(8)]


def test_a_published_file_is_judged_as_its_network(student: LsdaStudent, file: Path, pictures, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    import_weights(file, "lsda", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    detector.settings = detector.settings.model_copy(update={"size": 64})  # smaller than its 256: this is quicker
    detector.normalise = Normalise(detector.settings, reuse=True)
    together = detector.predict(pictures)
    with torch.no_grad():
        logits = student.outputs(Normalise(detector.settings)(torch.from_numpy(np.stack(pictures))))
    assert together == pytest.approx(torch.softmax(logits.double(), 1)[:, 1].numpy(), abs=1e-6)
    assert (detector.predict(pictures) == together).all()
    assert together == pytest.approx(np.concatenate([detector.predict([one]) for one in pictures]), abs=1e-5)
    assert CamDetector(detector, "layercam").heatmap(pictures[:2]).shape == (2, 2, 2)
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert len(record["without_effect"]) == 5 and "model.encoder_c.bn1.weight" in record["without_effect"]


def test_names_are_those_of_the_authors() -> None:
    names = {published_name(name) for name in LsdaDetector.build(outputs=2).state_dict()}
    known = ("student_encoder.model._conv_stem.weight", "student_encoder.model._blocks.31._bn2.weight")
    known += ("student_encoder.conv.bias", "binary_classifier.2.weight", "binary_classifier.4.bias")
    assert {f"model.{name}" for name in known} <= names


def test_a_missing_tensor_is_refused(file: Path, tmp_path: Path) -> None:
    tensors = torch.load(file, weights_only=True)
    del tensors["model.binary_classifier.2.bias"]
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(DetectorError, match=r"'model\.binary_classifier\.2\.bias' missing"):
        import_weights(tmp_path / "a.pth", "lsda", tmp_path / "out")


def test_every_tensor_is_trained() -> None:
    model = LsdaDetector.build(drop_path_rate=0.0).train()
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []
