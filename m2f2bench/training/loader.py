"""Loader of training images: reads, augments and stacks planned batches, in this process or in workers."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageFilter
from torch.utils.data import DataLoader, Dataset

from ..cards.settings import AugmentationSettings
from ..core.seeds import derived_seed, generator
from .frames import Draw, FrameReader, batch_part
from .job import TrainingJob

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


class Part(NamedTuple):
    """Readable images of a batch's part."""

    images: torch.Tensor | None
    """Prepared images [n, ...]; None for n = 0."""
    labels: torch.Tensor
    """Float32 [n]; of a validation empty."""
    unreadable: dict[str, str]
    """Frame id to reason."""
    numbers: Sequence[int] = ()
    """Of a validation: the numbers of the frames [n]."""


@dataclass
class Parts(Dataset[Part]):
    """Parts of an epoch's batches; item i is part i % accumulation of batch i // accumulation.

    Over `world` processes a batch is cut into accumulation × world parts, and this process, `rank`, has its own of
    each. The content of an item depends only on its place in the plan, never on the worker that makes it.
    """

    job: TrainingJob
    reader: FrameReader
    prepare: Callable[[Image], npt.NDArray[Any]]
    epoch: int
    batches: list[list[Draw]]
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        """Return the number of this process's parts in the epoch."""
        return len(self.batches) * self.job.settings.accumulation

    def __getitem__(self, index: int) -> Part:
        """Return one part, read, augmented and prepared."""
        settings = self.job.settings
        batch = self.batches[index // settings.accumulation]
        part = (index % settings.accumulation) * self.world + self.rank
        images, labels, failed = [], [], {}
        for number, repeat in batch_part(batch, part, settings.accumulation * self.world):
            frame = self.job.train[number]
            image = self.reader.get(frame)
            if image is None:
                failed[frame.id] = self.reader.unreadable[frame.id]
                continue
            seeds = ("augment", settings.seed, self.epoch, repeat, frame.id)
            if image.ndim == 4:  # all frames of a clip are changed in one way
                image = np.stack([augment(one, settings.augmentation, generator(*seeds)) for one in image])
            else:
                image = augment(image, settings.augmentation, generator(*seeds))
            images.append(self.prepare(image))
            labels.append(float(frame.label))
        return Part(_stacked(images), torch.tensor(labels, dtype=torch.float32), failed)


def part_loader(parts: Parts, pin_memory: bool) -> DataLoader[Part]:
    """Return a loader of the parts in order, made by `workers` processes (0: by this one, when they are needed)."""
    settings = parts.job.settings
    # Without a generator of its own the loader would draw from the one that seeds a step's dropout.
    draws = torch.Generator().manual_seed(derived_seed("workers", settings.seed, parts.epoch, parts.rank))
    return DataLoader(
        parts, batch_size=None, shuffle=False, num_workers=settings.workers, pin_memory=pin_memory, generator=draws
    )


def validation_part(
    job: TrainingJob, reader: FrameReader, prepare: Callable[[Image], npt.NDArray[Any]], numbers: Sequence[int]
) -> Part:
    """Return the readable ones of the validation frames with these numbers."""
    images = ((number, reader.get(job.val[number])) for number in numbers)
    ready = [(number, prepare(image)) for number, image in images if image is not None]
    return Part(_stacked([image for _, image in ready]), torch.zeros(0), {}, [number for number, _ in ready])


def _stacked(images: Sequence[npt.NDArray[Any]]) -> torch.Tensor | None:
    return torch.from_numpy(np.stack(images)) if images else None
