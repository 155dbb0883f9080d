"""Common part of detectors whose file holds the network: pixels in, outputs of its own runtime, P(fake) out."""

from __future__ import annotations

import abc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ...cards.models import DetectorCard
from ...cards.settings import InputSettings, Settings
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError, M2F2BenchError, first_line
from ..base import Detector, file_fingerprint
from ..network import Normalise, resize

if TYPE_CHECKING:
    import numpy.typing as npt

    from ...core.records import Floats, Image

log = logging.getLogger("m2f2bench")
Output = Literal["logit", "probability"]


class OnnxOptions(Settings):
    """Options of the backend `onnx`."""

    output: Output | None = None
    """What the network gives: logits, or probabilities (after a sigmoid or softmax). None: by its last operation."""


class RuntimeOptions(OnnxOptions):
    """Options of the backend `torchscript`."""

    trust: bool = False
    """A TorchScript program is code: it runs only if you trust it."""


def fake_scores(outputs: npt.NDArray[Any], kind: Output, fake: int | None) -> Floats:
    """Return P(fake), float64 [B], for outputs [B], [B, 1] or [B, 2].

    Logits go through a sigmoid (one) or softmax (two), in float64; `fake` is the number of the fake output. With one
    output, `fake` 0 says that it is that of real.
    """
    values = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
    if values.shape[1] == 1:
        one = values[:, 0] if kind == "probability" else _sigmoid(values[:, 0])
        return np.asarray(one if fake != 0 else 1.0 - one)
    assert fake is not None
    if kind == "probability":
        return np.asarray(values[:, fake])
    return _sigmoid(values[:, fake] - values[:, 1 - fake])


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(np.where(x >= 0, 1.0 / (1.0 + np.exp(-np.abs(x))), 1.0 - 1.0 / (1.0 + np.exp(-np.abs(x)))))


def own_file(card: DetectorCard, what: str) -> Path:
    """Return the file (or folder) on a card. Raises DetectorError if there is none."""
    path = card.weights_path()
    if path is None or not path.exists():
        there = "names no `weights`" if path is None else f"names '{path}', which does not exist"
        raise DetectorError(f"detector '{card.name}' {there}: give {what}")
    return path


class RuntimeDetector(Detector):
    """A network in a file, run by its own runtime; a subclass implements `outputs`."""

    def __init__(self, card: DetectorCard, path: Path, settings: InputSettings, options: OnnxOptions) -> None:
        """`settings` say how an image becomes the input; `options` what the output is."""
        self.name, self.path, self.settings, self.options = card.name, path, settings, options
        self.fake = card.fake_class
        self.normalise = Normalise(settings)
        self.preprocessing = str(settings)
        self.kind: Output = options.output or "logit"
        self.stated = bool(card.input.model_fields_set & {"mean", "std"})
        """Whether the card says how pixels are scaled."""

    @abc.abstractmethod
    def outputs(self, pixels: torch.Tensor) -> npt.NDArray[Any]:
        """Return the network's outputs, [B, ...], for float32 [B, 3, S, S]."""

    def settle(self) -> None:
        """Run one grey image, and check the form of the outputs. Raises DetectorError in one line."""
        size = self.settings.size
        grey = np.full((2, size, size, 3), 127, dtype=np.uint8)
        try:
            found = self.outputs(self.normalise(torch.from_numpy(grey)).contiguous())
        except M2F2BenchError:
            raise
        except Exception as error:
            raise DetectorError(
                f"detector '{self.name}': '{self.path}' does not run on images of 3x{size}x{size}: {first_line(error)}"
            ) from None
        width = int(np.prod(found.shape[1:])) if found.shape[:1] == (2,) else 0
        if width not in (1, 2):
            raise DetectorError(
                f"detector '{self.name}': '{self.path}' gives outputs of shape {list(found.shape)} for 2 images, not "
                f"one or two numbers for each"
            )
        if width == 2 and self.fake is None:
            raise DetectorError(
                f"'{self.path}' has two outputs, and it is unknown which is fake: give --fake-class 1, or 0 if the "
                f"first one is (on a card: `fake_class: 1`)"
            )
        if not self.stated:
            log.warning(
                "'%s' does not say how pixels are scaled: ImageNet's mean and deviation are taken (%s); for others "
                "give --as DETECTOR, whose input is then taken, or a card with `input`",
                self.path.name,
                self.settings,
            )

    def prepare(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return the image resized to the network's input, uint8 [S, S, 3]."""
        return resize(image, self.settings)

    @exact_fp32()
    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B]."""
        if not batch:
            return np.zeros(0)
        pixels = self.normalise(torch.from_numpy(np.stack(batch))).contiguous()
        try:
            found = self.outputs(pixels)
        except M2F2BenchError:
            raise
        except Exception as error:
            raise DetectorError(f"detector '{self.name}': '{self.path}' failed: {first_line(error)}") from None
        return fake_scores(found, self.kind, self.fake)

    def fingerprint(self) -> str:
        """Return a hash of the file, its input and the reading of its outputs."""
        return file_fingerprint(self.path, str(self.settings), self.kind, str(self.fake))
