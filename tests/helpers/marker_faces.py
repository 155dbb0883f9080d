"""Pictures in which plain rectangles stand for faces, and a finder that finds them exactly."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from m2f2bench.core.clips import Clip
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import AdapterOptions, ClipAdapter
from m2f2bench.datasets.files.images import FileAdapter
from m2f2bench.faces.face import Face
from m2f2bench.faces.find import FaceFinder

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
Rectangles = Mapping[str, tuple[int, int, int, int]]
"""Rectangles by colour: left, top, right, bottom."""


def marked(rectangles: Rectangles, height: int = 120, width: int = 200) -> npt.NDArray[np.uint8]:
    """Draw rectangles in their colours on grey, in the order given."""
    picture = np.full((height, width, 3), 128, np.uint8)
    for colour, (x0, y0, x1, y1) in rectangles.items():
        picture[max(0, y0) : y1, max(0, x0) : x1] = COLOURS[colour]
    return picture


class MarkerFinder(FaceFinder):
    """Finds each colour's rectangle, and counts the pictures it has seen in all its copies of this process."""

    name = "marker"
    seen = 0
    _lock = threading.Lock()

    def __init__(self, version: str = "1") -> None:
        self.version = version

    def find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        with MarkerFinder._lock:
            MarkerFinder.seen += 1
        found = []
        for colour in COLOURS.values():
            rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 30).all(axis=2))
            if len(rows):
                box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
                found.append(Face(box, 0.9))
        return found

    def signature(self) -> str:
        return f"marker-{self.version}"


class Scenes(ClipAdapter[AdapterOptions], FileAdapter[AdapterOptions]):
    """Videos as folders of PNG files: `root/<method>/<video>/<number>.png`; masks beside them, if there are any."""

    splits = ("test",)

    def clips(self, split: str) -> list[Clip]:
        assert self.root is not None
        found = []
        for folder in sorted(self.root.glob("*/*")):
            method = folder.parent.name
            names = sorted(path.name for path in folder.glob("*.png") if not path.stem.endswith("m"))
            video, place = f"{method}/{folder.name}", Locator(str(folder))
            found.append(Clip(video, int(method != "original"), method, "test", (folder.name,), place, tuple(names)))
        return found

    def mask(self, frame: Frame) -> npt.NDArray[np.bool_] | None:
        path = Path(frame.locator.path)
        path = path.with_name(f"{path.stem}m.png")
        return np.asarray(Pillow.open(path)) > 127 if path.is_file() else None


def write_scenes(root: Path, videos: Mapping[str, Sequence[Rectangles]]) -> Scenes:
    """Write videos (`method/name` to the rectangles of each frame) and return their adapter."""
    for video, frames in videos.items():
        (root / video).mkdir(parents=True)
        for number, rectangles in enumerate(frames):
            Pillow.fromarray(marked(rectangles)).save(root / video / f"{number:03d}.png")
    return Scenes(root)
