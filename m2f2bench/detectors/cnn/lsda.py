"""The student of LSDA (Yan et al., CVPR 2024): the part of the method that judges images.

"Transcending Forgery Specificity with Latent Space Augmentation", arXiv 2311.11278. The teachers, the encoder of real
faces and the fusion serve its training only, and that is not part of this package: the student is trained with
cross-entropy.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from .base import Classifier, ClassifierDetector, ClassifierOptions
from .efficientnet import MODEL, STRIDED, PaddedConv
from .efficientnet import published_name as efficientnet_name
from .pretrained import ImageNet

CHANNELS, WIDTH = 1792, 512
"""Channels of EfficientNet-B4's last maps, and the width of student and classifier."""


class LsdaStudent(Classifier):
    """EfficientNet-B4, a 1×1 convolution to 512 channels, their mean, and two linear layers.

    As in the authors' code, strided convolutions are padded as suits 380 pixels, whatever the input.
    """

    head: ClassVar[str] = "classifier"

    def __init__(self, outputs: int, drop_path_rate: float) -> None:
        """Make timm's network; `drop_path_rate` is that of its training."""
        import timm

        super().__init__()
        made: Any = timm.create_model(MODEL, pretrained=False, num_classes=0, drop_path_rate=drop_path_rate)
        for name, zeros in STRIDED.items():
            block = made.get_submodule(name)
            block.conv_dw = PaddedConv(block.conv_dw, zeros)
        self.backbone: nn.Module = made
        self.conv = nn.Conv2d(CHANNELS, WIDTH, 1)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.classifier = nn.Linear(WIDTH, outputs)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        maps: torch.Tensor = self.conv(self.backbone.forward_features(images))  # type: ignore[operator]
        hidden = nn.functional.leaky_relu(self.hidden(maps.mean((2, 3))))
        found: torch.Tensor = self.classifier(hidden)
        return found


def published_name(name: str) -> str:
    """Return the name of one of our tensors in the authors' files."""
    part, _, rest = name.partition(".")
    if part == "backbone":
        return f"model.student_encoder.model.{efficientnet_name(rest)}"
    places = {"conv": "student_encoder.conv", "hidden": "binary_classifier.2", "classifier": "binary_classifier.4"}
    return f"model.{places[part]}.{rest}"


class LsdaOptions(ClassifierOptions):
    """Options of the backend `lsda`."""

    drop_path_rate: float = 0.2
    """Share of residual branches that are left out in training, at the last block."""


class LsdaDetector(ClassifierDetector[LsdaOptions]):
    """The student of LSDA (Yan et al., CVPR 2024)."""

    Options = LsdaOptions

    @classmethod
    def network(cls, options: LsdaOptions, size: int) -> LsdaStudent:
        """Return the student for any size."""
        return LsdaStudent(options.outputs, options.drop_path_rate)

    @classmethod
    def imagenet(cls, options: LsdaOptions) -> ImageNet:
        """Return timm's EfficientNet-B4."""
        return ImageNet(MODEL, ("backbone",), first="conv_stem.weight")
