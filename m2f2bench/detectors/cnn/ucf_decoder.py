"""Decoder of UCF (Yan et al., ICCV 2023): an image from its content, in the style of forgery features.

The names of layers are those of the published file.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .layers import Relu, in_full
from .xception import ADJUSTED

EPSILON = 1e-5
DROPOUT = 0.3
"""In the decoder, as the authors' code has it."""


def adain(content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    """Return content [B, c, h, w] with the mean and deviation that each channel of `style` [B, c, h, w] has.

    Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017,
    equation 8. Statistics are computed at least in float32.
    """
    with in_full(content):
        x, y = (one if one.dtype == torch.float64 else one.float() for one in (content, style))
        (mean, scale), (own_mean, own_scale) = _moments(y), _moments(x)
        return (x - own_mean) / own_scale * scale + mean


def _moments(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of each channel, both [B, c, 1, 1]."""
    mean = maps.mean((2, 3), keepdim=True)
    return mean, (((maps - mean) ** 2).mean((2, 3), keepdim=True) + EPSILON).sqrt()


def doubled(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3×3 convolutions, each with a ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), Relu(), nn.Conv2d(outputs, outputs, 3, padding=1), Relu()
    )


class Decoder(nn.Module):
    """Content and forgery features to an image: AdaIN, twice the size and two convolutions, three times."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.dconv_up3, self.dconv_up2, self.dconv_up1 = doubled(ADJUSTED, 256), doubled(256, 128), doubled(128, 64)
        self.conv_last = nn.Conv2d(64, 3, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, content: torch.Tensor, forgery: torch.Tensor) -> torch.Tensor:
        """Return images in [-1, 1], [B, 3, 32h, 32w], for content [B, 512, h, w] in the style of `forgery`, as large.

        Both go through the same convolutions.
        """
        x, style = content, forgery
        for layers in (self.dconv_up3, self.dconv_up2, self.dconv_up1):
            x = layers(self._wider(adain(x, style)))
            if layers is not self.dconv_up1:
                style = layers(self._wider(style))
        return torch.tanh(_enlarged(self.conv_last(x), 4))

    def _wider(self, maps: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.dropout(_enlarged(maps, 2))
        return found


def _enlarged(maps: torch.Tensor, times: int) -> torch.Tensor:
    """Return maps of so many times the size, bilinear with corners aligned."""
    return F.interpolate(maps, scale_factor=times, mode="bilinear", align_corners=True)
