"""Rules for text metrics alone."""

from __future__ import annotations

from typing import Any

from m2f2bench.cards.protocols import BertScoreRules, ExplanationRules


def text_rules(tokenizer: Any = "ptb", cider_df: Any = "fixed", **bertscore: Any) -> ExplanationRules:
    """Return the rules of a protocol, of which the texts' are given."""
    return ExplanationRules(
        task="explanation",
        questions=("blind",),
        metrics=("bleu",),
        tokenizer=tokenizer,
        cider_df=cider_df,
        bertscore=BertScoreRules(**bertscore),
    )
