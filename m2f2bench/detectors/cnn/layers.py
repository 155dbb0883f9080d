"""Layers that several networks of the field share."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def in_full(x: torch.Tensor) -> torch.autocast:
    """Return a context in which arithmetic on the device of `x` is not reduced to half precision by autocast.

    Fixed transforms need it: a residual is a small difference of large numbers.
    """
    return torch.autocast(x.device.type, enabled=False)


class Relu(nn.Module):
    """ReLU, in place where no gradient is taken: the map before it is then of no use to anything."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return max(x, 0)."""
        return F.relu(x, inplace=not torch.is_grad_enabled())


class SeparableConv(nn.Module):
    """A 3×3 convolution of each channel by itself, then a 1×1 convolution over channels; neither has a bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """`inputs` and `outputs` are channels."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, outputs, h, w] for [B, inputs, h, w]."""
        y: torch.Tensor = self.pointwise(self.conv1(x))
        return y


def pooled(maps: torch.Tensor) -> torch.Tensor:
    """Return the mean of each channel, [B, c], of maps [B, c, h, w]."""
    return maps.mean((2, 3))
