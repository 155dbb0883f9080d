"""FFD (Dang et al., "On the Detection of Digital Face Manipulation", CVPR 2020): an Xception that weighs its own maps.

A layer in the middle of the network says for every cell how likely it was manipulated, and the maps are multiplied by
that. The paper trains this attention map with true masks too; with cross-entropy alone, it learns from the label.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import SeparableConv
from .pretrained import ImageNet
from .xception import IMAGENET, Xception

WIDTH = 728
"""Channels of the middle blocks."""
WEIGHED = 7
"""The block whose maps are weighed: the fourth of the middle flow."""


class AttentionMap(nn.Module):
    """The paper's direct regression: a separable convolution to one channel, and a sigmoid."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.c = SeparableConv(WIDTH, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return an attention map in (0, 1), [B, 1, h, w], of maps [B, 728, h, w]."""
        return torch.sigmoid(self.c(maps))


class Ffd(Classifier):
    """An Xception whose maps after block 7 are multiplied by an attention map."""

    head: ClassVar[str] = "backbone.last_linear"
    spare: ClassVar[tuple[str, ...]] = ("backbone.adjust_channel.",)

    def __init__(self, outputs: int) -> None:
        """See `Xception`."""
        super().__init__()
        self.backbone = Xception(outputs=outputs)
        self.map = AttentionMap()

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        net = self.backbone
        maps = net.blocks(net.second(net.first(images)), 1, WEIGHED)
        return net.classify(net.ending(net.blocks(maps * self.map(maps), WEIGHED + 1, 12)))


class FfdDetector(ClassifierDetector[ClassifierOptions]):
    """FFD (Dang et al., CVPR 2020): an Xception with an attention map by direct regression."""

    @classmethod
    def network(cls, options: ClassifierOptions, size: int) -> Ffd:
        """Return the network for any size."""
        return Ffd(options.outputs)

    @classmethod
    def imagenet(cls, options: ClassifierOptions) -> ImageNet:
        """Return Cadene's Xception."""
        return IMAGENET
