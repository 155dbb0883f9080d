"""The detector `m2f2det`, variant `paper`: what its gradients, batches, ablations, training and cards must hold to."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import toy_training
from toy_m2f2det import ABLATIONS, CLIP, INPUT, M2F2Detector, fit, pixels, toy_network
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from m2f2bench.cards.folders import find_card, iter_cards
from m2f2bench.cards.models import merged, read_card
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.tensors import read_tensors, write_tensors
from m2f2bench.detectors.m2f2det.detector import build, frozen_parts
from m2f2bench.detectors.m2f2det.options import CnnSettings, PaperOptions, without_explainer
from m2f2bench.detectors.m2f2det.paper import PaperNetwork
from m2f2bench.detectors.m2f2det.towers import DeepfakeEncoder
from m2f2bench.loading import detector_card, load_detector
from m2f2bench.training.losses.make import make_loss

VARIANTS: list[dict[str, Any]] = [
    {},
    {"train_vision": True},
    {"general_tokens": 0},
    {"specific_tokens": 0},
    {"layer_tokens": 0},
    {"general_tokens": 0, "specific_tokens": 0, "layer_tokens": 0},
    {"bridge": False},
    {"map_weighting": False},
    {"bridge": False, "map_weighting": False, "train_vision": True},
]


def loaded(report: Any, job: Any) -> M2F2Detector:
    card = job.card.model_copy(
        update={"weights": str(report.weights), "options": {**job.card.options, **report.options}}
    )
    detector = load_detector(card, "cpu")
    assert isinstance(detector, M2F2Detector)
    return detector


@pytest.mark.parametrize("options", VARIANTS)
def test_every_trained_tensor_has_a_gradient_and_every_frozen_one_none(options: dict[str, Any]) -> None:
    network = toy_network(**options)
    network.train()
    for name in frozen_parts(network.options):
        network.get_submodule(name).eval()
    # Weighted, because the sum of what a LayerNorm gives does not depend on what it is given.
    (network(pixels(6)) * torch.linspace(-1, 2, 6)).sum().backward()
    trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
    without = [name for name, value in trained.items() if value.grad is None or not value.grad.abs().max() > 0]
    assert not without
    frozen = {name: value for name, value in network.named_parameters() if name not in trained}
    assert not [name for name, value in frozen.items() if value.grad is not None]
    tower = "clip.vision_model.encoder.layers.3.mlp.fc1.weight"
    assert (tower in trained) == network.options.train_vision
    assert all(name.startswith("clip.") for name in frozen)
    text = [name for name in trained if name.startswith(("clip.text_model", "clip.text_projection"))]
    assert not text


@pytest.mark.parametrize("options", [*VARIANTS, {"clip_precision": "bf16"}])
def test_a_score_does_not_depend_on_its_batch_and_comes_out_the_same_twice(options: dict[str, Any]) -> None:
    network = toy_network(**options).eval()
    images = pixels(8)
    with torch.inference_mode():
        together, again = network(images), network(images)
        alone = torch.cat([network(images[i : i + 1]) for i in range(8)])
    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    assert together.std() > 1e-3


def test_each_ablation_takes_out_its_own_part_alone() -> None:
    whole = set(dict(toy_network().named_parameters()))
    gone = {
        "general_tokens": {"prompt.general"},
        "specific_tokens": {name for name in whole if name.startswith("prompt.specific.")},
        "layer_tokens": {"prompt.layerwise"},
        "bridge": {name for name in whole if name.startswith("bridge.")},
        "map_weighting": {name for name in whole if name.startswith(("prompt.", "map."))},
    }
    for switch in ABLATIONS:
        off = toy_network(**{switch: False if switch in ("bridge", "map_weighting") else 0})
        assert whole - set(dict(off.named_parameters())) == gone[switch] != set()


def test_the_map_weights_the_pooling() -> None:
    network = toy_network().eval()
    images = pixels(2)
    assert network.map is not None
    with torch.inference_mode():
        judged = network.judge(images)
        assert judged.map is not None
        assert judged.map.shape == (2, 1, 4, 4) and judged.forged.shape[2:] == (4, 4)
        network.map.map_scale.data.fill_(0.0)  # exp(0): an even map
        even = network.judge(images)
        assert even.map is not None
        torch.testing.assert_close(even.map, torch.ones(2, 1, 4, 4))
        torch.testing.assert_close(judged.forged / judged.map, even.forged, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(judged.logits, even.logits, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"bridge": False}, {"map_weighting": False}, {"clip": {"config": {"projection_dim": 24}}}]
)
def test_the_logits_are_the_papers_formula(options: dict[str, Any]) -> None:
    """F^0, f^0 and the head put together by hand from the network's parts."""
    network = toy_network(**options).eval()
    images = pixels(3)
    f = torch.nn.functional
    with torch.no_grad():
        network.vision_scale.fill_(0.7)
        network.head.bias.copy_(torch.tensor([0.3, -0.2]))
        network.head.weight.normal_(std=1.0)
        network.pooled_norm.weight.copy_(torch.linspace(0.5, 1.5, 12))
        judged, seen = network.judge(images), network.features(images, penultimate=True)
        depths = list(network.images.depths)
        states = network.clip.vision_model(images, [*depths, 3, 4])
        assert seen.penultimate is not None and torch.equal(seen.penultimate, states[-2][:, 1:])
        joint = network.clip.visual_projection(network.clip.vision_model.post_layernorm(states[-1]))
        torch.testing.assert_close(seen.image, joint[:, 0])
        torch.testing.assert_close(seen.patches, joint[:, 1:])
        last, maps = network.encoder(images)
        forged = f.interpolate(last, size=(4, 4), mode="bilinear", align_corners=False)
        if network.bridge is not None:
            forged = torch.cat([network.bridge(maps, [state[:, 1:] for state in states[: len(depths)]]), forged], dim=1)
        if network.prompt is not None and network.map is not None:
            heat = network.map(network.prompt(network.clip, seen.image), seen.patches)
            torch.testing.assert_close(network.heatmap(images), heat[:, 0])
            forged = forged * heat
        else:
            assert judged.map is None and network.heatmap(images) is None
        torch.testing.assert_close(judged.forged, forged, atol=1e-5, rtol=0)
        pooled = network.pooled_norm(network.conv(forged).mean(dim=(2, 3)))
        parts = [0.7 * network.project_image(seen.image), pooled, network.project_cnn(last.mean(dim=(2, 3)))]
        logits = torch.cat(parts, dim=1) @ network.head.weight.T + network.head.bias
        torch.testing.assert_close(judged.logits, logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(network(images), logits[:, 1] - logits[:, 0], atol=1e-4, rtol=0)
        again, patches = network.judge_with_patches(images)
        assert torch.equal(again.logits, judged.logits) and torch.equal(patches, seen.penultimate)


def test_the_head_starts_near_nothing_and_the_scale_at_one() -> None:
    network = toy_network(head_width=400)
    assert network.head.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert network.head.bias.tolist() == [0.0, 0.0] and float(network.vision_scale.detach()) == 1.0
    first, _, second = network.conv
    assert first.kernel_size == (1, 1) and second.kernel_size == (3, 3) and second.padding == (1, 1)
    assert network.features(pixels(1)).penultimate is None


def test_as_many_depths_of_both_networks() -> None:
    with pytest.raises(DetectorError, match=r"^2 depths of the image tower but 3 of the CNN: give as many of each$"):
        toy_network(clip_depths=[1, 2])


def test_one_logit_is_the_softmax_of_two() -> None:
    network = toy_network().eval()
    with torch.inference_mode():
        scores, logits = torch.sigmoid(network(pixels(3))), network.judge(pixels(3)).logits
    torch.testing.assert_close(scores, torch.softmax(logits, dim=1)[:, 1])


def test_training_freezes_clip_and_the_card_needs_no_hub(tmp_path: Path) -> None:
    report, job = fit(tmp_path / "out", epochs=1)
    detector = loaded(report, job)
    start = toy_network(seed=job.settings.seed).state_dict()
    held = detector.model.state_dict()
    assert set(held) == set(start)
    changed = {name for name in start if not torch.equal(start[name], held[name])}
    assert changed and not [name for name in changed if name.startswith("clip.")]
    assert {"prompt.general", "map.map_scale", "vision_scale", "head.weight"} <= changed
    images = [toy_training.read(frame) for frame in job.val[:4]]
    scores, maps = detector.predict(images), detector.heatmap(images)
    assert maps.shape == (4, 4, 4) and maps.dtype == np.float32
    assert 0 <= maps.min() < maps.max() <= 1
    np.testing.assert_allclose(scores[:1], detector.predict(images[:1]), atol=1e-5)
    assert detector.seen(32, 64) == (0.0, 0.25, 1.0, 0.75)


def test_a13_weights_of_050_give_the_numbers_they_gave(tmp_path: Path) -> None:
    """A temperature of 0 or more means what it meant; one below is refused in one line."""
    report, job = fit(tmp_path / "out", epochs=1)
    tensors, about = read_tensors(report.weights)
    images = [toy_training.read(frame) for frame in job.val[:3]]
    for scale in (0.0, 3.75):
        write_tensors(report.weights, {**tensors, "map.map_scale": torch.tensor(scale)}, about)
        detector = loaded(report, job)
        network = detector.model
        assert isinstance(network, PaperNetwork) and network.prompt is not None
        with torch.inference_mode():
            pixels = detector.normalise(torch.from_numpy(np.stack([detector.prepare(image) for image in images])))
            seen = network.features(pixels)
            text = network.prompt(network.clip, seen.image)
            cosines = torch.nn.functional.cosine_similarity(seen.patches, text[:, None], dim=2)
            expected = torch.exp(scale * (cosines - cosines.max(dim=1, keepdim=True).values)).view(3, 4, 4)
        np.testing.assert_allclose(detector.heatmap(images), expected.numpy(), atol=1e-6)
    none = "'map.map_scale' has values that are not finite numbers"
    below = "temperature of the forgery map, is -1, .* train it again$"
    for scale, told in ((-1.0, below), (float("nan"), none), (float("inf"), none)):
        write_tensors(report.weights, {**tensors, "map.map_scale": torch.tensor(scale)}, about)
        with pytest.raises(DetectorError, match=told) as caught:
            loaded(report, job)
        assert "\n" not in str(caught.value) and str(report.weights) in str(caught.value)


def test_a13_a_training_that_ends_below_nothing_writes_the_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turned(*given: Any) -> Any:
        network, options = build(*given)
        assert network.map is not None
        network.map.map_scale.data.fill_(-2.0)
        return network, options

    monkeypatch.setattr("m2f2bench.detectors.m2f2det.detector.build", turned)
    report, job = fit(tmp_path / "out", epochs=1)
    assert float(read_tensors(report.weights)[0]["map.map_scale"]) == pytest.approx(2.0, abs=0.1)
    images = [toy_training.read(frame) for frame in job.val[:4]]
    maps = loaded(report, job).heatmap(images)
    assert 0 <= maps.min() < maps.max() == 1.0


@pytest.mark.slow
def test_mixed_precision_trains_the_same_parts(tmp_path: Path) -> None:
    report, job = fit(tmp_path / "half", {"clip_precision": "bf16"}, epochs=1, precision="bf16")
    full, _ = fit(tmp_path / "full", epochs=1)
    assert report.curves[0]["train_loss"] == pytest.approx(full.curves[0]["train_loss"], abs=0.05)
    assert report.curves != full.curves
    detector = loaded(report, job)
    assert detector.precision == "clip-bf16"
    tower = detector.model.get_submodule("clip.vision_model")
    assert {value.dtype for value in tower.parameters()} == {torch.bfloat16}
    others = {v.dtype for n, v in detector.model.named_parameters() if not n.startswith("clip.vision_model")}
    assert others == {torch.float32}


def test_a_pretrained_folder_gives_weights_and_words(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    text = {**CLIP["text_config"], "bos_token_id": 0, "eos_token_id": 1, "vocab_size": 19}
    torch.manual_seed(5)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=CLIP["vision_config"], projection_dim=16))
    model.save_pretrained(folder)
    merges = ["f o", "fo r", "for g", "forg e", "forge d</w>", "f a", "fa c", "fac e</w>"]
    letters = ["f", "o", "r", "g", "e", "d</w>", "a", "c", "e</w>"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(merge.replace(" ", "") for merge in merges)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    expected = CLIPTokenizer.from_pretrained(folder)("forged face")["input_ids"]
    report, job = fit(tmp_path / "out", {"clip": {"name": str(folder), "config": None, "words": []}}, epochs=1)
    clip = report.options["clip"]
    assert list(clip["words"]) == expected and expected == [0, words.index("forged</w>"), words.index("face</w>"), 1]
    assert clip["config"]["vision_config"]["num_hidden_layers"] == 4
    for path in folder.iterdir():
        path.unlink()  # the trained detector stands on its own
    held = loaded(report, job).model.state_dict()
    for name, value in model.state_dict().items():
        if name != "logit_scale":
            assert torch.equal(held[f"clip.{name}"], value), name


def test_a_card_of_wrong_parts_is_told_in_one_line(tmp_path: Path) -> None:
    cases = [
        ({"clip": {"name": str(tmp_path / "nowhere"), "config": None}}, "cannot be loaded"),
        ({"clip": {"config": None}}, "give `name` .* or `config`"),
        ({"clip": {"words": [0, 99, 3]}}, "token ids below vocab_size 12"),
        ({"cnn": {"depths": ["blocks.1", "blocks.2", "block.3"]}}, "no layer 'block.3'; did you mean"),
        ({"cnn": {"depths": ["blocks.1", "blocks.2"]}}, "give as many of each"),
        ({"cnn": {"depths": ["blocks.1", "blocks.2", "global_pool"]}}, "'global_pool' does not contribute"),
        ({"clip_depths": [1, 2, 9]}, "must be layers from 1 on"),
        ({"general_tokens": 40}, "more tokens than the text tower's 20"),
        ({"bridge_width": 18}, "multiple of bridge_heads"),
        ({"train_vision": True, "cache_features": 1}, "frozen image tower"),
        ({"clip": {"config": {"vision_config": {"image_size": 64}}}}, "32 pixels but its CLIP needs 64"),
        ({"brigde": False}, "unknown key 'brigde'; did you mean 'bridge'"),
        ({"variant": "papre"}, "unknown variant 'papre'; did you mean 'paper'"),
    ]
    for number, (options, message) in enumerate(cases):
        with pytest.raises((DetectorError, CardError), match=message) as error:
            fit(tmp_path / str(number), options)
        assert "\n" not in str(error.value)


def test_without_map_weighting_there_is_no_heat_map(tmp_path: Path) -> None:
    report, job = fit(tmp_path, {"map_weighting": False}, epochs=1)
    with pytest.raises(DetectorError, match="its network has no map weighting"):
        loaded(report, job).heatmap([np.zeros((32, 32, 3), dtype=np.uint8)])


def test_the_papers_cnns_have_maps_at_the_cards_depths() -> None:
    """EfficientNet-B4: 112, 160 and 272 channels at strides 16, 16 and 32."""
    found = {}
    for name in ("m2f2det", "m2f2det-densenet121", "m2f2det-vit-b16", "m2f2det-small"):
        path = find_card("detectors", name)
        assert path is not None
        card = read_card("detectors", path)
        settings = CnnSettings.model_validate(card.options["cnn"])  # type: ignore[attr-defined]
        encoder = DeepfakeEncoder(timm.create_model(settings.model, pretrained=False), settings, 64)
        with torch.inference_mode():
            last, maps = encoder.eval()(torch.zeros(1, 3, 64, 64))
        found[name] = [(m.shape[1], 64 // m.shape[2]) for m in (*maps, last)]
    assert found == {
        "m2f2det": [(112, 16), (160, 16), (272, 32), (1792, 32)],
        "m2f2det-densenet121": [(256, 16), (1024, 16), (1024, 32), (1024, 32)],
        "m2f2det-vit-b16": [(80, 16), (112, 16), (192, 32), (1280, 32)],
        "m2f2det-small": [(80, 16), (112, 16), (192, 32), (1280, 32)],
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in iter_cards("detectors") if "m2f2det-small" in path.stem))
def test_each_card_of_the_small_model_fits_its_network(name: str) -> None:
    """Every pattern of rates and of what waits matches a trained parameter, and the loss gets its outputs."""
    card, cls = detector_card(name)
    if not issubclass(cls, M2F2Detector):
        return
    plain = without_explainer(card)
    drawn = {key: {"pretrained": None} for key in ("cnn", "image_tower") if key in plain.options}
    options = PaperOptions.model_validate(merged(plain.options, drawn))
    network, _ = build(options, plain)
    settings = card.training
    assert settings is not None
    for part in frozen_parts(options):
        network.get_submodule(part).requires_grad_(False)
    trained = [key for key, value in network.named_parameters() if value.requires_grad]
    for pattern in (*settings.lr_of, *settings.freeze_epochs):
        assert fnmatch.filter(trained, pattern), pattern
    assert set(make_loss(settings.loss).needs) <= set(network.gives)
    assert network(torch.zeros(2, 3, 160, 160)).shape == (2,)


def test_full_size_options_fit_the_architecture() -> None:
    path = find_card("detectors", "m2f2det")
    assert path is not None
    card = read_card("detectors", path)
    options = PaperOptions.model_validate(card.options)  # type: ignore[attr-defined]
    assert (
        options.depths(24)
        == (6, 10, 14)
        == PaperOptions.model_validate(
            {**card.options, "clip_depths": ()}  # type: ignore[attr-defined]
        ).depths(24)
    )


def test_default_depths_are_timms_own_last_three() -> None:
    settings = CnnSettings(model="test_efficientnet")
    encoder = DeepfakeEncoder(timm.create_model("test_efficientnet"), settings, INPUT.size)
    assert len(encoder.channels) == 3
    with pytest.raises(DetectorError, match=r"gives \[1, 101, 64\], not a map"):
        DeepfakeEncoder(timm.create_model("test_vit"), CnnSettings(model="test_vit"), 160)
