"""UCF (Yan et al., "Uncovering Common Features", ICCV 2023): the part of it that judges an image, and all of it.

Its training takes an image apart into content and into method-specific and common forgery features, and puts it
together again, with its own forgery or with that of its partner. That is three fifths of the published file, whose
names the parts have, and no score depends on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ...training.job import TrainingJob
from ...training.losses.gathering import exchange_rows, shared_generator
from ...training.losses.make import method_numbers
from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import pooled
from .pretrained import ImageNet
from .ucf_decoder import Decoder
from .xception import ADJUSTED, IMAGENET, Xception

WIDTH = 256
"""Channels of the common features."""
HIDDEN = 512
"""Of the head."""
SHUFFLED = 0.7
"""Probability that a step's common features are exchanged within real and within fake, as the authors' code does."""


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


def partners(rows: torch.Tensor) -> torch.Tensor:
    """Return rows [2N, ...] of real, fake, real, fake ... with the two of each pair in each other's place."""
    return rows.reshape(-1, 2, *rows.shape[1:]).flip(1).flatten(0, 1)


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
        return UcfTraining(options.outputs, options.dropout, len(method_numbers(job)))

    @classmethod
    def imagenet(cls, options: UcfOptions) -> ImageNet:
        """Return Cadene's Xception, for each encoder."""
        return replace(IMAGENET, parts=("encoder_f", "encoder_c"))
