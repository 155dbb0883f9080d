"""Small pictures inside a page: JPEG files as data URIs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Floats, Image

SIDE = 224
"""Largest number of pixels of a picture's longer side; a smaller picture is not enlarged."""
QUALITY = 80
Box = tuple[float, float, float, float]
"""The region of a picture that a map covers: top, left, bottom, right as shares."""


def data_uri(image: Image) -> tuple[str, int, int]:
    """Return an RGB uint8 picture [H, W, 3] as a JPEG data URI, with its width and height in pixels there."""
    from PIL import Image as Pillow

    rows, columns = fitted(*image.shape[:2])
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    if (rows, columns) != image.shape[:2]:
        picture = picture.resize((columns, rows), Pillow.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", columns, rows


def overlay(image: Image, heat: npt.NDArray[np.float32] | Floats, visible: Box) -> Image:
    """Return a map [h, w] in [0, 1] over its picture, RGB uint8; its colours go from 0 to 1, see `blend`."""
    from ..figures.overlay import Panel, blend

    rows, columns = fitted(*image.shape[:2])
    return blend(Panel(image, np.asarray(heat, dtype=np.float32), visible, 0.0), rows, columns)


def fitted(rows: int, columns: int) -> tuple[int, int]:
    """Return a picture's rows and columns, reduced such that its longer side is at most SIDE."""
    shrink = min(1.0, SIDE / max(rows, columns, 1))
    return max(1, round(rows * shrink)), max(1, round(columns * shrink))
