"""CNN-Aug (Wang et al., "CNN-generated images are surprisingly easy to spot... for now", CVPR 2020).

A ResNet of ImageNet, trained with blur and JPEG: the training makes the detector. The paper's is a ResNet-50 with one
output; what the field calls CNN-Aug since DeepfakeBench is a ResNet-34 with two.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from .base import Classifier, ClassifierDetector, VariantOptions
from .layers import pooled
from .pretrained import ImageNet

CHILDREN = ("conv1", "bn1", "", "", "layer1", "layer2", "layer3", "layer4")
"""Parts of torchvision's ResNet in the order in which DeepfakeBench's file numbers them; two have no tensors."""


class CnnAug(Classifier):
    """A ResNet of torchvision with a new last layer."""

    head: ClassVar[str] = "fc"

    def __init__(self, outputs: int, model: str) -> None:
        """`model` is torchvision's name."""
        from torchvision import models

        super().__init__()
        made: Any = getattr(models, model)()
        self.fc = nn.Linear(made.fc.in_features, outputs)
        del made.fc, made.avgpool
        self.backbone: nn.Module = made

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        net: Any = self.backbone
        maps = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            maps = stage(maps)
        y: torch.Tensor = self.fc(pooled(maps))
        return y


def published_name(name: str) -> str:
    """Return the name of one of our tensors in DeepfakeBench's file: `backbone.resnet.4.0.conv1.weight`."""
    first, _, rest = name.partition(".")
    if first == "fc":
        return f"backbone.fc.{rest}"
    part, _, rest = rest.partition(".")
    return f"backbone.resnet.{CHILDREN.index(part)}.{rest}"


class CnnAugDetector(ClassifierDetector[VariantOptions]):
    """CNN-Aug (Wang et al., CVPR 2020): a ResNet-50, or DeepfakeBench's ResNet-34 in the variant `deepfakebench`."""

    Options = VariantOptions

    @classmethod
    def network(cls, options: VariantOptions, size: int) -> CnnAug:
        """Return a ResNet for any size."""
        return CnnAug(options.outputs, cls.imagenet(options).model)

    @classmethod
    def imagenet(cls, options: VariantOptions) -> ImageNet:
        """Return timm's ResNet of the variant, whose names are torchvision's."""
        return ImageNet("resnet50" if options.variant == "paper" else "resnet34", ("backbone",))
