"""Weight files: tensors by name, with shapes known before any tensor is read. No code in a file is run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from ...core.errors import DetectorError, first_line
from ...core.tensors import METADATA
from .pickled import PickledFile, StoredTensor, Stub, open_pickled
from .weight_files import recognise

STATE_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
"""Keys under which checkpoints keep a network's tensors; the first one present is taken."""
WRAPPERS = ("module", "_orig_mod", "model", "backbone", "net", "network")
"""Prefixes that DistributedDataParallel, torch.compile, Lightning and others put before all names of a network."""
DEPTH = 4


class Shard(Protocol):
    """One file of tensors."""

    metadata: dict[str, str]
    """The metadata that m2f2bench wrote; empty for files of others."""

    def names(self) -> list[str]:
        """Return the names of its tensors."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, without reading it."""

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor, on the CPU. Raises DetectorError."""


class PickledShard:
    """A checkpoint that `torch.save` wrote."""

    def __init__(self, path: Path) -> None:
        """Read all but the tensors. Raises DetectorError for a file without a state dict."""
        self.file = open_pickled(path)
        self.tensors = state_dict(self.file)
        self.metadata: dict[str, str] = {}

    def names(self) -> list[str]:
        """Return the names of its tensors."""
        return list(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.tensors[name].shape

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor. Raises DetectorError."""
        return self.tensors[name].read()


class SafetensorsShard:
    """A .safetensors file."""

    def __init__(self, path: Path) -> None:
        """Read the header. Raises DetectorError."""
        from safetensors import SafetensorError, safe_open

        self.path = path
        open_file: Any = safe_open
        try:
            self.file: Any = open_file(path, framework="pt")
            found = json.loads((self.file.metadata() or {}).get(METADATA, "{}"))
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise _unreadable(path, error) from None
        self.metadata: dict[str, str] = found if isinstance(found, dict) else {}

    def names(self) -> list[str]:
        """Return the names of its tensors."""
        return list(self.file.keys())

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(self.file.get_slice(name).get_shape())

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor. Raises DetectorError for a number type that torch does not have."""
        try:
            tensor: torch.Tensor = self.file.get_tensor(name)
        except Exception as error:  # safetensors raises several kinds of errors for that
            raise _unreadable(self.path, error) from None
        return tensor


def open_weights(path: Path) -> Shard:
    """Return a file's tensors, whatever its name ends in. Raises DetectorError, which says what the file is."""
    return SafetensorsShard(path) if recognise(path) == "safetensors" else PickledShard(path)


def state_dict(file: PickledFile) -> dict[str, StoredTensor]:
    """Return a checkpoint's tensors: at its top level, or under STATE_KEYS (also nested). Raises DetectorError."""
    found: Any = file.data
    for _ in range(DEPTH):
        key = next((key for key in STATE_KEYS if isinstance(found, dict) and isinstance(found.get(key), dict)), None)
        if key is None:
            break
        found = found[key]
    if isinstance(file.data, Stub):
        raise DetectorError(
            f"checkpoint '{file.path}' holds a whole object ({_kind(file.data)}), whose code is not run: save only "
            f"its weights, with torch.save(model.state_dict(), ...)"
        )
    if not isinstance(found, dict) or not any(_is_tensor(value) for value in found.values()):
        raise DetectorError(
            f"checkpoint '{file.path}' holds no state dict: no tensors by name at its top level or under "
            f"{', '.join(STATE_KEYS)}"
        )
    for name, value in found.items():
        if not isinstance(name, str):
            raise DetectorError(f"checkpoint '{file.path}': the key {name!r:.60} in its state dict is not a text")
        if not isinstance(value, StoredTensor):
            raise DetectorError(
                f"checkpoint '{file.path}': '{name}' in its state dict is of type {_kind(value)}, not a plain tensor "
                f"(dense, not quantised, with its values in the file)"
            )
    return found


def unwrapped(names: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Return a file's names by a network's: without a wrapper's prefix, if more names match then.

    Wrappers can be nested (`module._orig_mod.`).
    """
    known = set(wanted)
    best = now = {name: name for name in names}
    for _ in range(DEPTH):
        first = {name.partition(".")[0] for name in now}
        if len(first) != 1 or first.pop() not in WRAPPERS:
            break
        now = {name.partition(".")[2]: own for name, own in now.items()}
        if len(known & set(now)) > len(known & set(best)):
            best = now
    return best


def _is_tensor(value: object) -> bool:
    """Return whether a value is a tensor in the file, including kinds that cannot be read."""
    return isinstance(value, StoredTensor) or (isinstance(value, Stub) and "_rebuild" in value.named)


def _kind(value: object) -> str:
    return value.named if isinstance(value, Stub) else type(value).__name__


def _unreadable(path: Path, error: BaseException) -> DetectorError:
    return DetectorError(f"weights '{path}' cannot be read: {first_line(error)}; train or download them again")
