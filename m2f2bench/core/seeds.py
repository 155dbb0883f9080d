"""Seeds and orders that depend only on a key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def derived_seed(*parts: object) -> int:
    """Return a 63-bit seed from values with a text; (seed, epoch, frame id) and (seed, step) give different seeds."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: object) -> np.random.Generator:
    """Return a NumPy generator seeded by `derived_seed(*parts)`."""
    return np.random.default_rng(derived_seed(*parts))


def shuffled(items: Sequence[int], *key: object) -> list[int]:
    """Return the items in an order that depends on `key` only: a hash's order, the same in every version."""
    prefix = "\0".join(str(part) for part in key)

    def rank(item: int) -> bytes:
        return hashlib.blake2b(f"{prefix}\0{item}".encode(), digest_size=16).digest()

    return sorted(items, key=rank)
