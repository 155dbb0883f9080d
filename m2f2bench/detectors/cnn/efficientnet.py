"""EfficientNet-B4 (Tan and Le, ICML 2019): the baseline of the field, DeepfakeBench's, and that of SBI.

The network is timm's `tf_efficientnet_b4`; published files name its layers as the package `efficientnet_pytorch` does,
which `published_name` knows.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .base import Classifier, ClassifierDetector, Variant, VariantOptions
from .pretrained import ImageNet

MODEL = "tf_efficientnet_b4"
DEPTHS = (2, 4, 4, 6, 6, 8, 2)
"""Blocks in each stage."""
STRIDED = {"blocks.1.0": (0, 1), "blocks.2.0": (2, 2), "blocks.3.0": (0, 1), "blocks.5.0": (1, 2)}
"""Blocks of stride 2, and the zeros before and after each side of their maps that keep "same" sizes at 380 pixels."""
LAYERS = {
    "conv_stem": "_conv_stem",
    "bn1": "_bn0",
    "conv_head": "_conv_head",
    "bn2": "_bn1",
}
BLOCK = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "se.conv_reduce": "_se_reduce",
    "se.conv_expand": "_se_expand",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
FIRST_BLOCK = {**BLOCK, "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
"""Blocks of the first stage do not expand, so that timm's names mean other layers."""


class PaddedConv(nn.Conv2d):
    """A convolution after a fixed number of zeros on each side, whatever the size of the maps."""

    def __init__(self, like: nn.Conv2d, zeros: tuple[int, int]) -> None:
        """`like` gives channels, kernel and stride; `zeros` are those before and after, down and across alike."""
        channels: tuple[int, int] = (like.in_channels, like.out_channels)
        super().__init__(*channels, like.kernel_size, like.stride, 0, groups=like.groups, bias=False)  # type: ignore[arg-type]
        self.zeros = zeros

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps."""
        before, after = self.zeros
        return super().forward(F.pad(x, (before, after, before, after)))


class EfficientNetClassifier(Classifier):
    """EfficientNet-B4 with a new last layer.

    In DeepfakeBench's code the first convolution is unpadded, and the padding of the others is the one that suits
    380 pixels, whatever the input.
    """

    head: ClassVar[str] = "classifier"

    def __init__(self, outputs: int, variant: Variant, drop_rate: float, drop_path_rate: float) -> None:
        """Make timm's network; the two rates are those of its training."""
        import timm

        super().__init__()
        rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
        made: Any = timm.create_model(MODEL, pretrained=False, num_classes=outputs, **rates)
        self.backbone: nn.Module = made
        if variant == "deepfakebench":
            made.conv_stem = PaddedConv(made.conv_stem, (0, 0))
            for name, zeros in STRIDED.items():
                block = made.get_submodule(name)
                block.conv_dw = PaddedConv(block.conv_dw, zeros)
        self.classifier = made.classifier
        made.classifier = nn.Identity()

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        y: torch.Tensor = self.classifier(self.backbone(images))
        return y


def b4(drop_path_rate: float) -> nn.Module:
    """Return timm's EfficientNet-B4 without its last layer, padded as the authors' is."""
    import timm

    made: Any = timm.create_model(MODEL, pretrained=False, num_classes=0, drop_path_rate=drop_path_rate)
    for name, zeros in STRIDED.items():
        block = made.get_submodule(name)
        block.conv_dw = PaddedConv(block.conv_dw, zeros)
    found: nn.Module = made
    return found


def published_name(name: str) -> str:
    """Return the name of a tensor of timm's network in `efficientnet_pytorch`: `_blocks.6._expand_conv.weight`."""
    layer, _, last = name.rpartition(".")
    inner = re.fullmatch(r"blocks\.(\d+)\.(\d+)\.(.+)", layer)
    if inner is None:
        return f"{LAYERS[layer]}.{last}"
    stage, place, part = int(inner[1]), int(inner[2]), inner[3]
    number = (0, *accumulate(DEPTHS))[stage] + place
    return f"_blocks.{number}.{(FIRST_BLOCK if stage == 0 else BLOCK)[part]}.{last}"


class EfficientNetOptions(VariantOptions):
    """Options of the backend `efficientnet-b4`."""

    drop_rate: float = 0.4
    """Dropout before the last layer in training; 0.4 as in the paper."""
    drop_path_rate: float = 0.2
    """Share of residual branches that are left out in training, at the last block; 0.2 as in the paper."""


class EfficientNetDetector(ClassifierDetector[EfficientNetOptions]):
    """EfficientNet-B4 (Tan and Le, ICML 2019), also as SBI trains it (Shiohara and Yamasaki, CVPR 2022)."""

    Options = EfficientNetOptions

    @classmethod
    def network(cls, options: EfficientNetOptions, size: int) -> EfficientNetClassifier:
        """Return an EfficientNet-B4 for any size."""
        return EfficientNetClassifier(options.outputs, options.variant, options.drop_rate, options.drop_path_rate)

    @classmethod
    def imagenet(cls, options: EfficientNetOptions) -> ImageNet:
        """Return timm's EfficientNet-B4."""
        return ImageNet(MODEL, ("backbone",), first="conv_stem.weight")
