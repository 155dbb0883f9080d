"""UCF's network in training (Yan et al., "Uncovering Common Features", ICCV 2023, section 3).

An image is taken apart into content and into method-specific and common forgery features, and put together again, with
its own forgery or with that of its partner. Names are those of the published file; all that is not also in `Ucf` serves
the training only.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ...training.losses.gathering import exchange_rows, shared_generator
from .layers import Relu, in_full, pooled
from .ucf import CommonFeatures, Head, Ucf
from .xception import ADJUSTED, Xception

EPSILON = 1e-5
DROPOUT = 0.3
"""In the decoder, as the authors' code has it."""
SHUFFLED = 0.7
"""Probability that a step's common features are exchanged within real and within fake, as the authors' code does."""


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


def partners(rows: torch.Tensor) -> torch.Tensor:
    """Return rows [2N, ...] of real, fake, real, fake ... with the two of each pair in each other's place."""
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).flatten(0, 1)


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


class UcfTraining(Ucf):
    """`Ucf` with the parts that only its training has: content encoder, decoder, and the method-specific features."""

    training_only: ClassVar[tuple[str, ...]] = ("encoder_c", "con_gan", "block_spe", "head_spe")
    spare: ClassVar[tuple[str, ...]] = ("encoder_f.last_linear.", "encoder_c.last_linear.")

    def __init__(self, outputs: int, dropout: float, methods: int) -> None:
        """`methods` are the manipulations of the training data; the specific head has one more output, for real."""
        super().__init__(outputs, dropout)
        self.encoder_c = Xception(outputs=None, adjusted=True)
        self.con_gan = Decoder()
        self.block_spe = CommonFeatures()
        self.head_spe = Head(methods + 1, dropout)

    @property
    def gives(self) -> tuple[str, ...]:
        """The logit, and what the loss of the paper reads."""
        return ("logit", "specific_scores", "common", "specific", "own_reconstruction", "crossed_reconstruction")

    def training_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs in training, for images [2N, 3, S, S] of real, fake, real, fake ...

        A crossed reconstruction has the content of its own image and the forgery features of its partner.
        """
        maps, content = self.encoder_f.features(images), self.encoder_c.features(images)
        common, specific = self.block_sha(maps), self.block_spe(maps)
        forgery = torch.cat([specific, self.exchanged(common)], 1)
        pictures = self.con_gan(torch.cat([content, content]), torch.cat([forgery, partners(forgery)]))
        if pictures.shape[-2:] != images.shape[-2:]:
            pictures = F.interpolate(pictures, size=images.shape[-2:], mode="bilinear", align_corners=True)
        own, crossed = pictures.chunk(2)
        return {
            "logit": self.logit(self.head_sha(common)),
            "specific_scores": self.head_spe(specific),
            "common": pooled(common),
            "specific": pooled(specific),
            "own_reconstruction": own,
            "crossed_reconstruction": crossed,
        }

    def exchanged(self, common: torch.Tensor) -> torch.Tensor:
        """Return common features [2N, c, h, w], with probability 0.7 shuffled among the reals and among the fakes.

        Those of all processes are shuffled together, by one draw. The heads and the contrast do not read the result:
        their terms would be the same, as means over a class.
        """
        draws = shared_generator(common.device)
        if not self.training or float(torch.rand(1, generator=draws)) >= SHUFFLED:
            return common
        rows, first = exchange_rows(common)
        reals, fakes = (torch.randperm(len(rows) // 2, generator=draws) for _ in range(2))
        order = torch.stack([2 * reals, 2 * fakes + 1], 1).flatten()
        return rows[order[first : first + len(common)].to(rows.device)]
