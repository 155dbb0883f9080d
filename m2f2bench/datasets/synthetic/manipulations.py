"""The seven forgeries. Each takes a drawn frame and returns the altered frame and exactly the altered pixels.

Noise and compression are applied afterwards, to reals and fakes alike. A forgery's random numbers come from its own
stream (seed, video, method), so that nothing else changes with it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from scipy import ndimage

from .faces import TEXTURE, Array, Face, Light, Pose, Scene, stream
from .render import Rendering, render_face

LEAST = 0.02
"""Blending weights below this count as 0, so that a mask ends where the visible change ends."""
OUTLINE = ("top", "chin", "jaw", "square", "hair", "style", "hairline", "volume", "part", "glasses", "strands")
"""Parameters that a swapped face keeps from its target: the outline of the head, and the hair."""
GEOMETRY = (
    *("eye_x", "eye_y", "eye_w", "eye_open", "eye_tilt", "socket", "brow_y", "brow_arch", "brow_tilt", "nose_tip"),
    *("nose_w", "nose_h", "bridge_w", "cheek", "mouth_y", "mouth_w", "lip_up", "lip_low", "smile"),
)
"""Places and lengths in the face, which can be averaged over two people."""
REDRAWN = ("lip_up", "lip_low", "nose_w", "eye_open")
"""Parameters that a re-synthesis gets slightly wrong."""


@dataclass(frozen=True)
class Case:
    """One frame to be forged. `strength` in [0, 1] belongs to the video: 0 is the hardest to see."""

    real: Rendering
    face: Face
    source: Face
    scene: Scene
    pose: Pose
    strength: float
    seed: int
    video: str

    def stream(self, method: str) -> np.random.Generator:
        """Return the method's random stream for this video."""
        return stream(self.seed, self.video, method)

    def between(self, easy_low: float, easy_high: float) -> float:
        """Return a setting between its hardest (first) and its easiest value (second), by the strength."""
        return easy_low + (easy_high - easy_low) * self.strength


def _smooth(x: Array) -> Array:
    """Return 0 below 0, 1 above 1, and a smooth step between."""
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def hull(case: Case, feather: float, reach: float = 0.9, top: float = -0.7) -> Array:
    """Return the blending weight of the inner face, [H, W]: brows to chin, with a soft edge of `feather` face units."""
    d = case.real
    edge = np.minimum(reach - d.radius, d.v - np.float32(top) - 0.2 * np.square(d.u)) / np.float32(feather)
    return _smooth(edge) * d.skin


def _coarser(image: Array, small: int) -> Array:
    """Return a square float image [H, H, 3], reduced to a side of `small` pixels and enlarged again."""
    bands = [Pillow.fromarray(np.ascontiguousarray(image[..., b])) for b in range(3)]
    reduced = [band.resize((small, small), Pillow.Resampling.BOX) for band in bands]
    enlarged = [band.resize(image.shape[:2], Pillow.Resampling.BICUBIC) for band in reduced]
    return np.stack([np.asarray(band, np.float32) for band in enlarged], -1)


def _match_colour(image: Array, target: Array, weight: Array, amount: float) -> Array:
    """Return `image` with each channel's mean under `weight` moved towards the target's by `amount`.

    Darker by a factor, lighter by a power, which does not change white: the white of an eye must not glow.
    """
    total = weight.sum() + 1e-6
    mean_i, mean_t = (np.clip((a * weight[..., None]).sum((0, 1)) / total, 0.02, 0.98) for a in (image, target))
    power = np.clip(1 + amount * (np.log(mean_t) / np.log(mean_i) - 1), 0.3, 1)
    factor = np.clip(1 + amount * (mean_t / mean_i - 1), 0.2, 1)
    return np.asarray(np.clip(image, 0, 1) ** power * factor, np.float32)


def _soften(image: Array, sigma: float) -> Array:
    """Blur an image, `sigma` in pixels, like the loss of detail in a decoder or a renderer."""
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3), np.float32)


def _onto(source: Face, target: Face, geometry: float = 0.0) -> Face:
    """Return the source's face in the target's head; `geometry` in [0, 1] moves its features to the target's places."""
    kept = {name: getattr(target, name) for name in OUTLINE}
    mixed = {n: (1 - geometry) * getattr(source, n) + geometry * getattr(target, n) for n in GEOMETRY}
    return dataclasses.replace(source, **kept, **mixed)


def swap(case: Case) -> tuple[Array, Array]:
    """Swap the whole face (like Deepfakes, FaceSwap): another person's inner face, colour-matched and blended in."""
    rng = case.stream("swap")
    weight = hull(case, case.between(0.22, 0.06), reach=float(rng.uniform(0.84, 0.94)))
    other = render_face(_onto(case.source, case.face, 0.4), case.scene, case.pose)
    other = _match_colour(other, case.real.image, weight, case.between(1.0, 0.75))
    return _soften(other, case.between(0.4, 1.05)), weight


def lowres(case: Case) -> tuple[Array, Array]:
    """Decode the inner face at a low resolution: it is reduced and enlarged again."""
    small = max(8, round(case.real.image.shape[0] / case.between(1.5, 3.4)))
    return _coarser(case.real.image, small), hull(case, 0.16)


def expression(case: Case) -> tuple[Array, Array]:
    """Warp the expression (like Face2Face): mouth corners and, in some videos, brows are moved."""
    rng = case.stream("expression")
    d, f = case.real, case.face
    size = case.between(2.0, 6.5) / d.pixels
    lift, widen = size * rng.choice([-1.0, 1.0]), size * rng.choice([-0.6, 0.6])
    across, down = d.u / np.float32(1.9 * f.mouth_w), (d.v - np.float32(f.mouth_y)) / 0.36
    window = _smooth(1.6 * (1 - np.hypot(across, down)))
    beside = np.clip(np.abs(d.u) / np.float32(f.mouth_w), 0, 1)
    du = window * np.float32(widen) * np.sign(d.u) * beside
    dv = window * np.float32(lift) * (2 * np.square(beside) - 0.7)
    if rng.random() < 0.5:
        x, y = (np.abs(d.u) - np.float32(f.eye_x)) / 0.45, (d.v - np.float32(f.eye_y - f.brow_y - 0.03)) / 0.19
        window_brow = _smooth(1.6 * (1 - np.hypot(x, y)))
        dv = dv + window_brow * np.float32(size * rng.choice([-0.8, 0.8]))
        window = np.maximum(window, window_brow)
    rows, columns = np.indices(d.u.shape, np.float32)
    at = np.stack([rows - dv * d.pixels, columns - du * d.pixels])
    moved = np.stack([ndimage.map_coordinates(d.image[..., b], at, order=1, mode="nearest") for b in range(3)], -1)
    return _soften(moved, case.between(0.5, 1.05)), _smooth(window * 8) * (d.skin > 0.5)


def resynthesis(case: Case) -> tuple[Array, Array]:
    """Draw one region again (like NeuralTextures), with a texture that is not this skin's."""
    rng = case.stream("resynthesis")
    d, f = case.real, case.face
    region = str(rng.choice(["mouth", "mouth", "nose", "eyes"]))
    if region == "mouth":
        distance = np.hypot(d.u / np.float32(1.9 * f.mouth_w), (d.v - np.float32(f.mouth_y)) / 0.45)
    elif region == "nose":
        distance = np.hypot(d.u / np.float32(2.2 * f.nose_w), (d.v - np.float32(0.5 * f.nose_tip)) / 0.52)
    else:
        distance = np.hypot(d.u / 0.85, (d.v - np.float32(f.eye_y - 0.05)) / 0.32)
    coarse = ndimage.gaussian_filter(rng.standard_normal((TEXTURE, TEXTURE), np.float32), 3, mode="wrap")
    coarse *= np.float32(case.between(0.8, 2.4) / coarse.std())
    change = case.between(0.05, 0.25)
    redrawn = {n: getattr(f, n) * float(1 + change * rng.choice([-1, 1])) for n in REDRAWN}
    redrawn["lip"] = f.lip * np.asarray(1 + 0.6 * change * rng.uniform(-1, 1, 3), np.float32)
    texture = f.texture + np.float32(case.between(0.6, 1.0)) * (coarse - f.texture)
    other = render_face(dataclasses.replace(f, texture=texture, **redrawn), case.scene, case.pose)
    return _soften(other, case.between(0.55, 1.15)), _smooth((1 - distance) / 0.25) * d.skin


def relight(case: Case) -> tuple[Array, Array]:
    """Light the inner face with another lamp than neck, ears and hair."""
    rng = case.stream("relight")
    light = case.scene.light
    turn = case.between(0.4, 1.3) * rng.choice([-1.0, 1.0])
    x, y, z = light.direction
    direction = np.asarray([x * np.cos(turn) + z * np.sin(turn), y, z * np.cos(turn) - x * np.sin(turn)])
    tint = np.asarray(1 + case.between(0.06, 0.18) * rng.uniform(-1, 1, 3), np.float32)
    lamp = Light((float(direction[0]), y, float(direction[2])), light.key * tint, light.ambient * tint)
    weight = hull(case, case.between(0.25, 0.12))
    other = render_face(case.face, case.scene, case.pose, lamp)
    level, target = ((image * weight[..., None]).sum() for image in (other, case.real.image))
    return other * np.sqrt(target / (level + 1e-6)).astype(np.float32), weight


def morph(case: Case) -> tuple[Array, Array]:
    """Average two people's inner faces in one geometry. Not one of the training manipulations."""
    weight = hull(case, 0.22)
    other = render_face(_onto(case.source, case.face, 0.6), case.scene, case.pose)
    other = _match_colour(other, case.real.image, weight, 1.0)
    share = np.float32(case.between(0.35, 0.6))
    return case.real.image + share * (other - case.real.image), weight


def upsampling(case: Case) -> tuple[Array, Array]:
    """Add the checkerboard of a generator's transposed convolutions. Not one of the training manipulations."""
    rng = case.stream("upsampling")
    size = case.real.image.shape[0]
    gains = np.asarray(rng.uniform(-1, 1, (2, 2, 3)), np.float32)
    gains -= gains.mean((0, 1))
    coarse = _coarser(case.real.image, size // 2)
    decoded = case.real.image + np.float32(case.between(0.2, 0.7)) * (coarse - case.real.image)
    grid = np.tile(gains, (size // 2 + 1, size // 2 + 1, 1))[:size, :size]
    return decoded * (1 + np.float32(case.between(0.01, 0.05)) * grid), hull(case, 0.16)


METHODS = {one.__name__: one for one in (swap, lowres, expression, resynthesis, relight, morph, upsampling)}
"""Each takes a case and returns the altered frame [H, W, 3] and its blending weight [H, W], in [0, 1]."""
TWO_PEOPLE = ("swap", "morph")
"""Manipulations that take a second identity's face."""


def draw_strength(seed: int, video: str, method: str) -> float:
    """Draw how easily one forged video is seen, in [0, 1]; uniform: each method has easy and hard videos."""
    return float(stream(seed, video, method, "strength").uniform(0, 1))


def forge(method: str, case: Case) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return the altered frame, float32 [H, W, 3] in [0, 1], and the altered pixels, bool [H, W].

    The frame equals the real one to the last bit where the mask is False, and differs where it is True.
    """
    real = case.real.image
    other, weight = METHODS[method](case)
    weight = np.where(weight >= LEAST, weight, 0).astype(np.float32)[..., None]
    image = np.where(weight > 0, np.clip(real + weight * (other - real), 0, 1), real).astype(np.float32)
    return image, np.asarray((image != real).any(-1), np.bool_)
