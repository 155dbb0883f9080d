"""Rendering of one frame (background, neck, head, hair, glasses, a soft lens), and the regions of its face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .canvas import Canvas, lookup, make_canvas, paint_features
from .faces import Array, Face, Light, Pose, Scene, linear

REGIONS = ("image", "skin", "eyes", "eyebrows", "nose", "mouth")
"""Subjects of DD-VQA's questions; `image` is the whole image."""
PARTS = REGIONS[2:]
TOUCHED = 0.35
SKIN_TOUCHED = 0.1
"""A region is touched if at least this share of its pixels is altered; for the skin, a patch is enough."""


@dataclass(frozen=True)
class Rendering:
    """A drawn frame. `image` is sRGB float32 [H, W, 3] in [0, 1] before noise; the rest are [H, W] maps.

    `u`, `v` are the coordinates on the face, `radius` is below 1 inside the head's outline, `skin` is the share of
    a pixel that is the face itself and not hair, glasses or background, in [0, 1].
    """

    image: Array
    u: Array
    v: Array
    radius: Array
    skin: Array
    pixels: float
    """Pixels per half face width."""


def _hair_colour(c: Canvas) -> Array:
    """Return the colour of strands that run down from the parting, with a band of sheen, linear RGB [H, W, 3]."""
    f = c.face
    angle = np.arctan2(c.u0 - np.float32(f.part), c.v0 + np.float32(f.top + 0.35)) * 1.1
    reach = np.hypot(c.u0 - np.float32(f.part), c.v0 + np.float32(f.top + 0.35))
    strands = lookup(f.strands, angle, reach, 2.4)
    sheen = np.exp(-np.square((reach - 0.62 + 0.25 * c.light.direction[0] * c.u0) / 0.22))
    turn = np.clip(0.75 + 0.4 * c.light.direction[0] * c.u0 + 0.45 * c.light.direction[1] * c.v0, 0.25, 1.3)
    level = np.clip(0.75 + 0.34 * strands, 0.12, 2) * (0.75 + 0.55 * sheen * (1 + 0.4 * strands)) * turn
    colour = f.hair * (c.light.ambient + 0.8 * c.light.key)
    return np.asarray(colour * level[..., None] + 0.012 * sheen[..., None], np.float32)


def _hair_outline(c: Canvas) -> Array:
    """Return the signed distance to the outer edge of the hair; below 0 inside."""
    f = c.face
    height = np.where(c.v0 < 0, -c.v0 / np.float32(f.top + f.volume), 0)
    wide = np.abs(c.u0) / np.float32(1.02 + 0.8 * f.volume)
    cap = (wide**2.3 + height**2.3) ** (1 / 2.3) - 1
    if f.style in ("long", "bangs"):
        return np.asarray(cap - 0.12 * np.clip(c.v0, 0, 1))
    return np.asarray(np.maximum(cap, (c.v0 - 0.02) * 0.8))


def _body(c: Canvas, scene: Scene) -> None:
    """Paint neck and shoulders below, ears at the sides."""
    f = c.face
    amount = c.light.ambient * 0.8 + c.light.key * np.float32(0.42)
    side = np.abs(c.u0)
    shadow = np.clip(0.42 + 0.6 * (c.v0 - f.chin + 0.15), 0.35, 0.9)
    turn = np.clip(1 + 0.7 * c.light.direction[0] * c.u0, 0.4, 1.4)
    neck = c.edge(side - 0.58 - 0.12 * np.clip(c.v0 - 1.2, 0, 1), 3) * (c.v0 > 0.6)
    c.paint(neck, f.skin * amount * (shadow * turn)[..., None])
    collar = 1.72 - 0.3 * np.clip(side / 0.62, 0, 1) ** 2 + 0.22 * np.clip(side - 0.62, 0, 1)
    folds = 0.8 + 0.25 * np.cos(c.u0 * 9 + 3 * c.v0) * np.clip(c.v0 - 1.2, 0, 1)
    c.paint(c.edge(collar - c.v0, 2.5), scene.cloth * amount * folds[..., None])
    if f.style not in ("long", "bangs"):
        ear = np.hypot((side - 1.0) / 0.13, (c.v0 - 0.04) / 0.27)
        tone = np.clip(0.85 - 0.5 * np.exp(-np.square((ear - 0.45) / 0.2)), 0.3, 1) * turn
        c.paint(c.edge((ear - 1) * 0.13, 2), f.skin * amount * np.asarray([1.1, 0.92, 0.9]) * tone[..., None] * 1.1)


def _front_hair(c: Canvas, outline: Array, colour: Array) -> Array:
    """Paint the hair over forehead and cheeks; return the share of each pixel that it covers."""
    f = c.face
    if f.style == "bald":
        return np.zeros_like(c.u)
    ragged = lookup(f.strands, c.u * 1.3, c.v * 0.3 + 0.4, 2.6)
    line = np.float32(f.hairline) + 0.028 * ragged
    if f.style == "bangs":
        line = line + 0.1 * np.square(c.u) + 0.75 * np.clip((c.side - 0.72) / 0.3, 0, 1) ** 2
    elif f.style == "side":
        line = line + 0.22 * np.clip(-np.sign(f.part) * (c.u - f.part), -0.2, 0.8)
        line = line + 0.8 * np.clip(c.side / 0.97, 0, 1.1) ** 7
    elif f.style == "receding":
        line = line - 0.1 * np.abs(c.side - 0.3) + 0.95 * np.clip(c.side / 0.98, 0, 1.1) ** 9
    else:
        line = line + 0.85 * np.clip(c.side / 0.96, 0, 1.1) ** 6
    alpha = np.minimum(c.edge(c.v - line, 5), c.edge(outline + 0.016 * ragged, 4))
    if f.style in ("long", "bangs"):
        curtain = 0.86 - 0.1 * np.clip(c.v0 + 0.2, -0.5, 1.4) ** 2 * (0.6 + f.part) + 0.03 * ragged
        strand = np.minimum(c.edge(curtain - np.abs(c.u0), 3), c.edge(outline + 0.016 * ragged, 4)) * (c.v0 > -0.9)
        alpha = np.maximum(alpha, strand * np.clip((c.v0 + 0.9) * 3, 0, 1))
    soft = ndimage.uniform_filter(alpha, 9)
    c.picture *= (1 - 0.28 * soft * (1 - alpha))[..., None]
    c.paint(alpha, colour)
    return np.asarray(alpha, np.float32)


def _glasses(c: Canvas) -> Array:
    """Paint dark rims; return the share of each pixel that they cover."""
    f = c.face
    if not f.glasses:
        return np.zeros_like(c.u)
    lens = ((np.abs(c.side - (f.eye_x + 0.01)) / 0.31) ** 4 + (np.abs(c.v - f.eye_y - 0.03) / 0.21) ** 4) ** 0.25
    rim = c.edge(np.abs(lens - 1) * 0.23 - 0.013, 1.4)
    bridge = np.minimum(c.edge(np.abs(c.v - f.eye_y + 0.03) - 0.013, 1.4), c.edge(c.side - f.eye_x + 0.29, 1.4))
    temple = np.minimum(c.edge(np.abs(c.v - f.eye_y + 0.04) - 0.014, 1.4), c.edge(f.eye_x + 0.31 - c.side, 1.4))
    alpha = np.clip(np.maximum(np.maximum(rim, bridge), temple), 0, 1) * c.edge(c.radius - 1.0)
    c.paint(alpha, linear((0.13, 0.1, 0.1)))
    return np.asarray(alpha, np.float32)


def render_face(face: Face, scene: Scene, pose: Pose, light: Light | None = None) -> Array:
    """Draw only the face, without hair, neck or glasses, for a forgery: sRGB float32 [H, W, 3] before noise.

    `light`, if given, replaces the scene's light.
    """
    c = make_canvas(face, pose, scene)
    if light is not None:
        c.light = light
    paint_features(c)
    return _photograph(c, scene)


def _photograph(c: Canvas, scene: Scene) -> Array:
    """Return linear light as sRGB, through a slightly soft lens."""
    image = np.sqrt(np.clip(c.picture, 0, 1))
    return np.asarray(ndimage.gaussian_filter(image, (scene.blur, scene.blur, 0), truncate=2), np.float32)


def render(face: Face, scene: Scene, pose: Pose) -> Rendering:
    """Draw one frame before noise."""
    c = make_canvas(face, pose, scene)
    hair = _hair_colour(c)
    outline = _hair_outline(c)
    if face.style != "bald":
        ragged = lookup(face.strands, c.u0 * 1.2, c.v0 * 0.3, 2.6)
        c.paint(c.edge(outline + 0.016 * ragged, 5), hair * 0.75)
    _body(c, scene)
    paint_features(c)
    covered = np.maximum(_front_hair(c, outline, hair), _glasses(c))
    image = _photograph(c, scene)
    skin = c.edge(c.radius - 0.99) * (1 - covered)
    return Rendering(image, c.u, c.v, c.radius, np.asarray(skin, np.float32), c.pixels)


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
