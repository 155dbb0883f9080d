"""METEOR 1.5: alignment by its own Java program, sums and scores as in that program.

The program aligns each item, which gives 23 counts, and the score of any set of items is a formula of their sums
(Denkowski & Lavie, WMT 2014).
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np

from ...core.arrays import Floats
from ...core.memo import Memo, cache_folder
from ...stats.statistic import Statistic, Sums
from . import java
from .items import LONGEST, Items, one_line, shortened
from .java import Unavailable

log = logging.getLogger("m2f2bench")
JAR = "meteor-1.5.jar"
MEMO = "meteor.jsonl"
OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
MEMORY = ("-Xmx2G", "-XX:+UseParallelGC")
"""Java's memory and collector. Almost all time is for reading the paraphrases; this collector saves a fifth."""
COUNTS = 23
ANSWERED = (0, 2)
"""Indices of the counts of the answer's words and of its function words."""
MODULES = np.array([1.0, 0.6, 0.8, 0.6])
"""Weight of a match by kind: same word, same stem, synonym, paraphrase."""
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""Parameters of the English ranking task: recall's weight, the penalty's exponent and weight, content words' weight."""


def meteor_counts(items: Items) -> Floats:
    """Return METEOR's counts of each item against its most similar reference, float64 [N, 23], NaN without references.

    In order: words of the answer and of the reference, function words of either; for each of the four modules matched
    content words of either and matched function words of either; chunks, and matched words of either. One chunk that is
    all of both texts counts as 0, as in the program's own sums. Of a text of more than LONGEST words, only the first
    ones are matched, but all words of an answer are counted; a warning says so. Takes one start of Java, which is most
    of the time; earlier matches come from a cache. Raises `Unavailable` if it does not run, or fails.
    """
    if not items.pairs:
        return np.full((len(items.which), COUNTS), np.nan)
    shorter = [(shortened(text), [shortened(one)[0] for one in references]) for text, references in items.pairs]
    asked = [" ||| ".join(["SCORE", *map(_field, references), _field(text)]) for (text, _), references in shorter]
    keys = [hashlib.blake2b(line.encode(), digest_size=16).hexdigest() for line in asked]
    stamp = " ".join([JAR, *OPTIONS, java.java_version()])  # all that decides the counts other than the texts
    with Memo(cache_folder() / MEMO) as memo:
        known = {key: memo.get(key, stamp) for key in keys}
        unknown = {key: line for key, line in zip(keys, asked, strict=True) if known[key] is None}
        if unknown:
            for key, row in zip(unknown, _matched(list(unknown.values())), strict=True):
                known[key] = row
                memo.put(key, stamp, row)
    rows = np.array([known[key] for key in keys], dtype=np.float64).reshape(len(items.pairs), COUNTS)
    whole = (rows[:, 20] == 1.0) & (rows[:, 21] == rows[:, 0]) & (rows[:, 22] == rows[:, 1])
    rows[whole, 20] = 0.0
    times = np.array([longer for (_, longer), _ in shorter])
    rows[:, ANSWERED] *= times[:, None]
    if (cut := int((times > 1.0).sum())) > 0:
        log.warning(
            "METEOR: %d of %d answers have more than %d words: the words after that count as unmatched",
            cut,
            len(times),
            LONGEST,
        )
    return items.spread(rows)


def _matched(asked: list[str]) -> list[list[float]]:
    """Return the program's counts for each line of input."""
    program = java.jar("meteor", JAR)
    output = java.run([*MEMORY, "-jar", program, *OPTIONS], "".join(f"{line}\n" for line in asked), program.parent)
    lines = [line.split() for line in output.splitlines()]
    if len(lines) != len(asked) or any(len(line) != COUNTS for line in lines):
        odd = next((" ".join(line) for line in lines if len(line) != COUNTS), f"{len(lines)} lines")
        raise Unavailable(f"its Java program gave '{odd[:80]}', not {COUNTS} counts for each answer")
    return [[float(value) for value in line] for line in lines]


def _field(text: str) -> str:
    """Return a text as one field of the program: without line breaks, and without bars, which separate fields."""
    return one_line(text).replace("|||", "").replace("  ", " ")


def meteor_values(sums: Floats) -> Floats:
    """Return METEOR, [B] in [0, 1], from sums of counts [23, B].

    Precision and recall weigh content words DELTA and function words 1 - DELTA, and matches by MODULES. F is P R /
    (ALPHA P + (1 - ALPHA) R), reduced by the share GAMMA (chunks / matched words) ^ BETA of it.
    """
    modules = sums[4:20].reshape(len(MODULES), 4, -1)
    matched = np.einsum("m,mkb->kb", MODULES, modules)
    precision, recall = (
        _over(
            DELTA * matched[side] + (1.0 - DELTA) * matched[2 + side],
            DELTA * (sums[side] - sums[2 + side]) + (1.0 - DELTA) * sums[2 + side],
        )
        for side in (0, 1)
    )
    mean = _over(precision * recall, ALPHA * precision + (1.0 - ALPHA) * recall)
    broken = _over(sums[20], (sums[21] + sums[22]) / 2.0)
    return np.asarray(mean * (1.0 - GAMMA * broken**BETA))


def _over(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below != 0.0))


def meteor_statistic(counts: Floats) -> Statistic:
    """Return METEOR of a set of items, from their counts [N, 23]."""
    return Sums(counts, meteor_values, ~np.isnan(counts[:, 0]))


def sentence_meteor(counts: Floats) -> Floats:
    """Return each item's own METEOR, [N] in [0, 1]; NaN for an item without references."""
    return np.where(np.isnan(counts[:, 0]), np.nan, meteor_values(counts.T))
