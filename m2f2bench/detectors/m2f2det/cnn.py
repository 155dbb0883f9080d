"""Deepfake encoder E_D: any timm CNN, its last map and its maps at three depths."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch import nn

from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError, near
from ..timm import TimmSource

DEPTHS = 3


class CnnSettings(TimmSource):
    """Which timm network, its initial weights, and which of its layers the bridge reads."""

    depths: tuple[str, ...] = Field(default=(), max_length=8)
    """Names of submodules with maps, such as `blocks.3`, from shallow to deep. Empty: the last three of timm's own
    feature layers."""


class DeepfakeEncoder(nn.Module):
    """A timm network without its classifier."""

    def __init__(self, net: nn.Module, settings: CnnSettings, size: int) -> None:
        """`net` is a timm classifier with any head; `size` is the side of its images in pixels.

        Raises DetectorError for a network without maps at the given depths.
        """
        super().__init__()
        net.reset_classifier(0, "")  # type: ignore[operator]
        self.net = net
        self.depths = settings.depths or _default_depths(net, settings.model)
        self._maps: dict[str, torch.Tensor] = {}
        known = dict(net.named_modules())
        for name in self.depths:
            if name not in known:
                raise DetectorError(f"timm's '{settings.model}' has no layer '{name}'{near(name, known)}")
            known[name].register_forward_hook(partial(self._keep, name))
        training = net.training
        with exact_fp32(), torch.no_grad():
            last, maps = self.eval()(torch.zeros(1, 3, size, size))
        net.train(training)
        for name, found in zip((*self.depths, "its last layer"), (*maps, last), strict=True):
            if found.ndim != 4:
                raise DetectorError(
                    f"timm's '{settings.model}': {name} gives {list(found.shape)}, not a map [B, c, h, w]"
                )
        self.channels = tuple(found.shape[1] for found in maps)
        self.out_channels = last.shape[1]

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the last map [B, c, h, w] and the maps at the depths, for normalised images [B, 3, S, S]."""
        last: torch.Tensor = self.net.forward_features(pixels)  # type: ignore[operator]
        if len(self._maps) != len(set(self.depths)):
            unused = next(name for name in self.depths if name not in self._maps)
            raise DetectorError(
                f"the CNN's layer '{unused}' does not contribute to its features: name another in `depths`"
            )
        maps = [self._maps[name] for name in self.depths]
        self._maps.clear()
        return last, maps

    def _keep(self, name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        self._maps[name] = output


def _default_depths(net: nn.Module, model: str) -> tuple[str, ...]:
    found = [layer["module"] for layer in getattr(net, "feature_info", [])]
    if len(found) < DEPTHS:
        raise DetectorError(
            f"timm's '{model}' names {len(found)} feature layers, fewer than {DEPTHS}: set `depths` on the card"
        )
    return tuple(found[-DEPTHS:])
