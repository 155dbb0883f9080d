"""Weights of others given as a detector: prefixes, containers, heads, class order, and every refusal in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from one_line import error_of
from safetensors.torch import save_file
from torch import nn

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.detectors.weights.looks import looks_like
from m2f2bench.detectors.weights.names import unwrapped

MODEL = "test_resnet"
IMAGES = [np.random.default_rng(i).integers(0, 256, (40, 40, 3)).astype(np.uint8) for i in range(3)]
Tensors = dict[str, torch.Tensor]


def network(classes: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return timm.create_model(MODEL, num_classes=classes).eval()


@pytest.fixture
def kind(tmp_path: Path) -> Path:
    """The card of the network that the files are for."""
    path = tmp_path / "toy.yaml"
    path.write_text(f"name: toy\nbackend: timm\ninput: {{size: 32}}\noptions: {{model: {MODEL}}}\n")
    return path


def scores(file: Path, kind: Path, **more: Any) -> np.ndarray:
    return m2f2bench.load_detector(m2f2bench.detector_from(file, kind, **more), "cpu").predict(IMAGES)


def by_hand(classes: int, kind: Path) -> torch.Tensor:
    """The network's own outputs [3, classes], float64, from pixels prepared by the card."""
    model = network(classes)
    probe = timm.create_model(MODEL, num_classes=1)
    file = kind.parent / "probe.safetensors"
    save_file(probe.state_dict(), file)
    detector: Any = m2f2bench.load_detector(m2f2bench.detector_from(file, kind), "cpu")
    pixels = detector.normalise(torch.from_numpy(np.stack([detector.prepare(image) for image in IMAGES])))
    with torch.inference_mode():
        return model(pixels).double()


def renamed(tensors: Tensors, body: str, head: str) -> Tensors:
    """DF40's words: `base_model.` before the body, `classifier` for the head."""
    return {
        name.replace("fc.", f"{head}.") if name.startswith("fc.") else body + name: t for name, t in tensors.items()
    }


FORMS: dict[str, Any] = {
    "plain.pth": lambda t: t,
    "state_dict.pth": lambda t: {"state_dict": {f"module.{name}": one for name, one in t.items()}, "epoch": 3},
    "model.pt": lambda t: {"model": t},
    "net.pt": lambda t: {"net": {f"net.{name}": one for name, one in t.items()}},
    "df40.pth": lambda t: renamed(t, "base_model.", "classifier"),
    "ddp-df40.pth": lambda t: {"state_dict": {f"module.{n}": v for n, v in renamed(t, "base_model.", "head").items()}},
}


@pytest.mark.parametrize("name", FORMS)
def test_one_logit_and_two_in_every_form(tmp_path: Path, kind: Path, name: str) -> None:
    file = tmp_path / name
    torch.save(FORMS[name](network(1).state_dict()), file)
    assert scores(file, kind) == pytest.approx(torch.sigmoid(by_hand(1, kind)[:, 0]).numpy(), abs=1e-6)
    torch.save(FORMS[name](network(2).state_dict()), file)
    softmax = by_hand(2, kind).softmax(1).numpy()
    assert scores(file, kind, fake_class=1) == pytest.approx(softmax[:, 1], abs=1e-6)
    assert scores(file, kind, fake_class=0) == pytest.approx(softmax[:, 0], abs=1e-6)
    assert np.ptp(softmax[:, 1]) > 1e-4


def test_the_class_order_is_asked_for(tmp_path: Path, kind: Path) -> None:
    save_file(network(2).state_dict(), tmp_path / "two.safetensors")
    line = error_of(lambda: scores(tmp_path / "two.safetensors", kind))
    assert "have two outputs, and it is unknown which is fake" in line and "--fake-class 1" in line
    assert "0 or 1" in error_of(lambda: scores(tmp_path / "two.safetensors", kind, fake_class=2))


def test_module_is_removed_as_a_prefix_alone() -> None:
    wanted = ["conv.module.weight", "fc.weight"]
    assert unwrapped([f"module.{name}" for name in wanted], wanted) == {name: f"module.{name}" for name in wanted}
    # Two parts of one name would become one tensor: nothing is renamed.
    both = ["model.conv.weight", "backbone.conv.weight"]
    assert set(unwrapped(both, ["conv.weight"]).values()) == set(both)


def test_parts_that_the_network_lacks_are_named_and_left(
    tmp_path: Path, kind: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = network(1).state_dict()
    torch.save({**tensors, "aux.head.weight": torch.ones(3), "aux.head.bias": torch.ones(1)}, tmp_path / "more.pth")
    torch.save(tensors, tmp_path / "same.pth")
    with caplog.at_level("WARNING", logger="m2f2bench"):
        found = scores(tmp_path / "more.pth", kind)
    assert np.array_equal(found, scores(tmp_path / "same.pth", kind))
    assert "has no use for 2 tensors (aux.head.weight, aux.head.bias)" in caplog.text


def test_a_deeper_network_is_refused_although_all_tensors_are_there(tmp_path: Path, kind: Path) -> None:
    tensors = network(1).state_dict()
    own = [name for name in tensors if name.startswith("layer1.0.")]
    torch.save({**tensors, **{n.replace("layer1.0.", "layer1.1."): tensors[n] for n in own}}, tmp_path / "deep.pth")
    assert "tensor 'layer1.1." in error_of(lambda: scores(tmp_path / "deep.pth", kind))
    assert "unexpected" in error_of(lambda: scores(tmp_path / "deep.pth", kind))


def test_a_missing_tensor_and_a_misshapen_one_are_named(tmp_path: Path, kind: Path) -> None:
    tensors = network(1).state_dict()
    name = "layer2.0.conv1.weight"
    torch.save({n: t for n, t in tensors.items() if n != name}, tmp_path / "less.pth")
    assert f"tensor '{name}' missing" in error_of(lambda: scores(tmp_path / "less.pth", kind))
    torch.save({**tensors, name: tensors[name][:, :3]}, tmp_path / "thin.pth")
    assert f"tensor '{name}' of another shape" in error_of(lambda: scores(tmp_path / "thin.pth", kind))


def test_another_networks_file_says_which_it_looks_like(tmp_path: Path, kind: Path) -> None:
    with torch.device("meta"):
        shapes = timm.create_model("legacy_xception", num_classes=2).state_dict()
    small = {f"module.backbone.{name}": torch.zeros(1) for name in shapes}
    torch.save({"state_dict": small}, tmp_path / "x.pth")
    line = error_of(lambda: scores(tmp_path / "x.pth", kind))
    assert "do not fit ResNet" in line and "Its names look like an Xception" in line


@pytest.mark.parametrize(
    ("model", "look"),
    [
        ("resnet18", "a ResNet-18"),
        ("resnet50", "a ResNet-50"),
        ("legacy_xception", "an Xception"),
        ("vit_tiny_patch16_224", "a vision transformer"),
        ("tf_efficientnet_lite0", "a MobileNetV3 or EfficientNet"),
        ("convnext_atto", "a ConvNeXt"),
        ("swin_tiny_patch4_window7_224", "a Swin"),
    ],
)
def test_looks_of_known_networks(model: str, look: str) -> None:
    with torch.device("meta"):
        tensors = timm.create_model(model, num_classes=2).state_dict()
    assert looks_like({name: tuple(one.shape) for name, one in tensors.items()}).startswith(look)
    assert looks_like({"weight": (1, 768), "bias": (1,)}).startswith("UnivFD")
    assert looks_like({"a.weight": (3, 3)}) == ""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_half_downloaded_file_says_its_size(tmp_path: Path, kind: Path, suffix: str) -> None:
    whole, half = tmp_path / f"w{suffix}", tmp_path / f"half{suffix}"
    torch.save(network(1).state_dict(), whole) if suffix == ".pth" else save_file(network(1).state_dict(), whole)
    data = whole.read_bytes()
    half.write_bytes(data[: len(data) // 2])
    line = error_of(lambda: scores(half, kind))
    assert "it is incomplete" in line and f"{len(data) // 2:,}" in line
    assert suffix == ".pth" or f"of {len(data):,} bytes" in line


@pytest.mark.parametrize("call", ["os.system", "Path.touch", "eval"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_does_not_and_is_refused(tmp_path: Path, kind: Path, call: str, zipped: bool) -> None:
    planted = tmp_path / "planted"
    calls: dict[str, Any] = {
        "os.system": (os.system, (f"touch {planted}",)),
        "Path.touch": (Path.touch, (planted,)),
        "eval": (eval, (f"open({str(planted)!r}, 'w').close()",)),
    }

    class Harm:
        def __reduce__(self) -> Any:
            return calls[call]

    content = {"state_dict": network(1).state_dict(), "extra": Harm()}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    line = error_of(lambda: scores(tmp_path / "x.pth", kind))
    assert "is not only weights: reading it with pickle would call" in line and "nothing in it was run" in line
    assert not planted.exists()


def test_settings_and_optimisers_in_a_checkpoint_are_no_code(tmp_path: Path, kind: Path) -> None:
    import argparse

    model = network(1)
    optimiser = torch.optim.AdamW(model.parameters())
    content = {
        "net": model.state_dict(),
        "optimizer": optimiser.state_dict(),
        "args": argparse.Namespace(lr=1.0, place=Path("a")),
        "best": np.float64(0.5),
        "curve": np.ones(3),
    }
    torch.save(content, tmp_path / "x.pth")
    assert len(scores(tmp_path / "x.pth", kind)) == 3


class Convolution(NetworkDetector):
    """A network whose head is a convolution, and whose last layer nobody names."""

    @classmethod
    def build(cls, width: int = 4) -> nn.Module:
        body = (nn.Conv2d(3, width, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 1, 1), nn.Flatten())
        return nn.Sequential(*body)


@pytest.mark.parametrize("classes", [1, 2])
def test_a_users_own_network_reads_one_logit_and_two(tmp_path: Path, classes: int) -> None:
    torch.manual_seed(0)
    model = Convolution.build()
    model[3] = nn.Conv2d(4, classes, 1)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "x.pth")
    reference = f"{Path(__file__)}:Convolution"
    for fake in (0, 1):
        card = m2f2bench.detector_from(tmp_path / "x.pth", reference, fake)
        detector: Any = m2f2bench.load_detector(card, "cpu")
        pixels = detector.normalise(torch.from_numpy(np.stack([detector.prepare(image) for image in IMAGES])))
        with torch.inference_mode():
            out = model(pixels.contiguous()).double()
        expected = out.softmax(1)[:, fake] if classes == 2 else torch.sigmoid(out[:, 0] if fake else -out[:, 0])
        assert detector.predict(IMAGES) == pytest.approx(expected.numpy(), abs=1e-6)


def test_the_command_line(cli, one_line, squares: Path, kind: Path) -> None:
    file = squares.parent / "theirs.pth"
    torch.save({"state_dict": network(2).state_dict()}, file)
    out = squares.parent / "o"
    line = one_line(cli("run", "-d", file, "-s", squares, "--as", kind, "--out", out))
    assert "--fake-class 1" in line
    done = cli("run", "-d", file, "-d", "constant", "-s", squares, "--as", kind, "--fake-class", 1, "--out", out)
    assert done.status == 0 and "theirs" in done.out, done.err
    assert "is a file of weights" in one_line(cli("run", "-d", file, "-s", squares, "--out", out))
    assert "for a file of weights" in one_line(cli("run", "-d", "constant", "-s", squares, "--as", kind, "--out", out))
    picture = squares / "real" / "00.png"
    told = cli("predict", picture, "-d", file, "--as", kind, "--fake-class", 1, "--no-faces")
    assert told.status == 0 and "00.png" in told.out, told.err


def test_a_training_starts_from_a_file(tmp_path: Path, kind: Path) -> None:
    from m2f2bench.loading import detector_to_train

    save_file(network(2).state_dict(), tmp_path / "start.safetensors")
    card = detector_to_train(tmp_path / "start.safetensors", kind)
    assert isinstance(card, DetectorCard) and card.name == "toy-from-start" and card.weights is None
    assert card.options["pretrained"] == str(tmp_path / "start.safetensors")
    with pytest.raises(DetectorError, match="cannot start its training from a file"):
        detector_to_train(tmp_path / "start.safetensors", "frequency")
