"""Self-blended images: a fake made of one real face, blended with itself (Shiohara and Yamasaki, CVPR 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...core.errors import DataError, FrameError
from . import hull, jitter, mean_face
from .base import Made, Source

if TYPE_CHECKING:
    from ...core.records import Frame, Image


def blend(
    source: npt.NDArray[np.uint8], target: npt.NDArray[np.uint8], mask: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Return mask × source + (1 − mask) × target, rounded, uint8 [H, W, 3]; exactly the target where the mask is 0."""
    weight = mask.astype(np.float64)[..., None]
    return np.clip(np.rint(weight * source + (1 - weight) * target), 0, 255).astype(np.uint8)


def self_blended(
    image: npt.NDArray[np.uint8], landmarks: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return a real's target and its blend, both uint8 [H, W, 3], and the mask, float32 [H, W] in [0, 1].

    Either the source or the target is jittered (p 0.5); source and mask are scaled (0.95 to 1.05) and moved (3% of the
    width, 1.5% of the height) together; the mask is deformed and softened. Raises ValueError for
    landmarks without a hull.
    """
    height, width = image.shape[:2]
    hard = hull.hull_mask(hull.shape_of(landmarks, rng), height, width)
    source, target = (
        (jitter.jittered(image, rng), image) if rng.random() < 0.5 else (image, jitter.jittered(image, rng))
    )
    scale = rng.uniform(0.95, 1.05)
    right, down = rng.uniform(-0.03, 0.03) * width, rng.uniform(-0.015, 0.015) * height
    source = np.rint(hull.affine(source.astype(np.float32), scale, down, right)).astype(np.uint8)
    mask = hull.softened(hull.elastic(hull.affine(hard, scale, down, right), rng), rng)
    return target, blend(source, target, mask), mask


class SelfBlended(Source):
    """Source of a real (0) and its self-blended image (1) from each real frame."""

    labels = (0, 1)
    alike = True  # so that the two differ in the blend alone

    def make(self, image: Image, frame: Frame, rng: np.random.Generator) -> list[Made]:
        """Return the real and its blend. Raises FrameError for a face under 64 pixels or landmarks without a hull."""
        height, width = image.shape[:2]
        if min(height, width) < 64:
            raise FrameError(frame.id, f"self-blended images need 64 pixels a side, not {width}×{height}")
        known = self.landmarks(frame) if self.landmarks is not None else None
        if known is None:
            known = mean_face.usual_points(height, width)
        points = np.asarray(known, dtype=np.float64)
        try:
            if points.shape == (5, 2):
                points = mean_face.fitted(points)
            target, fake, mask = self_blended(np.ascontiguousarray(image), points, rng)
        except (ValueError, DataError) as error:
            raise FrameError(frame.id, str(error)) from None
        if not mask.any():
            raise FrameError(frame.id, "its landmarks lie outside the picture or have too small a hull")
        return [Made(target, 0), Made(fake, 1, mask)]

    def notes(self) -> list[str]:
        """Return where the faces' outlines come from."""
        if self.landmarks is None:
            return ["self-blended images: no landmarks, the hull of a mean face at an aligned crop's usual position"]
        return ["self-blended images: hulls of the dataset's landmarks, else of a mean face"]
