"""Forensics Adapter: the authors' file against its network by hand, gradients, training, maps, bad files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toy_training import toy_job

from m2f2bench import import_weights
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.cam import CamDetector
from m2f2bench.detectors.forada.detector import ForadaDetector, build, forada_options
from m2f2bench.detectors.network import Normalise
from m2f2bench.loading import load_detector

WIDTH, PATCH, GRID, LAYERS, JOINT = 128, 8, 4, 3, 16
SIDE, QUERIES, HIDDEN, DECODER, HEADS = 64, 8, 12, 10, 2
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": WIDTH,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": PATCH * GRID,
    "patch_size": PATCH,
    "projection_dim": JOINT,
}
OPTIONS = {
    "clip": {"config": CLIP},
    "queries": QUERIES,
    "side_width": SIDE,
    "side_heads": 1,
    "side_blocks": 2,
    "mlp_width": HIDDEN,
    "decoder_width": DECODER,
    "intra_after": 2,
    "intra_width": 6,
}
CARD = DetectorCard(name="small", backend="forada", input={"size": 64}, options=OPTIONS)


def authors_file() -> dict[str, torch.Tensor]:
    """All tensors of a small file, random, with the names of the authors' code."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int, std: float = 0.15) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * std

    def norm(name: str, width: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": 1 + draw(width), f"{name}.bias": draw(width)}

    def layer(name: str, out: int, *inputs: int) -> dict[str, torch.Tensor]:
        return {f"{name}.weight": draw(out, *inputs), f"{name}.bias": draw(out)}

    visual = {
        "class_embedding": draw(WIDTH, std=1.0),
        "positional_embedding": draw(GRID**2 + 1, WIDTH),
        "conv1.weight": draw(WIDTH, 3, PATCH, PATCH),
        "proj": draw(WIDTH, JOINT),
        **norm("ln_pre", WIDTH),
        **norm("ln_post", WIDTH),
    }
    for number in range(LAYERS):
        block = f"transformer.resblocks.{number}"
        visual |= norm(f"{block}.ln_1", WIDTH) | norm(f"{block}.ln_2", WIDTH)
        visual |= layer(f"{block}.mlp.c_fc", 96, WIDTH) | layer(f"{block}.mlp.c_proj", WIDTH, 96)
        visual |= layer(f"{block}.attn.out_proj", WIDTH, WIDTH)
        visual |= {
            f"{block}.attn.in_proj_weight": draw(3 * WIDTH, WIDTH),
            f"{block}.attn.in_proj_bias": draw(3 * WIDTH),
        }
    own = {f"clip_model.visual.{name}": value for name, value in visual.items()}
    own |= {f"rec_attn_clip.vit.{name}": value for name, value in visual.items()}
    own |= {
        "clip_model.logit_scale": draw(1),
        "rec_attn_clip.intra_scale": draw(1),
        "rec_attn_clip.proj": visual["proj"],
    }
    own |= layer("rec_attn_clip.clip_intra_blocks.0.conv_first", 6, WIDTH, 1)
    own |= layer("rec_attn_clip.clip_intra_blocks.0.conv_second", WIDTH, 6, 1)
    own |= {"adapter.query_embed": draw(1, QUERIES, SIDE), "adapter.query_pos_embed": draw(1, QUERIES, SIDE)}
    own |= {"adapter.vit_model.pos_embed": draw(1, 196, SIDE)}
    own |= norm("adapter.ln_pre", SIDE) | layer("adapter.patch_conv", SIDE, 3, 16, 16)
    own |= {"adapter.vit_model.patch_embed.proj.weight": draw(SIDE, 3, 16, 16)}
    for number in range(9):  # the ninth is not used
        block = f"adapter.vit_model.blocks.{number}"
        own |= norm(f"{block}.norm1", SIDE) | norm(f"{block}.norm2", SIDE)
        own |= layer(f"{block}.attn.qkv", 3 * SIDE, SIDE) | layer(f"{block}.attn.proj", SIDE, SIDE)
        own |= layer(f"{block}.mlp.fc1", 4 * SIDE, SIDE) | layer(f"{block}.mlp.fc2", SIDE, 4 * SIDE)
    for name, out, kernel in (
        ("query_mlp", DECODER, ()),
        ("attn_mlp", DECODER * HEADS, (1, 1)),
        ("xray_mlp", 5, (1, 1)),
    ):
        for place, (a, b) in enumerate(((SIDE, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, out))):
            own |= layer(f"adapter.mask_decoder.{name}.layers.{place}", b, a, *kernel)
    own |= layer("adapter.mask_decoder.bias_scaling", 1, 1)
    first, second = "clip_post_process.first_process", "clip_post_process.second_process"
    for place, (a, b) in {0: (8, 4), 3: (4, 2), 6: (2, 1)}.items():
        own |= {f"{first}.{place}.weight": draw(b, a, 3, std=0.5), f"{first}.{place}.bias": draw(b)}
    for place, width in {1: 4, 4: 2}.items():
        own |= norm(f"{first}.{place}", width)
        own |= {f"{first}.{place}.running_mean": draw(width), f"{first}.{place}.running_var": 1 + draw(width).abs()}
        own |= {f"{first}.{place}.num_batches_tracked": torch.tensor(5)}
    for place, (a, b) in {0: (16, 8), 2: (8, 4), 4: (4, 2)}.items():
        own |= {f"{second}.{place}.weight": draw(b, a, std=0.5), f"{second}.{place}.bias": draw(b)}
    return own | layer("masked_xray_post_process.process.0", 4, 8, 3, 3)


def by_hand(t: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """P(fake) of images [1, 3, 64, 64], token by token with torch's functions alone."""

    def norm(x, name, eps):
        return F.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"], eps)

    def lin(x, name):
        return F.linear(x, t[f"{name}.weight"].flatten(1), t[f"{name}.bias"])

    def attend(x, weight, bias, heads, mask=None):
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in F.linear(x, weight, bias).chunk(3, -1))
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        return ((scores if mask is None else scores + mask).softmax(-1) @ v).transpose(0, 1).flatten(1)

    places = F.interpolate(
        t["adapter.vit_model.pos_embed"][0].T.reshape(1, SIDE, 14, 14), (GRID, GRID), mode="bilinear"
    )
    places = torch.cat([t["adapter.query_pos_embed"][0], places[0].flatten(1).T])
    cells = F.conv2d(pixels, t["adapter.patch_conv.weight"], t["adapter.patch_conv.bias"], stride=16)[0].flatten(1).T
    x = norm(torch.cat([t["adapter.query_embed"][0], cells]) + places, "adapter.ln_pre", 1e-5)
    for number in range(8):
        block = f"adapter.vit_model.blocks.{number}"
        weight, bias = t[f"{block}.attn.qkv.weight"], t[f"{block}.attn.qkv.bias"]
        x = x + lin(attend(norm(x, f"{block}.norm1", 1e-6), weight, bias, 1), f"{block}.attn.proj")
        x = x + lin(F.gelu(lin(norm(x, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1")), f"{block}.mlp.fc2")
        x = x if number == 7 else x + places

    def perceptron(y, name):
        y = F.relu(lin(F.relu(lin(y, f"{name}.layers.0")), f"{name}.layers.1"))
        return lin(y, f"{name}.layers.2")

    decoder = "adapter.mask_decoder"
    queries = perceptron(x[:QUERIES], f"{decoder}.query_mlp")
    keys = perceptron(x[QUERIES:], f"{decoder}.attn_mlp").view(GRID**2, HEADS, DECODER)
    scale, shift = t[f"{decoder}.bias_scaling.weight"][0, 0], t[f"{decoder}.bias_scaling.bias"][0]
    count = QUERIES + 1 + GRID**2
    mask = torch.full((HEADS, count, count), -100.0)
    mask[:, :, QUERIES:] = 0.0
    for query in range(QUERIES):
        mask[:, query, QUERIES] = -100.0
        mask[:, query, query] = 0.0
        for cell in range(GRID**2):
            for head in range(HEADS):
                mask[head, query, QUERIES + 1 + cell] = (queries[query] @ keys[cell, head]) * scale + shift

    v = "clip_model.visual"
    small = F.interpolate(pixels, (PATCH * GRID, PATCH * GRID), mode="bilinear")
    patches = F.conv2d(small, t[f"{v}.conv1.weight"], stride=PATCH)[0].flatten(1).T
    tokens = torch.cat([t[f"{v}.class_embedding"][None], patches]) + t[f"{v}.positional_embedding"]
    tokens = norm(tokens, f"{v}.ln_pre", 1e-5)
    x = torch.cat([tokens[:1].repeat(QUERIES, 1), tokens])
    for number in range(LAYERS):
        block = f"{v}.transformer.resblocks.{number}"
        weight, bias = t[f"{block}.attn.in_proj_weight"], t[f"{block}.attn.in_proj_bias"]
        x = x + lin(attend(norm(x, f"{block}.ln_1", 1e-5), weight, bias, HEADS, mask), f"{block}.attn.out_proj")
        y = lin(norm(x, f"{block}.ln_2", 1e-5), f"{block}.mlp.c_fc")
        x = x + lin(y * torch.sigmoid(1.702 * y), f"{block}.mlp.c_proj")
        if number == LAYERS - 2:  # in the authors' 24 layers after the seventh
            intra = "rec_attn_clip.clip_intra_blocks.0"
            added = lin(F.relu(lin(x[QUERIES + 1 :], f"{intra}.conv_first")), f"{intra}.conv_second")
            x = torch.cat([x[: QUERIES + 1], x[QUERIES + 1 :] + 0.05 * added])
    z = F.normalize(norm(x[:QUERIES], f"{v}.ln_post", 1e-5) @ t[f"{v}.proj"], dim=-1)[None]
    first, second = "clip_post_process.first_process", "clip_post_process.second_process"
    for place in (0, 3, 6):
        z = F.conv1d(z, t[f"{first}.{place}.weight"], t[f"{first}.{place}.bias"], padding=1)
        if place < 6:
            name = f"{first}.{place + 1}"
            shape = (t[f"{name}.running_mean"], t[f"{name}.running_var"], t[f"{name}.weight"], t[f"{name}.bias"])
            z = F.relu(F.batch_norm(z, *shape))
    y = F.relu(lin(F.relu(lin(z[:, 0], f"{second}.0")), f"{second}.2"))
    return torch.softmax(lin(y, f"{second}.4").double(), dim=1)[0, 1]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 40 + 30 * i, (64, 64, 3), dtype=np.uint8) for i in range(8)]


def test_the_authors_file_is_judged_as_its_network(pictures, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
    tensors = authors_file()
    torch.save({f"module.{name}": value for name, value in tensors.items()}, tmp_path / "forada.pth")
    import_weights(tmp_path / "forada.pth", "forada", tmp_path / "out")
    detector = load_detector(str(tmp_path / "out"), "cpu")
    together = detector.predict(pictures)
    pixels = Normalise(detector.settings)(torch.from_numpy(np.stack(pictures)))
    with torch.no_grad():
        expected = [float(by_hand(tensors, one[None])) for one in pixels]
    assert together == pytest.approx(expected, abs=1e-6) and np.ptp(together) > 1e-4
    assert (detector.predict(pictures) == together).all(), "nothing is drawn in a forward pass"
    assert together == pytest.approx(np.concatenate([detector.predict([one]) for one in pictures]), abs=1e-5)
    cam = CamDetector(detector, "layercam")
    assert cam.heatmap(pictures[:2]).shape == (2, GRID, GRID) and cam.how.endswith("layers.2.layer_norm1")
    record = json.loads((tmp_path / "out" / "import.json").read_text())
    assert "drawn anew in each forward pass" in " ".join(record["notes"])
    assert "rec_attn_clip.intra_scale" in record["without_effect"]
    assert "adapter.vit_model.blocks.8.norm1.weight" in record["without_effect"]
    assert "without the fusion layers" in detector.card.description


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("adapter.query_pos_embed"), r"'adapter\.query_pos_embed' missing"),
        (lambda t: t.pop("adapter.query_embed"), r"'adapter\.query_embed' is missing"),
        (lambda t: t.update({"odd": torch.zeros(1)}), r"'odd' unexpected"),
        (lambda t: t.update({"clip_model.visual.ln_post.bias": torch.zeros(3)}), r"ln_post\.bias' of another shape"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, message: str, tmp_path: Path) -> None:
    tensors = authors_file()
    change(tensors)
    torch.save(tensors, tmp_path / "forada.pth")
    with pytest.raises(DetectorError, match=message):
        import_weights(tmp_path / "forada.pth", "forada", tmp_path / "out")


def test_clip_stays_and_everything_else_learns() -> None:
    torch.manual_seed(0)
    model, _ = build(forada_options(CARD), CARD)
    model.train()(torch.randn(4, 3, 64, 64)).square().sum().backward()
    for name, value in model.named_parameters():
        assert (value.grad is None) == name.startswith("clip."), name
        assert value.grad is None or value.grad.any(), name


def test_a_training_ends_in_a_detector(pictures, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    job = toy_job(tmp_path, epochs=1, size=64)
    report = ForadaDetector.fit(replace(job, card=CARD.model_copy(update={"training": job.settings})))
    update = {"options": {**CARD.options, **report.options}, "weights": str(report.weights)}
    detector = ForadaDetector.from_card(CARD.model_copy(update=update), "cpu")
    assert report.val_auc is not None and np.isfinite(detector.predict(pictures)).all()


def test_sizes_that_do_not_fit_are_one_line() -> None:
    card = CARD.model_copy(update={"input": CARD.input.model_copy(update={"size": 96})})
    with pytest.raises(DetectorError, match=r"an input of 96 pixels does not fit .* set input.size to 64"):
        build(forada_options(card), card)
    card = CARD.model_copy(update={"options": {**OPTIONS, "intra_after": 3}})
    with pytest.raises(DetectorError, match=r"intra_after 3 must be less than CLIP's 3 layers"):
        build(forada_options(card), card)
