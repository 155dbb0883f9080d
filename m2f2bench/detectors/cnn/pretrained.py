"""ImageNet weights for the networks of the field: from timm's hub or a file, onto the parts that take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ...core.errors import DetectorError, first_line
from ..weights.load import open_weights, read_weights, shapes_of
from ..weights.names import unwrapped

Rename = Callable[[str], str]


@dataclass(frozen=True)
class ImageNet:
    """Weights of ImageNet for some parts of a network."""

    model: str
    """timm's name of the architecture, for the hub."""
    parts: tuple[str, ...]
    """Names of the submodules that start from these weights; "" is the network itself."""
    renamed: Rename = str
    """A tensor's name in the file, from its name in the part."""
    without: tuple[str, ...] = ()
    """Prefixes of tensors of a part that ImageNet's network does not have, or has for 1,000 classes."""
    first: str = "conv1.weight"
    """The first convolution, which may have other input channels than three."""


def load_pretrained(model: nn.Module, known: ImageNet, source: str, folder: Path) -> None:
    """Copy the weights of `source` (`hub`, or a file) into each part. Raises DetectorError in one line.

    A first convolution of n input channels gets the mean of the three, scaled by 3/n, so that grey in each channel
    gives the same as before; one of 3k channels gets the three repeated, divided by k.
    """
    tensors, where = _tensors(known, source, folder)
    for part in known.parts:
        module = model.get_submodule(part) if part else model
        own = shapes_of(module.state_dict())
        wanted = [name for name in own if not name.startswith(known.without)]
        found = unwrapped(tensors, [known.renamed(name) for name in wanted])
        ready: dict[str, torch.Tensor] = {}
        for name in wanted:
            theirs = known.renamed(name)
            if theirs not in found:
                raise DetectorError(f"weights of ImageNet '{where}' lack tensor '{theirs}': is it another network?")
            tensor = tensors[found[theirs]].float() if not name.endswith("tracked") else tensors[found[theirs]]
            if name == known.first:
                tensor = widened(tensor, own[name][1])
            if tuple(tensor.shape) != own[name]:
                raise DetectorError(
                    f"weights of ImageNet '{where}': tensor '{theirs}' is {list(tensor.shape)}, not {list(own[name])}: "
                    "is it another network?"
                )
            ready[name] = tensor
        module.load_state_dict(ready, strict=False)


def widened(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Return a first convolution's weight, [c, 3, k, k], for another number of input channels."""
    if channels == weight.shape[1]:
        return weight
    times, rest = divmod(channels, weight.shape[1])
    if rest == 0:
        return weight.repeat(1, times, 1, 1) / times
    return weight.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (weight.shape[1] / channels)


def _tensors(known: ImageNet, source: str, folder: Path) -> tuple[dict[str, torch.Tensor], str]:
    if source != "hub":
        path = folder / Path(source).expanduser()
        open_weights(path)
        return read_weights(path), str(path)
    import timm

    try:
        return dict(timm.create_model(known.model, pretrained=True).state_dict()), known.model
    except Exception as error:
        raise DetectorError(
            f"timm cannot fetch '{known.model}': {first_line(error)}; set pretrained to a file, or to null"
        ) from None
