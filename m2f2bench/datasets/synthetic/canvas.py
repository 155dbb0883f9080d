"""Canvas of one frame: coordinate maps, soft edges, layers of colour, textures.

Coordinates: `u` to the right, `v` downwards, in half face widths from the centre of the face; the crop's half side is
`FIELD` of them, so that the face fills it as a FaceForensics++ crop with a margin of 1.3 does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .faces import TEXTURE, TEXTURE_SPAN, Face
from .scene import Light, Pose, Scene

if TYPE_CHECKING:
    from .faces import Array

FIELD = 1.53
RIM = 1.6
"""Width of an anti-aliased edge, pixels."""


@dataclass
class Canvas:
    """State of the painting steps while one frame is drawn."""

    face: Face
    pose: Pose
    light: Light
    pixels: float
    u0: Array
    v0: Array
    radius: Array
    u: Array
    v: Array
    side: Array
    """|u|."""
    picture: Array

    def window(self, left: float, right: float, top: float, bottom: float) -> Canvas:
        """Return the part around a rectangle in face coordinates, as views: painting it paints the whole canvas."""
        where = (self.u > left) & (self.u < right) & (self.v > top) & (self.v < bottom)
        rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
        cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.s_[:1, :1]
        maps = {name: getattr(self, name)[cut] for name in ("u0", "v0", "radius", "u", "v", "side", "picture")}
        return replace(self, **maps)

    def edge(self, distance: Array, width: float = RIM) -> Array:
        """Return 1 inside (distance < 0), 0 outside, with a soft rim of `width` pixels; distance in face units."""
        return np.asarray(np.clip(0.5 - distance * np.float32(self.pixels / width), 0, 1))

    def lit(self, share: float) -> Array:
        """Return the light on a surface that faces the camera, [3]: the ambient and a share of the key light."""
        facing = min(1.3, max(0.12, self.light.direction[2] / 0.75))
        return np.asarray(self.light.ambient + self.light.key * np.float32(share * facing))

    def paint(self, alpha: Array, colour: Array) -> None:
        """Paint `colour`, [3] or [H, W, 3], over the picture where `alpha` [H, W] is above 0."""
        self.picture += alpha[..., None] * (colour - self.picture)


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Return a Gaussian hill of height 1."""
    across, down = (x - np.float32(cx)) / np.float32(sx), (y - np.float32(cy)) / np.float32(sy)
    return np.asarray(np.exp(-np.square(across) - np.square(down)))


def lookup(texture: Array, u: Array, v: Array, span: float = TEXTURE_SPAN) -> Array:
    """Return a texture map at face coordinates, bilinear, wrapped around at its edges."""
    scale = np.float32(TEXTURE / span)
    return np.asarray(
        ndimage.map_coordinates(
            texture, np.stack([v * scale + TEXTURE / 2, u * scale + TEXTURE / 2]), order=1, mode="grid-wrap"
        ),
        np.float32,
    )


def make_canvas(face: Face, pose: Pose, scene: Scene) -> Canvas:
    """Return the coordinate maps of a frame, on its background."""
    size = scene.size
    grid = (np.arange(size, dtype=np.float32) + 0.5) / (size / 2) - 1
    x, y = np.meshgrid(grid * FIELD - pose.x, grid * FIELD - pose.y + 0.12)
    c, s = np.float32(np.cos(pose.roll) / pose.scale), np.float32(np.sin(pose.roll) / pose.scale)
    u0, v0 = c * x + s * y, c * y - s * x
    below = np.float32(face.chin + 0.45 * pose.open)
    height = np.where(v0 < 0, -v0 / np.float32(face.top), v0 / below)
    taper = 1 - np.float32(face.jaw) * np.square(np.where(v0 > 0, height, 0))
    wide = np.abs(u0) / np.maximum(taper, 0.3)
    power = np.float32(face.square)
    radius = (wide**power + height**power) ** (1 / power)
    depth = np.sqrt(np.clip(1 - np.square(radius), 0, 1))
    u, v = u0 - np.float32(pose.yaw) * depth, v0 - np.float32(pose.pitch) * depth
    pixels = size / (2 * FIELD) * pose.scale
    return Canvas(face, pose, scene.light, pixels, u0, v0, radius, u, v, np.abs(u), scene.background.copy())
