"""Xception (Chollet, CVPR 2017), and the detectors that are an Xception with a new last layer.

The names of layers are those of the ImageNet weights that the field starts from, so that files of others fit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn

from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import Relu, SeparableConv, pooled
from .pretrained import ImageNet

WIDTH = 2048
"""Channels of the last maps."""
ADJUSTED = 512
"""Channels after `adjust_channel`."""
MIDDLE = tuple(range(4, 12))
"""Numbers of the blocks that change neither size nor channels."""


class Block(nn.Module):
    """Separable convolutions with a way around them: blocks 1 to 12, and RECCE's decoder."""

    def __init__(self, inputs: int, outputs: int, count: int, stride: int = 1, first: bool = True, grow: bool = True):
        """`count` convolutions, each with batch normalisation, and a max-pool where `stride` is not 1.

        With `first`, a ReLU comes before the first of them; with `grow`, that one changes the number of channels, else
        the last one does.
        """
        super().__init__()
        middle = outputs if grow else inputs
        widths = [inputs, *[middle] * (count - 1), outputs]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            # The first ReLU must not write into the block's input, which also goes around.
            layers += [nn.ReLU() if i == 0 else Relu(), SeparableConv(before, after), nn.BatchNorm2d(after)]
        if stride != 1:
            layers.append(nn.MaxPool2d(3, stride, 1))
        self.rep = nn.Sequential(*(layers if first else layers[1:]))
        self.skip: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skipbn = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, outputs, h / stride, w / stride] for [B, inputs, h, w]."""
        around = x if self.skip is None else self.skipbn(self.skip(x))
        y: torch.Tensor = self.rep(x)
        return y.add_(around) if not torch.is_grad_enabled() else y + around


class Xception(nn.Module):
    """Xception in parts, so that other networks can reach in between."""

    def __init__(
        self,
        channels: int = 3,
        outputs: int | None = 2,
        dropout: float | None = None,
        adjusted: bool = False,
        shallow: bool = False,
        stride: int = 2,
    ) -> None:
        """`channels` of the input; without `outputs` there is no last layer; `dropout` comes before it.

        With `adjusted` the maps end in a 1×1 convolution to 512 channels. With `shallow` there are no blocks 4 to 11
        (SPSL). `stride` is that of the first convolution.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, stride, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.act1 = Relu()
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.act2 = Relu()
        self.block1 = Block(64, 128, 2, 2, first=False)
        self.block2 = Block(128, 256, 2, 2)
        self.block3 = Block(256, 728, 2, 2)
        self.middle = () if shallow else MIDDLE
        for number in self.middle:
            self.add_module(f"block{number}", Block(728, 728, 3))
        self.block12 = Block(728, 1024, 2, 2, grow=False)
        self.conv3 = SeparableConv(1024, 1536)
        self.bn3 = nn.BatchNorm2d(1536)
        self.act3 = Relu()
        self.conv4 = SeparableConv(1536, WIDTH)
        self.bn4 = nn.BatchNorm2d(WIDTH)
        self.act4: nn.Module = nn.Identity() if adjusted else Relu()
        self.adjust_channel: nn.Module | None = None
        if adjusted:
            self.adjust_channel = nn.Sequential(nn.Conv2d(WIDTH, ADJUSTED, 1), nn.BatchNorm2d(ADJUSTED), Relu())
        if outputs is not None:
            last = nn.Linear(ADJUSTED if adjusted else WIDTH, outputs)
            self.last_linear = last if dropout is None else nn.Sequential(nn.Dropout(dropout), last)

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """Return conv1 with normalisation and ReLU, [B, 32, h, w]."""
        y: torch.Tensor = self.act1(self.bn1(self.conv1(x)))
        return y

    def second(self, x: torch.Tensor) -> torch.Tensor:
        """Return conv2 with normalisation and ReLU, [B, 64, h, w]."""
        y: torch.Tensor = self.act2(self.bn2(self.conv2(x)))
        return y

    def blocks(self, x: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Return what blocks `first` to `last` (both in, from 1 to 12) give."""
        for number in range(first, last + 1):
            if number not in range(4, 12) or number in self.middle:
                x = self.get_submodule(f"block{number}")(x)
        return x

    def ending(self, x: torch.Tensor, bare: bool = False) -> torch.Tensor:
        """Return the last maps, [B, 2048 (512 if adjusted), h, w]; `bare` leaves the last ReLU out."""
        x = self.act3(self.bn3(self.conv3(x)))
        x = self.bn4(self.conv4(x))
        if bare:
            return x
        x = self.act4(x)
        return x if self.adjust_channel is None else self.adjust_channel(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last maps of pixels [B, channels, S, S], after their ReLU."""
        return self.ending(self.blocks(self.second(self.first(x)), 1, 12))

    def classify(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the outputs for maps, [B, outputs]: their means, and the last layer."""
        y: torch.Tensor = self.last_linear(pooled(maps))
        return y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, outputs], for pixels [B, channels, S, S]."""
        return self.classify(self.features(x))


IMAGENET = ImageNet("legacy_xception", ("backbone",), without=("last_linear.", "adjust_channel."))
"""The weights that Rössler et al. start from (`xception-b5690688`)."""


class XceptionClassifier(Classifier):
    """Xception with a new last layer (Rössler et al., FaceForensics++, ICCV 2019); CORE's is the same network."""

    head: ClassVar[str] = "backbone.last_linear"

    def __init__(self, outputs: int, dropout: float | None) -> None:
        """See `Xception`."""
        super().__init__()
        self.backbone = Xception(outputs=outputs, dropout=dropout)

    @property
    def gives(self) -> tuple[str, ...]:
        """The logit, and the features that CORE compares."""
        return ("logit", "features")

    def training_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logit [B] and the last maps' means, `features` [B, 2048]."""
        features = pooled(self.backbone.features(images))
        return {"logit": self.logit(self.backbone.last_linear(features)), "features": features}

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        y: torch.Tensor = self.backbone(images)
        return y


class XceptionOptions(ClassifierOptions):
    """Options of the backend `xception`."""

    dropout: float | None = None
    """Dropout before the last layer; None: there is none."""


class XceptionDetector(ClassifierDetector[XceptionOptions]):
    """Xception, fine-tuned from ImageNet: the baseline of FaceForensics++ (Rössler et al., ICCV 2019).

    CORE (Ni et al., CVPR workshops 2022) is the same network, trained with a loss of its own on two views of each
    image.
    """

    Options = XceptionOptions

    @classmethod
    def network(cls, options: XceptionOptions, size: int) -> XceptionClassifier:
        """Return an Xception for any size."""
        return XceptionClassifier(options.outputs, options.dropout)

    @classmethod
    def imagenet(cls, options: XceptionOptions) -> ImageNet:
        """Return Cadene's Xception."""
        return IMAGENET
