"""Audit of the field's known cases: ForAda's random fusion, RECCE's second Xception, M2F2-Det's dead bridge in code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from dfb_published import blank, filled, needs_reference, parity, recipe, save
from one_line import error_of
from torch import nn
from torch.nn import functional as F

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.detectors.forada.detector import ForadaDetector, build, forada_options
from m2f2bench.detectors.forada.network import Adapter
from m2f2bench.detectors.published.importing import without_effect
from m2f2bench.detectors.weights.load import unused

CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 16,
}
SIDE = {"queries": 8, "side_width": 32, "side_heads": 1, "side_blocks": 3, "mlp_width": 12, "decoder_width": 10}
CARD = DetectorCard(
    name="small",
    backend="forada",
    input={"size": 64},
    options={"clip": {"config": CLIP}, **SIDE, "intra_after": 2, "intra_width": 6},
)


class FusingAdapter(Adapter):
    """The side network as its authors' code has it: CLIP's tokens come in by layers that are made in the pass."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        maps = self.patch_conv(pixels)
        grid, count = maps.shape[-1], self.query_embed.shape[1]
        places = torch.cat([self.query_pos_embed, self.vit_model.positions(grid)], dim=1)
        tokens = torch.cat([self.query_embed.expand(len(maps), -1, -1), maps.flatten(2).transpose(1, 2)], dim=1)
        x = self.ln_pre(tokens + places)
        for block in self.vit_model.blocks:
            fused = self.fused(F.adaptive_avg_pool2d(pixels, grid), x.shape[2])
            x = block(x) + places
            x = torch.cat([x[:, :count], x[:, count:] + fused], dim=1)
        patches = x[:, count:].transpose(1, 2).reshape(len(x), -1, grid, grid)
        found: torch.Tensor = self.mask_decoder(self.mask_decoder.query_mlp(x[:, :count]), patches)
        return found

    @staticmethod
    def fused(features: torch.Tensor, width: int) -> torch.Tensor:
        cells = nn.LayerNorm(features.shape[1])(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return nn.Conv2d(features.shape[1], width, 1)(cells).flatten(2).transpose(1, 2)


def forada(fusing: bool) -> ForadaDetector:
    """A small ForAda whose trained parts have moved from where they were drawn."""
    torch.manual_seed(0)
    model, _ = build(forada_options(CARD), CARD)
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")) or value.ndim < 2:
            value += 0.05 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else 0
        else:
            value.copy_(1.5 * torch.randn(value.shape, generator=generator) / value[0].numel() ** 0.5)
    if fusing:
        model.adapter.__class__ = FusingAdapter
    detector = ForadaDetector(model, CARD.input, "cpu", "toy")
    detector.card = CARD
    return detector


def test_foradas_layers_that_are_drawn_in_each_pass_are_named() -> None:
    found = m2f2bench.audit_checkpoint(forada(fusing=True))
    (one,) = [one for one in found.findings if one.topic == "built anew"]
    assert one.part == "adapter", found.markdown()
    assert "builds LayerNorm, Conv2d with new weights in each forward pass (6 in one pass)" in one.text
    assert any(one.topic == "random" for one in found.findings), found.markdown()


def test_forada_without_them_is_sound() -> None:
    found = m2f2bench.audit_checkpoint(forada(fusing=False))
    assert not [one for one in found.findings if one.topic in ("built anew", "random", "batch")], found.markdown()


@needs_reference
@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("recce", {"backbone": 283, "model": 2}),
        ("ucf", {"encoder_f": 2, "encoder_c": 283, "con_gan": 14, "block_spe": 6, "head_spe": 4}),
        ("xception", {"backbone": 7}),
        ("meso4", {}),
    ],
)
def test_a_published_form_says_what_has_no_effect(kind: str, counts: dict[str, int]) -> None:
    shapes = {f"module.{name}": tuple(value.shape) for name, value in blank(kind).items()}
    names = without_effect(shapes, f"deepfakebench-{kind}")
    parts = [name.split(".")[1] for name in names]
    assert {part: parts.count(part) for part in dict.fromkeys(parts)} == counts
    assert without_effect({**shapes, "module.one.more": (1,)}, f"deepfakebench-{kind}") == []


@needs_reference
def test_a_whole_published_file_is_read_with_as_and_scores_as_the_published_code(tmp_path: Path) -> None:
    """F3Net's has layers beside those of ours, in the same part."""
    names = {name: torch.zeros(value) for name, value in {"backbone.adjust_channel.0.bias": (512,)}.items()}
    own = {name: torch.zeros(1) for name in ("backbone.conv1.weight", "FAD_head.x")}
    left = unused({**own, **names, "backbone.other.bias": torch.zeros(1)}, own, ("backbone.adjust_channel.",))
    assert left == list(names)
    file = save(filled("meso4"), tmp_path / "meso4_best.pth")
    card = "name: mine\nbase: meso4-deepfakebench\ninput: {size: 256, interpolation: bicubic, mean: [0.5, 0.5, 0.5], "
    (tmp_path / "mine.yaml").write_text(card + "std: [0.5, 0.5, 0.5]}\n")
    given = m2f2bench.detector_from(file, tmp_path / "mine.yaml", fake_class=1)
    images = [one.permute(1, 2, 0).contiguous().numpy() for one in recipe().images(0)]
    found = m2f2bench.load_detector(given, "cpu").predict(images)
    assert found == pytest.approx(parity()["networks"]["meso4"]["p_fake"], abs=2e-5)
    line = error_of(lambda: m2f2bench.detector_from(file, "deepfakebench-meso4"))
    assert "is a kind of file: m2f2bench import-weights" in line


def test_a_checkpoint_of_code_alone_says_what_was_not_called(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"state_dict": {"a": Code()}}, tmp_path / "a.pth")
    line = error_of(lambda: m2f2bench.detector_from(tmp_path / "a.pth", "xception"))
    assert "system, which was not called" in line and not (tmp_path / "ran").exists()


@needs_reference
@pytest.mark.slow
def test_recces_second_xception_is_named_before_and_after_the_import(tmp_path: Path) -> None:
    file = save(filled("recce"), tmp_path / "recce_best.pth")
    alone = m2f2bench.audit_checkpoint(file)
    (one,) = alone.findings
    assert (one.topic, one.part) == ("no effect", "backbone") and "a second, whole Xception" in one.text
    assert "no score depends on 285 tensors of 'backbone', 'model'" in one.text
    (tmp_path / "small.yaml").write_text("name: small\nbase: recce\ninput: {size: 64}\n")
    watched = m2f2bench.audit_checkpoint(file, kind=tmp_path / "small.yaml", fake_class=1)
    assert any(one.topic == "not read" and "no place for 285 tensors" in one.text for one in watched.findings)
    m2f2bench.import_weights(file, "deepfakebench-recce", tmp_path / "out")
    card = tmp_path / "out" / "card.yaml"
    card.write_text(card.read_text().replace("size: 256", "size: 64"))
    after: Any = m2f2bench.audit_checkpoint(tmp_path / "out")
    texts = [one.text for one in after.findings]
    assert any("285 tensors have no effect on a score and were left out: those of 'backbone'" in one for one in texts)
    assert not [one for one in after.findings if one.topic in ("batch", "random", "not read", "built anew")], texts
    file.unlink()
    (tmp_path / "out" / "model.safetensors").unlink()
