"""Training augmentation of decoded images; all random numbers come from the generator that is passed in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageFilter

from ..cards.settings import AugmentationSettings

if TYPE_CHECKING:
    from ..core.records import Image

Pillow = PillowImage.Image
Resampling = PillowImage.Resampling


def augment(image: Image, settings: AugmentationSettings, rng: np.random.Generator) -> Image:
    """Return an augmented copy of an RGB uint8 image [H, W, 3]: RGB uint8, with the size of the crop.

    The order is: horizontal flip, random crop, reduction of resolution, Gaussian blur, colour, JPEG. One uniform number
    per step decides whether it is applied; it is drawn even if the probability is 0, so that switching one step off
    does not change the others.
    """
    flip, rescale, blur, colour, jpeg = rng.random(5)
    picture = PillowImage.fromarray(image)
    if flip < settings.flip_p:
        picture = picture.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT)
    picture = _crop(picture, settings.crop, rng)
    if rescale < settings.rescale_p:
        picture = _rescale(picture, int(rng.integers(settings.rescale_px[0], settings.rescale_px[1] + 1)))
    if blur < settings.blur_p:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*settings.blur_sigma)))
    if colour < settings.colour_p:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhancer(picture).enhance(rng.uniform(1 - settings.colour, 1 + settings.colour))
    if jpeg < settings.jpeg_p:
        picture = _jpeg(picture, int(rng.integers(settings.jpeg_quality[0], settings.jpeg_quality[1] + 1)))
    return np.array(picture, dtype=np.uint8)


def _crop(picture: Pillow, shares: tuple[float, float], rng: np.random.Generator) -> Pillow:
    """Return a random window; its sides are a uniform random fraction of the image's. Takes three random numbers."""
    share, across, down = rng.uniform(*shares), rng.random(), rng.random()
    width, height = (max(1, round(side * share)) for side in picture.size)
    if (width, height) == picture.size:
        return picture
    left, top = round(across * (picture.width - width)), round(down * (picture.height - height))
    return picture.crop((left, top, left + width, top + height))


def _rescale(picture: Pillow, side: int) -> Pillow:
    """Return the picture after a resize to `side` pixels on the longer side and back; a smaller one is unchanged."""
    longest = max(picture.size)
    if side >= longest:
        return picture
    small = (max(1, round(picture.width * side / longest)), max(1, round(picture.height * side / longest)))
    return picture.resize(small, Resampling.BILINEAR).resize(picture.size, Resampling.BILINEAR)


def _jpeg(picture: Pillow, quality: int) -> Pillow:
    """Return the picture after JPEG compression (4:2:0) with `quality` from 1 to 100."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return PillowImage.open(buffer).convert("RGB")
