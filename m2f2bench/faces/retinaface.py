"""RetinaFace (Deng et al. 2019, arXiv 1905.00641) as an ONNX file: boxes and points relative to fixed boxes.

It reads the networks that the PyTorch reimplementation exports (MobileNet 0.25 or ResNet-50): outputs loc, conf and
landmarks over two square boxes at each place of three grids.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DataError
from .base import FaceFinder
from .face import Face, distinct
from .network import Network, blob_of, fitted, named, read_model, short_hash

if TYPE_CHECKING:
    from ..core.arrays import Floats, Image

OUTPUTS = ("loc", "conf", "landmarks")
GRIDS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
"""Pixels per place of each grid, and the sides of its boxes in pixels."""
SHIFT, STRETCH = 0.1, 0.2
"""Units of the outputs: a shift in box sides, and the logarithm of a stretch."""
MEAN_BGR = (104.0, 117.0, 123.0)
MOST = 2000


class RetinaFace(FaceFinder):
    """RetinaFace of an ONNX file. The picture's long side is brought down to `longest` pixels."""

    name = "retinaface"

    def __init__(
        self, model: Path, score: float = 0.6, longest: int = 960, shortest: int = 160, same: float = 0.4
    ) -> None:
        """Load the network. Raises DataError if the extra is not installed or the file is no such model."""
        data = read_model(model, "RetinaFace")
        self.score, self.longest, self.shortest, self.same = score, longest, shortest, same
        self._hash = short_hash(data)
        self.network = Network(data, OUTPUTS, f"RetinaFace ('{model.name}')")

    def signature(self) -> str:
        """Return what decides the faces: model, limits, size."""
        return f"retinaface-{self.score:g}-{self.longest}px-{self._hash}"

    def find(self, image: Image) -> list[Face]:
        """Return the faces of a picture, the surest first."""
        padded, scale = fitted(self.checked(image), self.longest, self.shortest)
        found = self.network(blob_of(padded, MEAN_BGR, flip=True))
        loc, conf, landmarks = (one.reshape(-1, one.shape[-1]).astype(np.float64) for one in named(found, *OUTPUTS))
        anchors = _anchors(*padded.shape[:2])
        if not (len(loc) == len(conf) == len(landmarks) == len(anchors)):
            raise DataError(f"{self.network.where} has {len(loc):,} boxes for a picture where {len(anchors):,} are due")
        scores = conf[:, 1]
        order = np.argsort(-scores, kind="stable")[:MOST]
        taken = order[scores[order] >= self.score]
        if not len(taken):
            return []
        at, side = anchors[taken, :2], anchors[taken, 2:]
        centre, size = at + SHIFT * side * loc[taken, :2], side * np.exp(STRETCH * loc[taken, 2:4])
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        five = at[:, None] + SHIFT * side[:, None] * landmarks[taken].reshape(-1, 5, 2)
        return [
            Face(tuple((boxes[i] / scale).tolist()), min(1.0, float(scores[taken[i]])), five[i] / scale)
            for i in distinct(boxes, scores[taken], self.same)
        ]


def _anchors(height: int, width: int) -> Floats:
    """Return the fixed boxes of a picture, [n, 4]: centre (x, y) and side twice, in the order of the outputs."""
    parts = []
    for step, sides in GRIDS:
        y, x, side = np.meshgrid(
            (np.arange(-(-height // step)) + 0.5) * step,
            (np.arange(-(-width // step)) + 0.5) * step,
            sides,
            indexing="ij",
        )
        parts.append(np.stack([x, y, side, side], axis=-1).reshape(-1, 4))
    return np.concatenate(parts).astype(np.float64)
