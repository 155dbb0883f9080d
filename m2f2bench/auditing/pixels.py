"""Facts about a picture for an audit: digest, perceptual hash, thumbnail and high-pass energy."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Image

THUMB = 16
"""Side of the thumbnail, pixels."""
HASH_SIDE, HASH_BLOCK = 32, 8
LUMINANCE = (0.299, 0.587, 0.114)
"""ITU-R BT.601."""
STRIP = 256
"""Rows that are converted at a time."""
FLOOR = 1e-3
"""Added to a variance (grey levels squared) before its logarithm, which a flat picture would not have."""


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """A decoded picture of `width` × `height` pixels.

    `digest` is the adapter's digest, which goes into a dataset's hash; `pixels` is the hash (hex) of shape and decoded
    pixels. `phash` is a 64-bit perceptual hash, `thumb` 16×16 grey levels in rows. `laplacian` and `residual` are the
    natural logarithms of the variances of two high-pass filters' outputs at native size.
    """

    digest: str
    pixels: str
    width: int
    height: int
    phash: int
    thumb: bytes
    laplacian: float
    residual: float

    def to_json(self) -> list[Any]:
        """Return the fields in order, as JSON; the hash as 16 hex digits, the thumbnail in base 64."""
        thumb = base64.b64encode(self.thumb).decode()
        size = [self.width, self.height]
        return [self.digest, self.pixels, *size, f"{self.phash:016x}", thumb, self.laplacian, self.residual]

    @classmethod
    def from_json(cls, data: Any) -> PixelFacts:
        """Return the facts that `to_json` wrote. Raises TypeError or ValueError for anything else."""
        digest, pixels, width, height, phash, thumb, laplacian, residual = data
        small = base64.b64decode(thumb, validate=True)
        if len(small) != THUMB * THUMB:
            raise ValueError(f"a thumbnail of {len(small)} bytes")
        sizes = int(width), int(height)
        return cls(str(digest), str(pixels), *sizes, int(phash, 16), small, float(laplacian), float(residual))


def look(image: Image, digest: str) -> PixelFacts:
    """Return the facts of one RGB uint8 [H, W, 3] picture with its adapter's `digest`."""
    height, width = image.shape[:2]
    pixels = hashlib.blake2b(f"{height}x{width}:".encode(), digest_size=8)
    pixels.update(np.ascontiguousarray(image).data)
    grey = _grey(image)
    thumb = np.clip(np.rint(shrink(grey, THUMB)), 0, 255).astype(np.uint8)
    return PixelFacts(
        digest, pixels.hexdigest(), width, height, phash(grey), thumb.tobytes(), laplacian(grey), residual(grey)
    )


def _grey(image: Image) -> npt.NDArray[np.float32]:
    """Return the luminance of an RGB picture, float32 [H, W], made strip by strip to save memory."""
    weights = np.asarray(LUMINANCE, dtype=np.float32)
    grey = np.empty(image.shape[:2], dtype=np.float32)
    for top in range(0, len(image), STRIP):
        grey[top : top + STRIP] = image[top : top + STRIP].astype(np.float32) @ weights
    return grey


def shrink(grey: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Return a grey picture [H, W] as [side, side] means over equal areas."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(grey).resize((side, side), Pillow.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def phash(grey: npt.NDArray[np.float32]) -> int:
    """Return the 64-bit DCT hash of a grey picture [H, W].

    Source: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010. 32×32 means, type-II DCT,
    the 8×8 coefficients next to the constant row and column, and for each a bit: whether it is over their median. The
    first coefficient is the highest bit.
    """
    from scipy.fft import dctn

    waves = dctn(shrink(grey, HASH_SIDE), norm="ortho")[1 : HASH_BLOCK + 1, 1 : HASH_BLOCK + 1].ravel()
    bits = np.packbits(waves > np.median(waves))
    return int.from_bytes(bits.tobytes(), "big")


def laplacian(grey: npt.NDArray[np.float32]) -> float:
    """Return the log variance of the 4-neighbour Laplacian over the inner pixels of a grey picture [H, W]."""
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return _log_variance(around - 4 * inner)


def residual(grey: npt.NDArray[np.float32]) -> float:
    """Return the log variance of the third-order differences along rows and columns of a grey picture [H, W].

    It is the first of the noise residuals of the spatial rich model (Fridrich and Kodovsky, 2012).
    """
    return _log_variance(np.concatenate([np.diff(grey, n=3, axis=axis).ravel() for axis in (0, 1)]))


def _log_variance(values: npt.NDArray[np.float32]) -> float:
    return float(np.log(np.var(values, dtype=np.float64) + FLOOR)) if values.size else float(np.log(FLOOR))
