"""Reading and writing of tensors in safetensors files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DetectorError, first_line
from .files import replacing
from .parsing import Refused, parse_json

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

METADATA = "m2f2bench"


def write_tensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically. Tied and strided tensors are written as copies.

    The metadata is one JSON text: safetensors writes several entries in a random order, and equal weights should
    be equal files.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    plain = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    texts = {METADATA: json.dumps(metadata, sort_keys=True)} if metadata else None
    with replacing(path) as temporary:
        try:
            save_file(plain, temporary, metadata=texts)
        except SafetensorError as error:  # a full disk, reported by the library in its own way
            raise OSError(first_line(error)) from None


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Return tensors (on the CPU) and metadata of a safetensors file. Raises DetectorError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = parse_json((file.metadata() or {}).get(METADATA, "{}"))
            if not isinstance(metadata, dict):
                raise Refused("its metadata is not an object")
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, ValueError, SafetensorError, Refused) as error:
        raise DetectorError(
            f"weights '{path}' cannot be read: {first_line(error)}; train or fetch them again"
        ) from None
