"""Jitter of colours and of fine detail, which makes a blend's source and target differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageFilter

Pixels = npt.NDArray[np.uint8]
LEVELS = np.arange(256, dtype=np.float64)


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
    return _mapped(image, LEVELS + np.asarray(by, dtype=np.float64)[:, None])


def hsv(image: Pixels, hue: float, saturation: float, value: float) -> Pixels:
    """Return the image with hue turned by `hue` × 20 degrees, and saturation and value times 1 + theirs."""
    turned = np.mod(LEVELS + hue * 256 / 18, 256)
    rest = np.clip(LEVELS * (1 + np.array([[saturation], [value]])), 0, 255)
    table = np.concatenate([turned[None], rest]).astype(np.uint8)
    return np.asarray(Pillow.fromarray(image).convert("HSV").point(table.ravel().tolist()).convert("RGB"))


def contrast(image: Pixels, brightness: float, factor: float) -> Pixels:
    """Return image × (1 + factor) + 255 × brightness."""
    return _mapped(image, np.tile(LEVELS * (1 + factor) + 255 * brightness, (3, 1)))


def coarser(image: Pixels, factor: int) -> Pixels:
    """Return the image scaled down by `factor` without smoothing, and up again."""
    height, width = image.shape[:2]
    small = (max(1, width // factor), max(1, height // factor))
    picture = Pillow.fromarray(image).resize(small, Pillow.Resampling.NEAREST)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.BICUBIC))


def sharper(image: Pixels, share: float) -> Pixels:
    """Return the image mixed with its sharpened self, of which it has `share`."""
    sharp = np.asarray(Pillow.fromarray(image).filter(ImageFilter.SHARPEN), dtype=np.float32)
    return _bytes(image + (sharp - image) * np.float32(share))


def _mapped(image: Pixels, table: npt.NDArray[np.float64]) -> Pixels:
    """Return an image whose grey levels are replaced by those of a table, [3, 256]."""
    return np.asarray(Pillow.fromarray(image).point(_bytes(table).ravel().tolist()))


def _bytes(values: npt.NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
