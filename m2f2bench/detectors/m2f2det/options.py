"""Options on the card of an `m2f2det` detector of the variant `paper`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ...cards.settings import Settings
from .clip_source import ClipSource
from .cnn import CnnSettings


class PaperOptions(Settings):
    """The architecture as the paper describes it.

    The ablations of its table are: a number of tokens set to 0, `bridge` or `map_weighting` set to false.
    """

    variant: Literal["paper"] = "paper"
    clip: ClipSource
    cnn: CnnSettings
    train_vision: bool = False
    """Whether CLIP's image tower and its projection are trained: only for a CLIP without pretrained weights."""
    clip_precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of a frozen image tower, in training and scoring alike."""
    clip_depths: tuple[int, ...] = ()
    """CLIP layers that the bridge reads, counted from 1. Empty: 1/4, 5/12 and 7/12 of all (6, 10, 14 of 24)."""
    general_tokens: int = Field(default=8, ge=0, le=64)
    specific_tokens: int = Field(default=4, ge=0, le=64)
    layer_tokens: int = Field(default=4, ge=0, le=64)
    """Layer-wise forgery tokens before each layer of the text tower."""
    bridge: bool = True
    map_weighting: bool = True
    """If false, the CNN's and the bridge's features are averaged evenly: there is no prompt then, and no heat map."""
    bridge_width: int = Field(default=64, ge=4)
    bridge_heads: int = Field(default=4, ge=1)
    head_width: int = Field(default=128, ge=1)
    """Width of each of the head's three inputs."""
    temperature: float = Field(default=5.0, gt=0.0)
    """Initial value of the forgery map's learned temperature."""
    cache_features: float = Field(default=0.0, ge=0.0)
    """Gigabytes of disk for a frozen image tower's features in training; 0: no cache."""

    @model_validator(mode="after")
    def _fits(self) -> PaperOptions:
        if self.bridge_width % self.bridge_heads:
            raise ValueError(f"bridge_width {self.bridge_width} must be a multiple of bridge_heads {self.bridge_heads}")
        if self.train_vision and self.cache_features:
            raise ValueError("cache_features is for a frozen image tower: set train_vision to false")
        if self.train_vision and self.clip_precision != "fp32":
            raise ValueError("clip_precision is for a frozen image tower: set the training's `precision` instead")
        config, text = self.clip.config, 1 + self.general_tokens + self.specific_tokens
        if config is not None:
            longest = config.text_config.max_position_embeddings
            if text + max(3, len(self.clip.words)) - 1 > longest:
                raise ValueError(f"the prompt has more tokens than the text tower's {longest} positions")
            if any(not 1 <= depth <= config.vision_config.num_hidden_layers for depth in self.clip_depths):
                raise ValueError(f"clip_depths {self.clip_depths} must be layers from 1 on of the image tower")
        return self

    def depths(self, layers: int) -> tuple[int, ...]:
        """Return the CLIP layers that the bridge reads, of an image tower of `layers`; distinct ones if possible."""
        if self.clip_depths:
            return self.clip_depths
        first = max(1, int(layers * 3 / 12 + 0.5))
        second = max(first + 1, int(layers * 5 / 12 + 0.5))
        third = max(second + 1, int(layers * 7 / 12 + 0.5))
        return tuple(min(layers, depth) for depth in (first, second, third))
