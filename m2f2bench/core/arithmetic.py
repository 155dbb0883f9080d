"""Exact float32 products in torch, while this package computes; the user's settings come back afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .guests import Overlapping

TF32 = "tf32"
"""In a detector's `precision`: the detector chose its own arithmetic, which is then not changed."""


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
def repeatable() -> Iterator[None]:
    """Compute as `exact_fp32` does, and on a GPU by cuDNN's deterministic algorithms: the same bits in every run."""
    from torch.backends import cudnn

    before = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
    try:
        with exact_fp32():
            yield
    finally:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before


class _Settings(Overlapping):
    """The process's settings of float32 products made exact; the old ones come back."""

    def begin(self) -> None:
        found = [(knob, knob.value()) for knob in _knobs(sys.modules["torch"])]
        self._before = [(knob, value) for knob, value in found if value is not None]
        for knob, value in self._before:
            if value != knob.exact:
                knob.write(knob.exact)

    def end(self) -> None:
        for knob, value in self._before:  # an old setting also writes new ones, which therefore come later
            knob.restore(value)


@dataclass(frozen=True)
class _Knob:
    """A setting: how it is read and written, its exact value, and the value for "inherit from the setting above"."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    exact: str | bool
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


_SETTINGS = _Settings()


def _knobs(torch: Any) -> list[_Knob]:
    """Return the settings of torch before 2.9, then those since 2.9."""
    backends = torch.backends

    def of(owner: Any, name: str, exact: str | bool, inherited: str = "") -> _Knob:
        return _Knob(lambda: getattr(owner, name), lambda value: setattr(owner, name, value), exact, inherited)

    old = [
        _Knob(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
        of(backends.cudnn, "allow_tf32", False),
    ]
    families = {backends.cuda: ("matmul",), backends.cudnn: ("conv", "rnn"), backends.mkldnn: ("matmul", "conv", "rnn")}
    owners = [getattr(family, name, None) for family, names in families.items() for name in names]
    name = "fp32_precision"
    return [*old, *(of(owner, name, "ieee", "none") for owner in owners if hasattr(owner, name))]
