"""ONNX, TorchScript and Hugging Face classifiers: the scores of their own runtimes, and what is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_line import error_of
from torch import nn

import m2f2bench
from m2f2bench.cards.settings import InputSettings
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.detectors.runtimes.hf_classifier import fake_outputs, meaning
from m2f2bench.detectors.runtimes.onnx_graph import last_operation

IMAGES = [np.random.default_rng(i).integers(0, 256, (40 + i, 36, 3)).astype(np.uint8) for i in range(5)]
SIZE = 32
ENDS: dict[str, tuple[int, nn.Module]] = {
    "logit": (1, nn.Identity()),
    "two": (2, nn.Identity()),
    "sigmoid": (1, nn.Sigmoid()),
    "softmax": (2, nn.Softmax(1)),
}


def network(end: str) -> nn.Module:
    classes, last = ENDS[end]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*body, nn.Linear(8, classes), last).eval()


def pixels(settings: InputSettings) -> torch.Tensor:
    stacked = np.stack([resize(image, settings) for image in IMAGES])
    return Normalise(settings)(torch.from_numpy(stacked)).contiguous()


def onnx_file(folder: Path, end: str, batch: int | None = None, size: int = SIZE) -> Path:
    pytest.importorskip("onnx")
    path = folder / f"{end}.onnx"
    axes = {"x": {0: "n"}} if batch is None else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.zeros(batch or 1, 3, size, size)
        torch.onnx.export(network(end), (example,), str(path), dynamo=False, input_names=["x"], dynamic_axes=axes)
    return path


def script_file(folder: Path, end: str) -> Path:
    path = folder / f"{end}.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network(end)).save(str(path))
    return path


def expected(outputs: np.ndarray, end: str) -> np.ndarray:
    """P(fake) of the runtime's own outputs, the second class being fake."""
    out = outputs.astype(np.float64)
    if end == "logit":
        return 1 / (1 + np.exp(-out[:, 0]))
    return out[:, -1] if end != "two" else np.exp(out[:, 1]) / np.exp(out).sum(1)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("batch", [None, 1, 3])
def test_onnx_gives_the_scores_of_its_runtime(tmp_path: Path, end: str, batch: int | None) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path, end, batch)
    detector: Any = m2f2bench.load_detector(m2f2bench.detector_from(path, fake_class=1), "cpu")
    assert detector.settings.size == SIZE  # the file's own
    session = runtime.InferenceSession(str(path))
    inputs = pixels(detector.settings).numpy()
    steps = [inputs[i : i + 1] for i in range(5)] if batch != 3 else [inputs[:3], inputs[2:]]
    outs = [session.run(None, {"x": one})[0] for one in steps]
    own = np.concatenate(outs if batch != 3 else [outs[0], outs[1][1:]])
    found = detector.predict(IMAGES)
    assert found == pytest.approx(expected(own, end), abs=1e-5) and np.ptp(found) > 1e-5
    assert detector.predict(IMAGES[3:4])[0] == pytest.approx(found[3], abs=1e-6)


@pytest.mark.parametrize("end", ENDS)
def test_torchscript_gives_the_scores_of_its_runtime_with_trust(tmp_path: Path, end: str) -> None:
    path = script_file(tmp_path, end)
    assert "is a TorchScript program" in error_of(lambda: m2f2bench.detector_from(path))
    assert "--trust" in error_of(lambda: m2f2bench.load_detector(str(path)))
    card = m2f2bench.detector_from(path, "small-cnn", fake_class=1, trust=True)
    detector: Any = m2f2bench.load_detector(card, "cpu")
    assert detector.settings.size == 160 and detector.settings.std[0] == 0.25  # small-cnn's input
    with torch.inference_mode():
        own = torch.jit.load(str(path))(pixels(detector.settings)).numpy()
    found = detector.predict(IMAGES)
    assert found == pytest.approx(expected(own, end), abs=1e-5)
    assert np.array_equal(found, detector.predict(IMAGES))
    untrusted = card.model_copy(update={"options": {}})
    assert "set `trust: true`" in error_of(lambda: m2f2bench.load_detector(untrusted))


def test_the_order_of_two_outputs_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    files = (onnx_file(tmp_path, "two"), script_file(tmp_path, "two"))
    for file in files:
        line = error_of(lambda file=file: m2f2bench.load_detector(m2f2bench.detector_from(file, trust=True)))  # type: ignore[misc]
        assert "two outputs, and it is unknown which is fake: give --fake-class 1" in line
    first, second = (
        m2f2bench.load_detector(m2f2bench.detector_from(files[0], fake_class=fake), "cpu") for fake in (0, 1)
    )
    assert first.predict(IMAGES) == pytest.approx(1 - second.predict(IMAGES), abs=1e-9)
    assert first.fingerprint() != second.fingerprint()


def test_what_a_file_does_not_say_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path, "logit")
    with caplog.at_level("WARNING", logger="m2f2bench"):
        m2f2bench.load_detector(str(path))
    assert "does not say how pixels are scaled: ImageNet's" in caplog.text
    caplog.clear()
    line = error_of(lambda: m2f2bench.load_detector(m2f2bench.detector_from(path, "small-cnn")))
    assert "takes images of 32 pixels, and the card's input has 160" in line
    assert not caplog.text


def test_damaged_and_odd_files_are_one_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = onnx_file(tmp_path, "logit")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert f"({len(data) // 2:,} bytes; is it whole?)" in error_of(lambda: m2f2bench.load_detector(str(path)))
    assert last_operation(path, "x") == ""
    script = script_file(tmp_path, "logit")
    script.write_bytes(script.read_bytes()[:500])
    assert "incomplete (500 bytes)" in error_of(lambda: m2f2bench.detector_from(script, "small-cnn", trust=True))


def test_onnx_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\x08\x01")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert "pip install 'm2f2bench[onnx]'" in error_of(lambda: m2f2bench.load_detector(str(tmp_path / "x.onnx")))


def folder_of(place: Path, labels: dict[int, str], processor: bool = True) -> Path:
    """A Hugging Face ViT of random weights, made from a configuration."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    words = {"id2label": labels, "label2id": {name: number for number, name in labels.items()}}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        ViTForImageClassification(ViTConfig(image_size=SIZE, patch_size=8, **sizes, **words)).save_pretrained(place)
    if processor:
        statistics = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
        ViTImageProcessor(size={"height": SIZE, "width": SIZE}, **statistics).save_pretrained(place)
    return place


@pytest.mark.parametrize(
    ("labels", "fake"),
    [
        ({0: "Fake", 1: "Real"}, [0]),
        ({0: "realism", 1: "deepfake"}, [1]),
        ({0: "LABEL_0", 1: "LABEL_1"}, [1]),
        ({0: "real", 1: "face swap", 2: "AI generated"}, [1, 2]),
    ],
)
def test_a_folders_labels_give_the_class_order(tmp_path: Path, labels: dict[int, str], fake: list[int]) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = folder_of(tmp_path / "vit", labels)
    reference: Any = str(folder)
    if labels[0] == "LABEL_0":
        assert "do not say which is fake: give --fake-class 1" in error_of(lambda: m2f2bench.load_detector(reference))
        reference = m2f2bench.detector_from(folder, fake_class=1)
    detector = m2f2bench.load_detector(reference, "cpu")
    processor, model = (one.from_pretrained(folder) for one in (AutoImageProcessor, AutoModelForImageClassification))
    with torch.inference_mode():
        logits = model.eval()(**processor(images=IMAGES, return_tensors="pt")).logits.double()
    found = detector.predict(IMAGES)
    assert found == pytest.approx(logits.softmax(1)[:, fake].sum(1).numpy(), abs=1e-5) and np.ptp(found) > 1e-6
    assert detector.predict(IMAGES[2:3])[0] == pytest.approx(found[2], abs=1e-6)
    assert "mean0.4,0.5,0.6" in detector.preprocessing and "32" in detector.preprocessing


def test_a_folder_without_processor_asks_and_one_of_another_kind_is_refused(tmp_path: Path) -> None:
    bare = folder_of(tmp_path / "bare", {0: "real", 1: "fake"}, processor=False)
    assert "has no preprocessor_config.json" in error_of(lambda: m2f2bench.load_detector(str(bare)))
    contradicted = m2f2bench.detector_from(bare, fake_class=0)
    assert "say that 1 is fake, and --fake-class says 0" in error_of(lambda: m2f2bench.load_detector(contradicted))
    config = bare / "config.json"
    config.write_text(config.read_text().replace("ViTForImageClassification", "ViTModel"))
    assert "holds ViTModel, not a model for image classification" in error_of(
        lambda: m2f2bench.load_detector(str(bare))
    )
    config.write_text('{"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 16}')
    assert "do not say which is fake" in error_of(lambda: m2f2bench.load_detector(str(bare)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Real", 0), ("REAL_IMAGE", 0), ("bona fide", 0), ("not_fake", 0), ("Deepfake", 1), ("AIGenerated", 1),
        ("artificial", 1), ("not real", 1), ("LABEL_1", None), ("class0", None), ("real or fake", None),
    ],
)  # fmt: skip
def test_meanings_of_labels(name: str, value: int | None) -> None:
    assert meaning(name) == value


def test_two_labels_of_one_meaning_decide_nothing() -> None:
    line = error_of(lambda: fake_outputs({0: "fake", 1: "deepfake"}, None, "'x'"))
    assert "(0 fake, 1 deepfake) do not say which is fake" in line
    assert fake_outputs({0: "LABEL_0"}, 0, "'x'") == [0]
