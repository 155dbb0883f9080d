"""Fields of a signature, with their words."""

from __future__ import annotations

import re

from ...results.signature import BY, DETECTOR, MAP, MEASURE
from ...scoring.comparison import FIELDS

WORDS = FIELDS | {
    "ci": "intervals (level, resampled by, resamples)",
    "det": "detector",
    "weights": "hash of the weights",
    "prep": "preprocessing",
    "prec": "precision",
    "seed": "seed",
    BY: "who sets an answer's verdict",
    "cov": "coverage (share of frames / of units with a score)",
    MAP: "heat maps (size, method and layer)",
}
"""Fields of the signature in words."""
_KEY = re.compile(rf"(?:^|\|)({'|'.join((*MEASURE, *DETECTOR, MAP))}):")


def fields(signature: str) -> tuple[tuple[str, str, str], ...]:
    """Return a signature's fields as (key, words, value) in its order; a value may contain `|` and `:`."""
    parts = _KEY.split(signature)[1:]
    return tuple((key, WORDS.get(key, key), value) for key, value in zip(parts[::2], parts[1::2], strict=True))
