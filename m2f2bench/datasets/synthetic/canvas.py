"""Canvas of one frame, and the head with its facial features, painted on it: a lit relief, mouth, eyes and brows.

Coordinates: `u` to the right, `v` downwards, in half face widths from the centre of the face; the crop's half side is
`FIELD` of them, so that the face fills it as a FaceForensics++ crop with a margin of 1.3 does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from .faces import TEXTURE, TEXTURE_SPAN, Array, Face, Light, Pose, Scene

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


def mouth_curves(c: Canvas) -> tuple[Array, Array, Array, Array, Array]:
    """Return the position across the mouth (±1 at its corners) and the heights of the four lip edges."""
    return lip_edges(c.face, c.pose, c.u)


def lip_edges(face: Face, pose: Pose, u: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return what `mouth_curves` does, at these places `u` to the right of the face's middle."""
    across = u / np.float32(face.mouth_w * (1 + 1.2 * pose.smile))
    arc = np.clip(1 - np.square(across), 0, 1)
    line = np.float32(face.mouth_y) - np.float32(face.smile + pose.smile) * np.square(across)
    cupid = 1 - 0.32 * np.exp(-np.square(across / 0.16)) + 0.14 * np.exp(-np.square((np.abs(across) - 0.3) / 0.2))
    inner_top = line - np.float32(0.25 * pose.open) * arc
    inner_low = line + np.float32(0.75 * pose.open) * arc
    top = inner_top - np.float32(face.lip_up) * np.sqrt(arc) * cupid
    low = inner_low + np.float32(face.lip_low) * arc**0.7
    return across, top, inner_top, inner_low, low


def _relief(c: Canvas, top: Array, low: Array) -> Array:
    """Return the height of the face towards the camera, half face widths."""
    f, u, v, side = c.face, c.u, c.v, c.side
    drop = c.pose.open * 0.45
    z = 0.95 * np.sqrt(np.clip(1.02 - np.square(c.radius), 0, 1))
    along = np.clip((v + 0.38) / np.float32(f.nose_tip + 0.38), 0, 1)
    width = np.float32(f.bridge_w) + np.float32(0.7 * f.nose_w - 0.6 * f.bridge_w) * np.square(along)
    end = np.clip((np.float32(f.nose_tip + 0.11) - v) / 0.2, 0, 1)
    profile = np.float32(0.03) + np.float32(f.nose_h - 0.03) * along**1.5
    z += profile * end * end * (3 - 2 * end) * np.exp(-np.square(u / width)) * np.clip((v + 0.62) / 0.24, 0, 1)
    z += 0.38 * f.nose_h * bump(side, v, 0.72 * f.nose_w, f.nose_tip + 0.02, 0.36 * f.nose_w, 0.085)
    z += 0.06 * bump(side, v, f.eye_x, f.eye_y - 0.23, 0.3, 0.1)
    z -= f.socket * bump(side, v, f.eye_x - 0.03, f.eye_y - 0.02, 0.25, 0.14)
    z += 0.045 * bump(side, v, f.eye_x, f.eye_y, 0.17, 0.1)
    z += f.cheek * bump(side, v, 0.56, 0.27, 0.26, 0.24)
    fold = np.float32(f.nose_w + 0.06) + np.clip(v - np.float32(f.nose_tip), 0, 1) * 0.45
    reach = np.exp(-np.square((v - 0.5 * (f.nose_tip + f.mouth_y)) / 0.19))
    z -= (0.012 + 0.03 * f.wrinkles) * reach * np.exp(-np.square((side - fold) / 0.055))
    middle = 0.5 * (top + low)
    z += 0.06 * np.exp(-np.square(u / np.float32(f.mouth_w))) * np.exp(-np.square((v - middle) / 0.15))
    z -= 0.035 * bump(u, v, 0, f.mouth_y + f.lip_low + 0.11 + drop, 0.2, 0.055)
    z += 0.075 * bump(u, v, 0, f.chin - 0.17 + drop, 0.2, 0.13)
    z -= 0.012 * bump(u, v, 0, 0.5 * (f.nose_tip + f.mouth_y) + 0.02, 0.045, 0.1)
    for line in (-0.72, -0.86, -1.0):
        z -= 0.01 * f.wrinkles * np.exp(-np.square((v - line - 0.05 * u * u) / 0.018)) * (side < 0.6)
    return z


def _shade(c: Canvas, z: Array, grain: Array) -> tuple[Array, Array]:
    """Return the light on a relief with its `grain`, [H, W, 3], and the sheen of its skin, [H, W]."""
    z = z + grain
    dv, du = np.gradient(z)
    du, dv = du * np.float32(c.pixels), dv * np.float32(c.pixels)
    length = 1 / np.sqrt(1 + du * du + dv * dv)
    lx, ly, lz = (np.float32(d) for d in c.light.direction)
    facing = (lz - lx * du - ly * dv) * length
    half = np.asarray([lx, ly, lz + 1]) / np.linalg.norm([lx, ly, lz + 1])
    gloss = np.clip((np.float32(half[2]) - np.float32(half[0]) * du - np.float32(half[1]) * dv) * length, 0, 1)
    lambert = np.clip((facing + 0.22) / 1.22, 0, 1)
    hollow = np.clip(1 - 1.9 * (ndimage.gaussian_filter(z, 0.09 * c.pixels, truncate=2.5) - z), 0.55, 1.12)
    shade = (lambert * hollow)[..., None] * c.light.key + (hollow * (0.6 + 0.4 * length))[..., None] * c.light.ambient
    return shade, gloss**18


def _skin(c: Canvas, top: Array, low: Array) -> None:
    """Paint the head: lit relief with pores, blush, freckles, stubble, and nostrils."""
    f = c.face
    texture = lookup(f.texture, c.u, c.v)
    z = _relief(c, top, low)
    shade, gloss = _shade(c, z, texture * np.float32(0.0016 * f.roughness))
    blush = bump(c.side, c.v, 0.56, 0.3, 0.3, 0.24) + 0.8 * bump(c.u, c.v, 0, f.nose_tip, 0.17, 0.12)
    tint = np.float32(0.16 * f.redness) * blush + 0.02 * texture
    albedo = f.skin * (1 + np.float32(0.045 * f.roughness) * texture)[..., None]
    albedo = albedo * np.stack([1 + 0.25 * tint, 1 - 0.85 * tint, 1 - 0.7 * tint], -1)
    dark = np.float32(0.3) * bump(c.side, c.v, f.eye_x - 0.02, f.eye_y + 0.02, 0.21, 0.12)
    dark = dark + 0.4 * lookup(f.spots, c.u, c.v)
    albedo *= (1 - dark)[..., None] * np.asarray([1, 0.96, 0.94], np.float32)
    if f.beard:
        jaw = np.clip((c.v - 0.22 - 0.62 * np.exp(-np.square(c.side / 0.42))) / 0.28, 0, 1)
        lip = np.exp(-np.square((c.v - 0.5 * (f.nose_tip + 0.1 + f.mouth_y)) / 0.09)) * (c.side < f.mouth_w + 0.06)
        cover = np.clip(np.maximum(jaw, lip), 0, 1) * np.float32(f.beard)
        cover = cover * np.clip(0.75 + 0.35 * lookup(f.strands, c.u * 0.8 + 0.2 * c.v, c.v * 3, 1.9), 0, 1)
        albedo += cover[..., None] * (f.hair * 0.9 - albedo)
        gloss = gloss * (1 - cover)
    nostril = bump(c.side, c.v, 0.55 * f.nose_w, f.nose_tip + 0.062, 0.27 * f.nose_w, 0.026)
    crease = bump(c.side, c.v, 1.08 * f.nose_w, f.nose_tip + 0.02, 0.025, 0.06)
    under = bump(c.u, c.v, 0, f.nose_tip + 0.1, f.nose_w, 0.05)
    albedo *= (1 - 0.75 * np.clip(nostril, 0, 1) - 0.25 * crease - 0.22 * under)[..., None]
    sheen = (gloss * np.float32(0.05 + 0.06 * (1.4 - f.roughness)))[..., None] * c.light.key
    c.paint(c.edge(c.radius - 1), albedo * shade + sheen)


def _mouth(whole: Canvas) -> None:
    """Paint lips with a cupid's bow and, in an open mouth, teeth and darkness."""
    f = whole.face
    c = whole.window(-1.5 * f.mouth_w, 1.5 * f.mouth_w, f.mouth_y - 0.3, f.mouth_y + 0.45)
    v = c.v
    across, top, inner_top, inner_low, low = mouth_curves(c)
    inside = c.edge((np.abs(across) - 1) * f.mouth_w)
    amount = c.lit(0.75)
    fine = 1 + 0.12 * lookup(f.strands, c.u * 1.4, c.v * 0.4, 2.2)
    rise = np.clip((v - top) / np.maximum(inner_top - top, 1e-3), 0, 1)
    fall = np.clip((v - inner_low) / np.maximum(low - inner_low, 1e-3), 0, 1)
    upper = np.minimum(c.edge(top - v, 2.2), c.edge(v - inner_top)) * inside
    lower = np.minimum(c.edge(inner_low - v), c.edge(v - low, 2.4)) * inside
    sheen = 0.28 * np.exp(-np.square((fall - 0.45) / 0.22)) * np.exp(-np.square((across + 0.2) / 0.45))
    c.paint(upper * 0.85, f.lip * amount * ((0.86 - 0.2 * rise) * fine)[..., None])
    c.paint(lower * 0.85, f.lip * amount * ((1.12 - 0.3 * fall) * fine + sheen)[..., None])
    gap = np.minimum(c.edge(inner_top - v), c.edge(v - inner_low)) * inside
    gap *= np.float32(min(1.0, c.pose.open / 0.02))
    c.paint(gap, np.asarray([0.035, 0.012, 0.012], np.float32))
    teeth = np.clip((inner_top + 0.055 - v) * c.pixels / 2, 0, 1) * gap
    teeth *= 0.85 + 0.15 * np.cos(c.u * 52)
    c.paint(teeth * np.clip(1.25 - np.abs(across) * 1.3, 0, 1), amount * np.asarray([0.5, 0.47, 0.41], np.float32))
    seam = np.exp(-np.square((v - inner_top) * c.pixels / 1.1)) * c.edge((np.abs(across) - 1.06) * f.mouth_w, 4)
    c.picture *= (1 - (0.62 * seam))[..., None]


def _eyes(whole: Canvas) -> None:
    """Paint two eyes: white, iris with rim and rays, pupil, highlight, lids, lashes and crease."""
    f, pose = whole.face, whole.pose
    amount = whole.lit(0.62)
    for sign in (-1, 1):
        inner, outer = sorted((sign * (f.eye_x - 0.34), sign * (f.eye_x + 0.34)))
        c = whole.window(inner, outer, f.eye_y - 0.3, f.eye_y + 0.25)
        x = (c.u * sign - np.float32(f.eye_x)) / np.float32(f.eye_w)
        y = c.v - np.float32(f.eye_y) + np.float32(f.eye_tilt * f.eye_w) * x
        arc = np.clip(1 - np.square(x), 0, 1)
        lid = -np.float32(f.eye_open * (1.25 - 1.35 * pose.blink)) * arc**0.75 * (1 - 0.12 * x)
        bottom = np.float32(f.eye_open * 0.78) * arc
        shape = np.minimum(c.edge(lid - y, 1.2), c.edge(y - bottom, 1.3)) * c.edge((np.abs(x) - 1) * f.eye_w)
        ex = x * np.float32(f.eye_w) - np.float32(pose.gaze[0] * sign)
        ey = y + 0.012 - np.float32(pose.gaze[1])
        reach = np.hypot(ex, ey)
        ball = np.clip(1 - 1.5 * np.square(reach / f.eye_w) * 0.45, 0.4, 1) * np.clip((y - lid) / 0.045 + 0.45, 0.4, 1)
        pink = np.clip(np.abs(x) - 0.72, 0, 0.3)[..., None] * np.asarray([0.1, -0.7, -0.6], np.float32)
        c.paint(shape, amount * (np.asarray([0.66, 0.62, 0.59], np.float32) + pink) * ball[..., None])
        iris = c.edge(reach - np.float32(f.iris_r)) * shape
        rays = 0.85 + 0.3 * np.cos(np.arctan2(ey, ex) * 17 + 40 * reach) * (reach < f.iris_r)
        ring = 1 - 0.65 * np.clip((reach / np.float32(f.iris_r) - 0.68) / 0.3, 0, 1)
        glow = (rays * ring * np.clip((y - lid) / 0.05 + 0.35, 0.35, 1.15))[..., None]
        c.paint(iris, f.iris * 1.5 * amount * glow)
        c.paint(c.edge(reach - np.float32(0.43 * f.iris_r)) * shape, np.full(3, 0.006, np.float32))
        lx, ly = c.light.direction[0] * sign * 0.05, c.light.direction[1] * 0.05
        spark = c.edge(np.hypot(ex - np.float32(lx), ey - np.float32(ly)) - 0.02, 1.2) * shape
        c.paint(spark * 0.85, np.full(3, 0.9, np.float32))
        within = c.edge((np.abs(x) - 1.04) * f.eye_w, 3)
        lash = np.exp(-np.square((y - lid + 0.004) * c.pixels / 1.15)) * within * 0.8
        lower = np.exp(-np.square((y - bottom) * c.pixels / 1.0)) * within * 0.28
        fold = lid - np.float32(0.045 + 0.03 * f.socket)
        crease = np.exp(-np.square((y - fold) * c.pixels / 1.3)) * within * 0.34 * np.clip(x + 1.1, 0, 1)
        c.picture *= (1 - np.clip(lash + lower + crease, 0, 0.93))[..., None]


def _brows(whole: Canvas) -> None:
    """Paint two brows of slanted hairs."""
    f = whole.face
    amount = whole.lit(0.6)
    for sign in (-1, 1):
        inner, outer = sorted((sign * (f.eye_x - 0.44), sign * (f.eye_x + 0.46)))
        c = whole.window(inner, outer, f.eye_y - f.brow_y - 0.35, f.eye_y - f.brow_y + 0.3)
        x = (c.u * sign - np.float32(f.eye_x + 0.02)) / 0.31
        middle = np.float32(f.eye_y - f.brow_y - whole.pose.raise_brow) - np.float32(f.brow_tilt * 0.3) * x
        middle = middle - np.float32(f.brow_arch) * (1 - np.square(x - 0.25))
        thick = np.float32(f.brow_thick) * np.clip(1.0 - 0.55 * np.clip(x, 0, 1), 0, 1)
        hairs = lookup(f.strands, c.u * sign + 0.9 * (c.v - middle), c.v, 1.7)
        distance = np.abs(c.v - middle) - thick * (1 + 0.3 * hairs)
        alpha = c.edge(distance, 3.2) * c.edge((np.abs(x) - 1) * 0.31, 5) * np.clip(0.74 + 0.26 * hairs, 0, 1)
        c.paint(alpha * 0.88, f.hair * 0.75 * amount)


def paint_features(c: Canvas) -> None:
    """Paint the head with all its features."""
    _, top, _, _, low = mouth_curves(c)
    _skin(c, top, low)
    _mouth(c)
    _eyes(c)
    _brows(c)
