"""Audit of checkpoints: seven planted faults, each named, and five sound networks, of which nothing is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from m2f2det_published import save_checkpoint, small
from one_line import error_of
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import m2f2bench
from m2f2bench.auditing.checkpoints.drawn import as_drawn, by_part, never_moved
from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import InputSettings
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.detectors.timm import TimmSource, pretrained_classifier


def detector(model: nn.Module, size: int = 32) -> NetworkDetector:
    made = NetworkDetector(model, InputSettings(size=size), "cpu", "toy")
    made.card = DetectorCard(name="toy", backend="timm")
    return made


def trained(
    model: nn.Module, steps: int = 3, size: int = 32, sgd: bool = False, only: Iterable[nn.Parameter] = ()
) -> nn.Module:
    """The network after some steps on noise that is brighter for fakes; `only` these parameters, if any."""
    torch.manual_seed(5)
    parameters = list(only) or list(model.parameters())
    optimiser: Any = torch.optim.SGD(parameters, 1e-2) if sgd else torch.optim.Adam(parameters, 1e-3)
    for _ in range(steps):
        labels = torch.arange(8) % 2
        images = torch.randn(8, 3, size, size) + 0.3 * labels[:, None, None, None]
        loss = binary_cross_entropy_with_logits(model(images).reshape(-1), labels.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


class Sound(nn.Module):
    """A small network without a fault."""

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        first = (nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(*first, nn.Conv2d(16, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16 + more, 1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images).mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


class OneElement(Sound):
    def __init__(self) -> None:
        super().__init__(1)
        self.bridge = nn.Sequential(nn.Linear(16, 1), nn.LayerNorm(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.features(images)
        return self.head(torch.cat([found, self.bridge(found)], 1))


class Unused(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Linear(8, 8)


class Built(Sound):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.features(images)
        return self.head(found + 0.01 * nn.Linear(16, 16)(found))


class OfTheBatch(Sound):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.features(images)
        return self.head(found - found.mean(0, keepdim=True))


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 4)

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.zeros_like(found))


class Constant(Sound):
    def __init__(self) -> None:
        super().__init__(4)
        self.branch = Branch()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.features(images)
        return self.head(torch.cat([found, self.branch(found)], 1))


def untrained_head() -> nn.Module:
    model = Sound()
    return trained(model, only=model.body.parameters())


def frozen_norms() -> nn.Module:
    model = Sound()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return trained(model)


PLANTED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "a LayerNorm over one element": (lambda: trained(OneElement()), "constant", "bridge.1"),
    "an unused module": (lambda: trained(Unused()), "not read", "spare"),
    "a layer built in forward": (lambda: trained(Built()), "built anew", ""),
    "an untrained head": (untrained_head, "drawn", "head"),
    "frozen BatchNorm": (frozen_norms, "batch norm", "body.1"),
    "batch dependence": (lambda: trained(OfTheBatch()), "batch", "head"),
    "a constant branch": (lambda: trained(Constant()), "constant", "branch"),
}
WORDS = {
    "a LayerNorm over one element": "LayerNorm over one element, which gives its bias",
    "an unused module": "no forward pass reads 'spare' (2 tensors, 72 numbers)",
    "a layer built in forward": "builds Linear with new weights in each forward pass",
    "an untrained head": "'head' is still as it was drawn",
    "frozen BatchNorm": "2 of 2 BatchNorms never moved",
    "batch dependence": "depends on the rest of its batch",
    "a constant branch": "gives all of them the same",
}
FOLLOWS = {
    "a LayerNorm over one element": {"no effect"},
    "an unused module": {"drawn"},
    "a layer built in forward": {"random"},
    "a constant branch": {"no effect"},
}
"""Topics that a fault is found under as well."""


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_named_and_no_other(fault: str) -> None:
    make, topic, part = PLANTED[fault]
    torch.manual_seed(0)
    found = m2f2bench.audit_checkpoint(detector(make()))
    assert (topic, part) in [(one.topic, one.part) for one in found.findings], found.markdown()
    assert WORDS[fault] in " ".join(one.text for one in found.findings)
    assert {one.topic for one in found.findings} <= {topic} | FOLLOWS.get(fault, set()), found.markdown()
    assert not found.clean


def lite0() -> nn.Module:
    model = pretrained_classifier(TimmSource(model="tf_efficientnet_lite0", pretrained="offline"), Path())
    model.eval()
    return trained(model, 2, 64, only=model.classifier.parameters())  # type: ignore[operator]


def made(name: str, **more: Any) -> nn.Module:
    return timm.create_model(name, num_classes=1, **more)


SMALL = {"channels": [16, 32, 64, 128], "stem_width": 8, "stem_type": "deep", "global_pool": "catavgmax"}
SOUND: dict[str, Callable[[], nn.Module]] = {
    "small-cnn": lambda: trained(made("resnet10t", **SMALL), 2, 64),
    "EfficientNet-Lite0 of ImageNet, its head trained": lite0,
    "a ResNet-18 after two steps of SGD": lambda: trained(made("resnet18"), 2, 64, sgd=True),
    "a ViT-tiny after two steps": lambda: trained(made("vit_tiny_patch16_224", img_size=64, depth=4), 2, 64),
    "a MobileNetV3": lambda: trained(made("mobilenetv3_small_050"), 2, 64),
}


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_found_in_a_sound_network(name: str) -> None:
    torch.manual_seed(0)
    found = m2f2bench.audit_checkpoint(detector(SOUND[name](), 64))
    assert found.clean, found.markdown()
    assert not any(found.looked.values())  # everything was looked for


@pytest.mark.slow
def test_m2f2dets_dead_bridge_is_found_in_the_published_file_and_after_its_import(tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path / "published.pth", small("detector"))
    found = m2f2bench.audit_checkpoint(file)
    (one,) = [one for one in found.findings if one.topic == "constant"]
    assert one.part == "module.bridge_adapter_proj.bridge_adapter_proj.2" and "a norm over one element" in one.text, one
    assert "M2F2-Det's released detector" in found.settings["looks like"]
    assert "--as DETECTOR" in found.looked["not read"]
    m2f2bench.import_weights(file, "m2f2det-released-detector", tmp_path / "out")
    after = m2f2bench.audit_checkpoint(tmp_path / "out")
    texts = [one.text for one in after.findings]
    assert any("86 tensors have no effect on a score and were left out" in text for text in texts), texts
    assert any("folded into a constant: those of 'clip_text_alpha', 'bridge_adapter_proj'" in text for text in texts)


def test_a_detector_without_a_network_is_judged_by_its_scores() -> None:
    (one,) = m2f2bench.audit_checkpoint("constant").findings
    assert one.text == "every image has the same score, 0.500000"
    # The scores of `random` follow from an image's name, which is the same alone and in a batch.
    report = m2f2bench.audit_checkpoint("random")
    assert report.clean and "no torch network" in report.looked["drawn"]


def test_drawn_and_trained_values_are_told_apart() -> None:
    torch.manual_seed(0)
    layers = {"uniform": nn.Linear(64, 3), "conv": nn.Conv2d(8, 8, 3), "normal": nn.Linear(300, 4)}
    nn.init.normal_(layers["normal"].weight, std=0.02)
    nn.init.zeros_(layers["normal"].bias)
    layers["glorot"] = nn.Linear(40, 30, bias=False)
    nn.init.xavier_uniform_(layers["glorot"].weight)
    layers["norm"] = nn.LayerNorm(8)
    tensors = {f"{n}.{k}": v.detach().numpy().copy() for n, one in layers.items() for k, v in one.state_dict().items()}
    assert {one.name for one in as_drawn(tensors)[0]} == set(layers)
    # One step of 1e-5, far below what a statistical test of the values could see.
    moved = {name: value + np.float32(1e-5) * np.sign(value - 0.01) for name, value in tensors.items()}
    assert as_drawn(moved)[0] == [] and len(as_drawn(moved)[1]) == len(layers)
    assert never_moved({"a.running_mean": np.zeros(3), "a.running_var": np.ones(3)}) == (["a"], 1)
    assert never_moved({"a.running_mean": np.full(3, 1e-9), "a.running_var": np.ones(3)}) == ([], 1)


def test_parts_are_named_as_a_whole() -> None:
    every = ["a.x", "a.y.p", "a.y.q", "b"]
    assert by_part(["a.y.p", "a.y.q"], every) == [("a.y", 2)]
    assert by_part(["a.x", "a.y.p", "b"], every) == [("a.x", 1), ("a.y.p", 1), ("b", 1)]
    assert by_part(every, every) == [("", 4)]


def test_tensors_of_a_file_without_a_place_are_findings(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tensors = trained(timm.create_model("test_resnet", num_classes=1), 2, 32).state_dict()
    second = {f"second.{name}": value.clone() for name, value in tensors.items()}
    (tmp_path / "toy.yaml").write_text("name: toy\nbackend: timm\ninput: {size: 32}\noptions: {model: test_resnet}\n")
    save_file({**tensors, **second}, tmp_path / "w.safetensors")
    found = m2f2bench.audit_checkpoint(tmp_path / "w.safetensors", kind=tmp_path / "toy.yaml")
    (one,) = found.findings
    assert one.topic == "not read" and one.part == "second" and f"{len(second)} tensors" in one.text


def test_the_command(cli, one_line, tmp_path: Path) -> None:
    save_file(timm.create_model("test_resnet", num_classes=2).state_dict(), tmp_path / "w.safetensors")
    out = tmp_path / "a.json"
    done = cli("audit", tmp_path / "w.safetensors", "--out", out)
    assert done.status == 0 and "still as it was drawn" in done.out, done.err
    assert json.loads(out.read_text())["findings"][0]["topic"] in ("drawn", "batch norm")
    (tmp_path / "toy.yaml").write_text("name: toy\nbackend: timm\ninput: {size: 32}\noptions: {model: test_resnet}\n")
    options = ("--as", tmp_path / "toy.yaml", "--fake-class", 1, "--strict")
    strict = cli("audit", tmp_path / "w.safetensors", *options)
    assert strict.status == 1 and "faults, first constant: 'layer1.0.bn2' (BatchNorm2d whose weight is 0" in strict.err
    assert "is still as it was drawn" in strict.out and "15 of 15 BatchNorms never moved" in strict.out
    assert "are for datasets" in one_line(cli("audit", "constant", "--limit", 3))
    assert cli("audit", "constant").out.startswith("# Audit of the checkpoint of constant")


def test_the_report_in_every_form() -> None:
    report = m2f2bench.audit_checkpoint("constant")
    assert report.to_pandas().columns.tolist() == ["detector", "topic", "part", "text"]
    assert "every image has the same score" in report._repr_html_()
    assert report.to_json()["counts"] == {"tensor": 0, "number": 0, "layer": 0, "BatchNorm": 0}


def test_too_few_images_are_one_line(squares: Path) -> None:
    for file in sorted((squares / "real").iterdir())[2:] + sorted((squares / "fake").iterdir())[2:]:
        file.unlink()
    line = error_of(lambda: m2f2bench.audit_checkpoint("constant", dataset=str(squares)))
    assert "has 4 readable frames in split 'test': 13 are needed" in line
