"""F3Net (Qian et al., "Thinking in Frequency", ECCV 2020): images taken apart by frequency, whole and in windows."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .base import Classifier, ClassifierDetector, VariantOptions
from .layers import in_full, pooled
from .pretrained import ImageNet
from .xception import IMAGENET, WIDTH, Xception

WINDOW, STEP, BANDS = 10, 2, 6
"""Of the local frequency statistics: side of a window and distance of two in pixels, and bands (section 3.2)."""
LUMA = (0.299, 0.587, 0.114)
SMALLEST = 1e-6
"""Added before the logarithm: a flat window has no energy."""


def dct_matrix(size: int) -> torch.Tensor:
    """Return the orthonormal matrix of the DCT-II, float32 [size, size]: row i is the i-th cosine."""
    row, column = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64)[None]
    matrix = torch.cos((column + 0.5) * math.pi * row / size) * math.sqrt(2 / size)
    matrix[0] = math.sqrt(1 / size)
    return matrix.float()


def band(size: int, low: float, high: float) -> torch.Tensor:
    """Return 1 where low <= row + column <= high, else 0: float32 [size, size]."""
    both = torch.arange(size)[:, None] + torch.arange(size)[None]
    return ((both >= low) & (both <= high)).float()


class BandFilter(nn.Module):
    """A filter of frequencies: a fixed band, and a learned correction between -1 and 1."""

    def __init__(self, base: torch.Tensor) -> None:
        """`base` is the band, [n, n]."""
        super().__init__()
        self.base: torch.Tensor
        self.register_buffer("base", base)
        self.learnable = nn.Parameter(torch.empty(base.shape, device=base.device).normal_(0.0, 0.1))

    def forward(self) -> torch.Tensor:
        """Return the filter, [n, n]."""
        return self.base + (2.0 * torch.sigmoid(self.learnable) - 1.0)


class FrequencyAwareDecomposition(nn.Module):
    """FAD: the image's low, middle, high and all frequencies, each brought back to pixels (section 3.1)."""

    def __init__(self, size: int) -> None:
        """`size` is that of the images, in pixels."""
        super().__init__()
        matrix = dct_matrix(size)
        self._DCT_all: torch.Tensor
        self._DCT_all_T: torch.Tensor
        self.register_buffer("_DCT_all", matrix)
        self.register_buffer("_DCT_all_T", matrix.T.contiguous())
        low, middle = size // 2.82, size // 2
        edges = ((0, low), (low, middle), (middle, 2 * size), (0, 2 * size))
        self.filters = nn.ModuleList([BandFilter(band(size, *ends)) for ends in edges])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the four pictures of [B, 3, S, S] as channels, [B, 12, S, S]."""
        with in_full(images):
            spectrum = self._DCT_all @ images.float() @ self._DCT_all_T
            pictures = [self._DCT_all_T @ (spectrum * one()) @ self._DCT_all for one in self.filters]
        return torch.cat(pictures, 1)


class LocalFrequencyStatistics(nn.Module):
    """LFS: for each window, the logarithm of its energy in six bands of the DCT (section 3.2)."""

    def __init__(self) -> None:
        """Make the transform of a window as a convolution of 100 cosines, and the filters of the bands."""
        super().__init__()
        matrix = dct_matrix(WINDOW)
        cosines = torch.einsum("ia,jb->ijab", matrix, matrix).reshape(-1, 1, WINDOW, WINDOW)
        width = 2 * WINDOW / BANDS
        self.cosines: torch.Tensor
        self.luma: torch.Tensor
        self.register_buffer("cosines", cosines)
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 3, 1, 1))
        self.filters = nn.ModuleList(
            [BandFilter(band(WINDOW, width * i, width * (i + 1) - 1e-6)) for i in range(BANDS)]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return log10 of energies, [B, 6, S/2, S/2], of normalised images [B, 3, S, S]."""
        with in_full(images):
            grey = (images.float() * self.luma).sum(1, keepdim=True)
            spectra = F.conv2d(grey, self.cosines, stride=STEP, padding=WINDOW // 2 - 1).abs()
            weights = torch.stack([one().abs().flatten() for one in self.filters])
            energy = F.conv2d(spectra, weights[:, :, None, None])
            return torch.log10(energy + SMALLEST)


class MixBlock(nn.Module):
    """Cross-attention between two streams: each looks at the other's cells that are like its own (section 3.3).

    The paper draws the block and leaves its layers open. Here, queries and keys are 1×1 convolutions to an eighth of
    the channels, and what is found is added with a weight that starts at zero, so that training begins with the two
    streams as they are.
    """

    def __init__(self, channels: int) -> None:
        """`channels` of each stream's maps."""
        super().__init__()
        self.width = channels // 8
        self.queries = nn.ModuleList([nn.Conv2d(channels, self.width, 1) for _ in range(2)])
        self.values = nn.ModuleList([nn.Conv2d(channels, channels, 1) for _ in range(2)])
        self.weights = nn.Parameter(torch.zeros(2))

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both streams' maps, each [B, c, h, w]."""
        first, second = (query(x).flatten(2) for query, x in zip(self.queries, (one, two), strict=True))
        energy = first.transpose(1, 2) @ second / math.sqrt(self.width)
        to_one = self.values[1](two).flatten(2) @ energy.softmax(2).transpose(1, 2)
        to_two = self.values[0](one).flatten(2) @ energy.softmax(1)
        return one + self.weights[0] * to_one.view_as(one), two + self.weights[1] * to_two.view_as(two)


class FadNet(Classifier):
    """F3Net's first stream alone, as in DeepfakeBench's code: FAD into an Xception."""

    head: ClassVar[str] = "backbone.last_linear.1"
    spare: ClassVar[tuple[str, ...]] = ("backbone.adjust_channel.",)

    def __init__(self, outputs: int, size: int) -> None:
        """`size` is that of the images, by which the filters are numbered."""
        super().__init__()
        self.backbone = Xception(channels=12, outputs=outputs, dropout=0.5)
        self.FAD_head = FrequencyAwareDecomposition(size)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        y: torch.Tensor = self.backbone(self.FAD_head(images))
        return y


class F3Net(Classifier):
    """Two Xceptions, on FAD and on LFS, that look at each other after block 7 and after block 12."""

    head: ClassVar[str] = "last_linear"

    def __init__(self, outputs: int, size: int) -> None:
        """`size` is that of the images. Raises ValueError where the maps of the streams differ in size."""
        super().__init__()
        sides = _side((size - 3) // 2 + 1), _side((size + 2 * (WINDOW // 2 - 1) - WINDOW) // 2 + 1 - 2)
        if sides[0] != sides[1]:
            raise ValueError(f"for {size} pixels its two streams have maps of different sizes: set input.size to 256")
        self.FAD_head, self.LFS_head = FrequencyAwareDecomposition(size), LocalFrequencyStatistics()
        self.fad = Xception(channels=12, outputs=None)
        self.lfs = Xception(channels=BANDS, outputs=None, stride=1)
        self.mix7, self.mix12 = MixBlock(728), MixBlock(1024)
        self.dropout = nn.Dropout(0.5)
        self.last_linear = nn.Linear(2 * WIDTH, outputs)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        x, y = self.FAD_head(images), self.LFS_head(images)
        x, y = (net.blocks(net.second(net.first(maps)), 1, 7) for net, maps in ((self.fad, x), (self.lfs, y)))
        x, y = self.mix7(x, y)
        x, y = self.mix12(self.fad.blocks(x, 8, 12), self.lfs.blocks(y, 8, 12))
        joined = torch.cat([pooled(self.fad.ending(x)), pooled(self.lfs.ending(y))], 1)
        found: torch.Tensor = self.last_linear(self.dropout(joined))
        return found


def _side(first: int) -> int:
    """Return the side of an Xception's maps in its middle, from that after its first convolution."""
    side = first - 2
    for _ in range(3):
        side = (side + 1) // 2
    return side


class F3NetDetector(ClassifierDetector[VariantOptions]):
    """F3Net (Qian et al., ECCV 2020): FAD, LFS and cross-attention; FAD alone in the variant `deepfakebench`."""

    Options = VariantOptions

    @classmethod
    def network(cls, options: VariantOptions, size: int) -> Classifier:
        """Return the network for this size of images only. Raises ValueError."""
        return FadNet(options.outputs, size) if options.variant == "deepfakebench" else F3Net(options.outputs, size)

    @classmethod
    def imagenet(cls, options: VariantOptions) -> ImageNet:
        """Return Cadene's Xception, for each stream."""
        parts = ("backbone",) if options.variant == "deepfakebench" else ("fad", "lfs")
        return ImageNet(IMAGENET.model, parts, without=IMAGENET.without)
