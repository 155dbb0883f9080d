"""Random detector: the control with a seeded, uniform P(fake) that depends only on the frame's id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..cards.models import DetectorCard, validate
from ..cards.settings import Settings
from .base import Detector, text_fingerprint

if TYPE_CHECKING:
    from ..core.records import Floats


class RandomOptions(Settings):
    """Options of the `random` backend."""

    seed: int = 0


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
        import numpy as np

        return np.array([uniform(self._seed, name) for name in ids], dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a hash of the seed."""
        return text_fingerprint("random", repr(self._seed))


def uniform(seed: int, name: str) -> float:
    """Return a number in [0, 1) from the first 53 bits of BLAKE2b over `seed`, a zero byte and `name` (UTF-8)."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
