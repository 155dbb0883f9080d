"""TorchScript programs (torch.jit.save) as detectors. A program is code: it runs only if the card trusts it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...cards.models import DetectorCard, validate
from ...core.errors import DetectorError, first_line
from ...training.device import pick_device
from .base import Output, RuntimeDetector, RuntimeOptions, own_file

if TYPE_CHECKING:
    import numpy.typing as npt

PASSING = ("aten::squeeze", "aten::view", "aten::reshape", "aten::flatten", "aten::unsqueeze", "aten::to")
_AS_IT_IS: Any = vars(torch.jit)["optimized_execution"]
PROBABILITIES = ("aten::sigmoid", "aten::softmax")


class TorchScriptDetector(RuntimeDetector):
    """A TorchScript network that maps float32 [N, 3, S, S] to one or two outputs for each image."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> TorchScriptDetector:
        """Load the card's program. Raises DetectorError unless `trust` is set, and for one that does not load."""
        options = validate(RuntimeOptions, card.options, f"options of detector '{card.name}'")
        path = own_file(card, "a file of torch.jit.save")
        if not options.trust:
            raise DetectorError(
                f"detector '{card.name}': '{path}' is a TorchScript program, which is code: set `trust: true` in the "
                f"card's options if you trust where it is from (on the command line: --trust)"
            )
        return cls(card, path, options, device)

    def __init__(self, card: DetectorCard, path: Path, options: RuntimeOptions, device: str = "auto") -> None:
        """Load `path` on `device`, in eval mode."""
        self.device = pick_device(device)
        self.program = _load(path, self.device)
        super().__init__(card, path, card.input, options)
        if options.output is None:
            self.kind = _kind(self.program)
        self.settle()

    def outputs(self, pixels: torch.Tensor) -> npt.NDArray[Any]:
        """Return the program's output, [B, ...]; the first of several."""
        # Without the executor that learns from the first calls: each call then gives the same bits.
        with torch.inference_mode(), _AS_IT_IS(False):
            found = self.program(pixels.to(self.device))
        if isinstance(found, dict):
            found = next(iter(found.values()))
        if isinstance(found, (tuple, list)):
            found = found[0]
        return found.float().cpu().numpy()  # type: ignore[no-any-return]


def _load(path: Path, device: torch.device) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
            return torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
    except Exception as error:
        size = path.stat().st_size
        raise DetectorError(
            f"'{path}' cannot be read as TorchScript ({size:,} bytes; is it whole?): {first_line(error)}"
        ) from None


def _kind(program: Any) -> Output:
    """Return whether the last operation makes probabilities; logits if the program does not say it."""
    try:
        value = next(iter(program.inlined_graph.outputs()))
        node = value.node()
        while node.kind() in PASSING:
            node = next(iter(node.inputs())).node()
        return "probability" if node.kind() in PROBABILITIES else "logit"
    except (RuntimeError, StopIteration, AttributeError):
        return "logit"
