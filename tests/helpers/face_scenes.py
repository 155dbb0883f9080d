"""Pictures with faces at known places, and pictures without any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from scipy import ndimage

from m2f2bench.datasets.synthetic.canvas import FIELD
from m2f2bench.datasets.synthetic.draw import develop
from m2f2bench.datasets.synthetic.faces import draw_face, draw_scene
from m2f2bench.datasets.synthetic.h264 import decode, encode
from m2f2bench.datasets.synthetic.render import render

Picture = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
REAL_FACES = Path("ddvqa", "DDVQA_images", "c40", "test")
"""Real crops of single faces, below the research data's folder."""
ACROSS, DOWN, CENTRE = 0.74, 0.90, (0.49, 0.44)
"""The face's box in such a crop, in shares of its side: found on other pictures of the same kind, see docs/faces.md."""

FOREHEAD = -1.2
"""The highest hairline that counts, in half face widths from the face's middle."""


def background(rng: np.random.Generator, height: int = 480, width: int = 640, kind: str = "") -> Picture:
    """Draw a picture without a face: `plain`, `gradient`, `noise`, `texture`, or a `scene` of soft and sharp shapes."""
    kind = kind or str(rng.choice(["plain", "gradient", "noise", "texture", "scene"]))
    first, second = rng.uniform(20, 235, (2, 3))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == "plain":
        picture = np.broadcast_to(first, (height, width, 3))
    elif kind == "gradient":
        angle = rng.uniform(0, 2 * np.pi)
        ramp = (0.5 + (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)).clip(0, 1)[..., None]
        picture = first * ramp + second * (1 - ramp)
    elif kind == "noise":
        picture = first + rng.normal(0, rng.uniform(5, 60), (height, width, 3))
    elif kind == "texture":
        grain = ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), rng.uniform(0.7, 6))
        wave = np.sin(x * rng.uniform(0.02, 0.5) + y * rng.uniform(-0.3, 0.3))
        picture = first + (grain / grain.std() + wave)[..., None] * rng.uniform(8, 30, 3)
    else:
        picture = _scene(rng, first, second, x, y)
    return np.asarray(picture).clip(0, 255).astype(np.uint8)


def _scene(rng: np.random.Generator, first: object, second: object, x: object, y: object) -> npt.NDArray[np.float32]:
    height, width = np.shape(x)
    picture = np.full((height, width, 3), first, np.float32)
    picture[height // 2 :] = second
    for _ in range(int(rng.integers(4, 14))):
        colour, row, column = rng.uniform(10, 245, 3), rng.uniform(0, height), rng.uniform(0, width)
        down, across = rng.uniform(8, height / 3), rng.uniform(8, width / 3)
        far = np.maximum(np.abs(y - row) / down, np.abs(x - column) / across)  # type: ignore[operator]
        if rng.random() < 0.5:
            far = np.hypot((y - row) / down, (x - column) / across)  # type: ignore[operator]
        edge = np.clip((1 - far) * rng.uniform(2, 60), 0, 1)[..., None]
        picture += edge * (colour - picture)
    return picture + rng.normal(0, 4, picture.shape).astype(np.float32)


def real_faces(data: Path, count: int) -> list[Picture]:
    """Return real crops, evenly over the folder's files."""
    files = sorted((data / REAL_FACES).glob("*.jpg"))
    return [np.asarray(Pillow.open(path).convert("RGB")) for path in files[:: max(1, len(files) // count)][:count]]


def drawn_face(number: int, size: int = 224) -> tuple[Picture, Box]:
    """Draw a synthetic face, and return it with its box in shares of the side: ear to ear, hairline to chin."""
    name = f"drawn{number}"
    face, scene = draw_face(1, name), draw_scene(1, f"{name}_0", size, 1)
    pose = scene.poses[0]
    x, y = ((at / FIELD + 1) / 2 for at in (pose.x, pose.y - 0.12))
    unit = pose.scale / FIELD / 2
    top = max(face.hairline, FOREHEAD)  # a bald head's is out of sight
    box = (x - unit, y + unit * top, x + unit, y + unit * face.chin)
    return np.asarray(develop(render(face, scene, pose).image, scene, 1, name, 0)), box


def pasted(
    picture: Picture, face: Picture, centre: tuple[float, float], side: float, degrees: float = 0.0
) -> tuple[Picture, npt.NDArray[np.float64]]:
    """Put a square face crop onto a picture, turned clockwise, with a soft rim.

    Returns the new picture and the transform [2, 3] from the crop, in shares of its side, to the picture.
    """
    height, width = picture.shape[:2]
    angle = np.deg2rad(degrees)
    turn = side * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    move = np.asarray(centre) - turn @ (0.5, 0.5)
    source = face.shape[0]
    small = Pillow.fromarray(face)
    if side < source:  # without aliasing
        small = small.resize((round(side), round(side)), Pillow.Resampling.LANCZOS)
    back = np.linalg.inv(turn) * small.width
    offset = -back @ move
    values = (*back[0], offset[0], *back[1], offset[1])
    shown = np.asarray(small.transform((width, height), Pillow.Transform.AFFINE, values, Pillow.Resampling.BICUBIC))
    white = Pillow.fromarray(_rim(small.width))
    alpha = np.asarray(white.transform((width, height), Pillow.Transform.AFFINE, values, Pillow.Resampling.BILINEAR))
    share = alpha[..., None] / 255.0
    mixed = picture * (1 - share) + shown * share
    return mixed.round().astype(np.uint8), np.column_stack([turn, move])


def _rim(side: int) -> Picture:
    distance = np.minimum.outer(*[np.minimum(np.arange(side), np.arange(side)[::-1])] * 2)
    return np.clip((distance + 0.5) * 255 / (0.03 * side), 0, 255).astype(np.uint8)


def true_box(transform: npt.NDArray[np.float64], box: Box | None = None) -> Box:
    """Return the upright box of a pasted face: as large as in the crop, around the turned centre.

    `box` is the face's in shares of the crop's side, by default that of the real crops.
    """
    x, y = CENTRE
    x0, y0, x1, y1 = box or (x - ACROSS / 2, y - DOWN / 2, x + ACROSS / 2, y + DOWN / 2)
    side = float(np.sqrt(abs(np.linalg.det(transform[:, :2]))))
    cx, cy = transform[:, :2] @ ((x0 + x1) / 2, (y0 + y1) / 2) + transform[:, 2]
    across, down = side * (x1 - x0), side * (y1 - y0)
    return cx - across / 2, cy - down / 2, cx + across / 2, cy + down / 2


def through_h264(pictures: Sequence[Picture], crf: int = 23) -> list[Picture]:
    """Return pictures of one size, with even sides, as H.264 leaves them."""
    return decode(encode(pictures, crf))
