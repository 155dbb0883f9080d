"""Verdicts in an explainer's words: the one that an answer begins with, and the detector's own in the prompt."""

from __future__ import annotations

import re

from ...core.records import FAKE, REAL

BEGINNINGS = {REAL: "Real.", FAKE: "Fake."}
"""What an answer begins with, by label."""
_BEGINNING = re.compile(rf"\s*(?:{'|'.join(map(re.escape, BEGINNINGS.values()))})(?:\s+|$)")


def verdict_of(fake: float) -> int:
    """Return the label that P(fake) stands for, at 0.5."""
    return FAKE if fake >= 0.5 else REAL


def with_verdict(answer: str, label: int) -> str:
    """Return an answer that begins with the verdict for a label."""
    return f"{BEGINNINGS[label]} {answer}"


def without_verdict(text: str) -> str:
    """Return an answer without the verdict that it begins with; one that is nothing else stays as it is."""
    found = _BEGINNING.match(text)
    return (text if found is None else text[found.end() :]) or text


def in_words(fake: float) -> str:
    """Return a detector's P(fake) as a line for the prompt: its verdict, and that verdict's probability in percent."""
    share = fake if verdict_of(fake) == FAKE else 1.0 - fake
    return f"A detector says: {'fake' if verdict_of(fake) == FAKE else 'real'}, with a probability of {share:.0%}."
