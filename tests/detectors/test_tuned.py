"""Tuned backbones: what is trained, what is frozen, one image and eight, training and loading, heat maps, bad cards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_backbones import BACKBONES, CLIP, WITHOUT_LAYER_NORM, WITHOUT_TRANSFORMER, tuned_card
from toy_training import toy_job

from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.tuned.detector import TunedDetector, build, freeze_unread, tuned_options
from m2f2bench.detectors.tuned.network import TunedNetwork
from m2f2bench.detectors.tuned.svd import SVDLinear
from m2f2bench.detectors.tuned.tuning import is_layer_norm
from m2f2bench.detectors.weights.load import read_weights
from m2f2bench.training.job import FitReport

WAYS = ("probe", "layernorm", "lora", "svd", "full")
PAIRS = [
    (backbone, way)
    for backbone in BACKBONES
    for way in WAYS
    if not (way == "layernorm" and backbone in WITHOUT_LAYER_NORM)
    and not (way == "svd" and backbone in WITHOUT_TRANSFORMER)
]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (40, 36, 3), dtype=np.uint8) for _ in range(8)]


def network(card: DetectorCard, seed: int = 0) -> TunedNetwork:
    torch.manual_seed(seed)
    model, _ = build(tuned_options(card), card)
    freeze_unread(model, 32, "here", card.options.get("frames", 1))
    return model


def saved(card: DetectorCard, folder: Path) -> tuple[DetectorCard, TunedNetwork]:
    """Return the card with weights, as a training leaves them, with a head that tells images apart."""
    torch.manual_seed(0)
    options = tuned_options(card)
    model, filled = build(options, card)
    torch.nn.init.normal_(model.head.weight)
    write_tensors(folder / "model.safetensors", model.state_dict(), {"input": str(card.input)})
    update = {**card.options, **filled.model_dump(mode="json", include={"backbone", "feature"}, exclude_none=True)}
    return card.model_copy(update={"options": update, "weights": str(folder / "model.safetensors")}), model.eval()


@pytest.mark.parametrize(("backbone", "way"), PAIRS)
def test_trained_tensors_get_a_gradient_and_frozen_ones_none(backbone: str, way: str) -> None:
    model = network(tuned_card(backbone, way)).train()
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=0.1)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    shape = (4, 4, 3, 32, 32) if backbone == "videomae" else (4, 3, 32, 32)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    steep: set[str] = set()
    for _ in range(2):  # at the first step half of each adapter has a gradient of zero: the other half is zero
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
        steep |= {n for n, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert steep == trained and moved <= trained and {"head.weight", "head.bias"} <= trained
    for name, value in model.named_parameters():
        assert (value.grad is None) == (name not in trained), name
    own = {name for name in trained if not name.startswith("head.")}
    modules = dict(model.named_modules())
    expected = {
        "probe": lambda name: False,
        "layernorm": lambda name: is_layer_norm(modules[name.rpartition(".")[0]]),
        "lora": lambda name: ".lora_" in name,
        "svd": lambda name: name.endswith(("S_residual", "U_residual", "V_residual")),
        "full": lambda name: not name.endswith(("k_proj.bias", "mask_token")),
    }[way]
    assert own == {name for name in before if expected(name) and not name.startswith("head.")}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_image_and_eight_and_twice_and_a_map(backbone: str, pictures, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    card, _ = saved(tuned_card(backbone, "probe"), tmp_path)
    detector = TunedDetector.from_card(card, "cpu")
    detector.card = card
    together = detector.predict(pictures)
    alone = np.concatenate([detector.predict([image]) for image in pictures])
    assert together == pytest.approx(alone, abs=1e-5) and np.ptp(together) > 1e-4
    assert (detector.predict(pictures) == together).all()
    maps = CamDetector(detector, "layercam").heatmap(pictures[:2])
    assert maps.shape[0] == 2 and min(maps.shape[1:]) >= 2 and maps.max() == 1.0


def test_the_map_of_a_clip_is_that_of_its_patches(pictures, tmp_path: Path) -> None:
    """The gradient at the last block's first norm, laid out by hand: the class token is left out."""
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    card, model = saved(tuned_card("clip"), tmp_path)
    detector = TunedDetector.from_card(card, "cpu")
    detector.card = card
    pixels = detector.normalise(torch.from_numpy(detector.prepare(pictures[0]))[None]).clone()
    cam = CamDetector(detector, "gradcam")
    assert cam.how == "gradcam-backbone.encoder.layers.1.layer_norm1"
    held: list[torch.Tensor] = []
    layer = model.backbone.encoder.layers[1].layer_norm1
    layer.register_forward_hook(lambda _module, _inputs, output: (output.retain_grad(), held.append(output))[0])
    model.requires_grad_(True)
    model(pixels).sum().backward()
    tokens, slope = held[0].detach()[0, 1:].numpy(), held[0].grad[0, 1:].numpy()
    expected = np.maximum((tokens * slope.mean(0)).sum(1).reshape(4, 4), 0.0)
    np.testing.assert_allclose(cam.heatmap(pictures[:1])[0], expected / expected.max(), atol=1e-4)


def trained(backbone: str, way: str, out: Path, **settings) -> tuple[FitReport, DetectorCard]:
    torch.set_num_threads(1)
    job = toy_job(out, **{"epochs": 1, "lr": 1e-2, **settings})
    own = tuned_card(backbone, way).model_copy(update={"training": job.settings})
    report = TunedDetector.fit(replace(job, card=own))
    update = {"options": {**own.options, **report.options}, "weights": str(report.weights), "input": report.input}
    return report, own.model_copy(update=update)


@pytest.mark.parametrize(
    ("backbone", "way"),
    [("clip", "probe"), ("dinov3", "layernorm"), ("clip", "lora"), ("clip", "svd"), ("timm-resnet", "full")],
)
def test_a_training_ends_in_a_detector(backbone: str, way: str, pictures, tmp_path: Path) -> None:
    """The detector's scores are those of the network when training ended; frozen tensors are what they were."""
    report, card = trained(backbone, way, tmp_path)
    assert report.val_auc is not None
    detector = TunedDetector.from_card(card, "cpu")
    start = network(tuned_card(backbone, way)).state_dict()
    after = read_weights(report.weights)
    if way == "lora":  # added to the weights
        assert not any("lora" in name for name in after)
        same = {name for name, value in after.items() if name in start and torch.equal(value, start[name])}
        assert not any(".self_attn." in name and name.endswith("weight") for name in same)
    elif way != "full":
        parts = {"probe": "head.", "layernorm": "norm", "svd": "_residual"}[way]
        moved = {name for name, value in after.items() if not torch.equal(value, start[name])}
        assert moved and all(parts in name or name.startswith("head.") for name in moved)
    assert not any(isinstance(module, SVDLinear) for module in detector.model.modules())
    assert np.ptp(detector.predict(pictures)) > 0
    again = TunedDetector.from_card(card, "cpu")
    assert again.fingerprint() == detector.fingerprint()
    assert (again.predict(pictures) == detector.predict(pictures)).all()


def test_adapters_are_added_without_a_change_of_scores(tmp_path: Path) -> None:
    from m2f2bench.detectors.tuned.tuning import merge_lora

    model = network(tuned_card("clip", "lora")).eval()
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        before = model(images)
        merge_lora(model.backbone)
        assert torch.allclose(model(images), before, atol=1e-6)
    assert set(model.state_dict()) == set(network(tuned_card("clip", "full")).state_dict())


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole, _ = trained("clip", "layernorm", tmp_path / "a", epochs=2)
    from m2f2bench.training import loop

    kept = loop.save_checkpoint
    calls: list[int] = []

    def stop(*given, **named) -> None:
        kept(*given, **named)
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt

    loop.save_checkpoint = stop
    try:
        with pytest.raises(KeyboardInterrupt):
            trained("clip", "layernorm", tmp_path / "b", epochs=2)
    finally:
        loop.save_checkpoint = kept
    ended, _ = trained("clip", "layernorm", tmp_path / "b", epochs=2, resume=True)
    assert whole.weights.read_bytes() == ended.weights.read_bytes()


def test_a_folder_of_a_clip_is_its_image_tower(pictures, tmp_path: Path) -> None:
    """A whole CLIPModel, as `save_pretrained` writes it: the text tower is left out, the pooled CLS is the feature."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {key: value for key, value in CLIP.items() if key not in ("model_type", "projection_dim")}
    torch.manual_seed(5)
    whole = CLIPModel(CLIPConfig(text_config={**text, "vocab_size": 9}, vision_config=vision, projection_dim=24)).eval()
    whole.save_pretrained(tmp_path / "clip")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        tmp_path / "clip"
    )
    for feature in ("pooled", "projected"):
        source = {"name": "clip", "architecture": "CLIPVisionModelWithProjection" if feature == "projected" else None}
        options = {"backbone": {"transformers": source}, "feature": feature, "tune": "probe"}
        card = DetectorCard(name="folder", backend="tuned", options=options).placed(tmp_path)
        model, filled = build(tuned_options(card), card)
        images = torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            found = model.eval().features(images)
            towers = whole.get_image_features(pixel_values=images, return_dict=True)
            vision_out = whole.vision_model(images).pooler_output
            expected = vision_out if feature == "pooled" else whole.visual_projection(vision_out)
        assert towers is not None and torch.allclose(found, expected, atol=1e-6)
        assert filled.backbone.transformers.config["hidden_size"] == 32
    from m2f2bench.detectors.tuned.backbones import own_settings

    settings = own_settings(card, tuned_options(card))
    assert settings.size == 32 and settings.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_a_folder_with_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    own = {key: value for key, value in CLIP.items() if key not in ("model_type", "projection_dim")}
    model = ViTForImageClassification(ViTConfig(**own, num_labels=3))
    state = {name: value for name, value in model.state_dict().items() if "layernorm.weight" not in name}
    model.save_pretrained(tmp_path / "vit", state_dict=state)
    options = {"backbone": {"transformers": {"name": "vit"}}, "tune": "probe"}
    card = DetectorCard(name="folder", backend="tuned", options=options, input={"size": 32}).placed(tmp_path)
    with pytest.raises(DetectorError, match=r"'vit'.*layernorm\.weight.* missing") as error:
        build(tuned_options(card), card)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": {}}, "give either `transformers` or `timm`"),
        ({"backbone": {"transformers": {}}}, "give `name`"),
        ({"backbone": {"transformers": {"config": {"hidden_size": 3}}}}, "needs `model_type`"),
        ({"backbone": {"transformers": {"config": {"model_type": "no-such"}}}}, "'no-such' cannot be loaded"),
        ({"backbone": BACKBONES["clip"], "feature": "projected"}, "has no projected feature"),
        ({"backbone": BACKBONES["timm-vit"], "feature": "cls"}, "a timm model's feature is `classifier`"),
        ({"backbone": BACKBONES["resnet"], "tune": "layernorm"}, "has no LayerNorm with weights"),
        ({"backbone": BACKBONES["resnet"], "tune": "svd"}, "has no linear layers in attentions"),
        ({"backbone": BACKBONES["clip"], "tune": "svd", "svd_rank": 32}, "has no 33 singular values"),
        ({"backbone": BACKBONES["clip"], "tune": "lora", "lora": {"targets": ["nope"]}}, "check lora.targets"),
        ({"backbone": {"transformers": {"config": CLIP, "architecture": "Nope"}}}, "no model class 'Nope'"),
    ],
)
def test_a_bad_card_is_one_line(options: dict, message: str) -> None:
    card = DetectorCard(name="bad", backend="tuned", options={"tune": "probe", **options}, input={"size": 32})
    with pytest.raises((CardError, DetectorError)) as error:
        build(tuned_options(card), card)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_wrong_size_is_one_line() -> None:
    card = tuned_card("clip")
    model, _ = build(tuned_options(card), card)
    with pytest.raises(DetectorError, match=r"cannot judge an image of 40 pixels .*: set input.size"):
        freeze_unread(model, 40, "here")


def test_the_residual_and_the_principal_part_are_the_weight() -> None:
    """Effort: at the start the sum is the original weight, and merged it gives the two parts' output to the bit."""
    torch.manual_seed(3)
    for outputs, inputs, rank in ((32, 32, 1), (24, 40, 3)):
        plain = torch.nn.Linear(inputs, outputs)
        split = SVDLinear.of(plain, rank)
        assert (split.whole() - plain.weight).abs().max() < 1e-5
        _, values, _ = torch.linalg.svd(plain.weight.double())
        assert split.S_residual.detach().numpy() == pytest.approx(values[-rank:].detach().numpy(), abs=1e-5)
        assert torch.linalg.matrix_rank(split.weight_main.double(), tol=1e-5) == min(outputs, inputs) - rank
        x = torch.randn(5, inputs)
        assert torch.allclose(split(x), plain(x), atol=1e-5)
        with torch.no_grad():
            split.S_residual.add_(0.5)
            assert torch.equal(split(x), split.merged()(x)) and not torch.allclose(split(x), plain(x), atol=1e-3)
