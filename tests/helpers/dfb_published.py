"""Files like the published ones of DeepfakeBench, by the recipe that lies beside the checkout."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import SHARED

REFERENCE = SHARED / "reference" / "deepfakebench"
NAMES = ("xception", "core", "meso4", "meso4Inception", "effnb4", "f3net", "spsl", "srm", "recce", "ucf")
needs_reference = pytest.mark.skipif(
    not (REFERENCE / "fill.py").exists(), reason=f"the reference of DeepfakeBench's networks is not at {REFERENCE}"
)


@cache
def recipe() -> Any:
    """The module that fills tensors and draws pictures."""
    spec = importlib.util.spec_from_file_location("dfb_fill", REFERENCE / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def keys(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    found = json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))
    return {tensor: tuple(shape) for tensor, shape in found.items()}


@cache
def parity() -> dict[str, Any]:
    """What the published code computes at salt 0."""
    found: dict[str, Any] = json.loads((REFERENCE / "parity.json").read_text(encoding="utf-8"))
    return found


def filled(name: str, salt: int = 0) -> dict[str, torch.Tensor]:
    """The salted tensors of a published file."""
    shapes = {tensor: list(shape) for tensor, shape in keys(name).items()}  # the recipe compares them with lists
    tensors: dict[str, torch.Tensor] = recipe().state_dict(shapes, salt, name)
    return tensors


def blank(name: str) -> dict[str, torch.Tensor]:
    """Tensors of a published file's shapes that take no place: one value each."""
    return {
        tensor: torch.zeros((), dtype=torch.int64 if tensor.endswith("tracked") else torch.float32).expand(shape)
        for tensor, shape in keys(name).items()
    }


def save(tensors: Any, path: Path) -> Path:
    torch.save(tensors, path)
    return path
