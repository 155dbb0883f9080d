"""Parameters drawn from a seed: faces, and scenes (light, background, camera, motion of the head) of videos.

Lengths are in half face widths, colours linear RGB in [0, 1]. A real video and its forgeries share one scene.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...core.parsing import read_yaml

Array: TypeAlias = npt.NDArray[np.floating[Any]]
"""An array of float32 (numpy's own types are less exact)."""
TEXTURE = 288
"""Side of the square texture maps, texels."""
TEXTURE_SPAN = 3.2
"""Side of the square that the skin map covers, half face widths; it has the face's centre."""
PARAMETERS: dict[str, Any] = read_yaml(Path(__file__).with_name("faces.yaml"))
SKIN_TONES, HAIR_TONES, IRIS_TONES = (PARAMETERS[f"{part}_tones"] for part in ("skin", "hair", "iris"))
HAIR_STYLES = PARAMETERS["hair_styles"]
NOTHING = np.zeros((0, 0), np.float32)
"""An empty map."""


def stream(*keys: object) -> np.random.Generator:
    """Return a random generator for these keys; the same keys always give the same numbers."""
    digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def linear(colour: tuple[float, float, float]) -> Array:
    """Return an sRGB colour in [0, 1] as linear light; the curve is approximated by a square, its inverse by a root."""
    return np.square(np.asarray(colour, np.float32))


@dataclass(frozen=True)
class Face:
    """One identity: every number that a renderer or a question needs. Made by `draw_face`."""

    name: str
    top: float
    chin: float
    jaw: float
    square: float
    skin: Array
    tone: int
    redness: float
    roughness: float
    freckles: float
    wrinkles: float
    eye_x: float
    eye_y: float
    eye_w: float
    eye_open: float
    eye_tilt: float
    iris: Array
    iris_r: float
    socket: float
    brow_y: float
    brow_thick: float
    brow_arch: float
    brow_tilt: float
    nose_tip: float
    nose_w: float
    nose_h: float
    bridge_w: float
    mouth_y: float
    mouth_w: float
    lip_up: float
    lip_low: float
    lip: Array
    smile: float
    cheek: float
    hair: Array
    style: str
    hairline: float
    volume: float
    part: float
    beard: float
    glasses: bool
    texture: Array
    """[TEXTURE, TEXTURE], relative brightness of the skin, about ±1: pores and blotches."""
    spots: Array
    """[TEXTURE, TEXTURE], pigment in [0, 1]: freckles and moles."""
    strands: Array
    """[TEXTURE, TEXTURE], hair, about ±1; columns run across the strands, rows along them."""


def skin_tone(seed: int, name: str) -> int:
    """Return the identity's index in `SKIN_TONES`, from its own stream: the plan needs it before a face is drawn."""
    return int(stream(seed, name, "tone").integers(len(SKIN_TONES)))


@lru_cache(maxsize=8)
def draw_face(seed: int, name: str) -> Face:
    """Draw the identity `name` of the dataset with this seed."""
    face = draw_features(seed, name)
    return replace(face, **_textures(seed, name, face.freckles))


@lru_cache(maxsize=64)
def draw_features(seed: int, name: str) -> Face:
    """Draw an identity without its textures, which take most of the time: their maps are empty."""
    rng = stream(seed, name, "face")

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    tone = skin_tone(seed, name)
    skin = linear(SKIN_TONES[tone]) * np.asarray(rng.uniform(0.92, 1.08, 3), np.float32)
    dark = int(rng.integers(0, 2 if tone > 3 else len(HAIR_TONES)))
    hair = linear(HAIR_TONES[dark]) * between(0.8, 1.25)
    iris = linear(IRIS_TONES[int(rng.integers(0, 2 if tone > 3 else len(IRIS_TONES)))]) * between(0.8, 1.2)
    style = HAIR_STYLES[int(rng.integers(len(HAIR_STYLES)))]
    beard = 0.0 if style in ("long", "bangs") else float(rng.choice([0.0, 0.0, 0.25, 0.45, 0.85]))
    painted = between(0.0, 1.0) if style in ("long", "bangs") else between(0.0, 0.3)
    lip = skin * np.asarray([0.86 - 0.1 * painted, 0.5 - 0.22 * painted, 0.54 - 0.18 * painted], np.float32)
    low_hairline = {"bangs": (-0.74, -0.6), "receding": (-1.42, -1.25), "bald": (-2.0, -1.9)}
    freckles = between(0.3, 1.0) if tone < 3 and between(0, 1) < 0.35 else between(0.0, 0.1)
    drawn: dict[str, Any] = {key: between(*span) for key, span in PARAMETERS["ranges"].items()}
    drawn["wrinkles"] **= 1.5
    return Face(
        **drawn,
        name=name,
        skin=skin,
        tone=tone,
        freckles=freckles,
        iris=iris,
        lip=lip,
        hair=hair,
        style=style,
        hairline=between(*low_hairline.get(style, (-1.2, -1.0))),
        volume=between(0.04, 0.2),
        part=between(-0.5, 0.5),
        beard=beard,
        glasses=between(0, 1) < 0.16,
        texture=NOTHING,
        spots=NOTHING,
        strands=NOTHING,
    )


def _noise(rng: np.random.Generator, sigma: float | tuple[float, float], size: int = TEXTURE) -> Array:
    """Return smoothed white noise with unit deviation, [size, size]."""
    field = ndimage.gaussian_filter(rng.standard_normal((size, size), np.float32), sigma, mode="wrap")
    return np.asarray(field / field.std(), np.float32)


def _textures(seed: int, name: str, freckles: float) -> dict[str, Any]:
    """Return the skin's brightness and pigment maps and the hair's strands."""
    rng = stream(seed, name, "texture")
    pores = (rng.random((TEXTURE, TEXTURE), np.float32) < 0.035).astype(np.float32)
    pores = ndimage.gaussian_filter(pores, 0.8, mode="wrap")
    texture = 0.55 * _noise(rng, 0.8) + 0.45 * _noise(rng, 1.8) + 0.4 * _noise(rng, 5) + 0.5 * _noise(rng, 16)
    texture -= 2.4 * (pores / pores.max() - 0.1)
    centre = (np.indices((TEXTURE, TEXTURE), np.float32) / TEXTURE - 0.5) * TEXTURE_SPAN
    where = np.exp(-np.square((np.abs(centre[1]) - 0.35) / 0.45) - np.square((centre[0] - 0.15) / 0.35))
    dots = (rng.random((TEXTURE, TEXTURE), np.float32) < 0.012 * freckles * where).astype(np.float32)
    spots = 5.0 * ndimage.gaussian_filter(dots, 1.3) * (0.6 + 0.4 * freckles)
    for _ in range(int(rng.integers(0, 4))):
        row, column = rng.uniform(0.2, 0.8, 2) * TEXTURE
        rows, columns = np.ogrid[:TEXTURE, :TEXTURE]
        distance = np.hypot(rows - row, columns - column)
        spots += np.clip(rng.uniform(1.6, 3.4) - distance, 0, 1).astype(np.float32)
    strands = 0.75 * _noise(rng, (14, 0.7)) + 0.5 * _noise(rng, (20, 2.2)) + 0.35 * _noise(rng, (30, 7))
    return {"texture": texture.astype(np.float32), "spots": np.clip(spots, 0, 1), "strands": strands}


@dataclass(frozen=True)
class Light:
    """Directional key light, `direction` a unit vector (x right, y down, z to the camera), and ambient light."""

    direction: tuple[float, float, float]
    key: Array
    ambient: Array


@dataclass(frozen=True)
class Pose:
    """The face in one frame: place and size in the crop, turn of the head, gaze and mouth."""

    x: float
    y: float
    scale: float
    roll: float
    yaw: float
    pitch: float
    gaze: tuple[float, float]
    blink: float
    open: float
    smile: float
    raise_brow: float


@dataclass(frozen=True)
class Scene:
    """The common parameters of one video's frames. `background` is linear RGB [size, size, 3]."""

    size: int
    light: Light
    background: Array
    cloth: Array
    blur: float
    noise: float
    poses: tuple[Pose, ...]


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a key light from above, from either side, of some colour temperature, and its ambient light."""
    side, height = rng.uniform(-0.9, 0.9), rng.uniform(-0.8, -0.25)
    direction = np.asarray([side, height, rng.uniform(0.6, 1.0)])
    direction /= np.linalg.norm(direction)
    warmth = rng.uniform(-0.12, 0.16)
    colour = np.asarray([1 + warmth, 1.0, 1 - warmth], np.float32)
    cool = np.asarray([1 - 0.5 * warmth, 1.0, 1 + 0.6 * warmth], np.float32)
    return Light(
        (float(direction[0]), float(direction[1]), float(direction[2])),
        colour * np.float32(rng.uniform(0.8, 1.2)),
        cool * np.float32(rng.uniform(0.12, 0.34)),
    )


def _background(rng: np.random.Generator, size: int) -> Array:
    """Draw an out-of-focus room: a gradient, soft blobs, and sometimes a vertical or horizontal edge."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    first, second = rng.uniform(0.08, 0.85, 3), rng.uniform(0.08, 0.7, 3)
    first, second = (0.3 * c + 0.7 * c.mean() for c in (first, second))
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle), 0, 1)[..., None]
    picture = first * ramp + second * (1 - ramp)
    for _ in range(int(rng.integers(2, 7))):
        row, column, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.08, 0.3)
        blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / radius**2)[..., None]
        picture = picture + blob * rng.uniform(-0.3, 0.35) * rng.uniform(0.75, 1.0, 3)
    for _ in range(int(rng.integers(0, 4))):
        place, width = rng.uniform(0, 1), rng.uniform(0.03, 0.2)
        band = np.abs((columns if rng.random() < 0.7 else rows) - place) < width
        picture = picture + band[..., None] * rng.uniform(-0.25, 0.25)
    sigma = float(rng.uniform(0.006, 0.03) * size)
    picture = ndimage.gaussian_filter(picture.astype(np.float32), (sigma, sigma, 0))
    return np.asarray(np.square(np.clip(picture, 0.02, 0.98)), np.float32)


def _poses(rng: np.random.Generator, count: int) -> tuple[Pose, ...]:
    """Draw a smooth path of the head over the frames, with gaze, blinks and a talking mouth."""
    base = rng.normal(0, 1, 6) * [0.03, 0.03, 0.045, 0.05, 0.14, 0.05]
    speed = rng.normal(0, 1, 6) * [0.012, 0.012, 0.006, 0.012, 0.03, 0.02]
    talk, smile = rng.uniform(0.0, 0.12) * (rng.random() < 0.8), max(0.0, rng.normal(0.02, 0.035))
    poses = []
    for frame in range(count):
        x, y, scale, roll, yaw, pitch = base + speed * (frame + rng.normal(0, 0.3, 6))
        poses.append(
            Pose(
                x=float(x),
                y=float(y),
                scale=float(1.0 + scale),
                roll=float(roll),
                yaw=float(np.clip(yaw, -0.3, 0.3)),
                pitch=float(np.clip(pitch, -0.12, 0.12)),
                gaze=(float(rng.normal(0, 0.018)), float(rng.normal(0, 0.008))),
                blink=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.06 else float(rng.uniform(0, 0.15)),
                open=float(talk * rng.uniform(0, 1)),
                smile=float(smile * rng.uniform(0.6, 1.2)),
                raise_brow=float(rng.normal(0, 0.012)),
            )
        )
    return tuple(poses)


def draw_scene(seed: int, video: str, size: int, frames: int) -> Scene:
    """Draw the scene of a real video, such as `t003_1`; all its forgeries share it."""
    rng = stream(seed, video, "scene")
    return Scene(
        size=size,
        light=draw_light(rng),
        background=_background(rng, size),
        cloth=linear(tuple(rng.uniform(0.08, 0.85, 3) * 0.6 + rng.uniform(0.0, 0.35))),
        blur=float(rng.uniform(0.35, 0.75)),
        noise=float(rng.uniform(0.006, 0.018)),
        poses=draw_poses(seed, video, frames),
    )


def draw_poses(seed: int, video: str, frames: int) -> tuple[Pose, ...]:
    """Draw the poses of a real video's frames; all its forgeries share them."""
    return _poses(stream(seed, video, "motion"), frames)
