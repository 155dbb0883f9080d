"""Resizing of a training's pictures on its device, in place of the processes that read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import pad

from ..cards.settings import InputSettings
from ..core.arrays import Floats

if TYPE_CHECKING:
    import numpy.typing as npt

FILTERS = ("bilinear", "bicubic")
"""Interpolations that are computed on a device."""
BITS = 22
"""Pillow's weights are whole multiples of 2 ** -BITS, so that a sum of levels is a whole number below 2 ** 31."""


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

    The arithmetic is Pillow's, in whole numbers, so that every value is the same on every device.
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
        planes = picture.permute(2, 0, 1).int()
        planes = _along(planes, shape[1], settings.interpolation)  # as Pillow: rows first, and whole levels between
        planes = _along(planes.mT, shape[0], settings.interpolation).mT
        picture = planes.to(torch.uint8).permute(1, 2, 0)
    top, left = ((side - size) // 2 for side in shape)
    low, right = (side - size - first for side, first in zip(shape, (top, left), strict=True))
    return pad(picture, (0, 0, -left, -right, -top, -low))  # what sticks out is cut off, what lacks is black


def _along(values: torch.Tensor, size: int, interpolation: str) -> torch.Tensor:
    """Return levels, int32 [..., n], resized along their last dimension to [..., size]."""
    if values.shape[-1] == size:
        return values
    places, weights = (torch.from_numpy(one).to(values.device) for one in _taps(values.shape[-1], size, interpolation))
    found = values.new_full((*values.shape[:-1], size), 1 << (BITS - 1))  # a half
    for place, weight in zip(places, weights, strict=True):
        found += values[..., place] * weight
    return (found >> BITS).clamp_(0, 255)


@lru_cache(maxsize=256)
def _taps(before: int, after: int, interpolation: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Return the places that each new value is a sum of, and their weights in units of 2 ** -BITS, [taps, after] each.

    They are those of Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (src/libImaging/Resample.c), bit by bit.
    """
    support, curve = CURVES[interpolation]
    scale = before / after
    wide = max(scale, 1.0)
    centre = (np.arange(after) + 0.5) * scale
    first = np.maximum(centre - support * wide + 0.5, 0.0).astype(np.int64)
    end = np.minimum((centre + support * wide + 0.5).astype(np.int64), before)
    places = first + np.arange((end - first).max())[:, None]
    weights = np.where(places < end, curve(np.abs((places - centre + 0.5) * (1.0 / wide))), 0.0)
    weights /= np.cumsum(weights, axis=0)[-1]  # in order, as Pillow adds them
    whole = np.trunc(weights * (1 << BITS) + np.copysign(0.5, weights)).astype(np.int32)
    return np.minimum(places, before - 1), whole


def _linear(x: Floats) -> Floats:
    return np.maximum(1.0 - x, 0.0)


def _cubic(x: Floats) -> Floats:
    """Keys' cubic convolution (1981) with a = -0.5."""
    near, far = ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1.0, (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


CURVES: dict[str, tuple[float, Callable[[Floats], Floats]]] = {"bilinear": (1.0, _linear), "bicubic": (2.0, _cubic)}
"""Pillow's filters: their half width, and their weight at a distance."""
