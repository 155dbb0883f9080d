"""Networks of the weights that the authors of M2F2-Det published, without parts that have no effect.

There are two: the detector of the first training stage (EfficientNet-B4) and the detector inside the 7B explaining
model (DenseNet-121). Both read CLIP's hidden state -2, after all layers but the last, without the tower's final
LayerNorm. What is the same for every image is folded into a constant when weights are imported.
"""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from ....cards.models import DetectorCard, validate
from ....cards.settings import Settings
from ....core.errors import DetectorError
from ...base import trained_weights
from ...weights.load import load_strictly, load_weights
from ..clip import Linear, VisionSettings, VisionTower, projection
from ..options import check_input
from ..paper import Judgement
from ..projectors import mlp

Variant = Literal["released-detector", "released-explainer"]
CNN_CHANNELS: dict[Variant, int] = {"released-detector": 1792, "released-explainer": 1024}
WIDTH = "mm_projector.0.bias"
"""The projectors' tensor that has the LLM's width."""


class ReleasedOptions(Settings):
    """Options on the card of an imported detector."""

    variant: Variant
    vision: VisionSettings
    """CLIP's image tower as published, including the last layer, which is not needed here."""
    width: int = Field(ge=1)
    """Width of the projected CLS token, and of the projected tokens."""
    cnn_width: int = Field(ge=1)
    """Width of the CNN's projected features."""
    constant: int = Field(ge=1)
    """Values of the folded constant: the bridge's output, or the text feature."""
    clip_precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the image tower. CNN, projections and head are always fp32: the CNN in bf16 moves logits by half a
    standard deviation."""


class Released(nn.Module, abc.ABC):
    """Common parts of the two networks: towers, projections and a linear head."""

    def __init__(self, options: ReleasedOptions) -> None:
        """Build untrained; `options.variant` is the subclass's."""
        super().__init__()
        self.options = options
        settings = options.vision
        self.depth = settings.num_hidden_layers - 1
        self.vision = VisionTower(settings.model_copy(update={"num_hidden_layers": self.depth}))
        del self.vision.post_layernorm
        self.vision_proj = projection(settings.hidden_size, options.width)
        self.cnn = cnn(options.variant)
        self.deepfake_proj = projection(CNN_CHANNELS[options.variant], options.cnn_width)
        self.vision_alpha: torch.Tensor
        self.register_buffer("vision_alpha", torch.ones(()))

    def pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the CNN's features of images [B, 3, S, S], averaged over the map and projected: [B, cnn_width]."""
        features: torch.Tensor = self.deepfake_proj(self.cnn(pixels).mean((2, 3)))
        return features

    @abc.abstractmethod
    def judge(self, pixels: torch.Tensor) -> Judgement:
        """Return logits and heat map of normalised images [B, 3, S, S]."""

    def logits(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2], 0 real and 1 fake, of normalised images [B, 3, S, S]."""
        return self.judge(pixels).logits

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the difference of the logits, fake minus real, [B]: its sigmoid is softmax(logits)[1]."""
        logits = self.logits(pixels)
        return logits[:, 1] - logits[:, 0]


class ReleasedDetector(Released):
    """First stage's detector: CLS and CNN features, and a bridge that is constant for given weights."""

    def __init__(self, options: ReleasedOptions) -> None:
        super().__init__(options)
        self.bridge: torch.Tensor
        self.register_buffer("bridge", torch.zeros(options.constant))
        self.output = Linear(options.width + options.constant + options.cnn_width, 2)

    def judge(self, pixels: torch.Tensor) -> Judgement:
        """Return logits of normalised images [B, 3, S, S]; no map. CLIP's deepest layer is computed only for CLS."""
        (state,) = self.vision(pixels, [self.depth], cls_last=True)
        first = self.vision_proj(state[:, 0].float()) * self.vision_alpha
        bridge = self.bridge.expand(len(pixels), -1)
        return Judgement(self.output(torch.cat([first, bridge, self.pooled(pixels)], dim=1)), None)


class ReleasedExplainerDetector(Released):
    """Detector of the 7B model: similarity of each patch to the text, CLS, and CNN features."""

    def __init__(self, options: ReleasedOptions) -> None:
        """Build untrained. The text feature, `options.constant` values, is as wide as the projected tokens."""
        super().__init__(options)
        self.text: torch.Tensor
        self.text_alpha: torch.Tensor
        self.register_buffer("text", torch.zeros(options.constant))
        self.register_buffer("text_alpha", torch.ones(()))
        self.output = Linear(options.vision.grid**2 + options.width + options.cnn_width, 2)

    def judge(self, pixels: torch.Tensor) -> Judgement:
        """Return logits of normalised images [B, 3, S, S]. The map is σ(cosine of patch and text × the text scale)."""
        return self.judge_with_patches(pixels)[0]

    def judge_with_patches(self, pixels: torch.Tensor) -> tuple[Judgement, torch.Tensor]:
        """Return all outputs, and the patches of hidden state -2, [B, n², d] in fp32, for the 7B model's LLM."""
        (state,) = self.vision(pixels, [self.depth])
        state = state.float()
        tokens = self.vision_proj(state)
        fit = F.cosine_similarity(tokens[:, 1:], self.text, dim=2) * self.text_alpha
        parts = [fit, tokens[:, 0] * self.vision_alpha, self.pooled(pixels)]
        side = self.options.vision.grid
        judged = Judgement(self.output(torch.cat(parts, dim=1)), torch.sigmoid(fit).view(-1, 1, side, side))
        return judged, state[:, 1:]

    def heatmap(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return only the map, [B, n, n] in [0, 1]."""
        found = self.judge(pixels).map
        assert found is not None
        return found[:, 0]


class ReleasedProjectors(nn.Module):
    """The projectors of the published 7B model (LLaVA-1.5's, and one for the verdict)."""

    def __init__(self, patch_width: int, width: int) -> None:
        """`width` is the LLM's."""
        super().__init__()
        self.mm_projector, self.deepfake_projector = mlp(patch_width, width), mlp(2, width)
        self.width = width

    def forward(
        self,
        probabilities: torch.Tensor,
        patches: torch.Tensor,
        cells: torch.Tensor,
        regions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return H_V [B, N, D] of patches [B, N, d], and H_F [B, 1, D] of probabilities [B, 2]; the rest is ignored."""
        return self.mm_projector(patches), self.deepfake_projector(probabilities)[:, None]


def cnn(variant: Variant) -> nn.Module:
    """Return the CNN without its head, untrained; for DenseNet also without the final ReLU of its forward pass."""
    from torchvision import models

    net: nn.Module = models.efficientnet_b4() if variant == "released-detector" else models.densenet121()
    features = net.features
    assert isinstance(features, nn.Module)
    return features


def empty(options: ReleasedOptions) -> Released:
    """Return the network of a variant, in eval mode, without weights. Raises DetectorError for one layer."""
    if options.vision.num_hidden_layers < 2:
        raise DetectorError("CLIP's image tower has one layer: hidden state -2 needs at least 2")
    with torch.device("meta"):
        detector = options.variant == "released-detector"
        network = ReleasedDetector(options) if detector else ReleasedExplainerDetector(options)
    return network.to_empty(device="cpu").eval().requires_grad_(False)


def load_released(
    card: DetectorCard, tensors: dict[str, torch.Tensor] | None = None
) -> tuple[Released, ReleasedOptions]:
    """Return the network that `import-weights` wrote, in eval mode on the CPU, and its options.

    `network(pixels)` gives [B], the logit of fake; `.logits` both logits; `.judge(pixels).map` the heat map. `tensors`
    are its weights if the card's file has more than those. Raises M2F2BenchError for options or weights that do not
    fit.
    """
    options = validate(ReleasedOptions, card.options, f"options of detector '{card.name}'")
    check_input(card, options.vision)
    path = trained_weights(card)
    network = empty(options)
    if tensors is None:
        load_weights(network, path)
    else:
        load_strictly(network, tensors, path)
    if options.clip_precision == "bf16":
        network.vision.bfloat16()
    return network, options


def open_released(
    card: DetectorCard, path: Path, own: dict[str, torch.Tensor], rest: dict[str, torch.Tensor]
) -> tuple[ReleasedExplainerDetector, ReleasedProjectors, str]:
    """Return the network with its weights `own`, empty projectors sized by `rest`, and the options that decide a score.

    `path` is the file of the weights, for messages. Raises M2F2BenchError.
    """
    network, options = load_released(card, tensors=own)
    if not isinstance(network, ReleasedExplainerDetector):
        raise DetectorError(f"detector '{card.name}': variant {options.variant} has no LLM: set backend to m2f2det")
    if WIDTH not in rest or rest[WIDTH].dim() != 1:
        raise DetectorError(f"weights '{path}' have no projectors: import the 7B folder again")
    with torch.device("meta"):
        projectors = ReleasedProjectors(options.vision.hidden_size, len(rest[WIDTH]))
    return network, projectors.to_empty(device="cpu"), options.model_dump_json()
