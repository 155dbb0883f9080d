"""Regions of a face on a square grid over its crop, from the layout of a mean face."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional as F

from ...training.sources.hull import hull_mask
from ...training.sources.mean_face import mean_face

REGIONS = ("eyebrows", "eyes", "nose", "mouth", "skin")
"""In the order of their tokens."""
_WORDS = {name: name.removesuffix("s") for name in REGIONS} | {"eyebrows": "(?:eye)?brow", "mouth": "(?:mouth|lip)"}
_NAMED = {name: re.compile(rf"\b{word}s?\b", re.IGNORECASE) for name, word in _WORDS.items()}
_POINTS = {"eyebrows": ((17, 22), (22, 27)), "eyes": ((36, 42), (42, 48)), "nose": ((27, 36),), "mouth": ((48, 60),)}
"""Ranges of the 68 landmarks whose hulls are a region; skin is what is left of the hull of all."""
_DRAWN = 480
"""Points of the drawing along a side, or some more, so that each cell has as many."""
_MARGIN = 0.03
"""A region is this much wider on each side than the hull of its landmarks, in widths of the crop."""


def regions_of(question: str) -> tuple[str, ...]:
    """Return those of REGIONS that a question names; all of them for a question that names none."""
    return tuple(name for name, words in _NAMED.items() if words.search(question)) or REGIONS


def region_masks(side: int) -> npt.NDArray[np.float32]:
    """Return the share of each cell that belongs to each of REGIONS, float32 [5, side, side] in [0, 1].

    Regions do not overlap: where hulls do, the first one counts.
    """
    fine = -(-_DRAWN // side)
    size = side * fine
    points = mean_face() * size
    drawn, taken = [], np.zeros((size, size), dtype=np.bool_)
    for ranges in _POINTS.values():
        hulls = [hull_mask(points[start:end], size, size) for start, end in ranges]
        away = ndimage.distance_transform_edt(np.maximum.reduce(hulls) == 0)
        drawn.append((away <= _MARGIN * size) & ~taken)
        taken |= drawn[-1]
    drawn.append((hull_mask(points, size, size) > 0) & ~taken)
    cells = np.stack(drawn).reshape(len(REGIONS), side, fine, side, fine)
    shares: npt.NDArray[np.float32] = cells.mean((2, 4)).astype(np.float32)
    return shares


@lru_cache(maxsize=16)
def _weights(side: int) -> torch.Tensor:
    masks = torch.from_numpy(region_masks(side))
    return masks / masks.sum((1, 2), keepdim=True)


def pooled_regions(found: torch.Tensor) -> torch.Tensor:
    """Return the mean of a map [B, c, n, n] over each region: [B, 5, c]."""
    return torch.einsum("bchw,rhw->brc", found, _weights(found.shape[-1]).to(found.device, found.dtype))


def finest(sides: Sequence[int]) -> list[int]:
    """Return which of maps with these sides have the most cells.

    Coarser ones, and F^0 ⊙ M_b behind the bridge's attention, hold the whole face at every place: what they have at the
    eyes says as much of the mouth.
    """
    return [number for number, side in enumerate(sides) if side == max(sides)]


def region_features(maps: Sequence[torch.Tensor], heat: torch.Tensor | None) -> torch.Tensor:
    """Return what is known of each region of a face, fp32 [B, 5, c].

    That is the mean over the region of the finest of E_D's `maps` [B, c_i, n_i, n_i], each normalised over its
    channels, and of the map M_b [B, 1, n, n], 0 without one.
    """
    local = [maps[number] for number in finest([one.shape[-1] for one in maps])]
    parts = [F.layer_norm(one, one.shape[2:]) for one in map(pooled_regions, (one.float() for one in local))]
    level = parts[0].new_zeros((*parts[0].shape[:2], 1)) if heat is None else pooled_regions(heat.float())
    return torch.cat([*parts, level], dim=2)
