"""The network of a `tuned` detector: a backbone's feature, and a linear head with one logit."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .backbones import Backbone

NORMS = ("layer_norm1", "norm1", "layernorm_before", "layer_norm_before", "input_layernorm")
"""Names that transformers gives to the first norm of a vision transformer's layer."""


class TokenMap(NamedTuple):
    """A layer whose output is tokens [B, prefix + rows · columns, d]."""

    layer: str
    prefix: int
    grid: tuple[int, int]
    times: int = 1
    """Of a clip: grids that follow each other in time; the prefix is followed by times · rows · columns tokens."""


class TunedNetwork(nn.Module):
    """A backbone and a linear head. Images [B, 3, S, S], or clips [B, T, 3, S, S], become the logit of fake, [B]."""

    def __init__(self, backbone: Backbone, unit_norm: bool) -> None:
        """Draw the head's weights near zero, from torch's generator."""
        super().__init__()
        self.backbone, self.feature, self.unit_norm = backbone.module, backbone.feature, unit_norm
        self.of_timm = backbone.source.timm is not None
        self.head = nn.Linear(backbone.width, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the head's input [B, d] for normalised images [B, 3, S, S]."""
        if self.of_timm:
            found: torch.Tensor = self.backbone(pixels)
        else:
            output: Any = self.backbone(pixel_values=pixels)
            if self.feature == "cls":
                found = output.last_hidden_state[:, 0]
            else:
                names = {"pooled": "pooler_output", "projected": "image_embeds", "classifier": "logits"}
                found = output[names[self.feature]]
        found = found.flatten(1)
        return F.normalize(found, dim=1) if self.unit_norm else found

    @property
    def gives(self) -> tuple[str, ...]:
        """Names of the outputs in training; `split` stands for split layers, whose weights Effort's loss reads."""
        split = any(hasattr(module, "complement_u") for module in self.modules())
        return ("logit", "features", "split") if split else ("logit", "features")

    def training_outputs(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logit [B] and the head's input, `features` [B, d]."""
        features = self.features(pixels)
        return {"logit": self.head(features)[:, 0], "features": features}

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake [B]."""
        logits: torch.Tensor = self.head(self.features(pixels))
        return logits[:, 0]

    def token_map(self) -> TokenMap | None:
        """Return the last layer of a transformer of transformers on which all patches still count; None for others.

        That is the first norm of the last block: after it, only the class token may matter.
        """
        config = getattr(self.backbone, "config", None)
        size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
        named = [name for name, _ in self.backbone.named_modules() if name.rpartition(".")[2] in NORMS]
        if self.of_timm or not isinstance(size, int) or not isinstance(patch, int) or not named:
            return None
        registers = int(getattr(config, "num_register_tokens", 0) or 0)
        classes = 0 if "siglip" in str(getattr(config, "model_type", "")) else 1
        times = int(getattr(config, "num_frames", 1)) // int(getattr(config, "tubelet_size", 1))
        prefix = 0 if times > 1 else classes + registers
        return TokenMap(f"backbone.{named[-1]}", prefix, (size // patch, size // patch), times)
