"""RECCE (Cao et al., "End-to-End Reconstruction-Classification Learning", CVPR 2022).

An Xception whose early features are also decoded to an image; where the image differs from its reconstruction, and what
the decoder's layers hold, decide what the later blocks see.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from .base import Classifier, ClassifierDetector, ClassifierOptions
from .layers import Relu, SeparableConv, pooled
from .pretrained import ImageNet
from .xception import IMAGENET, WIDTH, Block, Xception

MIDDLE = 728
"""Channels of the encoder's middle blocks."""
NODE = 256
"""Channels of a node of the graph."""
DROPOUT = 0.2
NOISE = 1e-6
"""Standard deviation of the noise on half of the images in training."""


def upward(inputs: int, outputs: int) -> nn.Sequential:
    """Return a step of the decoder: twice the size, a separable convolution, normalisation and ReLU."""
    return nn.Sequential(
        nn.UpsamplingNearest2d(scale_factor=2), SeparableConv(inputs, outputs), nn.BatchNorm2d(outputs), Relu()
    )


def weighing() -> nn.Sequential:
    """Return the layers that weigh the decoder's cells in one of the encoder's: [B, n, ratio², 512] to [..., 1]."""
    return nn.Sequential(nn.Linear(2 * NODE, 1, bias=False), Relu(), nn.Softmax(2))


class Messages(nn.Module):
    """What one depth of the decoder says to each cell of the encoder's maps (section 3.3)."""

    def __init__(self, ratio: int) -> None:
        """`ratio` is how many of the decoder's cells, on a side, lie in one of the encoder's."""
        super().__init__()
        self.ratio = ratio

    def forward(
        self, cells: torch.Tensor, depth: torch.Tensor, embed: nn.Module, weigh: nn.Module, gate: torch.Tensor
    ) -> torch.Tensor:
        """Return messages [B, 256, n] for the cells' nodes [B, 256, n], the decoder's maps, and gates [B, 256, n]."""
        batch, channels, count = len(cells), depth.shape[1], cells.shape[2]
        parts = F.unfold(depth, self.ratio, stride=self.ratio).view(batch, channels, -1, count)
        nodes = embed(parts.permute(0, 3, 2, 1))  # [B, n, ratio², 256]
        own = cells.transpose(1, 2)[:, :, None].expand_as(nodes)
        weights = weigh(torch.cat([own, nodes], 3))
        found: torch.Tensor = (nodes * weights).sum(2).transpose(1, 2) * gate
        return found


class GraphReasoning(nn.Module):
    """Cells of the encoder's maps as nodes, which gather from the decoder's cells at the same place."""

    def __init__(self) -> None:
        """Make the layers. No layer has a bias."""
        super().__init__()

        def projection(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, NODE, bias=False), Relu(), nn.Linear(NODE, NODE, bias=False))

        def cells(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 1, bias=False)

        self.va_embedding = nn.Sequential(cells(MIDDLE, NODE), Relu(), cells(NODE, NODE))
        self.va_gated_b = nn.Sequential(cells(MIDDLE, NODE), nn.Sigmoid())
        self.va_gated_c = nn.Sequential(cells(MIDDLE, NODE), nn.Sigmoid())
        self.vb_embedding, self.vc_embedding = projection(256), projection(128)
        self.reweight_ab, self.reweight_ac = weighing(), weighing()
        self.reproject = nn.Sequential(cells(3 * NODE, MIDDLE), Relu(), cells(MIDDLE, MIDDLE), nn.Dropout(DROPOUT))
        self.b, self.c = Messages(2), Messages(4)

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Return [B, 728, h, w] for the encoder's [B, 728, h, w] and the decoder's at twice and four times the size."""
        nodes = self.va_embedding(a).flatten(2)
        from_b = self.b(nodes, b, self.vb_embedding, self.reweight_ab, 1.0 - self.va_gated_b(a).flatten(2))
        from_c = self.c(nodes, c, self.vc_embedding, self.reweight_ac, 1.0 - self.va_gated_c(a).flatten(2))
        joined = torch.sigmoid(torch.cat([from_b, from_c, nodes], 1))
        y: torch.Tensor = self.reproject(joined.view(len(a), -1, *a.shape[2:]))
        return y


class GuidedAttention(nn.Module):
    """Attention to where an image differs from its reconstruction (section 3.4)."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.gated = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1, bias=False), Relu(), nn.Conv2d(3, 1, 1, bias=False), nn.Sigmoid()
        )
        self.h = nn.Sequential(nn.Conv2d(MIDDLE, MIDDLE, 1, bias=False), nn.BatchNorm2d(MIDDLE), Relu())
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, images: torch.Tensor, reconstructed: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Return [B, 728, h, w] for images and reconstructions [B, 3, S, S] and maps [B, 728, h, w]."""
        difference = _resized((images - reconstructed).abs(), maps)
        y: torch.Tensor = self.gated(difference) * self.h(maps) + self.dropout(maps)
        return y


class Recce(Classifier):
    """Encoder, decoder, graph reasoning, guided attention and the last layer."""

    head: ClassVar[str] = "fc"
    spare: ClassVar[tuple[str, ...]] = ("encoder.fc.",)

    def __init__(self, outputs: int) -> None:
        """Make the layers."""
        super().__init__()
        self.encoder = Xception(outputs=None)
        self.decoder1, self.decoder2 = upward(MIDDLE, 256), Block(256, 256, 3)
        self.decoder3, self.decoder4 = upward(256, 128), Block(128, 128, 3)
        self.decoder5 = upward(128, 64)
        self.decoder6 = nn.Sequential(nn.Conv2d(64, 3, 1, bias=False), nn.Tanh())
        self.reasoning, self.attention = GraphReasoning(), GuidedAttention()
        self.dropout, self.last_dropout = nn.Dropout(DROPOUT), nn.Dropout(DROPOUT)
        self.fc = nn.Linear(WIDTH, outputs)

    def decoded(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the decoder's maps at twice and at four times the size, and a small image, [B, 3, 8h, 8w]."""
        twice = self.decoder2(self.decoder1(self.dropout(maps)))
        four = self.decoder4(self.decoder3(twice))
        return twice, four, self.decoder6(self.decoder5(four))

    @property
    def gives(self) -> tuple[str, ...]:
        """The logit, the reconstruction, and the maps of three depths that the metric loss compares."""
        return ("logit", "reconstruction", "depth_1", "depth_2", "depth_3")

    def training_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the outputs in training: depths are the encoder's block 4 and the decoder at twice and 4 times it."""
        found, seen = self._passed(images)
        return {"logit": self.logit(found), **seen}

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return outputs, [B, 1 or 2]."""
        return self._passed(images)[0]

    def _passed(self, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return outputs, and what the loss of the paper looks at on the way."""
        net = self.encoder
        maps = net.blocks(net.second(net.first(self.noisy(images))), 1, 4)
        twice, four, small = self.decoded(maps)
        whole = _resized(small, images)
        seen = {"reconstruction": whole, "depth_1": maps, "depth_2": twice, "depth_3": four}
        maps = net.blocks(maps, 5, 7)
        maps = net.blocks(self.reasoning(maps, twice, four) + maps, 8, 8)
        maps = self.attention(images, whole, maps)
        last = pooled(net.ending(net.blocks(maps, 9, 12)))
        y: torch.Tensor = self.fc(self.last_dropout(last))
        return y, seen

    def noisy(self, images: torch.Tensor) -> torch.Tensor:
        """Return images with white noise on half of them in training, and as they are otherwise."""
        if not self.training:
            return images
        chosen = (torch.rand(len(images), 1, 1, 1, device=images.device) > 0.5).to(images.dtype)
        return images + chosen * NOISE * torch.randn_like(images)


def _resized(pictures: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return pictures [B, c, h, w] of the size of `like`, bilinear with corners aligned."""
    return F.interpolate(pictures, size=like.shape[-2:], mode="bilinear", align_corners=True)


class RecceDetector(ClassifierDetector[ClassifierOptions]):
    """RECCE (Cao et al., CVPR 2022): an Xception guided by the reconstruction of its image."""

    Options = ClassifierOptions

    @classmethod
    def network(cls, options: ClassifierOptions, size: int) -> Recce:
        """Return the network for any size."""
        return Recce(options.outputs)

    @classmethod
    def imagenet(cls, options: ClassifierOptions) -> ImageNet:
        """Return Cadene's Xception."""
        return ImageNet(IMAGENET.model, ("encoder",), without=IMAGENET.without)
