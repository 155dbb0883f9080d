"""Detectors made of one torch network: pixels in, one logit out, and P(fake) is its sigmoid."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import nn

from ..cards.models import DetectorCard
from ..cards.settings import InputSettings
from ..core.arithmetic import computing, why_not
from ..core.errors import DetectorError
from ..training.device import (
    Normalisation,
    by_channels,
    channels_last,
    check_compiling,
    fetch,
    own_draws,
    pick_device,
    send,
)
from ..training.job import FitReport, TrainingJob
from ..training.processes import together
from .base import Trainable, check_options, object_fingerprint, trained_weights
from .weights.load import load_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats, Image

RESAMPLING = {name: PillowImage.Resampling[name.upper()] for name in ("bilinear", "bicubic", "lanczos")}


def resize(image: Image, settings: InputSettings) -> Image:
    """Return an RGB uint8 image [H, W, 3] as [size, size, 3], antialiased, squashed or cropped by `settings`.

    An image that has this size is returned as it is. Before a crop, edge lengths are rounded down, and so is the crop's
    corner.
    """
    size = settings.size
    height, width = image.shape[:2]
    if settings.fit == "cut":
        return _cut(image, size)
    rows, columns = settings.scaled(height, width)
    if (height, width) == (size, size) == (rows, columns):
        return image
    picture = PillowImage.fromarray(image).resize((columns, rows), RESAMPLING[settings.interpolation])
    left, top = (columns - size) // 2, (rows - size) // 2
    return np.array(picture.crop((left, top, left + size, top + size)), dtype=np.uint8)


def _cut(image: Image, size: int) -> Image:
    """Return the centre [size, size, 3] of an image; where the image is smaller, black. Corners are rounded down."""
    height, width = image.shape[:2]
    top, left = (height - size) // 2, (width - size) // 2
    part = image[max(0, top) : top + size, max(0, left) : left + size]
    if part.shape[:2] == (size, size):
        return np.ascontiguousarray(part)
    out = np.zeros((size, size, 3), dtype=np.uint8)
    out[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]] = part
    return out


def visible_region(height: int, width: int, settings: InputSettings) -> tuple[float, float, float, float]:
    """Return the part of a picture that `resize` keeps: top, left, bottom, right, as fractions of its edges."""
    if settings.fit == "cut":
        down, across = (max(0.0, 1 - settings.size / side) / 2 for side in (height, width))
        return down, across, 1 - down, 1 - across
    kept = settings.size / math.floor(settings.size / settings.crop)
    shorter = (width, height) if settings.fit == "centre" else (height, width)
    down, across = (1 - kept * min(1.0, shorter[0] / height)) / 2, (1 - kept * min(1.0, shorter[1] / width)) / 2
    return down, across, 1 - down, 1 - across


class Normalise:
    """Normalisation (x / 255 - mean) / std, from uint8 RGB [B, S, S, 3] to float32 [B, 3, S, S] in channels-last
    memory.

    It is one multiplication and one addition per value over whole rows of pixels (three times as fast as over three
    channels); the memory is never transposed.
    """

    def __init__(self, settings: InputSettings, reuse: bool = False) -> None:
        """`settings` give size, mean and std, for values in [0, 1]. With `reuse`, the result is in a buffer that the
        next batch overwrites: new memory for every batch would double the time.
        """
        mean, std = torch.tensor(settings.mean, dtype=torch.float64), torch.tensor(settings.std, dtype=torch.float64)
        self.scale = (1.0 / (255.0 * std)).float().repeat(settings.size)
        self.shift = (-mean / std).float().repeat(settings.size)
        self.reuse = reuse
        self._buffer = torch.empty(0)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the model's input on the device of `images`."""
        scale, shift = self.scale.to(images.device), self.shift.to(images.device)
        rows = images.flatten(2)
        if self.reuse:
            if self._buffer.shape != rows.shape or self._buffer.device != rows.device:
                self._buffer = torch.empty(rows.shape, device=rows.device)
            out = self._buffer.copy_(rows)
        else:
            out = rows.float()
        return torch.addcmul(shift, out, scale, out=out).view(images.shape).permute(0, 3, 1, 2)


def train(job: TrainingJob, build: Callable[[], nn.Module], **metadata: str) -> FitReport:
    """Train the network that `build` returns on all of its weights; see `fit_network`.

    The weights file gets the card's input and `metadata`.
    """
    from ..training.network import Network, fit_network

    settings = job.card.input
    with together(), own_draws():
        torch.manual_seed(job.settings.seed)
        model = build()
    prepare, metadata = partial(resize, settings=settings), {**metadata, "input": str(settings)}
    return fit_network(job, Network(model, prepare, Normalise(settings), metadata=metadata, input=settings))


class NetworkDetector(Trainable):
    """A detector whose `model` gives one logit per image, [B] or [B, 1], higher for fake.

    A subclass implements `build`, and can then be trained, loaded and run. One whose training or loading needs more
    overrides `fit` or `from_card`.
    """

    arithmetic = "fp32"
    """How the network computes, one of `arithmetic.PRECISIONS`."""
    compiled = False
    """Whether `torch.compile` has made the network anew."""
    channels_last = True
    """Whether kernels and pictures are in channels-last memory."""
    parts = ""
    """Parts that by the card compute otherwise, such as `clip-bf16`, for `precision`."""

    @classmethod
    def build(cls, *args: Any, **options: Any) -> nn.Module:
        """Return the network before training; its parameters are the options of the detector's card."""
        raise DetectorError(f"{cls.__qualname__} has no classmethod build(...) that returns its network: write one")

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> NetworkDetector:
        """Load the card's trained weights. Raises DetectorError for an untrained card and weights that do not fit."""
        path = trained_weights(card)
        model = cls.build(**check_options(cls.build, card))
        load_weights(model, path, outputs=None, fake=card.fake_class, spare=True)
        # Without the key, a card has the fingerprint that it always had.
        state = str(card.input) if card.fake_class is None else f"{card.input} fake {card.fake_class}"
        return cls(model, card.input, device, object_fingerprint(cls, state, card))

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train the network on all of its weights; see `fit_network`."""
        return train(job, lambda: cls.build(**check_options(cls.build, job.card)))

    def __init__(self, model: nn.Module, settings: InputSettings, device: str, fingerprint: str) -> None:
        """`model` is put into eval mode, on `device`; `fingerprint` identifies weights and options."""
        self.device = pick_device(device)
        self.model = channels_last(model.eval().requires_grad_(False).to(self.device))
        self.settings, self._fingerprint = settings, fingerprint
        self.normalise: Normalisation = Normalise(settings, reuse=True)
        self.preprocessing = str(settings)

    def compute_in(self, precision: str) -> None:
        """See `Detector.compute_in`. Raises DetectorError for a precision that the device does not have."""
        if why := why_not(precision, self.device.type):
            raise DetectorError(f"detector '{self.card.name}': precision {why}")
        self.arithmetic = precision
        self._name_precision()

    def compile_network(self) -> None:
        """See `Detector.compile_network`. Raises DetectorError if torch cannot compile here."""
        if self.compiled:
            return  # a detector that is loaded already is given to `run` again
        check_compiling(self.device)
        self.model.compile()
        self.compiled = True
        self._name_precision()

    def order_by_channels(self) -> None:
        """See `Detector.order_by_channels`."""
        if not self.channels_last:
            return  # a detector that is loaded already is given to `run` again
        self.normalise = by_channels(self.model, self.normalise)
        self.channels_last = False
        self._name_precision()

    def _name_precision(self) -> None:
        own = "" if self.arithmetic == "fp32" and self.parts else self.arithmetic
        how = ("by-channels" if not self.channels_last else "", "compiled" if self.compiled else "")
        self.precision = "+".join(filter(None, (own, self.parts, *how)))

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which the network computes in the detector's precision."""
        return computing(self.arithmetic, self.device.type)

    def in_fp32(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats | None:
        """See `Detector.in_fp32`."""
        own = self.arithmetic
        if own == "fp32":
            return None
        self.arithmetic = "fp32"
        try:
            return self.forward(batch, ids)
        finally:
            self.arithmetic = own

    def prepare(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return the image resized to the network's input, uint8 [S, S, 3]."""
        return resize(image, self.settings)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B]; see `probabilities`."""
        return self.probabilities(self.logits(batch))

    def logits(self, batch: Sequence[Any]) -> Floats:
        """Return logits of fake, float64 [B], computed in `precision`, for images as `prepare` returns them."""
        return self._begin_logits(batch)()

    def probabilities(self, logits: Floats) -> Floats:
        """Return P(fake) = sigmoid(logit), float64 [B], of logits, float64 [B]."""
        scores: Floats = torch.sigmoid(torch.from_numpy(logits)).numpy()
        return scores

    @property
    def in_background(self) -> bool:  # type: ignore[override]
        """See `Detector.in_background`: true on a CUDA device, but not for a subclass that judges in its own way."""
        own = type(self).forward, type(self).logits
        return self.device.type == "cuda" and own == (NetworkDetector.forward, NetworkDetector.logits)

    def begin_forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Callable[[], Floats]:
        """See `Detector.begin_forward`."""
        wait = self._begin_logits(batch)
        return lambda: self.probabilities(wait())

    def _begin_logits(self, batch: Sequence[Any]) -> Callable[[], Floats]:
        """Give the device a batch, and return what waits for its logits."""
        if not batch:
            return lambda: np.zeros(0)
        with self.computing(), torch.inference_mode():
            images = send(batch, self.device)
            wait = fetch(self.model(self.normalise(images)).reshape(len(batch)))
        return lambda: wait().double().numpy()  # on the CPU: Apple's GPUs have no float64

    def fingerprint(self) -> str:
        """Return a hash of weights, options and input."""
        return self._fingerprint
