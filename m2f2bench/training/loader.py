"""Loader of training images: reads, augments and stacks the parts of batches and of validations."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage
from PIL import ImageEnhance, ImageFilter
from torch.utils.data import Dataset

from ..cards.settings import AugmentationSettings
from ..core.errors import FrameError, M2F2BenchError
from ..core.seeds import generator
from .frames import Draw, FrameReader
from .job import TrainingJob
from .resizing import Whole, packed
from .sources.base import Made, Source
from .sources.jitter import hsv, shifted

if TYPE_CHECKING:
    from ..core.records import Frame, Image

Mask = npt.NDArray[np.float32]
Prepare = Callable[["Image"], npt.NDArray[Any]]
Pillow = PillowImage.Image
Resampling = PillowImage.Resampling
GREY = 128
"""Grey level of an erased rectangle: about 0 after a mean of 0.5 is subtracted."""


def augment(image: Image, settings: AugmentationSettings, rng: np.random.Generator) -> Image:
    """Return an augmented copy of an RGB uint8 image [H, W, 3]: RGB uint8, with the size of the crop.

    The order is: horizontal flip, random crop, reduction of resolution, Gaussian blur, colour, rotation, shift of
    colours, hue, JPEG, erasing. One uniform number per step decides whether it is applied; it is drawn even if the
    probability is 0, so that switching one step off does not change the others.
    """
    return augment_both(image, None, settings, rng)[0]


def augment_both(
    image: Image, mask: Mask | None, settings: AugmentationSettings, rng: np.random.Generator
) -> tuple[Image, Mask | None]:
    """Return an augmented image, see `augment`, and its mask, in [0, 1], [H, W].

    The mask is flipped, cropped and turned as the image, and 0 where that is erased.
    """
    flip, rescale, blur, colour, jpeg = rng.random(5)
    picture = PillowImage.fromarray(image)
    where = None if mask is None else PillowImage.fromarray(np.asarray(mask, dtype=np.float32))
    if flip < settings.flip_p:
        picture = picture.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT)
        where = where and where.transpose(PillowImage.Transpose.FLIP_LEFT_RIGHT)
    window = _window(picture, settings.crop, rng)
    if window is not None:
        picture, where = picture.crop(window), where and where.crop(window)
    if rescale < settings.rescale_p:
        picture = _rescale(picture, int(rng.integers(settings.rescale_px[0], settings.rescale_px[1] + 1)))
    if blur < settings.blur_p:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*settings.blur_sigma)))
    if colour < settings.colour_p:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhancer(picture).enhance(rng.uniform(1 - settings.colour, 1 + settings.colour))
    low, high = settings.jpeg_quality
    quality = int(rng.integers(low, high + 1)) if jpeg < settings.jpeg_p else None
    # Draws of later additions follow all others, so that a card without them has the bits that it had.
    rotate, shift, hue, erase = rng.random(4)
    if rotate < settings.rotate_p:
        angle = rng.uniform(-settings.rotate, settings.rotate)
        picture, where = rotated(picture, angle), where and rotated(where, angle)
    pixels = np.array(picture, dtype=np.uint8)
    if shift < settings.shift_p:
        pixels = shifted(pixels, rng.uniform(-settings.shift, settings.shift, 3)).copy()
    if hue < settings.hue_p:
        pixels = hsv(pixels, *rng.uniform(-settings.hue, settings.hue, 3)).copy()
    if quality is not None:
        pixels = np.array(_jpeg(PillowImage.fromarray(pixels), quality), dtype=np.uint8)
    found = None if where is None else np.array(where, dtype=np.float32)
    if erase < settings.erase_p:
        box = _box(pixels.shape[:2], settings.erase, rng)
        pixels[box] = GREY
        if found is not None:
            found[box] = 0
    return pixels, found


def rotated(picture: Pillow, angle: float) -> Pillow:
    """Return a picture turned about its middle, in degrees against the clock; beyond its edges is its mirror image."""
    pixels = np.asarray(picture)
    edge = max(1, max(pixels.shape[:2]) // 2)
    wide = np.pad(pixels, [(edge, edge)] * 2 + [(0, 0)] * (pixels.ndim - 2), "reflect")
    turned = PillowImage.fromarray(wide).rotate(angle, Resampling.BILINEAR)
    return turned.crop((edge, edge, edge + picture.width, edge + picture.height))


def _box(size: tuple[int, ...], shares: tuple[float, float], rng: np.random.Generator) -> tuple[slice, slice]:
    """Return rows and columns of a random rectangle within a picture of this size (height, width)."""
    area = rng.uniform(*shares) * size[0] * size[1]
    ratio = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    sides = (math.sqrt(area * ratio), math.sqrt(area / ratio))
    found = []
    for whole, side in zip(size, sides, strict=True):
        length = min(whole, max(1, round(side)))
        first = int(rng.integers(0, whole - length + 1))
        found.append(slice(first, first + length))
    return found[0], found[1]


def _window(picture: Pillow, shares: tuple[float, float], rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Return a random window (left, top, right, bottom), None for the whole picture. Takes three random numbers.

    Its sides are a uniform random fraction of the picture's.
    """
    share, across, down = rng.uniform(*shares), rng.random(), rng.random()
    width, height = (max(1, round(side * share)) for side in picture.size)
    if (width, height) == picture.size:
        return None
    left, top = round(across * (picture.width - width)), round(down * (picture.height - height))
    return left, top, left + width, top + height


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

    images: torch.Tensor | Whole | None
    """Prepared images [n, ...], or [n · views, ...], the views of one image in a row; None for n = 0. Those that the
    device resizes are whole."""
    labels: torch.Tensor
    """Float32 [n]; of a validation empty."""
    unreadable: dict[str, str]
    """Frame id to reason."""
    numbers: Sequence[int] = ()
    """Of a validation: the numbers of the samples [n]."""
    methods: torch.Tensor | None = None
    """Numbers of the manipulations, int64 [n]: 0 for real; None if the loss does not use them."""
    masks: torch.Tensor | None = None
    """Float32 [n · views, S, S], in [0, 1]; None if the loss does not use them."""
    planned: int = 0
    """Samples of the whole batch, with those that cannot be read."""
    failure: M2F2BenchError | None = None
    """What ends the training instead."""


@dataclass
class Making:
    """How samples are made from frames, besides the card's augmentation."""

    prepare: Prepare
    unit: int = 1
    """As `Plan.unit`."""
    source: Source | None = None
    """What makes samples from a frame; None: the frame is the sample."""
    methods: dict[str, int] | None = None
    """Numbers of the manipulations, if the loss needs them."""
    masks: bool = False
    """Whether the loss needs masks."""
    whole: bool = False
    """Whether the device resizes the images, in the place of `prepare`."""

    @property
    def count(self) -> int:
        """The samples that are made of a frame."""
        return 1 if self.source is None else len(self.source.labels)

    def samples(self, job: TrainingJob, frame: Frame, image: Image, *draws: object) -> list[Made]:
        """Return the samples of a frame.

        Raises FrameError for a fake without a mask, if masks are needed, and for a frame of which the source can make
        none.
        """
        if self.source is not None:
            return self.source.make(image, frame, generator("source", *draws, frame.id))
        mask = None
        if self.masks and frame.label:
            found = None if job.mask is None else job.mask(frame, image)
            if found is None:
                raise FrameError(frame.id, "it has no mask, and the loss needs one")
            mask = np.asarray(found, dtype=np.float32)
        return [Made(image, frame.label, mask)]

    def method(self, frame: Frame, label: int) -> int:
        """Return the number of a sample's manipulation: 0 for real, and 1 for a fake that a source made."""
        return label if self.source is not None else (self.methods or {}).get(frame.method, label)

    def together(self, images: Sequence[npt.NDArray[Any]]) -> torch.Tensor | Whole | None:
        """Return images as a part of a batch has them; None without any."""
        return packed(images) if self.whole else _stacked([self.prepare(image) for image in images])

    def prepare_mask(self, mask: Mask | None, image: Image) -> Mask:
        """Return a mask as the network's input has it, by the same resize: float32 [S, S]; None becomes zeros."""
        given = np.zeros(image.shape[:2], np.float32) if mask is None else mask
        grey = np.repeat(np.rint(given * 255).astype(np.uint8)[..., None], 3, axis=2)
        return np.asarray(self.prepare(grey)[..., 0] / 255, dtype=np.float32)


@dataclass(frozen=True)
class Drawn:
    """A part of a batch that is to be made."""

    epoch: int
    units: Sequence[Sequence[Draw]]
    """Its draws, by unit (see `Plan.unit`)."""
    planned: int
    """Samples of the whole batch."""


@dataclass(frozen=True)
class Judged:
    """A part of a validation that is to be made: sample k of frame i has the number i · samples + k."""

    numbers: Sequence[int]


Wanted = Drawn | Judged


@dataclass
class Parts(Dataset[Part]):
    """Parts of batches and of validations, by what they are to be made of (and not by a number).

    The content of a part depends on nothing else, in particular not on the process that makes it.
    """

    job: TrainingJob
    reader: FrameReader
    making: Making
    judged: Making
    """How samples of a validation are made."""

    def __getitem__(self, wanted: Wanted) -> Part:
        """Return a part, read, augmented and prepared. What that raises is in it, as another process would say more."""
        try:
            return self._drawn(wanted) if isinstance(wanted, Drawn) else self._validation(wanted.numbers)
        except M2F2BenchError as error:
            return Part(None, torch.zeros(0), {}, failure=error)

    def largest(self, world: int) -> int:
        """Return the bytes of images in a part of a batch, or of a validation; 0 if no frame can be read.

        All have the size of the first that can be read, as far as is known.
        """
        settings = self.job.settings
        first = next((one for one in map(self.reader.get, self.job.train) if one is not None), None)
        if first is None:
            return 0
        views = settings.views * (2 if self.making.masks else 1)  # a mask takes 4 bytes a pixel, an image 3
        each = -(-settings.batch_size // (settings.accumulation * world)) * views
        image = first if self.making.whole else self.making.prepare(first)
        return int(image.nbytes) * max(each, settings.batch_size)

    def _drawn(self, wanted: Drawn) -> Part:
        settings, making = self.job.settings, self.making
        images: list[npt.NDArray[Any]] = []
        masks: list[Mask] = []
        labels, methods = [], []
        failed: dict[str, str] = {}
        for unit in wanted.units:
            read = [self._samples(number, wanted.epoch, repeat, failed) for number, repeat in unit]
            if not all(read):
                continue
            for (number, repeat), samples in zip(unit, read, strict=True):
                frame = self.job.train[number]
                for place, sample in enumerate(samples):
                    for view in range(settings.views):
                        image, mask = self._augmented(sample, frame, wanted.epoch, repeat, place, view)
                        images.append(image)
                        if making.masks:
                            masks.append(making.prepare_mask(mask, image))
                    labels.append(float(sample.label))
                    methods.append(making.method(frame, sample.label))
        return Part(
            making.together(images),
            torch.tensor(labels, dtype=torch.float32),
            failed,
            methods=None if making.methods is None else torch.tensor(methods, dtype=torch.int64),
            masks=_stacked(masks),
            planned=wanted.planned,
        )

    def _samples(self, number: int, epoch: int, repeat: int, failed: dict[str, str]) -> list[Made]:
        """Return the samples of a frame; empty, with an entry in `failed`, if it cannot be read."""
        frame = self.job.train[number]
        image = self.reader.get(frame)
        if image is None:
            failed[frame.id] = self.reader.unreadable[frame.id]
            return []
        try:
            return self.making.samples(self.job, frame, image, self.job.settings.seed, epoch, repeat)
        except FrameError as error:
            failed[frame.id] = error.reason
        return []

    def _augmented(
        self, sample: Made, frame: Frame, epoch: int, repeat: int, place: int, view: int
    ) -> tuple[npt.NDArray[Any], Mask | None]:
        """Return a view of a sample and its mask. The first view of a frame's first sample has the draws of a frame.

        The samples of a source that wants it so have the same draws.
        """
        settings, image = self.job.settings, sample.image
        source = self.making.source
        place = 0 if source is not None and source.alike else place
        more = (place, view) if place or view else ()
        seeds = ("augment", settings.seed, epoch, repeat, frame.id, *more)
        if image.ndim == 4:  # all frames of a clip are changed in one way
            return np.stack([augment(one, settings.augmentation, generator(*seeds)) for one in image]), None
        return augment_both(image, sample.mask if self.making.masks else None, settings.augmentation, generator(*seeds))

    def _validation(self, numbers: Sequence[int]) -> Part:
        """Return the readable ones of a validation's samples with these numbers. A source makes the same each time."""
        making = self.judged
        ready: list[tuple[int, npt.NDArray[Any]]] = []
        failed: dict[str, str] = {}
        for place, group in groupby(numbers, lambda number: number // making.count):
            frame = self.job.val[place]
            image = self.reader.get(frame)
            if image is None:
                failed[frame.id] = self.reader.unreadable[frame.id]
                continue
            made = [image]
            if making.source is not None:
                try:
                    samples = making.samples(self.job, frame, image, self.job.settings.seed, -1, 0)
                except FrameError as error:
                    failed[frame.id] = error.reason
                    continue
                made = [sample.image for sample in samples]
            ready += [(number, made[number % making.count]) for number in group]
        images = making.together([image for _, image in ready])
        return Part(images, torch.zeros(0), failed, [number for number, _ in ready])


def _stacked(images: Sequence[npt.NDArray[Any]]) -> torch.Tensor | None:
    return torch.from_numpy(np.stack(images)) if images else None
