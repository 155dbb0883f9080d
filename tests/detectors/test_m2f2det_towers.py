"""M2F2-Det with a timm network in the place of CLIP's image tower: its features by hand, its training, its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.nn import functional as F
from toy_m2f2det import CLIP, OPTIONS, fit, pixels, toy_card, toy_network
from transformers import CLIPConfig, CLIPModel

from m2f2bench.cards.models import merged, validate
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.m2f2det import detector
from m2f2bench.detectors.m2f2det.detector import M2F2Detector
from m2f2bench.detectors.m2f2det.features import FeatureCache, clip_key
from m2f2bench.detectors.m2f2det.options import ExplainerOptions, ImageTowerSettings, PaperOptions
from m2f2bench.detectors.m2f2det.projectors import detector_tokens, new_projectors
from m2f2bench.detectors.m2f2det.stages import token_counts
from m2f2bench.detectors.m2f2det.towers import TimmImages

SCRIPT = Path(__file__).parents[1] / "helpers" / "toy_m2f2det.py"
CNN = {
    "model": "test_efficientnet",
    "depths": ["blocks.1", "blocks.2", "blocks.3"],
    "patches": ["blocks.2", "blocks.4"],
}
VIT = {
    "model": "test_vit",
    "model_kwargs": {"img_size": 32, "patch_size": 8},
    "depths": ["blocks.1", "blocks.3", "blocks.4"],
}
TEXT = {"clip": {"config": {"vision_config": None}}}


def tower(options: dict[str, Any], size: int = 32, bridge: bool = True, seed: int = 0) -> TimmImages:
    settings = ImageTowerSettings.model_validate(options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = timm.create_model(settings.model, **settings.model_kwargs)
    return TimmImages(net, settings, size, bridge).eval()


def outputs(net: Any, images: torch.Tensor, *names: str) -> list[torch.Tensor]:
    """What layers give, by hooks of the test's own, and the last features."""
    kept: dict[str, torch.Tensor] = {}
    modules = dict(net.named_modules())
    hooks = [modules[n].register_forward_hook(lambda _m, _i, o, n=n: kept.update({n: o})) for n in names]
    last = net.forward_features(images)
    for hook in hooks:
        hook.remove()
    return [*(kept[name] for name in names), last]


def standard(values: torch.Tensor) -> torch.Tensor:
    """Over the last axis: mean 0, standard deviation 1."""
    return (values - values.mean(-1, keepdim=True)) / (values.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
def test_maps_of_two_strides_as_patches() -> None:
    """At 64 pixels, strides 8 and 32: the coarse map of 2 x 2 is interpolated to 8 x 8."""
    images, own = pixels(2, size=64), tower(CNN, size=64)
    found = own.look(images)
    first, fine, deep, coarse, _ = outputs(own.net, images, "blocks.1", "blocks.2", "blocks.3", "blocks.4")
    assert [one.shape[2] for one in (first, fine, deep, coarse)] == [16, 8, 4, 2] and own.grid == 8
    grown = F.interpolate(coarse, size=(8, 8), mode="bilinear", align_corners=False)
    wanted = torch.cat([standard(one.permute(0, 2, 3, 1).reshape(2, 64, -1)) for one in (fine, grown)], dim=2)
    torch.testing.assert_close(found.patches, wanted, atol=1e-5, rtol=1e-5)
    mean = torch.cat([standard(one.mean((2, 3))) for one in (fine, coarse)], dim=1)
    torch.testing.assert_close(found.image, mean, atol=1e-5, rtol=1e-5)
    shrunk = first.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))  # each 2 x 2 averaged
    torch.testing.assert_close(found.states[0], shrunk.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.states[1], fine.flatten(2).transpose(1, 2))
    assert found.penultimate is found.patches and own.patch_width == found.patches.shape[2]
    assert own.widths == tuple(one.shape[2] for one in found.states)


@torch.no_grad()
def test_the_tokens_of_a_vit() -> None:
    images, own = pixels(3), tower(VIT)
    found = own.look(images)
    *layers, last = outputs(own.net, images, *VIT["depths"])  # type: ignore[arg-type, misc]
    assert own.grid == 4 and own.prefix == 1 and last.shape == (3, 17, 64)
    torch.testing.assert_close(found.image, standard(last[:, 0]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.patches, standard(last[:, 1:]), atol=1e-5, rtol=1e-5)
    for state, layer in zip(found.states, layers, strict=True):
        torch.testing.assert_close(state, layer[:, 1:])


def test_a_patch_stays_where_it_was() -> None:
    """Only the upper left corner of the picture is changed; only the patches around it move."""
    for options in (CNN, VIT):
        own, image = tower(options, size=32), torch.zeros(1, 3, 32, 32)
        changed = image.clone()
        changed[..., :8, :8] = 3.0
        with torch.no_grad():
            moved = (own.look(changed).states[0] - own.look(image).states[0]).norm(dim=2)[0]
        assert int(moved.argmax()) == 0 and float(moved[0]) > 5 * float(moved[-1])


@pytest.mark.parametrize(
    ("images", "more"),
    [(CNN, {}), (VIT, {"gated": True}), (CNN, {"bridge": False}), (VIT, {"map_weighting": False})],
    ids=["cnn", "vit-gated", "cnn-no-bridge", "vit-no-map"],
)
def test_it_learns_saves_and_loads(images: dict[str, Any], more: dict[str, Any], tmp_path: Path) -> None:
    """The tower and CLIP's text stay as they are, the projection learns; loaded, it has the trained one's scores."""
    options = merged(TEXT, {"image_tower": images, **more})
    report, job = fit(tmp_path / "out", options, epochs=1, lr=1e-3)
    after = read_tensors(report.weights)[0]
    with torch.random.fork_rng():
        torch.manual_seed(job.settings.seed)
        before = detector.build(validate(PaperOptions, job.card.options, ""), job.card)[0].state_dict()
    assert before.keys() == after.keys() and not [name for name in after if "vision" in name and "scale" not in name]
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("tower.", "clip."))} <= same
    assert "joint.0.weight" not in same and "encoder.net.conv_stem.weight" not in same
    update = {"weights": str(report.weights), "options": {**job.card.options, **report.options}}
    card = job.card.model_copy(update=update)
    loaded = M2F2Detector.from_card(card)
    draw = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 255, (40, 40, 3), dtype=torch.uint8, generator=draw).numpy() for _ in range(3)]
    model = toy_network(**options).eval()
    model.load_state_dict(after)
    with torch.inference_mode():
        inputs = loaded.normalise(torch.stack([torch.from_numpy(loaded.prepare(one)) for one in pictures]))
        wanted = torch.sigmoid(model(inputs)).tolist()
    given = loaded.predict(pictures)
    assert list(given) == pytest.approx(wanted, abs=1e-5)
    if more.get("map_weighting", True):
        assert loaded.heatmap(pictures).shape == (3, 4, 4)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    options = merged(TEXT, {"image_tower": CNN, "gated": True})
    values = {"epochs": 3, "checkpoint_steps": 1, "lr": 1e-3, "freeze_epochs": {"encoder.*": 1}, "ema": 0.9}
    whole, _ = fit(tmp_path / "whole", options, **values)
    told = json.dumps({"options": options, **values, "killed_after": 5})
    assert subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "cut"), told], check=False).returncode == -9
    again, _ = fit(tmp_path / "cut", options, **values, resume=True)
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()


def test_the_text_side_of_a_clip_with_weights_is_that_of_the_whole(tmp_path: Path) -> None:
    text = {**CLIP["text_config"], "bos_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=CLIP["vision_config"], projection_dim=16))
    model.save_pretrained(tmp_path / "clip")
    source = {"name": str(tmp_path / "clip"), "words": [0, 3, 4, 11]}
    options = PaperOptions.model_validate({**OPTIONS, "clip": source, "image_tower": CNN})
    card = toy_card().model_copy(update={"options": options.model_dump(exclude_unset=True)})
    network, filled = detector.build(options, card)
    assert filled.clip.config is not None and filled.clip.config.vision_config is None
    whole = model.state_dict()
    for name, value in network.clip.state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_features_are_cached_before_what_learns(tmp_path: Path) -> None:
    network = toy_network(**merged(TEXT, {"image_tower": CNN})).train()
    assert network.encoder.training and not any(one.training for one in network.tower.modules())  # type: ignore[union-attr]
    cache, images = FeatureCache(network, tmp_path, limit=10**9), pixels(4)
    cache(images)
    again = cache(images)
    assert cache.hits == 4
    direct = network.features(images)
    torch.testing.assert_close(again.patches, direct.patches, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.image, direct.image, atol=1e-5, rtol=0)
    key = clip_key(network)
    network.joint[0].weight.data.add_(1.0)  # type: ignore[index, union-attr, operator]
    assert clip_key(network) == key
    network.tower.net.conv_stem.weight.data.add_(1.0)  # type: ignore[union-attr]
    assert clip_key(network) != key
    other = toy_network(**merged(TEXT, {"image_tower": {**CNN, "patches": ["blocks.4", "blocks.2"]}}))
    assert clip_key(other) != key  # the same weights, other patches


def test_an_explainer_sees_its_patches() -> None:
    network = toy_network(**merged(TEXT, {"image_tower": CNN})).eval()
    options = ExplainerOptions.model_validate({"llm": {"name": "x"}, "forgery_grid": 2, "visual_pool": 2})
    assert token_counts(network, options) == (4, 5)
    tokens = detector_tokens(network, pixels(2), options)
    assert tokens.patches.shape == (2, 4, network.images.patch_width)
    visual, forgery = new_projectors(network, options, 24)(*tokens)
    assert visual.shape == (2, 4, 24) and forgery.shape == (2, 5, 24)


def test_where_its_weights_come_from_is_not_its_identity() -> None:
    plain = validate(PaperOptions, OPTIONS, "card")
    assert "image_tower" not in plain.identity()
    first, second = (
        validate(PaperOptions, merged(OPTIONS, {"image_tower": {**CNN, "pretrained": start}}), "card").identity()
        for start in (None, "offline")
    )
    assert first == second != plain.identity()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_tower": {**CNN, "patches": ["blocks.9"]}}, "has no layer 'blocks.9'"),
        ({"image_tower": {**CNN, "patches": ["global_pool"]}}, "'global_pool' does not contribute"),
        ({"image_tower": {**CNN, "depths": ["blocks.1"]}}, "1 depths of the image tower but 3 of the CNN"),
        ({"image_tower": {"model": "vit_tiny_patch16_224"}}, "'vit_tiny_patch16_224' cannot read images of 32 pixels"),
        ({"image_tower": {**VIT, "patches": ["blocks.1.attn.qkv", "blocks.0.mlp"]}, "bridge": False}, None),
        ({"image_tower": CNN, "train_vision": True}, "train_vision is for CLIP's image tower"),
        ({"image_tower": CNN, "clip_precision": "bf16"}, "clip_precision is for CLIP's image tower"),
        ({"image_tower": CNN, "clip_depths": [1, 2, 3]}, "clip_depths is for CLIP's image tower"),
        ({"clip": {"config": {**CLIP, "vision_config": None}}}, "clip.config has no vision_config"),
        ({"image_tower": {**CNN, "weights": 1}}, "weights"),
    ],
)
def test_what_does_not_fit_is_one_line(options: dict[str, Any], message: str | None) -> None:
    def made() -> None:
        card = toy_card(**options)
        detector.build(validate(PaperOptions, card.options, "card"), card)

    if message is None:
        made()
        return
    with pytest.raises((CardError, DetectorError), match=message) as error:
        made()
    assert "\n" not in str(error.value)
