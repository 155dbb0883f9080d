"""MesoNet: Meso-4 and MesoInception-4 (Afchar et al., WIFS 2018), small networks for faces in compressed videos."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .base import Classifier, ClassifierDetector, Variant, VariantOptions
from .layers import Relu

CELLS = 32
"""Pixels on a side of one cell of the last maps."""
WIDTH = 16
"""Of the hidden layer, and channels of the last maps."""


class MesoHead(Classifier):
    """The classifier of both networks: dropout, a hidden layer of 16, dropout, and the outputs."""

    head: ClassVar[str] = "backbone.fc2"

    def __init__(self, outputs: int, size: int) -> None:
        """`size` is the input's, in pixels: a multiple of 32, by which the hidden layer's inputs are numbered."""
        super().__init__()
        if size % CELLS:
            raise ValueError(f"its input must be a multiple of {CELLS} pixels, not {size}: set input.size")
        self.backbone = nn.Module()
        self.inputs = WIDTH * (size // CELLS) ** 2
        self.backbone.fc1 = nn.Linear(self.inputs, WIDTH)
        self.backbone.fc2 = nn.Linear(WIDTH, outputs)
        self.dropout = nn.Dropout(0.5)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last maps, [B, 16, S/32, S/32]."""
        raise NotImplementedError

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        flat = self.dropout(self.maps(images).flatten(1))
        net: Any = self.backbone
        y: torch.Tensor = net.fc2(self.dropout(F.leaky_relu(net.fc1(flat), 0.1)))
        return y


class Stage(nn.Module):
    """ReLU, batch normalisation and a max-pool after a convolution; the normalisation may serve two stages."""

    def __init__(self, pool: int) -> None:
        """`pool` is the side of the max-pool."""
        super().__init__()
        self.relu, self.pool = Relu(), nn.MaxPool2d(pool)

    def forward(self, x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        """Return [B, c, h / pool, w / pool]."""
        y: torch.Tensor = self.pool(norm(self.relu(x)))
        return y


class Meso4(MesoHead):
    """Four convolutions, each with ReLU, batch normalisation and max-pool.

    In DeepfakeBench's code the first two share one batch normalisation, and so do the last two.
    """

    def __init__(self, outputs: int, size: int, variant: Variant = "paper") -> None:
        """See `MesoHead`. The paper's convolutions have biases, those of DeepfakeBench have none."""
        super().__init__(outputs, size)
        own = variant == "paper"
        net, channels = self.backbone, (3, 8, 8, WIDTH, WIDTH)
        self.norms = ("bn1", "bn2", "bn3", "bn4") if own else ("bn1", "bn1", "bn2", "bn2")
        for i, kernel in enumerate((3, 5, 5, 5)):
            layer = nn.Conv2d(channels[i], channels[i + 1], kernel, padding=kernel // 2, bias=own)
            net.add_module(f"conv{i + 1}", layer)
        for name, width in dict(zip(self.norms, channels[1:], strict=True)).items():
            net.add_module(name, nn.BatchNorm2d(width))
        self.stages = nn.ModuleList([Stage(pool) for pool in (2, 2, 2, 4)])

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last maps, [B, 16, S/32, S/32]."""
        x = images
        for number, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True), start=1):
            x = stage(self.backbone.get_submodule(f"conv{number}")(x), self.backbone.get_submodule(norm))
        return x


class Inception(nn.Module):
    """Four branches over the same maps, concatenated: 1×1, and 1×1 then 3×3 with dilation 1, 2 and 3."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int], rectified: bool) -> None:
        """`widths` are the channels of the branches; with `rectified`, a ReLU follows each convolution."""
        super().__init__()
        self.rectified = rectified
        self.conv1 = nn.Conv2d(inputs, widths[0], 1, bias=False)
        for branch, width in enumerate(widths[1:], start=2):
            wide = branch - 1
            self.add_module(f"conv{branch}_1", nn.Conv2d(inputs, width, 1, bias=False))
            self.add_module(f"conv{branch}_2", nn.Conv2d(width, width, 3, padding=wide, dilation=wide, bias=False))
        self.bn = nn.BatchNorm2d(sum(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return normalised maps [B, sum of widths, h, w]."""
        parts = [self._rectify(self.conv1(x))]
        for branch in (2, 3, 4):
            inner = self._rectify(self.get_submodule(f"conv{branch}_1")(x))
            parts.append(self._rectify(self.get_submodule(f"conv{branch}_2")(inner)))
        y: torch.Tensor = self.bn(torch.cat(parts, 1))
        return y

    def _rectify(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x) if self.rectified else x


class MesoInception4(MesoHead):
    """Two inception modules in place of the first two convolutions.

    In DeepfakeBench's code the two convolutions after them share one batch normalisation, and no ReLU is in the
    inception modules.
    """

    def __init__(self, outputs: int, size: int, variant: Variant = "paper") -> None:
        """See `MesoHead`."""
        super().__init__(outputs, size)
        own, net = variant == "paper", self.backbone
        net.inception1 = Inception(3, (1, 4, 4, 2), rectified=own)
        net.inception2 = Inception(11, (2, 4, 4, 2), rectified=own)
        net.conv1 = nn.Conv2d(12, WIDTH, 5, padding=2, bias=False)
        net.conv2 = nn.Conv2d(WIDTH, WIDTH, 5, padding=2, bias=False)
        self.norms = ("bn1", "bn2") if own else ("bn1", "bn1")
        for name in dict.fromkeys(self.norms):
            net.add_module(name, nn.BatchNorm2d(WIDTH))
        self.pools = nn.ModuleList([nn.MaxPool2d(2), nn.MaxPool2d(2)])
        self.stages = nn.ModuleList([Stage(2), Stage(4)])

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last maps, [B, 16, S/32, S/32]."""
        net, x = self.backbone, images
        for number, pool in enumerate(self.pools, start=1):
            x = pool(net.get_submodule(f"inception{number}")(x))
        for number, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True), start=1):
            x = stage(net.get_submodule(f"conv{number}")(x), net.get_submodule(norm))
        return x


class Meso4Detector(ClassifierDetector[VariantOptions]):
    """Meso-4 (Afchar et al., WIFS 2018)."""

    Options = VariantOptions

    @classmethod
    def network(cls, options: VariantOptions, size: int) -> Meso4:
        """Return a Meso-4 for inputs of a multiple of 32 pixels. Raises ValueError for others."""
        return Meso4(options.outputs, size, options.variant)


class MesoInception4Detector(ClassifierDetector[VariantOptions]):
    """MesoInception-4 (Afchar et al., WIFS 2018)."""

    Options = VariantOptions

    @classmethod
    def network(cls, options: VariantOptions, size: int) -> MesoInception4:
        """Return a MesoInception-4 for inputs of a multiple of 32 pixels. Raises ValueError for others."""
        return MesoInception4(options.outputs, size, options.variant)
