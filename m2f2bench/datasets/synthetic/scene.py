"""Scene of a video: light, background, camera and motion of the face; the same for a real video and its forgeries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .faces import linear, stream

if TYPE_CHECKING:
    from .faces import Array


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
        poses=_poses(stream(seed, video, "motion"), frames),
    )
