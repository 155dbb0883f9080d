"""Capsule-Forensics (Nguyen et al., "Use of a Capsule Network to Detect Fake Images and Videos", arXiv 1910.12467).

The first layers of a VGG-19, ten small networks ("primary capsules") on its maps, and dynamic routing from these to two
output capsules, real and fake. The layers are those of the authors' code.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from ..tuned.network import TokenMap
from .base import Classifier, ClassifierDetector, VariantOptions
from .layers import in_full
from .pretrained import ImageNet

VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0)
"""Channels of VGG-19's convolutions up to the third max-pool; 0 is a max-pool."""
PRIMARY = 10
"""Primary capsules."""
LENGTH = 8
"""Numbers that a primary capsule gives."""
OUTPUT = 4
"""Numbers of an output capsule."""
ROUNDS = 2
"""Of the routing."""
NOISE = 0.01
"""Standard deviation of the noise on the routing's weights in training, in the variant `paper`."""
DROPOUT = 0.05
"""Share of votes that are left out in training, in the variant `paper`."""
TINY = 1e-24
"""Square of a length below which a vector counts as zero."""


def squashed(vectors: torch.Tensor, dim: int) -> torch.Tensor:
    """Return vectors along `dim` with their directions, and lengths n² / (1 + n²) for lengths n."""
    square = vectors.square().sum(dim, keepdim=True)
    return vectors * square.clamp_min(TINY).sqrt() / (1.0 + square)


class Statistics(nn.Module):
    """Mean and standard deviation of each channel over the image."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return [B, 2, c] for maps [B, c, h, w]; the deviation is that of a sample (n - 1)."""
        cells = maps.flatten(2)
        return torch.stack([cells.mean(2), cells.std(2)], 1)


def primary_capsule() -> nn.Sequential:
    """Return a primary capsule: maps [B, 256, h, w] to [B, 1, 8]."""
    return nn.Sequential(
        nn.Conv2d(256, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Statistics(),
        nn.Conv1d(2, LENGTH, 5, stride=2, padding=2),
        nn.BatchNorm1d(LENGTH),
        nn.Conv1d(LENGTH, 1, 3, padding=1),
        nn.BatchNorm1d(1),
    )


class PrimaryCapsules(nn.Module):
    """Ten primary capsules on the same maps."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.capsules = nn.ModuleList(primary_capsule() for _ in range(PRIMARY))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return [B, 8, 10] for maps [B, 256, h, w].

        As in the authors' code, a vector that is squashed has one number of each capsule, not the numbers of one.
        """
        return squashed(torch.cat([capsule(maps) for capsule in self.capsules], 1).transpose(1, 2), 2)


class Routing(nn.Module):
    """Dynamic routing by agreement, number by number, from primary to output capsules."""

    def __init__(self, random: bool) -> None:
        """`random` adds noise to the weights and leaves votes out, in training alone."""
        super().__init__()
        self.random = random
        self.route_weights = nn.Parameter(torch.randn(2, PRIMARY, OUTPUT, LENGTH))

    def forward(self, capsules: torch.Tensor) -> torch.Tensor:
        """Return output capsules, [B, 2, 4], for primary ones [B, 8, 10]."""
        weights: torch.Tensor = self.route_weights
        if self.random and self.training:
            weights = weights + NOISE * torch.randn_like(weights)
        votes = torch.einsum("kpoi,bip->bkpo", weights, capsules)
        if self.random and self.training:
            votes = votes * torch.empty_like(votes).bernoulli_(1.0 - DROPOUT)
        agreement = torch.zeros_like(votes)
        for _ in range(ROUNDS - 1):
            agreement = agreement + votes * self.joined(votes, agreement)[:, :, None]
        return self.joined(votes, agreement)

    @staticmethod
    def joined(votes: torch.Tensor, agreement: torch.Tensor) -> torch.Tensor:
        """Return the squashed mean of votes [B, 2, 10, 4] over primary capsules, weighed by the agreement's softmax."""
        return squashed((agreement.softmax(2) * votes).sum(2), 2)


class Capsule(Classifier):
    """VGG-19's first layers, primary capsules, and routing to two output capsules."""

    head: ClassVar[str] = "routing_stats"

    def __init__(self, paper: bool) -> None:
        """`paper` says which variant it is."""
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in VGG:
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
            before = channels or before
        self.paper = paper
        self.vgg_ext = nn.ModuleDict({"vgg_1": nn.Sequential(*layers)})
        self.fea_ext = PrimaryCapsules()
        self.routing_stats = Routing(random=paper)

    def token_map(self) -> TokenMap:
        """Return the layer of heat maps: the maps that all primary capsules see, not those inside the last one."""
        return TokenMap("vgg_ext.vgg_1", 0, (0, 0))

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 2].

        The softmax over both output capsules is taken for each of their four numbers, and the mean of the four is the
        probability p. DeepfakeBench takes the softmax of these probabilities once more, so that its scores lie between
        0.27 and 0.73: its outputs are p. The paper's are log p, whose softmax is p.
        """
        maps = self.vgg_ext["vgg_1"](images)
        with in_full(images):
            shares: torch.Tensor = self.routing_stats(self.fea_ext(maps.float())).softmax(1).mean(2)
        return shares.log() if self.paper else shares


class CapsuleOptions(VariantOptions):
    """Options of the backend `capsule`."""

    outputs: Literal[2] = 2
    """Output capsules, real and fake: always two."""


class CapsuleDetector(ClassifierDetector[CapsuleOptions]):
    """Capsule-Forensics (Nguyen et al., ICASSP 2019 and arXiv 1910.12467): primary capsules on VGG-19, and routing."""

    Options = CapsuleOptions

    @classmethod
    def network(cls, options: CapsuleOptions, size: int) -> Capsule:
        """Return the network for any size from 16 pixels on."""
        if size < 16:
            raise ValueError(
                f"an input of {size} pixels leaves one cell, without a deviation: set input.size to 16 or more"
            )
        return Capsule(options.variant == "paper")

    @classmethod
    def imagenet(cls, options: CapsuleOptions) -> ImageNet:
        """Return timm's VGG-19."""
        return ImageNet("vgg19", ("vgg_ext.vgg_1",), renamed=lambda name: f"features.{name}", first="0.weight")
