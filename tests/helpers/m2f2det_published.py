"""Files like those that the authors of M2F2-Det published, filled by a recipe, and what they compute, written plainly.

Names and shapes are facts about the published files; `*` stands for the number of a layer of a CLIP tower.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paths import TESTS
from torch import nn
from torch.nn import functional as F

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.detectors.m2f2det.released.network import ReleasedDetector, ReleasedExplainerDetector, load_released
from m2f2bench.detectors.network import Normalise, resize

FACTS: dict[str, Any] = json.loads((TESTS / "data/m2f2det_released.json").read_text(encoding="utf-8"))
PARITY: dict[str, Any] = FACTS["parity"]
LAYERS = {"text_model": 12, "vision_model": 24}
TEXT, VISION = "clip_text_encoder.model.text_model.", "clip_vision_encoder.model.vision_model."
SMALL = {"vision": 128, "text": 64, "vision_layers": 4, "text_layers": 3, "patch": 8, "size": 64, "words": 50}
"""Widths and depths of the small CLIP; inner widths are twice the width."""

Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, torch.Tensor]


def full_shapes(kind: str) -> Shapes:
    """Names and shapes of the published file; `kind` is `detector` or `explainer`."""
    return _expand(FACTS[kind], LAYERS)


def small_shapes(kind: str) -> Shapes:
    """The same tensors with a small CLIP before the CNN at full size."""
    table = {name: _shrink(name, shape, kind) for name, shape in FACTS[kind].items()}
    return _expand(table, {"text_model": SMALL["text_layers"], "vision_model": SMALL["vision_layers"]})


def _expand(table: dict[str, Any], layers: dict[str, int]) -> Shapes:
    shapes: Shapes = {}
    for name, shape in table.items():
        count = next((count for tower, count in layers.items() if f"{tower}." in name and "*" in name), 1)
        shapes |= {name.replace("*", str(layer)): tuple(shape) for layer in range(count)}
    return shapes


def _shrink(name: str, shape: list[int], kind: str) -> list[int]:
    patches = (SMALL["size"] // SMALL["patch"]) ** 2
    if name.startswith(("clip_text_encoder", "text_proj.0.weight")):
        sizes = {768: SMALL["text"], 3072: 2 * SMALL["text"], 49408: SMALL["words"]}
        return [sizes.get(size, size) for size in shape]
    if name.startswith(VISION):
        sizes = {1024: SMALL["vision"], 4096: 2 * SMALL["vision"], 577: patches + 1, 14: SMALL["patch"]}
        return [sizes.get(size, size) for size in shape]
    if name in ("vision_proj.0.weight", "clip_reduction.weight"):
        return [shape[0], SMALL["vision"]]
    if name == "output.weight" and kind == "explainer":
        return [2, shape[1] - 576 + patches]
    return shape


def fill(shapes: Shapes, salt: int) -> Tensors:
    """Every tensor drawn from its name and the salt."""
    tensors: Tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(0)
            continue
        seed = zlib.crc32(f"{salt}:{name}".encode())
        t = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        if name in ("clip_vision_alpha", "clip_text_alpha"):
            tensors[name] = torch.tensor(0.5 if name == "clip_vision_alpha" else 4.0)
        elif name.endswith(".running_var"):
            tensors[name] = t.abs() + 1
        elif len(shape) < 2:
            tensors[name] = 1 + 0.1 * t if name.endswith(".weight") else 0.1 * t
        else:
            tensors[name] = t.div_(math.sqrt(t.numel() / shape[0]))
    return tensors


def images(salt: int, size: int = 224) -> torch.Tensor:
    """Three images, uint8 [3, 3, size, size]."""
    g = torch.Generator().manual_seed(1000 + salt)
    small = torch.rand(3, 3, 28, 28, generator=g)
    up = F.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    noise = torch.rand(3, 3, size, size, generator=g)
    return ((0.8 * up + 0.2 * noise) * 255).floor().to(torch.uint8)


def save_checkpoint(path: Path, tensors: Tensors, scheduler: object = None, **save: Any) -> Path:
    """A file as the authors' training wrote it."""
    content = {
        "epoch": 7,
        "model_state_dict": {f"module.{name}": value for name, value in tensors.items()},
        "optimizer_state_dict": {"state": {0: {"step": 3, "exp_avg": torch.ones(5)}}, "param_groups": [{"lr": 1e-3}]},
        "iter": 100,
        "scheduler": scheduler,
        "val_loss": 0.25,
    }
    torch.save(content, path, **save)
    return path


def load(folder: Path, **options: Any) -> ReleasedDetector | ReleasedExplainerDetector:
    card = read_card("detectors", folder / "card.yaml")
    assert isinstance(card, DetectorCard)
    changed = card.model_copy(update={"options": {**card.options, **options}})
    changed._path = card.path
    return load_released(changed)[0]


def pixels(folder: Path, salt: int = 0) -> torch.Tensor:
    """The images of a salt as the folder's card prepares them, float32 [3, 3, S, S]."""
    card = read_card("detectors", folder / "card.yaml")
    assert isinstance(card, DetectorCard)
    pictures = [resize(picture.permute(1, 2, 0).numpy(), card.input) for picture in images(salt)]
    return Normalise(card.input)(torch.from_numpy(np.stack(pictures)))


def small(kind: str, salt: int = 0) -> Tensors:
    return fill(small_shapes(kind), salt)


class Reference:
    """What the published code computes, all of it: both CLIP towers by transformers, every layer, no folding."""

    def __init__(self, kind: str, tensors: Tensors) -> None:
        from torchvision import models
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

        self.kind, self.t = kind, tensors
        self.vision = _transformer(CLIPVisionModel, CLIPVisionConfig, self._vision_config(), tensors, VISION)
        self.text = _transformer(CLIPTextModel, CLIPTextConfig, self._text_config(), tensors, TEXT)
        net: Any = models.efficientnet_b4() if kind == "detector" else models.densenet121()
        self.cnn = net.features.eval()
        prefix = "deepfake_encoder."
        self.cnn.load_state_dict({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})

    def _config(self, prefix: str) -> dict[str, Any]:
        inner, width = self.t[f"{prefix}encoder.layers.0.mlp.fc1.weight"].shape
        layers = len({name.split("layers.")[1].split(".")[0] for name in self.t if name.startswith(f"{prefix}encoder")})
        return {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
                "num_attention_heads": width // 64, "hidden_act": "quick_gelu"}  # fmt: skip

    def _vision_config(self) -> dict[str, Any]:
        patch = self.t[f"{VISION}embeddings.patch_embedding.weight"].shape[-1]
        side = math.isqrt(len(self.t[f"{VISION}embeddings.position_embedding.weight"]))
        return {**self._config(VISION), "image_size": side * patch, "patch_size": patch}

    def _text_config(self) -> dict[str, Any]:
        words = len(self.t[f"{TEXT}embeddings.token_embedding.weight"])
        return {**self._config(TEXT), "vocab_size": words, "max_position_embeddings": 77,
                "bos_token_id": 0, "eos_token_id": 1}  # fmt: skip

    def _project(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x = F.linear(x, self.t[f"{name}.0.weight"], self.t[f"{name}.0.bias"])
        return F.layer_norm(x, x.shape[-1:], self.t[f"{name}.1.weight"], self.t[f"{name}.1.bias"])

    def text_feature(self) -> torch.Tensor:
        """The learned prompt through every text layer, the last position: [1, d]."""
        x = self.t["clip_text_encoder.prompt_tokens"]
        inner = getattr(self.text, "text_model", self.text)
        x = x + inner.embeddings.position_embedding.weight[: x.shape[1]]
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)[None, None]
        for layer in inner.encoder.layers:
            out = layer(x, attention_mask=mask)
            x = out[0] if isinstance(out, tuple) else out
        return inner.final_layer_norm(x)[:, -1]

    def bridge(self, count: int) -> torch.Tensor:
        """The released bridge, its first half given noise: [count, 128]."""
        name, t = "bridge_adapter_proj.bridge_adapter_", self.t
        tokens = t[f"{name}reduction.0.weight"].shape[1]
        x = torch.randn(count, tokens, t[f"{name}proj.1.weight"].shape[1], generator=torch.Generator().manual_seed(1))
        x = F.linear(x, t[f"{name}proj.1.weight"], t[f"{name}proj.1.bias"])
        x = F.layer_norm(x, (1,), t[f"{name}proj.2.weight"], t[f"{name}proj.2.bias"]).flatten(1)
        return self._project(f"{name}reduction", x)

    @torch.no_grad()
    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """[B, 2] for normalised images."""
        hidden = self.vision(pixels, output_hidden_states=True).hidden_states[-2]
        pooled = self._project("deepfake_proj", F.adaptive_avg_pool2d(self.cnn(pixels), 1).flatten(1))
        tokens = self._project("vision_proj", hidden)
        first = tokens[:, 0] * self.t["clip_vision_alpha"]
        if self.kind == "detector":
            parts = [first, self.bridge(len(pixels)) * self.t["clip_text_alpha"], pooled]
        else:
            text = self._project("text_proj", self.text_feature())
            patches = tokens[:, 1:] / tokens[:, 1:].norm(dim=-1, keepdim=True)
            cosines = (patches @ (text / text.norm(dim=-1, keepdim=True)).T).squeeze(2)
            parts = [cosines * self.t["clip_text_alpha"], first, pooled]
        return F.linear(torch.cat(parts, dim=1), self.t["output.weight"], self.t["output.bias"])


def _transformer(model: Any, config: Any, settings: dict[str, Any], tensors: Tensors, prefix: str) -> nn.Module:
    """transformers' own tower with the file's tensors, whichever level its names have."""
    net: nn.Module = model(config(**settings)).eval()
    level = prefix.rsplit(".", 2)[1] + "."
    own = [name for name in net.state_dict() if not name.endswith("position_ids")]
    found = {name: tensors[prefix + name.removeprefix(level)] for name in own}
    missing, unexpected = net.load_state_dict(found, strict=False)
    assert not unexpected and all(name.endswith("position_ids") for name in missing)
    return net
