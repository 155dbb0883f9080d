"""Weights from files into networks: every tensor's name and shape must fit, and the first that does not is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DetectorError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn


def check_shapes(
    expected: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], path: Path, model: str
) -> None:
    """Raise DetectorError unless `found` has the names and shapes of `expected`: the first missing, unexpected or
    differently shaped tensor is named and the rest counted."""
    shapes = {name: (tuple(found[name]), tuple(expected[name])) for name in expected if name in found}
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [name for name, (has, wanted) in shapes.items() if has != wanted],
    }
    for what, names in problems.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            if what == "of another shape":
                has, wanted = shapes[names[0]]
                what = f"{what} ({list(has)}, not {list(wanted)})"
            raise DetectorError(
                f"weights '{path}' do not fit {model}: tensor '{names[0]}'{more} {what}; "
                "is this the file of another model?"
            )


def load_strictly(model: nn.Module, tensors: dict[str, torch.Tensor], path: Path, head: tuple[str, ...] = ()) -> None:
    """Load a state dict whose names and shapes must be the model's, but for tensors whose name starts with `head`.

    Raises DetectorError naming the first missing, unexpected or differently shaped tensor and counting the rest.
    """
    own = model.state_dict()

    def bound(names: Mapping[str, torch.Tensor]) -> dict[str, Sequence[int]]:
        return {name: value.shape for name, value in names.items() if not (head and name.startswith(head))}

    check_shapes(bound(own), bound(tensors), path, type(model).__name__)
    model.load_state_dict({name: tensors[name] for name in bound(own)}, strict=False)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file or of a .pth file (a state dict, bare or under `state_dict` or `model`).

    A .pth is read without running anything in it. Raises DetectorError.
    """
    import torch

    if path.suffix == ".safetensors":
        from ..training.checkpoint import read_tensors

        return read_tensors(path)[0]
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DetectorError(
            f"weights '{path}' cannot be read: {first_line(error)}; give a .safetensors or a plain .pth state dict"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(data, dict) and isinstance(data.get(key), dict):
            data = data[key]
    if not isinstance(data, dict) or not all(isinstance(value, torch.Tensor) for value in data.values()):
        raise DetectorError(f"weights '{path}' hold no state dict: give a .safetensors or a plain .pth state dict")
    return {str(name).removeprefix("module."): value for name, value in data.items()}
