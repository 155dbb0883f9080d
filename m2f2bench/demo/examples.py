"""Examples on the demo's page: drawn faces, made by this package, and crops of DD-VQA where they lie."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow

from ..cards.folders import DATA_VARIABLE
from ..core.errors import M2F2BenchError
from ..loading import load_dataset

if TYPE_CHECKING:
    from ..core.records import Image

log = logging.getLogger("m2f2bench")
REAL_CROPS = Path("ddvqa", "DDVQA_images", "c40", "test")
"""Below the folder of research data."""
HIGH, WIDE, SIDE = 480, 720, 260
"""Pixels of an example, and of each face in it."""


def made(folder: Path) -> list[Path]:
    """Write the examples into a folder and return their paths; none where nothing can be made."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, faces in (("drawn-faces", _drawn), ("ddvqa", _real)):
        try:
            pair = faces()
        except (M2F2BenchError, OSError) as error:
            log.info("no example of %s: %s", name, error)
            continue
        if pair:
            path = folder / f"{name}.jpg"
            Pillow.fromarray(placed(pair)).save(path, quality=92)
            found.append(path)
    return found


def placed(faces: list[Image]) -> Image:
    """Return faces beside each other on a plain picture, uint8 [HIGH, WIDE, 3]."""
    canvas = np.full((HIGH, WIDE, 3), (176, 182, 190), np.uint8)
    for number, face in enumerate(faces):
        side = np.asarray(Pillow.fromarray(face).resize((SIDE, SIDE), Pillow.Resampling.BICUBIC))
        x, y = round(WIDE * (2 * number + 1) / (2 * len(faces)) - SIDE / 2), (HIGH - SIDE) // 2
        canvas[y : y + SIDE, x : x + SIDE] = side
    return canvas


def _drawn() -> list[Image]:
    """Return a real drawn face and a forged one."""
    dataset = load_dataset("synthetic")
    frames = dataset.adapter.frames("test")
    chosen = [next(one for one in frames if one.label == label) for label in (0, 1)]
    return [dataset.adapter.read(one) for one in chosen]


def _real() -> list[Image]:
    """Return two crops of DD-VQA, of different videos; empty where it does not lie."""
    data = os.environ.get(DATA_VARIABLE, "")
    files = sorted((Path(data) / REAL_CROPS).glob("*.jpg")) if data else []
    chosen = [files[0], files[len(files) // 2]] if len(files) > 1 else []
    pictures = []
    for path in chosen:
        with Pillow.open(path) as opened:
            pictures.append(np.asarray(opened.convert("RGB")))
    return pictures
