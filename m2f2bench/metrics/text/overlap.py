"""BLEU, counted by pycocoevalcap's own functions, and ROUGE-L, equal to pycocoevalcap's."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.arrays import Floats
from ...stats.statistic import Statistic, Sums
from . import java
from .items import Items

LONGEST = 4
"""Words of the longest n-gram."""
TINY, SMALL = 1e-15, 1e-9
"""pycocoevalcap's smoothing: added to the matches and to the n-grams of each order."""


def bleu_counts(items: Items) -> Floats:
    """Return each item's counts for BLEU, float64 [N, 10]; rows without references are NaN.

    They are matches and n-grams of order 1 to 4, the answer's words, and the words of the reference that is closest in
    length (the shorter of two). Matches are clipped by the most in any one reference (Papineni et al., ACL 2002).
    """
    bleu = java.counting("bleu.bleu_scorer")
    cooked = _cooked(tuple(dict.fromkeys(references for _, references in items.pairs)))
    rows = []
    for text, references in items.pairs:
        one = bleu.cook_test(text, cooked[references], "closest", LONGEST)
        rows.append([*one["correct"], *one["guess"], one["testlen"], one["reflen"]])
    return items.spread(np.array(rows, dtype=np.float64).reshape(-1, 2 * LONGEST + 2))


@functools.lru_cache(maxsize=4)
def _cooked(references: tuple[tuple[str, ...], ...]) -> dict[tuple[str, ...], Any]:
    """Return the n-grams of each tuple of references, once for all explainers of a run and for all their shuffles."""
    bleu = java.counting("bleu.bleu_scorer")
    return {own: bleu.cook_refs(own, n=LONGEST) for own in references}


def bleu_values(sums: Floats) -> Floats:
    """Return BLEU-1 to 4, [4, B] in [0, 1], from sums of counts [10, B]; of one item's counts, its sentence BLEU."""
    correct, guess = sums[:LONGEST] + TINY, sums[LONGEST : 2 * LONGEST] + SMALL
    order = np.arange(1, LONGEST + 1)[:, None]
    precision = np.cumprod(correct / guess, axis=0) ** (1.0 / order)
    ratio = (sums[-2] + TINY) / (sums[-1] + SMALL)
    return np.asarray(precision * np.exp(np.minimum(1.0 - 1.0 / ratio, 0.0)))


def bleu_statistics(counts: Floats) -> dict[str, Statistic]:
    """Return `bleu1` to `bleu4` and `bleu`, the mean of the four, from items' counts [N, 10]."""
    has = ~np.isnan(counts[:, 0])
    found: dict[str, Statistic] = {"bleu": Sums(counts, lambda sums: np.asarray(bleu_values(sums).mean(axis=0)), has)}
    for k in range(LONGEST):

        def order(sums: Floats, k: int = k) -> Floats:
            return np.asarray(bleu_values(sums)[k])

        found[f"bleu{k + 1}"] = Sums(counts, order, has)
    return found


def sentence_bleu(counts: Floats) -> Floats:
    """Return the mean of each item's own BLEU-1 to 4, [N] in [0, 1]; NaN for an item without references."""
    return np.asarray(bleu_values(counts.T).mean(axis=0))


def rouge_values(items: Items) -> Floats:
    """Return ROUGE-L of each item, [N] in [0, 1]; NaN for an item without references.

    It is F with beta 1.2 of the highest precision and the highest recall of any reference (Lin, 2004).
    """
    beta = float(java.counting("rouge.rouge").Rouge().beta) ** 2
    values = []
    for text, references in items.pairs:
        words, others = text.split(" "), [reference.split(" ") for reference in references]
        common = [common_words(words, other) for other in others]
        precision = max(common) / len(words)
        recall = max(n / len(other) for n, other in zip(common, others, strict=True))
        both = recall + beta * precision
        values.append((1.0 + beta) * precision * recall / both if both > 0.0 else 0.0)
    return items.spread(np.array(values, dtype=np.float64))


def common_words(first: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two lists of words.

    Words are bits of integers (Hyyrö, Information Processing Letters 2004), so that it is fast for 100,000 words.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(other):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(other)) - 1
    unmatched = every
    for word in first:
        hit = unmatched & places.get(word, 0)
        unmatched = ((unmatched + hit) | (unmatched - hit)) & every
    return len(other) - unmatched.bit_count()
