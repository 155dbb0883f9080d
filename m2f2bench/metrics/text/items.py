"""Answers with their references, each distinct pair once: answers repeat often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Bools, Codes, Floats

Pair = tuple[str, tuple[str, ...]]
"""An answer's text and all its references."""


LONGEST = 1000
"""Most words of a text for METEOR and SPICE. Their memory grows with the square of it, and with 24,000 words 2 GB are
too little, which fails for all texts."""


def shortened(text: str) -> tuple[str, float]:
    """Return a text's first LONGEST words, and the ratio of its length to that: 1 for a text that is not longer."""
    words = text.split()
    return (" ".join(words[:LONGEST]), len(words) / LONGEST) if len(words) > LONGEST else (text, 1.0)


@dataclass(frozen=True, eq=False)
class Items:
    """N answers with references.

    `pairs` are the U distinct ones; `which`, int64 [N], is each item's, -1 for an item without references.
    """

    pairs: tuple[Pair, ...]
    which: Codes

    @property
    def has(self) -> Bools:
        """Whether each item has references, bool [N]."""
        return self.which >= 0

    def spread(self, values: Floats) -> Floats:
        """Expand a value per pair, [U] or [U, K], to one per item, [N] or [N, K]; NaN for items without references."""
        padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])
        return np.asarray(padded[self.which])


def make_items(texts: Sequence[str], references: Sequence[tuple[str, ...]]) -> Items:
    """Return the items of texts [N] with their references [N], each a tuple that may be empty."""
    found: dict[Pair, int] = {}
    which = [
        found.setdefault((text, tuple(own)), len(found)) if own else -1
        for text, own in zip(texts, references, strict=True)
    ]
    return Items(tuple(found), np.array(which, dtype=np.int64))
