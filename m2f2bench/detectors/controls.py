"""Controls that never look at an image: the constant detector and the random detector."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

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
        return np.full(len(batch), self.value, dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a hash of the value."""
        return text_fingerprint("constant", repr(self.value))


class RandomOptions(Settings):
    """Options of the `random` backend."""

    seed: int = 0
    """Another seed gives other guesses."""


class RandomDetector(Detector):
    """P(fake) uniform in [0, 1), a hash of (seed, frame id): the same in any batch, order or process."""

    def __init__(self, seed: int = 0) -> None:
        """`seed` is any integer; another one gives an independent set of guesses."""
        self.seed = self._seed = seed

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> RandomDetector:
        """Build from `options: {seed: 0}`. Raises CardError for other keys."""
        return cls(validate(RandomOptions, card.options, f"options of detector '{card.name}'").seed)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return the guesses, float64 [B], from the ids alone."""
        return np.array([uniform(self._seed, name) for name in ids], dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a hash of the seed."""
        return text_fingerprint("random", repr(self._seed))


def uniform(seed: int, name: str) -> float:
    """Return a number in [0, 1) from the first 53 bits of BLAKE2b over `seed`, a zero byte and `name` (UTF-8)."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
