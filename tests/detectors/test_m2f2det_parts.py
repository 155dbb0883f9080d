"""The parts of M2F2-Det's variant `paper`, each against an independent computation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from toy_m2f2det import CLIP, pixels, toy_network
from transformers import CLIPConfig, CLIPModel

from m2f2bench.detectors.m2f2det.clip import Clip, ClipSettings, initialise
from m2f2bench.detectors.m2f2det.paper import BridgeAdapter, ForgeryMap, ForgeryPrompt, positions


@pytest.fixture(scope="module")
def theirs() -> CLIPModel:
    torch.manual_seed(3)
    text = {**CLIP["text_config"], "bos_token_id": 0, "eos_token_id": 11}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=CLIP["vision_config"], projection_dim=16)).eval()


@pytest.fixture(scope="module")
def ours(theirs: CLIPModel) -> Clip:
    clip = Clip(ClipSettings.model_validate(CLIP))
    clip.load_state_dict({key: value for key, value in theirs.state_dict().items() if key != "logit_scale"})
    return clip.eval()


@pytest.mark.parametrize("gradients", [True, False])
def test_towers_are_those_of_transformers(theirs: CLIPModel, ours: Clip, gradients: bool) -> None:
    images, ids = pixels(3), [0, 7, 2, 9, 11]
    with torch.set_grad_enabled(gradients):
        expected = theirs.vision_model(images, output_hidden_states=True)
        states = ours.vision_model(images, [0, 1, 3, 4])
        for depth, state in zip([0, 1, 3, 4], states, strict=True):
            torch.testing.assert_close(state, expected.hidden_states[depth], atol=2e-6, rtol=0)
        first = ours.vision_model(images, [3], cls_last=True)[0]
        torch.testing.assert_close(first, expected.hidden_states[3][:, :1], atol=2e-6, rtol=0)
        joint = ours.visual_projection(ours.vision_model.post_layernorm(states[-1][:, 0]))
        features = theirs.get_image_features(images)
        torch.testing.assert_close(joint, getattr(features, "pooler_output", features), atol=2e-6, rtol=0)
        text = ours.text_projection(ours.text_model(ours.text_model.words(ids)[None]))
        features = theirs.get_text_features(torch.tensor([ids]))
        torch.testing.assert_close(text, getattr(features, "pooler_output", features), atol=2e-6, rtol=0)


def test_layers_past_the_deepest_are_not_computed(ours: Clip) -> None:
    calls = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: calls.append(tuple(output.shape)))
        for layer in ours.vision_model.encoder.layers
    ]
    ours.vision_model(pixels(2), [3], cls_last=True)
    for hook in hooks:
        hook.remove()
    assert calls == [(2, 17, 32), (2, 17, 32), (2, 1, 32)]


def test_layer_tokens_replace_each_other(theirs: CLIPModel, ours: Clip) -> None:
    """By hand with transformers' layers: own tokens behind BOS before each layer, what came out of them thrown away."""
    torch.manual_seed(0)
    tokens, own = torch.randn(2, 5, 24), torch.randn(3, 2, 24)
    place = theirs.text_model.embeddings.position_embedding.weight[:5]
    x = tokens + place
    for number, layer in enumerate(theirs.text_model.encoder.layers):
        x = torch.cat([x[:, :1], own[number].expand(2, -1, -1), x[:, 1:]], dim=1)
        mask = torch.full((7, 7), float("-inf")).triu(1)[None, None]
        out = layer(x, attention_mask=mask)
        x = out[0] if isinstance(out, tuple) else out
        x = torch.cat([x[:, :1], x[:, 3:]], dim=1)
    expected = theirs.text_model.final_layer_norm(x[:, -1])
    torch.testing.assert_close(ours.text_model(tokens, own), expected, atol=2e-6, rtol=0)


def test_prompt_is_bos_general_specific_words_eos(ours: Clip) -> None:
    torch.manual_seed(1)
    prompt = ForgeryPrompt(ours, (0, 3, 4, 11), general=3, specific=2, layer=0)
    image = torch.randn(4, 16)
    seen: list[torch.Tensor] = []
    hook = ours.text_model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    feature = prompt(ours, image)
    hook.remove()
    words = ours.text_model.embeddings.token_embedding.weight
    assert feature.shape == (4, 16) and seen[0].shape == (4, 9, 24)
    assert prompt.general is not None and prompt.specific is not None
    for row in range(4):
        torch.testing.assert_close(seen[0][row, 0], words[0])
        torch.testing.assert_close(seen[0][row, 1:4], prompt.general)
        torch.testing.assert_close(seen[0][row, 6:], words[[3, 4, 11]])
    specific = seen[0][:, 4:6]
    assert not torch.allclose(specific[0], specific[1])  # this image's cues
    again = prompt(ours, torch.cat([image[2:3], torch.randn(1, 16)]))
    torch.testing.assert_close(again[0], feature[2], atol=1e-6, rtol=0)


def test_without_specific_tokens_the_prompt_is_computed_once(ours: Clip) -> None:
    prompt = ForgeryPrompt(ours, (0, 3, 4, 11), general=3, specific=0, layer=2)
    assert prompt(ours, torch.randn(5, 16)).shape == (1, 16)


def test_a_prompt_of_no_image_is_folded_into_one_feature() -> None:
    network = toy_network(specific_tokens=0).eval()
    with torch.inference_mode():
        before = network.judge(pixels(3))
        calls: list[int] = []
        network.clip.text_model.register_forward_hook(lambda module, inputs, output: calls.append(1))
        network.fold_prompt()
        after = network.judge(pixels(3))
    assert calls == [1] and torch.equal(before.logits, after.logits)
    whole = toy_network()
    whole.fold_prompt()
    assert whole.text is None


def test_the_map_is_one_where_the_text_fits_best() -> None:
    forgery = ForgeryMap(temperature=2.0)
    text = torch.tensor([[3.0, 0.0]])
    patches = torch.tensor([[[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0], [1.0, 1.0]]])
    expected = torch.exp(torch.tensor([[[[0.0, -2.0], [-4.0, 2**0.5 - 2.0]]]]))
    torch.testing.assert_close(forgery(text, patches), expected, atol=1e-6, rtol=0)


def test_the_bridge_attends_within_one_image() -> None:
    torch.manual_seed(0)
    bridge = BridgeAdapter((5, 6, 7), (8, 8, 8), width=16, heads=4).eval()
    maps = [torch.randn(3, 5, 4, 4), torch.randn(3, 6, 4, 4), torch.randn(3, 7, 2, 2)]
    states = [torch.randn(3, 9, 8) for _ in range(3)]
    out = bridge(maps, states)
    assert out.shape == (3, 16, 3, 3)
    alone = bridge([m[1:2] for m in maps], [s[1:2] for s in states])
    torch.testing.assert_close(alone[0], out[1], atol=1e-5, rtol=0)
    for number in range(3):  # every map and every state matters, and only for its own image
        for kind in (maps, states):
            changed = [value.clone() for value in kind]
            changed[number][0] += 1.0
            other = bridge(changed, states) if kind is maps else bridge(maps, changed)
            assert not torch.allclose(other[0], out[0], atol=1e-4)
            torch.testing.assert_close(other[1:], out[1:], atol=1e-5, rtol=0)


def test_the_bridge_is_its_formula() -> None:
    """By hand: x_i = block_i([x_(i-1); W_i E_i; V_i H_i]) of all rows, those of x_(i-1) kept; no square maps."""
    torch.manual_seed(1)
    bridge = BridgeAdapter((5, 6), (8, 8), width=18, heads=2).eval()
    assert [block.mlp.fc1.weight.shape for block in bridge.blocks] == [(72, 18), (72, 18)]
    assert not [name for name, _ in bridge.named_parameters() if name.endswith("k_proj.bias")]  # it has no gradient
    maps, states = [torch.randn(2, 5, 4, 2), torch.randn(2, 6, 1, 3)], [torch.randn(2, 9, 8) for _ in range(2)]
    with torch.no_grad():
        tokens = torch.empty(2, 0, 18)
        for number in range(2):
            rows, columns = maps[number].shape[2:]
            cells = torch.stack([maps[number][:, :, i, j] for i in range(rows) for j in range(columns)], dim=1)
            cells = bridge.from_cnn[number](cells) + coded(rows, columns, 18)
            patches = bridge.from_clip[number](states[number]) + coded(3, 3, 18)
            held = [patches, cells] if number == 0 else [tokens, cells, patches]
            tokens = bridge.blocks[number](torch.cat(held, dim=1))[:, :9]
        expected = torch.nn.functional.layer_norm(tokens, (18,), bridge.norm.weight, bridge.norm.bias)
        found = bridge(maps, states)
    for cell in range(9):
        torch.testing.assert_close(found[:, :, cell // 3, cell % 3], expected[:, cell], atol=1e-5, rtol=0)


def coded(rows: int, columns: int, channels: int) -> torch.Tensor:
    """Positions one by one: sines and cosines of π 2^(4 i / (n - 1)) times the centre's place, n = channels // 4."""
    count = channels // 4
    code = torch.zeros(rows * columns, channels)
    for cell in range(rows * columns):
        down, across = (cell // columns + 0.5) / rows, (cell % columns + 0.5) / columns
        for i in range(count):
            speed = math.pi * 2 ** (4 * i / (count - 1))
            waves = (math.sin(down * speed), math.cos(down * speed), math.sin(across * speed), math.cos(across * speed))
            for part, wave in enumerate(waves):
                code[cell, part * count + i] = wave
    return code


def test_positions_are_sines_and_cosines_of_the_centres() -> None:
    for size in ((2, 3, 16), (4, 1, 19), (1, 1, 8)):
        torch.testing.assert_close(positions(*size, torch.device("cpu")), coded(*size), atol=1e-5, rtol=0)


def test_new_tokens_are_drawn_with_the_words_spread(ours: Clip) -> None:
    torch.manual_seed(0)
    prompt = ForgeryPrompt(ours, (0, 3, 4, 11), general=64, specific=64, layer=64)
    assert prompt.general is not None and prompt.layerwise is not None and prompt.specific is not None
    assert prompt.general.std().item() == pytest.approx(0.02, rel=0.1)
    assert prompt.layerwise.std().item() == pytest.approx(0.02, rel=0.1)
    last = prompt.specific[2]
    assert isinstance(last, torch.nn.Linear)
    assert last.weight.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.05)
    assert last.bias.std().item() == pytest.approx(0.02, rel=0.1)


def test_specific_tokens_are_made_of_the_features_direction(ours: Clip) -> None:
    torch.manual_seed(2)
    prompt = ForgeryPrompt(ours, (0, 3, 4, 11), general=0, specific=2, layer=1)
    image = torch.randn(3, 16)
    torch.testing.assert_close(prompt(ours, image), prompt(ours, 7.0 * image), atol=1e-6, rtol=0)


def test_positions_tell_places_apart_and_agree_between_grids() -> None:
    fine, coarse = positions(6, 6, 16, torch.device("cpu")), positions(2, 2, 16, torch.device("cpu"))
    assert len({tuple(code) for code in fine.mul(1e4).round().int().tolist()}) == 36
    # The centre of a coarse cell is the centre of the fine cell in the middle of it.
    torch.testing.assert_close(coarse.view(2, 2, 16)[1, 0], fine.view(6, 6, 16)[4, 1], atol=1e-6, rtol=0)


def test_initialisation_is_clips_own() -> None:
    torch.manual_seed(0)
    settings = ClipSettings.model_validate(
        {**CLIP, "vision_config": {**CLIP["vision_config"], "hidden_size": 256, "intermediate_size": 1024}}
    )
    clip = Clip(settings)
    initialise(clip)
    layer = clip.vision_model.encoder.layers[2]
    assert layer.self_attn.q_proj.weight.std().item() == pytest.approx(256**-0.5, rel=0.03)
    assert layer.self_attn.out_proj.weight.std().item() == pytest.approx(256**-0.5 * 8**-0.5, rel=0.03)
    assert layer.mlp.fc1.weight.std().item() == pytest.approx(512**-0.5, rel=0.03)
    assert layer.mlp.fc2.bias.abs().max().item() == 0.0
    assert clip.text_model.embeddings.token_embedding.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_frozen_features_are_the_same_with_and_without_gradients() -> None:
    network = toy_network()
    images = pixels(2)
    with torch.enable_grad():
        one = network.features(images)
    with torch.no_grad():
        two = network.features(images)
    assert not one.image.requires_grad
    assert torch.equal(one.patches, two.patches) and torch.equal(one.image, two.image)


SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    scale=SINGLE,
    text=arrays(np.float32, (2, 3), elements=SINGLE),
    patches=arrays(np.float32, (2, 4, 3), elements=SINGLE),
)
def test_a13_the_map_stays_in_its_range(scale: float, text: Any, patches: Any) -> None:
    """Whatever training makes of τ: with τ = -1 it had a maximum of 4.5 in 0.5.0."""
    forgery = ForgeryMap(temperature=5.0)
    for value in forgery.parameters():
        value.data.fill_(scale)
    heat = forgery(torch.from_numpy(text), torch.from_numpy(patches))
    assert heat.shape == (2, 1, 2, 2) and torch.isfinite(heat).all()
    assert float(heat.detach().min()) >= 0.0 and torch.equal(heat.amax((1, 2, 3)), torch.ones(2))
    forgery.settle()
    assert float(forgery.map_scale.detach()) >= 0.0  # what is written is τ
    assert torch.equal(forgery(torch.from_numpy(text), torch.from_numpy(patches)), heat)


@pytest.mark.parametrize("scale", [2.0, -2.0])
def test_a13_the_temperature_learns_on_either_side_of_nothing(scale: float) -> None:
    """Against the map's derivative by hand, ∂M/∂τ = (c - max c) M: it never gets stuck at a wrong sign."""
    forgery = ForgeryMap(temperature=1.0)
    forgery.map_scale.data.fill_(scale)
    text, patches = torch.tensor([[1.0, 0.0]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]]])
    forgery(text, patches).sum().backward()
    below = torch.tensor([0.0, -1.0, -2.0, -0.4])
    expected = float((below * torch.exp(2.0 * below)).sum()) * (1.0 if scale > 0 else -1.0)
    assert forgery.map_scale.grad is not None
    assert float(forgery.map_scale.grad) == pytest.approx(expected, rel=1e-5)
