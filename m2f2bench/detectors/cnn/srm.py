"""SRM two-stream (Luo et al., "Generalizing Face Forgery Detection with High-frequency Features", CVPR 2021).

One Xception sees the image, the other its high-pass residual. Features of the first are filtered in the same way and
given to the second, the residual says where the first looks, and the two attend to each other twice.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import Relu, in_full, pooled
from .pretrained import ImageNet
from .xception import IMAGENET, WIDTH, Xception

LARGEST = 3.0
"""Residuals are clipped to ±3."""
RATIO = 16
"""Of the channel attention."""
MIDDLE = 728
"""Channels of the maps that attend to each other."""


def residual_kernels() -> torch.Tensor:
    """Return the three high-pass kernels, float32 [3, 5, 5]: KB / 4, KV / 12, and a second-order line / 2.

    They are of the spatial rich model (Fridrich and Kodovsky, IEEE TIFS 2012).
    """
    kernels = torch.zeros(3, 5, 5, dtype=torch.float64)
    line = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64)
    kernels[0, 1:4, 1:4] = -torch.outer(line, line)
    quarter = [[-1, 2, -2], [2, -6, 8], [-2, 8, -12]]
    for row in range(5):
        for column in range(5):
            kernels[1, row, column] = quarter[min(row, 4 - row)][min(column, 4 - column)]
    kernels[2, 2, 1:4] = -line
    return (kernels / torch.tensor([4.0, 12.0, 2.0], dtype=torch.float64)[:, None, None]).float()


class ImageResidual(nn.Module):
    """Three residuals of an image, each kernel over all three colours; clipped."""

    def __init__(self) -> None:
        """Make the kernels."""
        super().__init__()
        self.kernel: torch.Tensor
        self.register_buffer("kernel", residual_kernels()[:, None].repeat(1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, 3, h, w] for [B, 3, h, w]."""
        with in_full(x):
            return F.conv2d(x.float(), self.kernel, padding=2).clamp(-LARGEST, LARGEST)


class FeatureResidual(nn.Module):
    """Three residuals of each channel, clipped, and a 1×1 convolution with normalisation and ReLU over all of them.

    As in the published files, the kernels lie one after another, each `channels` times, and are used as they lie:
    channel c gets rows 3c to 3c + 2 of that list, so mostly one kernel three times.
    """

    def __init__(self, channels: int) -> None:
        """`channels` come in and go out."""
        super().__init__()
        self.channels = channels
        self.kernel: torch.Tensor
        self.register_buffer("kernel", residual_kernels().repeat_interleave(channels, 0)[:, None].contiguous())
        self.out_conv = nn.Sequential(
            nn.Conv2d(3 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), Relu()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, c, h, w] for [B, c, h, w]."""
        with in_full(x):
            found = F.conv2d(x.float(), self.kernel, padding=2, groups=self.channels).clamp(-LARGEST, LARGEST)
        y: torch.Tensor = self.out_conv(found)
        return y


class PixelAttention(nn.Module):
    """A weight for each pixel from the mean and the maximum over its channels."""

    def __init__(self) -> None:
        """Make the convolution."""
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return weights in (0, 1), [B, 1, h, w]."""
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return torch.sigmoid(self.conv(both))


class ResidualAttention(nn.Module):
    """Where the residual of the residual says that the first stream should look."""

    def __init__(self) -> None:
        """Make the layers, whose maps have the size of those after an Xception's second convolution."""
        super().__init__()
        self.srm = ImageResidual()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 32, 3, 2, bias=False),
            nn.BatchNorm2d(32),
            Relu(),
            nn.Conv2d(32, 64, 3, bias=False),
            nn.BatchNorm2d(64),
            Relu(),
        )
        self.pa = PixelAttention()

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """Return weights, [B, 1, h, w], for an image's residual [B, 3, S, S]."""
        y: torch.Tensor = self.pa(self.conv(self.srm(residual)))
        return y


class DualAttention(nn.Module):
    """Cross-modal attention in both directions, with learned linear maps of the energies.

    These fix the number of cells, so that a trained network takes one size of image only.
    """

    def __init__(self, channels: int, cells: int) -> None:
        """`cells` are those of the maps, h · w."""
        super().__init__()
        width = channels // 8
        self.key_conv1, self.key_conv2 = nn.Conv2d(channels, width, 1), nn.Conv2d(channels, width, 1)
        self.key_conv_share = nn.Conv2d(width, width, 1)
        self.linear1, self.linear2 = nn.Linear(cells, cells), nn.Linear(cells, cells)
        self.value_conv1, self.value_conv2 = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.gamma1, self.gamma2 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both streams' maps, each [B, c, h, w]."""
        keys_x = self.key_conv_share(self.key_conv1(x)).flatten(2)
        keys_y = self.key_conv_share(self.key_conv2(y)).flatten(2)
        energy = keys_x.transpose(1, 2) @ keys_y
        on_x, on_y = self.linear1(energy).softmax(2), self.linear2(energy.transpose(1, 2)).softmax(2)
        from_y = self.value_conv2(y).flatten(2) @ on_x.transpose(1, 2)
        from_x = self.value_conv1(x).flatten(2) @ on_y.transpose(1, 2)
        return x + self.gamma1 * from_y.view(x.shape), y + self.gamma2 * from_x.view(y.shape)


class ChannelAttention(nn.Module):
    """A weight for each channel from its mean and its maximum."""

    def __init__(self, channels: int) -> None:
        """Make the layers that mean and maximum share."""
        super().__init__()
        self.sharedMLP = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1, bias=False),
            Relu(),
            nn.Conv2d(channels // 16, channels, 1, bias=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return weights in (0, 1), [B, c, 1, 1]."""
        mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return torch.sigmoid(self.sharedMLP(mean) + self.sharedMLP(most))


class Fusion(nn.Module):
    """Both streams' last maps as one: a 1×1 convolution, then channel attention."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.convblk = nn.Sequential(nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), Relu())
        self.ca = ChannelAttention(WIDTH)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return [B, 2048, h, w]."""
        joined = self.convblk(torch.cat([x, y], 1))
        found: torch.Tensor = joined * self.ca(joined)
        return found


class Srm(Classifier):
    """The two streams (section 4)."""

    head: ClassVar[str] = "backbone_rgb.last_linear"
    spare: ClassVar[tuple[str, ...]] = (
        "backbone_rgb.adjust_channel.",
        "backbone_srm.adjust_channel.",
        "backbone_srm.last_linear.",
    )

    def __init__(self, outputs: int, size: int) -> None:
        """`size` is that of the images, which the dual attention fixes."""
        super().__init__()
        self.backbone_rgb, self.backbone_srm = Xception(outputs=outputs), Xception(outputs=None)
        self.srm_conv0 = ImageResidual()
        self.srm_conv1, self.srm_conv2 = FeatureResidual(32), FeatureResidual(64)
        self.srm_sa = ResidualAttention()
        self.srm_sa_post = nn.Sequential(nn.BatchNorm2d(64), Relu())
        cells = middle_side(size) ** 2
        self.dual_cma0, self.dual_cma1 = DualAttention(MIDDLE, cells), DualAttention(MIDDLE, cells)
        self.fusion = Fusion()

    @property
    def gives(self) -> tuple[str, ...]:
        """The logit; with two outputs also what AM-softmax reads."""
        last = self.backbone_rgb.last_linear
        return ("logit", "scores", "cosines") if getattr(last, "out_features", 0) == 2 else ("logit",)

    def training_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logit [B], the outputs `scores` [B, 2], real first, and their `cosines` without length or bias."""
        features = pooled(self.fused(images))
        last: Any = self.backbone_rgb.last_linear
        scores = last(features)
        cosines = F.linear(F.normalize(features, dim=1), F.normalize(last.weight, dim=1))
        found = {"scores": scores, "cosines": cosines} if scores.shape[1] == 2 else {}
        return {"logit": self.logit(scores), **found}

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        return self.backbone_rgb.classify(self.fused(images))

    def fused(self, images: torch.Tensor) -> torch.Tensor:
        """Return the maps of both streams as one, [B, 2048, h, w]."""
        rgb, srm = self.backbone_rgb, self.backbone_srm
        residual = self.srm_conv0(images)
        x = rgb.first(images)
        y = F.relu(srm.first(residual) + self.srm_conv1(x))
        x, y = rgb.second(x), srm.second(y)
        y = F.relu(y + self.srm_conv2(x))
        x = self.srm_sa_post(x * self.srm_sa(residual) + x)
        x, y = self.dual_cma0(rgb.blocks(x, 1, 3), srm.blocks(y, 1, 3))
        x, y = self.dual_cma1(rgb.blocks(x, 4, 7), srm.blocks(y, 4, 7))
        x, y = rgb.ending(rgb.blocks(x, 8, 12), bare=True), srm.ending(srm.blocks(y, 8, 12), bare=True)
        joined: torch.Tensor = self.fusion(x, y)
        return joined


def middle_side(size: int) -> int:
    """Return the side of an Xception's maps after block 3, for images of `size` pixels."""
    side = (size - 3) // 2 + 1 - 2
    for _ in range(3):
        side = (side + 1) // 2
    return side


class SrmDetector(ClassifierDetector[ClassifierOptions]):
    """SRM two-stream (Luo et al., CVPR 2021): an image and its high-frequency residual, with attention between them."""

    Options = ClassifierOptions

    @classmethod
    def network(cls, options: ClassifierOptions, size: int) -> Srm:
        """Return the network for this size of images only."""
        return Srm(options.outputs, size)

    @classmethod
    def imagenet(cls, options: ClassifierOptions) -> ImageNet:
        """Return Cadene's Xception, for each stream."""
        return ImageNet(IMAGENET.model, ("backbone_rgb", "backbone_srm"), without=IMAGENET.without)
