"""The convolutional networks of the field: independent of the batch, trainable, mappable, and as their papers say."""

from __future__ import annotations

import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import scipy.fft
import torch
from one_line import error_of
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import m2f2bench
from m2f2bench.cards.folders import iter_cards
from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.registry import BACKENDS
from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.files import write_text
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.cnn.base import ClassifierDetector
from m2f2bench.detectors.cnn.f3net import BandFilter, FrequencyAwareDecomposition, band, dct_matrix
from m2f2bench.detectors.cnn.spsl import phase_picture
from m2f2bench.detectors.cnn.srm import residual_kernels
from m2f2bench.detectors.cnn.xception import Xception
from m2f2bench.loading import detector_card

SIZE = 64
DFB = {"variant": "deepfakebench"}


def of_cards() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every card's network of this family: its backend and options, without weights to fetch; equal ones once."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    cards = [detector_card(path.stem) for path in iter_cards("detectors")]
    for card, cls in sorted(cards, key=lambda one: (one[0].name != one[0].backend, one[0].name)):
        if issubclass(cls, ClassifierDetector):
            options = {name: value for name, value in card.options.items() if name != "pretrained"}
            options |= {"drop_path_rate": 0.0} if "drop_path_rate" in cls.Options.model_fields else {}
            if (card.backend, options) not in found.values():
                found[card.name] = (card.backend, options)
    return found


NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    **of_cards(),
    "capsule-deepfakebench": ("capsule", DFB),
    "srm": ("srm", {"outputs": 2}),
    "ucf": ("ucf", {"outputs": 2}),
}
"""All networks of convolutions that a card has, and more variants of them."""
EACH = pytest.mark.parametrize("name", NETWORKS)
CARDS = ("xception", "core", "meso4", "mesoinception4", "efficientnet-b4", "sbi", "cnn-aug", "f3net", "spsl", "srm")
CARDS += ("recce", "ucf", "capsule", "ffd", "f3net-deepfakebench", "spsl-deepfakebench", "meso4-deepfakebench")


@cache
def network(name: str) -> Any:
    """The network of a name in NETWORKS, with random weights and BatchNorm statistics."""
    backend, options = NETWORKS[name]
    pool = torch.randn(10_000_000, generator=torch.Generator().manual_seed(3))
    with mock.patch("torch.nn.init.kaiming_uniform_"):  # the slow part of building, and replaced below
        model = BACKENDS.get(backend).build(size=SIZE, **options)
    for tensor, value in model.named_buffers():
        if tensor.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif tensor.endswith("running_mean"):
            value.normal_(0.0, 0.1)
    for tensor, value in model.named_parameters():
        drawn = pool[: value.numel()].view(value.shape)
        if value.ndim > 1:
            size = 0.1 if "key_conv" in tensor else 1.0  # a softmax of large energies has no gradient left
            value.data.copy_(size * drawn / math.sqrt(value.numel() / len(value)))
        elif "gamma" in tensor or "weights" in tensor:  # what starts at zero switches layers off
            value.data.fill_(0.3)
        else:
            value.data.copy_(0.1 * drawn + tensor.endswith(".weight"))
    return model.eval()


def pixels(count: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
@EACH
def test_a_score_does_not_depend_on_its_batch_and_is_the_same_again(name: str) -> None:
    model, images = network(name), pixels(8)
    with torch.inference_mode():
        together = model(images)
        assert together.shape == (8,)
        assert torch.equal(model(images[:2]), model(images[:2]))
        alone = torch.cat([model(images[i : i + 1]) for i in (0, 3, 7)])
    assert torch.allclose(alone, together[[0, 3, 7]], atol=1e-5)
    assert together.std() > 0  # the images do make a difference


@EACH
def test_every_trained_tensor_gets_a_gradient_and_a_frozen_one_none(name: str) -> None:
    model, labels = network(name), torch.tensor([0.0, 1.0])
    frozen = next(module for module, part in model.named_modules() if isinstance(part, torch.nn.Conv2d))
    model.train().requires_grad_(True)  # a detector takes no gradients, and networks are shared by the tests
    model.get_submodule(frozen).requires_grad_(False)
    try:
        binary_cross_entropy_with_logits(model(pixels(2)), labels).backward()
        for tensor, value in model.named_parameters():
            if tensor.startswith(f"{frozen}."):
                assert value.grad is None, tensor
            else:
                assert value.grad is not None and bool(value.grad.isfinite().all()), tensor
        # All but biases before a normalisation or a softmax, whose gradient is zero by their place.
        still = [t for t, v in model.named_parameters() if v.grad is not None and v.ndim > 1 and not v.grad.any()]
        assert still == []
    finally:
        model.zero_grad(set_to_none=True)
        model.get_submodule(frozen).requires_grad_(True)
        model.eval()


@EACH
def test_a_heat_map_of_each(name: str) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    backend = BACKENDS.get(NETWORKS[name][0])
    detector = backend(network(name), InputSettings(size=SIZE), "cpu", "x")
    detector.card = DetectorCard(name=name, backend="x")
    images = [np.random.default_rng(i).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for i in range(2)]
    maps = CamDetector(detector).heatmap(images)
    assert maps.shape[0] == 2 and min(maps.shape[1:]) > 1
    assert np.isfinite(maps).all() and maps.min() >= 0.0 and maps.max() <= 1.0


@pytest.mark.parametrize("card", CARDS)
def test_cards_fit_their_networks(card: str) -> None:
    known, cls = detector_card(card)
    model = cls.empty(cls.options(known), known.input.size)
    if card == "capsule":
        assert len(model.get_submodule(model.head).route_weights) == 2  # an output capsule for each class
    else:
        assert model.get_submodule(model.head).out_features == (2 if card == "srm" else 1)  # AM-softmax needs two
    assert known.reference and known.description and known.training is not None
    assert ("variant" not in known.options) or known.name.endswith("deepfakebench") or known.name == "cnn-aug"


def test_two_outputs_are_one_logit_and_cross_entropy_is_the_same_loss() -> None:
    model, images = network("ucf"), pixels(3)
    labels = torch.tensor([0, 1, 1])
    with torch.inference_mode():
        both, one = model.outputs(images), model(images)
    assert torch.allclose(torch.sigmoid(one), both.softmax(1)[:, 1], atol=1e-6)
    assert binary_cross_entropy_with_logits(one, labels.float()).item() == pytest.approx(
        cross_entropy(both, labels).item(), abs=1e-6
    )


def test_xception_is_that_of_timm() -> None:
    """An implementation of others, with the same weights under nearly the same names."""
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model("legacy_xception", num_classes=2).eval()
    tensors = {name.replace("fc.", "last_linear."): value for name, value in theirs.state_dict().items()}
    own = Xception(outputs=2).eval()
    own.load_state_dict(tensors)
    with torch.inference_mode():
        assert torch.allclose(own(pixels(2)), theirs(pixels(2)), atol=1e-5)
        small = pixels(1)[..., :50, :63]
        assert torch.allclose(own(small), theirs(small), atol=1e-5)


def test_ffd_is_timms_xception_with_its_maps_weighed_after_block_7() -> None:
    import timm

    own = network("ffd")
    theirs: Any = timm.create_model("legacy_xception", num_classes=1).eval()
    tensors = own.backbone.state_dict()
    theirs.load_state_dict({name.replace("last_linear.", "fc."): value for name, value in tensors.items()})
    theirs.block7.register_forward_hook(lambda _module, _given, maps: maps * own.map(maps))
    with torch.inference_mode():
        assert torch.allclose(own(pixels(2)), theirs(pixels(2))[:, 0], atol=1e-5)
        seen = own.map(torch.randn(1, 728, 3, 3))
    assert seen.shape == (1, 1, 3, 3) and 0.0 < seen.min() < seen.max() < 1.0


def test_the_variants_of_capsule_differ_by_one_softmax() -> None:
    """DeepfakeBench's takes the softmax of probabilities."""
    model, images = network("capsule"), pixels(3)
    with torch.inference_mode():
        paper = torch.sigmoid(model(images)).double()
        model.paper = False
        try:
            bench = torch.sigmoid(model(images)).double()
        finally:
            model.paper = True
    assert torch.allclose(bench, torch.sigmoid(2 * paper - 1), atol=1e-6)
    assert bool(((paper > 0.119) & (paper < 0.881)).all())  # output capsules are not longer than 1


def test_capsule_of_a_picture_of_one_colour_has_a_score_and_gradients() -> None:
    model = network("capsule")
    model.requires_grad_(True)
    try:
        score = model(torch.zeros(1, 3, SIZE, SIZE))
        score.sum().backward()
        assert bool(score.isfinite().all())
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters())
    finally:
        model.zero_grad(set_to_none=True)


def test_the_decomposition_is_scipys() -> None:
    size = 24
    assert np.allclose(dct_matrix(size).numpy(), scipy.fft.dct(np.eye(size), norm="ortho", axis=0), atol=1e-6)
    head, image = FrequencyAwareDecomposition(size), torch.randn(1, 3, size, size)
    for one in head.filters:
        assert isinstance(one, BandFilter)
        torch.nn.init.zeros_(one.learnable)  # sigmoid(0) · 2 - 1 = 0: the bands alone
    with torch.no_grad():
        found = head(image)[0].numpy()
    spectrum = scipy.fft.dctn(image[0].numpy(), axes=(1, 2), norm="ortho")
    place = np.add.outer(np.arange(size), np.arange(size))
    for i, (low, high) in enumerate(((0, 8), (8, 12), (12, 48), (0, 48))):  # 24 // 2.82 = 8
        kept = np.where((place >= low) & (place <= high), spectrum, 0.0)
        assert np.allclose(found[3 * i : 3 * i + 3], scipy.fft.idctn(kept, axes=(1, 2), norm="ortho"), atol=1e-5)
    assert band(256, 0, 256 // 2.82).sum() == sum(91 - i for i in range(91))


def test_the_phase_picture_keeps_the_phase_alone() -> None:
    image = torch.randn(2, 3, 16, 20)
    spectrum = np.fft.fft2(image.numpy().astype(np.float64).mean(1))
    wanted = np.fft.ifft2(spectrum / np.abs(spectrum)).real
    assert np.allclose(phase_picture(image)[:, 0].numpy(), wanted, atol=1e-5)
    assert torch.allclose(phase_picture(3.0 * image), phase_picture(image), atol=1e-5)
    assert bool(phase_picture(torch.zeros(1, 3, 8, 8)).isfinite().all())


@pytest.mark.parametrize("name", ["f3net", "spsl", "srm"])
def test_fixed_transforms_keep_their_precision_under_autocast(name: str) -> None:
    model, images = network(name), pixels(1)
    parts = {"f3net": ("FAD_head", "LFS_head"), "srm": ("srm_conv0", "srm_sa.srm")}.get(name, ())
    steps = [model.get_submodule(part) for part in parts] or [phase_picture]
    for step in steps:
        with torch.inference_mode():
            exact = step(images)
            with torch.autocast("cpu", torch.bfloat16):
                assert torch.equal(step(images), exact)
    model.train().requires_grad_(True)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            model(pixels(2)).sum().backward()
        assert all(bool(value.grad.isfinite().all()) for value in model.parameters() if value.grad is not None)
    finally:
        model.zero_grad(set_to_none=True)
        model.eval()


def test_the_kernels_are_high_passes() -> None:
    kernels = residual_kernels()
    assert kernels.sum((1, 2)).abs().max() < 1e-6
    assert [round(float(k[2, 2]), 4) for k in kernels] == [-1.0, -1.0, -1.0]
    assert kernels[0, 1].tolist() == [0.0, -0.25, 0.5, -0.25, 0.0]
    assert torch.equal(kernels[1], kernels[1].T) and math.isclose(float(kernels[1, 0, 0]), -1 / 12, abs_tol=1e-7)
    assert kernels[2].count_nonzero() == 3


@pytest.mark.parametrize(
    ("backend", "size", "said"),
    [("meso4", 40, "multiple of 32"), ("f3net", 72, "different sizes"), ("capsule", 12, "16 or more")],
)
def test_a_size_that_does_not_fit_is_one_line(backend: str, size: int, said: str) -> None:
    assert said in error_of(lambda: BACKENDS.get(backend).build(size=size))


def test_variants_are_different_networks_and_in_the_fingerprint(tmp_path: Path) -> None:
    paper, bench = (network(name).state_dict() for name in ("meso4", "meso4-deepfakebench"))
    assert "backbone.bn4.weight" in paper and "backbone.bn3.weight" not in bench
    write_tensors(tmp_path / "w.safetensors", bench)
    text = f"name: mine\nbackend: meso4\nweights: w.safetensors\ninput: {{size: {SIZE}}}\noptions: {{variant: V}}\n"
    write_text(tmp_path / "mine.yaml", text.replace("V", "deepfakebench"))
    detector = m2f2bench.load_detector(str(tmp_path / "mine.yaml"), "cpu")
    assert detector.fingerprint().startswith("deepfakebench-")
    write_text(tmp_path / "mine.yaml", text.replace("V", "paper"))
    assert "'backbone.conv1.bias'" in error_of(lambda: m2f2bench.load_detector(str(tmp_path / "mine.yaml"), "cpu"))
    write_text(tmp_path / "mine.yaml", text.replace("V", "peper"))
    assert "variant" in error_of(lambda: m2f2bench.load_detector(str(tmp_path / "mine.yaml"), "cpu"))


@pytest.fixture
def split(squares: Path, tmp_path: Path) -> str:
    """A folder of noise with the splits train and val."""
    (tmp_path / "data").mkdir()
    shutil.copytree(squares, tmp_path / "data" / "train")
    squares.rename(tmp_path / "data" / "val")
    return str(tmp_path / "data")


def test_it_trains_in_the_loop_and_freezes(split: str, tmp_path: Path) -> None:
    card = tmp_path / "little.yaml"
    write_text(
        card,
        "name: little\nbase: meso4-deepfakebench\ninput: {size: 32}\n"
        "options: {freeze: [backbone.conv1]}\ntraining: {epochs: 2, batch_size: 16, lr: 0.01}\n",
    )
    m2f2bench.train(str(card), split, out=tmp_path / "out")
    trained = m2f2bench.load_detector(str(tmp_path / "out"), "cpu")
    known, cls = detector_card(str(card))
    torch.manual_seed(known.training.seed)
    start = cls.made(cls.options(known), 32).state_dict()
    now = trained.model.state_dict()
    changed = {name for name, value in now.items() if not torch.equal(value, start[name])}
    assert "backbone.conv1.weight" not in changed and {"backbone.conv2.weight", "backbone.fc2.weight"} <= changed
    images = [np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)]
    assert 0.0 < float(trained.predict(images)[0]) < 1.0


def test_a_part_to_freeze_that_is_not_there_is_one_line(split: str, tmp_path: Path) -> None:
    card = tmp_path / "little.yaml"
    write_text(card, "name: little\nbase: meso4\ninput: {size: 32}\noptions: {freeze: [backbone.conv9]}\n")
    assert "backbone.conv" in error_of(lambda: m2f2bench.train(str(card), split, out=tmp_path / "out"))


def test_it_starts_from_imagenet(tmp_path: Path) -> None:
    """A grey image gives the first convolution what it gave with three channels."""
    import timm

    torch.manual_seed(1)
    theirs = timm.create_model("legacy_xception").state_dict()
    write_tensors(tmp_path / "imagenet.safetensors", theirs)
    card = DetectorCard(name="a", backend="spsl", options={"pretrained": "imagenet.safetensors"}).placed(tmp_path)
    cls = BACKENDS.get("spsl")
    own = cls.starting(cls.options(card), card).backbone.state_dict()
    assert torch.equal(own["block12.rep.1.conv1.weight"], theirs["block12.rep.1.conv1.weight"])
    first = own["conv1.weight"]
    assert first.shape[1] == 4 and torch.allclose(first.sum(1), theirs["conv1.weight"].sum(1), atol=1e-5)
    write_tensors(tmp_path / "imagenet.safetensors", {k: v for k, v in theirs.items() if k != "bn2.weight"})
    assert "'bn2.weight'" in error_of(lambda: cls.starting(cls.options(card), card))
