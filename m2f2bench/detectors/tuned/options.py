"""Options on the cards of `tuned` detectors: which backbone, which of its features, and what of it is trained."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ...cards.settings import LoraSettings, Settings
from ..timm import TimmSource

Tuning = Literal["probe", "layernorm", "lora", "svd", "full"]
Feature = Literal["pooled", "projected", "cls", "classifier"]


class TransformersSource(Settings):
    """A vision model of the package transformers, and where its weights come from."""

    name: str | None = None
    """A name on the Hugging Face hub, or a local folder (a relative one starts from the card's)."""
    config: dict[str, Any] | None = None
    """The model's configuration with its `model_type`. Together with `name`, it is filled in by training, so that a
    trained detector needs no hub; alone, it means random weights."""
    architecture: str | None = None
    """The model's class, such as `CLIPVisionModel`. None: for a CLIP its image tower; else the class that its
    configuration names, if that is an image classifier; else the plain model. Filled in by training."""

    @model_validator(mode="after")
    def _whole(self) -> TransformersSource:
        if self.name is None and self.config is None:
            raise ValueError("give `name` (hub or folder) or `config` (random weights)")
        if self.config is not None and not isinstance(self.config.get("model_type"), str):
            raise ValueError("`config` needs `model_type`, such as clip_vision_model")
        return self


class BackboneSource(Settings):
    """Which library a backbone is from: one of the two."""

    transformers: TransformersSource | None = None
    """A model of the package transformers."""
    timm: TimmSource | None = None
    """A model of the package timm."""

    @model_validator(mode="after")
    def _one(self) -> BackboneSource:
        if (self.transformers is None) == (self.timm is None):
            raise ValueError("give either `transformers` or `timm`")
        return self


class TunedOptions(Settings):
    """Options of the `tuned` backend: backbone, feature, what is trained, and the head's input."""

    backbone: BackboneSource
    """The pretrained network."""
    feature: Feature | None = None
    """The head's input. `pooled`: the model's own pooled output; `projected`: CLIP's image embedding; `cls`: the first
    token of the last layer; `classifier`: what the model's own classifier would read. None: `classifier` for timm
    models and image classifiers, else `pooled`. Filled in by training."""
    frames: int = Field(default=1, ge=1, le=256)
    """Frames of one video that are judged together, as a video model needs (16 for VideoMAE); 1: single images."""
    unit_norm: bool = False
    """Whether the head's input is divided by its length (GenD)."""
    tune: Tuning = "full"
    """What is trained besides the head. `probe`: nothing; `layernorm`: every LayerNorm; `lora`: low-rank adapters,
    added to the weights when the training ends; `svd`: the last singular triples of the attention's linear layers
    (Effort); `full`: everything."""
    lora: LoraSettings = LoraSettings(r=8, alpha=16.0, dropout=0.0)
    """For `tune: lora`. Without `targets`: the linear layers of the attention; in a network without one, all linear
    layers and convolutions."""
    svd_rank: int = Field(default=1, ge=1)
    """For `tune: svd`: singular triples of each layer that are trained; 1 is Effort's."""

    @model_validator(mode="after")
    def _fits(self) -> TunedOptions:
        if self.backbone.timm is not None and self.feature not in (None, "classifier"):
            raise ValueError(f"feature `{self.feature}` is for `transformers`: a timm model's feature is `classifier`")
        return self
