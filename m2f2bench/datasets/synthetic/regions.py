"""Regions of a drawn face, with DD-VQA's names: their places, and which of them a forgery touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from .faces import Face
    from .render import Rendering

REGIONS = ("image", "skin", "eyes", "eyebrows", "nose", "mouth")
"""Subjects of DD-VQA's questions; `image` is the whole image."""
PARTS = REGIONS[2:]
TOUCHED = 0.35
SKIN_TOUCHED = 0.1
"""A region is touched if at least this share of its pixels is altered; for the skin, a patch is enough."""


def region_map(face: Face, drawn: Rendering, region: str) -> npt.NDArray[np.bool_]:
    """Return the pixels of a region other than `image`, bool [H, W]; `skin` is the face without its parts."""
    u, v = drawn.u, drawn.v
    side = np.abs(u)
    if region == "eyes":
        inside = np.hypot((side - face.eye_x) / (1.15 * face.eye_w), (v - face.eye_y) / 0.13) < 1
    elif region == "eyebrows":
        middle = face.eye_y - face.brow_y - 0.5 * face.brow_arch
        inside = np.hypot((side - face.eye_x - 0.02) / 0.33, (v - middle) / (0.06 + face.brow_thick)) < 1
    elif region == "nose":
        width = face.bridge_w + (1.2 * face.nose_w - face.bridge_w) * np.clip((v + 0.2) / (face.nose_tip + 0.2), 0, 1)
        inside = (side < width) & (v > -0.2) & (v < face.nose_tip + 0.1)
    elif region == "mouth":
        inside = np.hypot(u / (1.12 * face.mouth_w), (v - face.mouth_y - 0.02) / 0.16) < 1
    elif region == "skin":
        inside = np.ones(u.shape, np.bool_)
        for part in PARTS:
            inside &= ~region_map(face, drawn, part)
    else:
        raise ValueError(f"no region '{region}'")
    return np.asarray(inside & (drawn.skin > 0.5), np.bool_)


def coverage(face: Face, drawn: Rendering, mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Return the share of each region (without `image`) that a mask alters, in [0, 1]; 0 for a hidden region."""
    shares = {}
    for region in REGIONS[1:]:
        where = region_map(face, drawn, region)
        shares[region] = float(mask[where].mean()) if where.any() else 0.0
    return shares


def touched(shares: dict[str, float]) -> tuple[str, ...]:
    """Return the touched regions in the order of `REGIONS`; `image` is always touched."""
    least = {region: SKIN_TOUCHED if region == "skin" else TOUCHED for region in REGIONS[1:]}
    return ("image", *(region for region, share in least.items() if shares.get(region, 0.0) >= share))
