"""Constant detector: the control that gives every image the same score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..cards.models import DetectorCard, validate
from ..cards.settings import Probability, Settings
from .base import Detector, text_fingerprint

if TYPE_CHECKING:
    from ..core.records import Floats


class ConstantOptions(Settings):
    """Options of the `constant` backend: the P(fake) given to every image."""

    value: Probability = 0.5


class ConstantDetector(Detector):
    """P(fake) = `value` for every image: AUC 0.5 by definition, whatever the dataset."""

    def __init__(self, value: float = 0.5) -> None:
        """`value` is a probability in [0, 1]."""
        self.value = value

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> ConstantDetector:
        """Build from `options: {value: 0.5}`. Raises CardError for other keys or values outside [0, 1]."""
        return cls(validate(ConstantOptions, card.options, f"options of detector '{card.name}'").value)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return the constant, float64 [B]."""
        import numpy as np

        return np.full(len(batch), self.value, dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a hash of the value."""
        return text_fingerprint("constant", repr(self.value))
