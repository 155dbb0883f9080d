"""UCF (Yan et al., "Uncovering Common Features", ICCV 2023): the part of it that judges an image.

Its training (`ucf_training`) takes images apart into content, method-specific and common forgery features, and puts
them together again; that is three fifths of its published file, and no score depends on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from ...training.job import TrainingJob
from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import pooled
from .pretrained import ImageNet
from .xception import ADJUSTED, IMAGENET, Xception

WIDTH = 256
"""Channels of the common features."""
HIDDEN = 512
"""Of the head."""


class CommonFeatures(nn.Module):
    """Three 1×1 convolutions from the encoder's maps to the common forgery features."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.conv2d = nn.Sequential(
            nn.Conv2d(ADJUSTED, WIDTH, 1),
            nn.LeakyReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
            nn.LeakyReLU(),
            nn.Conv2d(WIDTH, WIDTH, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, 256, h, w] for [B, 512, h, w]."""
        y: torch.Tensor = self.conv2d(x)
        return y


class Head(nn.Module):
    """Mean over the image, a hidden layer of 512, the outputs, and dropout on these, as its code has it."""

    def __init__(self, outputs: int, dropout: float) -> None:
        """`dropout` is on the outputs themselves."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.LeakyReLU(), nn.Linear(HIDDEN, outputs))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return outputs [B, outputs] for [B, 256, h, w]."""
        y: torch.Tensor = self.dropout(self.mlp(pooled(x)))
        return y


class Ucf(Classifier):
    """The forgery encoder (an Xception that ends in 512 channels), the common features, and their head."""

    head: ClassVar[str] = "head_sha.mlp.2"
    spare: ClassVar[tuple[str, ...]] = ("encoder_f.last_linear.",)

    def __init__(self, outputs: int, dropout: float) -> None:
        """See `Head`."""
        super().__init__()
        self.encoder_f = Xception(outputs=None, adjusted=True)
        self.block_sha = CommonFeatures()
        self.head_sha = Head(outputs, dropout)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        y: torch.Tensor = self.head_sha(self.block_sha(self.encoder_f.features(images)))
        return y


class UcfOptions(ClassifierOptions):
    """Options of the backend `ucf`."""

    dropout: float = 0.0
    """Dropout on the outputs in training, where the published code has it."""


class UcfDetector(ClassifierDetector[UcfOptions]):
    """UCF (Yan et al., ICCV 2023): its forgery encoder, common features and head, which alone judge an image."""

    Options = UcfOptions

    @classmethod
    def network(cls, options: UcfOptions, size: int) -> Ucf:
        """Return the network for any size."""
        return Ucf(options.outputs, options.dropout)

    @classmethod
    def in_training(cls, options: UcfOptions, job: TrainingJob) -> Ucf:
        """Return, for the loss `ucf`, a network with all parts of the paper; for another, that of inference."""
        if job.settings.loss.name != "ucf":
            return cls.network(options, job.card.input.size)
        from ...training.losses.make import method_numbers
        from .ucf_training import UcfTraining

        return UcfTraining(options.outputs, options.dropout, len(method_numbers(job)))

    @classmethod
    def imagenet(cls, options: UcfOptions) -> ImageNet:
        """Return Cadene's Xception, for each encoder."""
        return replace(IMAGENET, parts=("encoder_f", "encoder_c"))
