"""SPSL (Liu et al., "Spatial-Phase Shallow Learning", CVPR 2021): an Xception that also sees the phase spectrum."""

from __future__ import annotations

from typing import ClassVar

import torch

from .base import Classifier, ClassifierDetector, VariantOptions
from .layers import in_full
from .pretrained import ImageNet
from .xception import IMAGENET, Xception


def phase_picture(images: torch.Tensor) -> torch.Tensor:
    """Return pictures of the phase alone, [B, 1, S, S], of normalised images [B, 3, S, S].

    That is the real part of the inverse Fourier transform of the grey image's spectrum (the mean of its channels) with
    every amplitude set to 1 (section 3.2).
    """
    with in_full(images):
        phase = torch.angle(torch.fft.fft2(images.float().mean(1, keepdim=True)))
        picture: torch.Tensor = torch.fft.ifft2(torch.polar(torch.ones_like(phase), phase)).real
    return picture


class Spsl(Classifier):
    """An Xception of four channels: the image's three and the phase picture.

    The paper's is shallow: without blocks 4 to 11, so that it looks at texture rather than at whole faces. In
    DeepfakeBench's code it is the whole Xception.
    """

    head: ClassVar[str] = "backbone.last_linear"

    def __init__(self, outputs: int, shallow: bool) -> None:
        """See `Xception`."""
        super().__init__()
        self.backbone = Xception(channels=4, outputs=outputs, shallow=shallow)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        y: torch.Tensor = self.backbone(torch.cat([images, phase_picture(images)], 1))
        return y


class SpslDetector(ClassifierDetector[VariantOptions]):
    """SPSL (Liu et al., CVPR 2021): the image and its phase spectrum into a shallow Xception."""

    Options = VariantOptions

    @classmethod
    def network(cls, options: VariantOptions, size: int) -> Spsl:
        """Return the network for any size: shallow in the variant `paper`, whole in `deepfakebench`."""
        return Spsl(options.outputs, shallow=options.variant == "paper")

    @classmethod
    def imagenet(cls, options: VariantOptions) -> ImageNet:
        """Return Cadene's Xception."""
        return IMAGENET
