"""ONNX files as detectors, run by onnxruntime (extra `onnx`)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cards.models import DetectorCard, validate
from ...cards.settings import InputSettings
from ...core.errors import DetectorError, first_line
from ..base import optional
from .base import OnnxOptions, Output, RuntimeDetector, own_file
from .onnx_graph import last_operation

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

log = logging.getLogger("m2f2bench")
TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
"""Types of an input that pixels can be given as, scaled as on the card."""
PROBABILITIES = ("Sigmoid", "Softmax")


class OnnxDetector(RuntimeDetector):
    """An ONNX network with one image input, [N, 3, S, S] or [N, S, S, 3]; the first output counts."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> OnnxDetector:
        """Open the card's file. Raises DetectorError for a file that onnxruntime refuses and an unusable input."""
        options = validate(OnnxOptions, card.options, f"options of detector '{card.name}'")
        path = own_file(card, "an .onnx file")
        return cls(card, path, options, device)

    def __init__(self, card: DetectorCard, path: Path, options: OnnxOptions, device: str = "auto") -> None:
        """Open `path`; the size of its input replaces the card's if the card has none."""
        self.session = _session(path, device)
        self.device = "cuda" if "CUDAExecutionProvider" in self.session.get_providers() else "cpu"
        images = [one for one in self.session.get_inputs() if len(one.shape) == 4]
        if len(images) != 1 or len(self.session.get_inputs()) != 1:
            shapes = ", ".join(f"{one.name} {one.shape}" for one in self.session.get_inputs())
            raise DetectorError(f"'{path}' has the inputs {shapes}, not one of images [N, 3, S, S]")
        self.input = images[0]
        if self.input.type not in TYPES:
            raise DetectorError(f"'{path}' takes {self.input.type}: export it with float inputs")
        shape = list(self.input.shape)
        self.last = shape[3] == 3 and shape[1] != 3
        """Whether channels come last."""
        self.batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        super().__init__(card, path, _sized(card, path, shape[1:3] if self.last else shape[2:]), options)
        if options.output is None:
            self.kind = _kind(path, self.session.get_outputs()[0].name)
        self.settle()

    def outputs(self, pixels: torch.Tensor) -> npt.NDArray[Any]:
        """Return the first output, [B, ...]; a network of a fixed batch runs as often as needed."""
        images = pixels.permute(0, 2, 3, 1).numpy() if self.last else pixels.numpy()
        images = np.ascontiguousarray(images, dtype=TYPES[self.input.type])
        step = self.batch or len(images)
        parts = []
        for start in range(0, len(images), step):
            part = images[start : start + step]
            full = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            found = np.asarray(self.session.run(None, {self.input.name: full})[0])
            if found.shape[:1] != (step,):
                raise DetectorError(f"'{self.path}' gives {list(found.shape)} for {step} images, not a row for each")
            parts.append(found[: len(part)])
        return np.concatenate(parts)


def _session(path: Path, device: str) -> Any:
    runtime = optional("onnxruntime", "onnxruntime", "onnx", f"'{path.name}'")
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4  # its messages repeat the error's
    wanted = ["CUDAExecutionProvider"] if device != "cpu" else []
    there = [one for one in wanted if one in runtime.get_available_providers()]
    try:
        return runtime.InferenceSession(str(path), settings, providers=[*there, "CPUExecutionProvider"])
    except Exception as error:
        size = path.stat().st_size
        raise DetectorError(
            f"'{path}' cannot be read as ONNX ({size:,} bytes; is it whole?): {first_line(error)}"
        ) from None


def _sized(card: DetectorCard, path: Path, shape: list[Any]) -> InputSettings:
    """Return the card's input at the file's size. Raises DetectorError if they differ, or for one not square."""
    fixed = [side for side in shape if isinstance(side, int)]
    if len(set(fixed)) > 1:
        raise DetectorError(f"'{path}' takes images of {fixed}, which are not square")
    if not fixed or fixed[0] == card.input.size:
        return card.input
    if "size" in card.input.model_fields_set:
        raise DetectorError(f"'{path}' takes images of {fixed[0]} pixels, and the card's input has {card.input.size}")
    return card.input.model_copy(update={"size": fixed[0]})


def _kind(path: Path, output: str) -> Output:
    operation = last_operation(path, output)
    return "probability" if operation in PROBABILITIES else "logit"
