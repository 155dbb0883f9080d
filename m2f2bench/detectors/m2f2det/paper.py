"""Variant `paper`: M2F2-Det as the paper describes it (arXiv 2503.20188, section 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from .bridge import BridgeAdapter
from .clip import Clip, Linear, projection
from .cnn import DeepfakeEncoder
from .forgery_prompt import ForgeryMap, ForgeryPrompt
from .options import PaperOptions


@dataclass
class Features:
    """Outputs of CLIP's image tower for a batch, in fp32.

    `image` g^I [B, p] and `patches` F_I [B, n², p] in the joint space; `states`, patch tokens [B, n², d] of each depth;
    `penultimate`, those after all layers but the last, if requested.
    """

    image: torch.Tensor
    patches: torch.Tensor
    states: list[torch.Tensor]
    penultimate: torch.Tensor | None = None


@dataclass
class Judgement:
    """Outputs of the network for a batch.

    `logits` [B, 2] (0 real, 1 fake); `map`, M_b [B, 1, n, n] in [0, 1], None without map weighting; `forged`, F^0 ⊙ M_b
    [B, c, n, n], from which forgery tokens are made.
    """

    logits: torch.Tensor
    map: torch.Tensor | None
    forged: torch.Tensor


class PaperNetwork(nn.Module):
    """CLIP, the deepfake encoder, forgery prompt learning, bridge adapter, map-weighted pooling and head.

    f^0 = avgpool(conv(F^0 ⊙ M_b)) over F^0 [B, c, n, n], the bridge's output joined with E_D's last map; the head is
    linear over [projected CLS; f^0; projected pooled E_D], each brought to one scale by a LayerNorm.
    """

    def __init__(self, clip: Clip, encoder: DeepfakeEncoder, options: PaperOptions) -> None:
        """Draw new weights from torch's generator. Raises DetectorError for parts that do not fit."""
        super().__init__()
        vision, width = clip.settings.vision_config, options.head_width
        self.clip, self.encoder, self.options = clip, encoder, options
        self.depths = options.depths(vision.num_hidden_layers) if options.bridge else ()
        self.bridge: BridgeAdapter | None = None
        if options.bridge:
            if len(self.depths) != len(encoder.channels):
                raise DetectorError(
                    f"{len(self.depths)} CLIP depths but {len(encoder.channels)} of the CNN: give as many of each"
                )
            self.bridge = BridgeAdapter(
                encoder.channels, vision.hidden_size, options.bridge_width, options.bridge_heads
            )
        self.prompt: ForgeryPrompt | None = None
        self.map: ForgeryMap | None = None
        if options.map_weighting:
            counts = (options.general_tokens, options.specific_tokens, options.layer_tokens)
            self.prompt = ForgeryPrompt(clip, options.clip.words, *counts)
            self.map = ForgeryMap(options.temperature)
        channels = encoder.out_channels + (options.bridge_width if options.bridge else 0)
        self.conv = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))
        # Normalised, only the position of high values of M_b counts, not their overall level: M_b cannot act as a gain.
        self.pooled_norm = nn.LayerNorm(width)
        self.project_image = projection(clip.settings.projection_dim, width)
        self.project_cnn = projection(encoder.out_channels, width)
        self.vision_scale = nn.Parameter(torch.tensor(1.0))
        self.head = Linear(3 * width, 2)
        # Near zero: the other parts would first learn to correct a random head.
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.look: Callable[[torch.Tensor], Features] = self.features
        """Function from images to CLIP features; in training, it can be a feature cache."""
        self.text: torch.Tensor | None = None
        """g^T, if it is the same for all images and `fold_prompt` has computed it."""

    def features(self, pixels: torch.Tensor, penultimate: bool = False) -> Features:
        """Return CLIP features of normalised images [B, 3, S, S]; autocast does not affect a frozen tower."""
        if not self.options.train_vision:
            with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
                return self._features(pixels, penultimate)
        return self._features(pixels, penultimate)

    def _features(self, pixels: torch.Tensor, penultimate: bool) -> Features:
        clip = self.clip
        layers = clip.settings.vision_config.num_hidden_layers
        *states, below, top = clip.vision_model(pixels, [*self.depths, layers - 1, layers])
        joint = clip.visual_projection(clip.vision_model.post_layernorm(top).to(clip.visual_projection.weight.dtype))
        return Features(
            joint[:, 0].float(),
            joint[:, 1:].float(),
            [state[:, 1:].float() for state in states],
            below[:, 1:].float() if penultimate else None,
        )

    def judge(self, pixels: torch.Tensor) -> Judgement:
        """Return all outputs for normalised images [B, 3, S, S]."""
        return self._judge(pixels, self.look(pixels))

    def judge_with_patches(self, pixels: torch.Tensor) -> tuple[Judgement, torch.Tensor]:
        """Return all outputs, and CLIP's patches after all layers but the last [B, n², d], for an explainer."""
        features = self.features(pixels, penultimate=True)
        assert features.penultimate is not None
        return self._judge(pixels, features), features.penultimate

    def _judge(self, pixels: torch.Tensor, features: Features) -> Judgement:
        last, maps = self.encoder(pixels)
        side = round(features.patches.shape[1] ** 0.5)
        forged = F.interpolate(last, size=(side, side), mode="bilinear", align_corners=False)
        if self.bridge is not None:
            forged = torch.cat([self.bridge(maps, features.states).to(forged.dtype), forged], dim=1)
        weights = self._map(features)
        if weights is not None:
            forged = forged * weights
        pooled = self.pooled_norm(self.conv(forged).mean((2, 3)))
        image = self.vision_scale * self.project_image(features.image)
        whole = self.project_cnn(last.mean((2, 3)))
        return Judgement(self.head(torch.cat([image, pooled, whole], dim=1)), weights, forged)

    def heatmap(self, pixels: torch.Tensor) -> torch.Tensor | None:
        """Return M_b, [B, n, n] in [0, 1]; None without map weighting. The CNN is not needed and not computed."""
        heat = None if self.map is None else self._map(self.look(pixels))
        return None if heat is None else heat[:, 0]

    def fold_prompt(self) -> None:
        """Compute g^T once, if no token of the prompt depends on the image. The weights must not change afterwards."""
        if self.prompt is not None and self.prompt.specific is None:
            with exact_fp32(), torch.no_grad():
                self.text = self.prompt(self.clip, torch.empty(0))

    def settle(self) -> None:
        """Convert the weights to the form in which they are saved; no output changes."""
        if self.map is not None:
            self.map.settle()

    def _map(self, features: Features) -> torch.Tensor | None:
        if self.prompt is None or self.map is None:
            return None
        text = self.prompt(self.clip, features.image) if self.text is None else self.text.to(features.image.device)
        heat: torch.Tensor = self.map(text, features.patches)
        return heat

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the difference of the logits, fake minus real, [B].

        Its sigmoid is softmax(logits)[1], and its binary cross-entropy is the cross-entropy of the two logits.
        """
        logits = self.judge(pixels).logits
        return logits[:, 1] - logits[:, 0]
