"""Arithmetic of torch while this package computes: exact float32, or what was asked for.

The user's settings come back afterwards.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .guests import Overlapping

TF32 = "tf32"
"""In a detector's `precision`: the detector chose its own arithmetic, which is then not changed."""
PRECISIONS = ("fp32", TF32, "bf16", "fp16")
"""Arithmetic in which networks can judge: exact; on an NVIDIA GPU with factors of 10 bits; or products in 16 bits."""


@contextlib.contextmanager
def exact_fp32(precision: str = "fp32") -> Iterator[None]:
    """Multiply float32 numbers in full precision, without TF32 or bfloat16, whatever the process has set.

    By torch's defaults cuDNN rounds the factors of a convolution to TF32's 10 bits, and a user's own settings can do so
    with all products. The settings belong to the process: other threads compute exactly, too, until the last thread
    leaves this block; then the old settings come back. Does nothing if torch is not loaded, or for a `precision` that
    names TF32. Also works as a decorator.
    """
    torch = sys.modules.get("torch")
    if torch is None or TF32 in precision or getattr(torch.__spec__, "_initializing", False):
        yield
        return
    with _SETTINGS:
        yield


@contextlib.contextmanager
def computing(precision: str, device: str) -> Iterator[None]:
    """Compute in one of PRECISIONS on a kind of device (`cpu`, `cuda`); 16 bits by autocast, with weights in fp32."""
    if precision == TF32:
        with _COARSE:
            yield
        return
    with exact_fp32(), _autocast(precision, device):
        yield


def _autocast(precision: str, device: str) -> contextlib.AbstractContextManager[object]:
    if precision == "fp32":
        return contextlib.nullcontext()
    import torch

    return torch.autocast(device, torch.bfloat16 if precision == "bf16" else torch.float16)


def why_not(precision: str, device: str) -> str:
    """Return why a kind of device does not compute in one of PRECISIONS; empty if it does."""
    if device == "cpu" and precision in (TF32, "fp16"):
        return f"{precision} needs a GPU: take fp32 or bf16"
    if precision == TF32 and device != "cuda":
        return f"{precision} needs an NVIDIA GPU, and this is {device}"
    return ""


@contextlib.contextmanager
def repeatable(deterministic: bool = True) -> Iterator[None]:
    """Compute as `exact_fp32` does, and on a GPU by cuDNN's deterministic algorithms: the same bits in every run.

    Otherwise cuDNN tries its algorithms, and takes the fastest.
    """
    from torch.backends import cudnn

    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, not deterministic, deterministic
    try:
        with exact_fp32():
            yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before


class _Settings(Overlapping):
    """The process's settings of float32 products made exact, or coarse (TF32); the old ones come back."""

    def __init__(self, exact: bool = True) -> None:
        super().__init__()
        self._exact = exact

    def begin(self) -> None:
        found = [(knob, knob.value()) for knob in _knobs(sys.modules["torch"])]
        self._before = [(knob, value) for knob, value in found if value is not None]
        for knob, value in self._before:
            wanted = knob.exact if self._exact else knob.coarse
            if value != wanted:
                knob.write(wanted)

    def end(self) -> None:
        for knob, value in self._before:  # an old setting also writes new ones, which therefore come later
            knob.restore(value)


@dataclass(frozen=True)
class _Knob:
    """A setting: how it is read and written, its exact and its coarse value, and the one for "inherit from above"."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    exact: str | bool
    coarse: str | bool
    inherited: str = ""

    def value(self) -> str | bool | None:
        """Return the current value; None if torch refuses, because old and new settings contradict each other."""
        try:
            found: str | bool = self.read()
        except RuntimeError:
            return None
        return found

    def restore(self, value: str | bool) -> None:
        """Set it to the value that was read; if possible so that it keeps inheriting from the setting above."""
        if self.inherited:
            self.write(self.inherited)
        if self.value() != value:
            self.write(value)


_SETTINGS, _COARSE = _Settings(), _Settings(exact=False)


def _knobs(torch: Any) -> list[_Knob]:
    """Return the settings of torch before 2.9, then those since 2.9."""
    backends = torch.backends

    def of(owner: Any, name: str, exact: str | bool, coarse: str | bool, inherited: str = "") -> _Knob:
        return _Knob(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), exact, coarse, inherited)

    old = [
        _Knob(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest", "high"),
        of(backends.cudnn, "allow_tf32", False, True),
    ]
    families = {backends.cuda: ("matmul",), backends.cudnn: ("conv", "rnn"), backends.mkldnn: ("matmul", "conv", "rnn")}
    owners = [getattr(family, name, None) for family, names in families.items() for name in names]
    name = "fp32_precision"
    return [*old, *(of(owner, name, "ieee", TF32, "none") for owner in owners if hasattr(owner, name))]
