"""Diversity of an explainer's answers, and the share of them that are copies of training answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np


def folded(text: str) -> str:
    """Return a text with case folded and with single spaces, for comparisons."""
    return " ".join(text.split()).casefold()


def diversity(texts: Sequence[str], training: Collection[str] | None = None) -> dict[str, float | int | str | None]:
    """Return statistics of N answers as a set; texts that differ only in case and white space are the same.

    `n`; `distinct`, the number of distinct answers, and `distinct_share` in (0, 1]; `entropy_bits` of the distribution
    of whole answers, in bits from 0 to `entropy_max` = log2(n) (all distinct); `commonest`, the most frequent answer as
    first given (in a tie the first), and `commonest_share`; `training_copies`, the share of answers that equal one of
    the `training` answers, None if these are unknown. Shares, entropy and `commonest` are None without answers. The
    control is one answer for all: its entropy is 0. High diversity alone proves nothing: random sentences have the
    highest entropy.
    """
    keys = [folded(text) for text in texts]
    counts, n = Counter(keys), len(keys)
    if n == 0:
        nothing = ("distinct_share", "entropy_bits", "entropy_max", "commonest_share", "commonest", "training_copies")
        return {"n": 0, "distinct": 0, **dict.fromkeys(nothing)}
    shares = np.array(list(counts.values()), dtype=np.float64) / n
    key, most = counts.most_common(1)[0]
    return {
        "n": n,
        "distinct": len(counts),
        "distinct_share": len(counts) / n,
        "entropy_bits": float(max(0.0, -(shares * np.log2(shares)).sum())),
        "entropy_max": float(np.log2(n)),
        "commonest_share": most / n,
        "commonest": texts[keys.index(key)],
        "training_copies": None if training is None else _copies(keys, training),
    }


def _copies(keys: Sequence[str], training: Iterable[str]) -> float:
    known = {folded(text) for text in training}
    return sum(key in known for key in keys) / len(keys)
