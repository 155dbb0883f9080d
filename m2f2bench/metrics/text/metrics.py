"""Text metrics of a set of answers, computed together, with reasons for those that are not available."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ...cards.protocols import ExplanationRules
from ...core.arrays import Floats
from ...core.errors import ScoreError, near
from ...stats.statistic import Statistic, mean_of
from ..registry import metrics_of
from . import cider, overlap
from .bert import bert_values
from .items import Items, make_items, tokenize
from .java import Unavailable
from .meteor import meteor_counts, meteor_statistic, sentence_meteor
from .spice import spice_values

T = TypeVar("T")
BLEU = ("bleu1", "bleu2", "bleu3", "bleu4", "bleu")
BERT = "bertscore_f1"


@dataclass(frozen=True)
class TextStatistics:
    """Metrics over N answers.

    `statistics` are by name; `missing` gives, for metrics that cannot be computed, a line that says why and how to fix
    it; `items` are each answer's own values, float64 [N], NaN for one without references.

    An answer's own values are `bleu` (the mean of its sentence BLEU-1 to 4), `rouge_l`, `cider` (always with the
    document frequencies of all answers' references), `meteor`, `spice` and `bertscore_f1`.
    """

    statistics: dict[str, Statistic] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    items: dict[str, Floats] = field(default_factory=dict)


def text_statistics(
    names: Sequence[str], texts: Sequence[str], references: Sequence[tuple[str, ...]], rules: ExplanationRules
) -> TextStatistics:
    """Return the text metrics `names` of `texts` [N] against `references` [N], each a tuple of texts.

    An answer without references (an empty tuple) has no value in any metric. An empty answer is an answer, with the
    score that pycocoevalcap gives "". All except BERTScore compare the words of the tokenizer; BERTScore has its own
    tokenizer and uses the texts unchanged. Statistics are in the order of `names`. Raises ScoreError for an unknown
    name; metrics that are not available here are in `missing`.
    """
    known = metrics_of("texts")
    for name in names:
        if name not in known:
            raise ScoreError(f"unknown text metric '{name}'{near(name, known)}")
    raw = make_items(texts, references)
    found = TextStatistics()
    wanted: list[str] = [name for name in known if name in names]
    by_words = [name for name in wanted if name != BERT]
    words = _computed(found, by_words, lambda: _words(raw, rules.tokenizer)) if by_words else None
    with ThreadPoolExecutor(1, thread_name_prefix="meteor") as pool:
        matching = pool.submit(meteor_counts, words) if words is not None and "meteor" in wanted else None
        if words is not None:
            _add_overlap(found, wanted, words, rules)
            if "spice" in wanted:
                _add_means(found, "spice", lambda: spice_values(words))
        if BERT in wanted:
            ends = None if rules.bertscore.rescale else (0.0, 1.0)  # rescaled values have no minimum
            _add_means(found, BERT, lambda: bert_values(raw, rules.bertscore), ends)
        if matching is not None and (counts := _computed(found, ["meteor"], matching.result)) is not None:
            found.statistics["meteor"], found.items["meteor"] = meteor_statistic(counts), sentence_meteor(counts)
    ordered = {name: found.statistics[name] for name in dict.fromkeys(names) if name in found.statistics}
    return TextStatistics(ordered, found.missing, found.items)


def _words(raw: Items, tokenizer: str) -> Items:
    """Return the same items, tokenized."""
    words = tokenize([one for text, own in raw.pairs for one in (text, *own)], tokenizer)
    pairs = [(words[text], tuple(words[one] for one in own)) for text, own in raw.pairs]
    joined = make_items([text for text, _ in pairs], [own for _, own in pairs])
    return Items(joined.pairs, np.append(joined.which, -1)[raw.which])


def _add_overlap(found: TextStatistics, wanted: list[str], words: Items, rules: ExplanationRules) -> None:
    """Add BLEU, ROUGE-L and CIDEr."""
    if (bleu := [name for name in wanted if name in BLEU]) and (
        counts := _computed(found, bleu, lambda: overlap.bleu_counts(words))
    ) is not None:
        all_orders = overlap.bleu_statistics(counts)
        found.statistics.update({name: all_orders[name] for name in bleu})
        found.items["bleu"] = overlap.sentence_bleu(counts)
    if "rouge_l" in wanted:
        _add_means(found, "rouge_l", lambda: overlap.rouge_values(words))
    if "cider" in wanted and (table := _computed(found, ["cider"], lambda: cider.make_table(words))) is not None:
        values = found.items["cider"] = cider.cider_values(table)
        recomputed = rules.cider_df == "recomputed"
        found.statistics["cider"] = cider.RecomputedCider(table) if recomputed else cider.fixed_cider(table, values)


def _add_means(
    found: TextStatistics, name: str, compute: Callable[[], Floats], ends: tuple[float, float] | None = (0.0, 1.0)
) -> None:
    """Add a metric that is the mean of items' own values."""
    values = _computed(found, [name], compute)
    if values is not None:
        found.statistics[name], found.items[name] = mean_of(values, ends), values


def _computed(found: TextStatistics, names: list[str], compute: Callable[[], T]) -> T | None:
    """Return the result of `compute`; None if it is unavailable, and then `names` are missing for that reason."""
    try:
        return compute()
    except Unavailable as error:
        found.missing.update(dict.fromkeys(names, str(error)))
        return None
