"""Resizing of a training's pictures on its device, in place of the processes that read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from ..cards.settings import InputSettings

if TYPE_CHECKING:
    import numpy.typing as npt

FILTERS = ("bilinear", "bicubic")
"""Interpolations that torch has, too."""


class Whole(NamedTuple):
    """Pictures in the sizes that they have."""

    pixels: torch.Tensor
    """Their RGB values, one picture after the other, uint8 [N]."""
    sizes: tuple[tuple[int, int], ...]
    """The height and width of each."""


def packed(pictures: Sequence[npt.NDArray[np.uint8]]) -> Whole | None:
    """Return RGB uint8 pictures [H, W, 3] one after the other; None without any."""
    if not pictures:
        return None
    pixels = np.concatenate([np.ascontiguousarray(picture).reshape(-1) for picture in pictures])
    return Whole(torch.from_numpy(pixels), tuple((len(picture), picture.shape[1]) for picture in pictures))


def resized(whole: Whole, settings: InputSettings, device: torch.device) -> torch.Tensor:
    """Return the pictures as `detectors.network.resize` does, on a device: uint8 [n, S, S, 3].

    The filters and the rounding are Pillow's: nearly all values are the same, and the others one level apart, or two
    where both passes meet a half.
    """
    pixels = whole.pixels.to(device, non_blocking=True)
    made, begin = [], 0
    for height, width in whole.sizes:
        end = begin + 3 * height * width
        made.append(_resized(pixels[begin:end].view(height, width, 3), settings))
        begin = end
    return torch.stack(made)


def _resized(picture: torch.Tensor, settings: InputSettings) -> torch.Tensor:
    size = settings.size
    shape = settings.scaled(*picture.shape[:2])
    if shape != tuple(picture.shape[:2]):
        planes = picture.permute(2, 0, 1)[None].float()
        for step in ((len(picture), shape[1]), shape):  # as Pillow: rows first, and whole levels, halves up, between
            made = interpolate(planes, step, mode=settings.interpolation, align_corners=False, antialias=True)
            planes = made.add_(0.5).floor_().clamp_(0, 255)
        picture = planes[0].to(torch.uint8).permute(1, 2, 0)
    top, left = ((side - size) // 2 for side in shape)
    low, right = (side - size - first for side, first in zip(shape, (top, left), strict=True))
    return pad(picture, (0, 0, -left, -right, -top, -low))  # what sticks out is cut off, what lacks is black
