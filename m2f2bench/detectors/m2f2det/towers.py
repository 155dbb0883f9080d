"""Networks that read the image: the deepfake encoder E_D, and image towers E_I (CLIP's own, or a timm network)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError, first_line, near
from .clip import Clip
from .options import CnnSettings, ImageTowerSettings

DEPTHS = 3
"""Maps of a network that the bridge reads if the card does not name them."""


@dataclass
class Features:
    """Outputs of an image tower for a batch, in fp32.

    `image` [B, p] and `patches` [B, n², p]: CLIP's g^I and F_I in the joint space; of another tower its own features,
    which the network still has to project. `states`, patch tokens [B, n², d] of each depth that the bridge reads;
    `penultimate`, CLIP's patches after all layers but the last (another tower's: `patches`), if requested.
    """

    image: torch.Tensor
    patches: torch.Tensor
    states: list[torch.Tensor]
    penultimate: torch.Tensor | None = None


class Taps:
    """Outputs of some of a timm network's layers, kept while it computes its features."""

    def __init__(self, net: nn.Module, names: Sequence[str], model: str) -> None:
        """`names` are submodules of `net`, timm's network `model`. Raises DetectorError for one that it has not."""
        self.names, self.model = tuple(names), model
        self._kept: dict[str, torch.Tensor] = {}
        known = dict(net.named_modules())
        for name in dict.fromkeys(names):
            if name not in known:
                raise DetectorError(f"timm's '{model}' has no layer '{name}'{near(name, known)}")
            known[name].register_forward_hook(partial(self._keep, name))

    def take(self) -> dict[str, torch.Tensor]:
        """Return the outputs since the last call, by name. Raises DetectorError for a layer that was not computed."""
        found = dict(self._kept)
        self._kept.clear()
        if unused := [name for name in self.names if name not in found]:
            raise DetectorError(
                f"timm's '{self.model}': layer '{unused[0]}' does not contribute to its features: name another one"
            )
        return found

    def _keep(self, name: str, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        self._kept[name] = output


def _last_layers(net: nn.Module, model: str) -> tuple[str, ...]:
    """Return the last of timm's own feature layers, DEPTHS of them. Raises DetectorError for a network without them."""
    layers = [layer["module"] for layer in getattr(net, "feature_info", [])]
    if len(layers) < DEPTHS:
        raise DetectorError(
            f"timm's '{model}' names {len(layers)} feature layers, fewer than {DEPTHS}: set `depths` on the card"
        )
    return tuple(layers[-DEPTHS:])


class DeepfakeEncoder(nn.Module):
    """A timm network without its classifier."""

    def __init__(self, net: nn.Module, settings: CnnSettings, size: int) -> None:
        """`net` is a timm classifier with any head; `size` is the side of its images in pixels.

        Raises DetectorError for a network without maps at the given depths.
        """
        super().__init__()
        net.reset_classifier(0, "")  # type: ignore[operator]
        self.net = net
        self.depths = settings.depths or _last_layers(net, settings.model)
        self._taps = Taps(net, self.depths, settings.model)
        last, maps = _on_blank(self, settings, size)
        for name, found in zip((*self.depths, "its last layer"), (*maps, last), strict=True):
            if found.ndim != 4:
                raise DetectorError(
                    f"timm's '{settings.model}': {name} gives {list(found.shape)}, not a map [B, c, h, w]"
                )
        self.channels, self.sides = tuple(found.shape[1] for found in maps), tuple(found.shape[-1] for found in maps)
        self.out_channels = last.shape[1]

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the last map [B, c, h, w] and the maps at the depths, for normalised images [B, 3, S, S]."""
        last: torch.Tensor = self.net.forward_features(pixels)  # type: ignore[operator]
        maps = self._taps.take()
        return last, [maps[name] for name in self.depths]


class ClipImages:
    """CLIP's image tower and its projection into the joint space. No module: both belong to the CLIP."""

    def __init__(self, clip: Clip, depths: Sequence[int]) -> None:
        """`depths` are the layers that the bridge reads, counted from 1."""
        settings = clip.settings.vision_config
        assert settings is not None
        self.clip, self.depths = clip, tuple(depths)
        self.layers, self.grid, self.patch_width = settings.num_hidden_layers, settings.grid, settings.hidden_size
        self.widths = (settings.hidden_size,) * len(self.depths)

    def look(self, pixels: torch.Tensor, penultimate: bool = False) -> Features:
        """Return the features of normalised images [B, 3, S, S]."""
        clip = self.clip
        *states, below, top = clip.vision_model(pixels, [*self.depths, self.layers - 1, self.layers])
        joint = clip.visual_projection(clip.vision_model.post_layernorm(top).to(clip.visual_projection.weight.dtype))
        return Features(
            joint[:, 0].float(),
            joint[:, 1:].float(),
            [state[:, 1:].float() for state in states],
            below[:, 1:].float() if penultimate else None,
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all weights that decide the features."""
        return {**self.clip.vision_model.state_dict(), **self.clip.visual_projection.state_dict()}


class TimmImages(nn.Module):
    """A timm network as image tower: a ViT's tokens, or a CNN's maps of one or more strides as patches.

    All lies on one square grid, that of the finest map among `patches`; coarser maps are interpolated, finer ones
    averaged. Of several patch layers the channels are joined, each layer's normalised over its channels.
    """

    def __init__(self, net: nn.Module, settings: ImageTowerSettings, size: int, bridge: bool) -> None:
        """`net` is a timm classifier with any head; `size` is the side of its images in pixels.

        Without `bridge` no states are kept. Raises DetectorError for a network without such layers.
        """
        super().__init__()
        net.reset_classifier(0)  # type: ignore[operator]
        self.net = net
        self.prefix = int(getattr(net, "num_prefix_tokens", 0))
        """Tokens before those of the patches: CLS, and registers."""
        self.depths = (settings.depths or _last_layers(net, settings.model)) if bridge else ()
        self.patch_layers = settings.patches
        self._taps = Taps(net, (*self.depths, *self.patch_layers), settings.model)
        self.grid = 0
        for name, found in _on_blank(self, settings, size, raw=True).items():
            shape, places = list(found.shape), found.shape[1] - self.prefix
            square = shape[2] == shape[3] if found.ndim == 4 else round(places**0.5) ** 2 == places > 0
            if found.ndim not in (3, 4) or not square:
                raise DetectorError(
                    f"timm's '{settings.model}': {name or 'its last layer'} gives {shape}: neither a square map [B, c, "
                    "h, h] nor tokens of a square grid [B, t, c]"
                )
            if name in self._patch_names:
                self.grid = max(self.grid, shape[3] if found.ndim == 4 else round(places**0.5))
        blank: Features = _on_blank(self, settings, size)
        self.patch_width = blank.patches.shape[2]
        self.widths = tuple(state.shape[2] for state in blank.states)

    @property
    def _patch_names(self) -> tuple[str, ...]:
        return self.patch_layers or ("",)

    def forward(self, pixels: torch.Tensor, raw: bool = False) -> Any:
        """Return `Features` of normalised images [B, 3, S, S]; with `raw`, the layers' outputs by name, "" the last."""
        last = self.net.forward_features(pixels)  # type: ignore[operator]
        found = {**self._taps.take(), "": last}
        wanted = (*self.depths, *self._patch_names)
        if raw:
            return {name: found[name] for name in wanted}
        images, maps = zip(*(self._split(found[name]) for name in self._patch_names), strict=True)
        tokens = [self._tokens(one) for one in maps]
        patches = torch.cat([F.layer_norm(one, one.shape[2:]) for one in tokens], dim=2)
        image = torch.cat([F.layer_norm(one, one.shape[1:]) for one in images], dim=1)
        states = [self._tokens(self._split(found[name])[1]) for name in self.depths]
        return Features(image, patches, states, patches)

    def train(self, mode: bool = True) -> TimmImages:
        """Stay in eval mode: it is frozen, and so are its statistics."""
        return super().train(False)

    def look(self, pixels: torch.Tensor, penultimate: bool = False) -> Features:
        """Return the features of normalised images [B, 3, S, S]; `penultimate` are always there."""
        found: Features = self(pixels)
        return found

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all weights that decide the features."""
        return self.net.state_dict()

    def _split(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what stands for the whole image [B, c] (CLS, or the mean), and the map [B, c, h, h]."""
        output = output.float()
        if output.ndim == 4:
            return output.mean((2, 3)), output
        places = output[:, self.prefix :]
        side = round(places.shape[1] ** 0.5)
        whole = output[:, 0] if self.prefix else places.mean(1)
        return whole, places.transpose(1, 2).reshape(*places.shape[::2], side, side)

    def _tokens(self, found: torch.Tensor) -> torch.Tensor:
        """Return a map [B, c, h, h] as tokens [B, n², c] of the grid."""
        side = found.shape[3]
        if side > self.grid:
            found = F.adaptive_avg_pool2d(found, self.grid)
        elif side < self.grid:
            found = F.interpolate(found, size=(self.grid, self.grid), mode="bilinear", align_corners=False)
        return found.flatten(2).transpose(1, 2)


def _on_blank(module: nn.Module, settings: CnnSettings, size: int, **given: Any) -> Any:
    """Return what a module gives for a blank image of `size` pixels, in eval mode, or raise DetectorError."""
    training = module.training
    try:
        with exact_fp32(), torch.no_grad():
            found = module.eval()(torch.zeros(1, 3, size, size), **given)
    except (AssertionError, RuntimeError) as error:  # a ViT has positions for one size
        raise DetectorError(
            f"timm's '{settings.model}' cannot read images of {size} pixels: {first_line(error)}; set another "
            f"input.size, or a ViT's `model_kwargs: {{img_size: {size}}}`"
        ) from None
    module.train(training)
    return found
