"""Jitter of colours and of fine detail, which makes a blend's source and target differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageFilter

Pixels = npt.NDArray[np.uint8]


def jittered(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Return RGB uint8 [H, W, 3] with shifted colours (±20), hue, saturation and value (±0.3), brightness and
    contrast (±0.1), each with p 0.5, and then made coarser or sharper."""
    if rng.random() < 0.5:
        image = shifted(image, rng.uniform(-20, 20, 3))
    if rng.random() < 0.5:
        image = hsv(image, *rng.uniform(-0.3, 0.3, 3))
    if rng.random() < 0.5:
        image = contrast(image, *rng.uniform(-0.1, 0.1, 2))
    return coarser(image, int(rng.integers(2, 5))) if rng.random() < 0.5 else sharper(image, rng.uniform(0.2, 0.5))


def shifted(image: Pixels, by: npt.ArrayLike) -> Pixels:
    """Return the image plus a number for each of R, G and B, in grey levels."""
    return _bytes(image.astype(np.float64) + np.asarray(by, dtype=np.float64))


def hsv(image: Pixels, hue: float, saturation: float, value: float) -> Pixels:
    """Return the image with hue turned by `hue` × 20 degrees, and saturation and value times 1 + theirs."""
    planes = np.asarray(Pillow.fromarray(image).convert("HSV"), dtype=np.float64)
    turned = np.mod(planes[..., 0] + hue * 256 / 18, 256)
    rest = np.clip(planes[..., 1:] * (1 + np.array([saturation, value])), 0, 255)
    made = np.concatenate([turned[..., None], rest], axis=2).astype(np.uint8)
    return np.asarray(Pillow.fromarray(made, "HSV").convert("RGB"))


def contrast(image: Pixels, brightness: float, factor: float) -> Pixels:
    """Return image × (1 + factor) + 255 × brightness."""
    return _bytes(image.astype(np.float64) * (1 + factor) + 255 * brightness)


def coarser(image: Pixels, factor: int) -> Pixels:
    """Return the image scaled down by `factor` without smoothing, and up again."""
    height, width = image.shape[:2]
    small = (max(1, width // factor), max(1, height // factor))
    picture = Pillow.fromarray(image).resize(small, Pillow.Resampling.NEAREST)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.BICUBIC))


def sharper(image: Pixels, share: float) -> Pixels:
    """Return the image mixed with its sharpened self, of which it has `share`."""
    sharp = np.asarray(Pillow.fromarray(image).filter(ImageFilter.SHARPEN), dtype=np.float64)
    return _bytes(image * (1 - share) + sharp * share)


def _bytes(values: npt.NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
