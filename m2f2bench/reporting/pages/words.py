"""Text for a page: characters that would break it, its length, and words for the keys of a result's details."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...metrics.registry import title

SHOWN_WORDS, SHOWN_CHARACTERS = 90, 900
"""Length of a text that is visible at once."""
KEPT_CHARACTERS = 20_000
"""Length of a text that is kept in the page."""
NAMES = {
    "ci": "interval",
    "n": "number",
    "verdicts": "verdicts (rows: the truth, columns: the answer)",
    "within": "another image of the same label",
    "across": "another image of the other label",
}
"""Words for keys of a result's details that are not clear."""
_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Passage:
    """A text on the page: its visible part (`head`), the text to unfold (`whole`, empty if `head` is all of it), its
    number of words, and whether `whole` is cut as well."""

    head: str
    whole: str = ""
    words: int = 0
    cut: bool = False


def passage(text: str) -> Passage:
    """Return a text of any length as a passage of bounded length; see `clean`."""
    kept = clean(text[:KEPT_CHARACTERS])
    words = sum(1 for _ in _WORD.finditer(text))
    ends = [match.end() for _, match in zip(range(SHOWN_WORDS), _WORD.finditer(kept), strict=False)]
    end = min(ends[-1] if ends else 0, SHOWN_CHARACTERS)
    if len(text) <= KEPT_CHARACTERS and not kept[end:].strip():
        return Passage(kept, "", words)
    return Passage(kept[:end], kept, words, len(text) > KEPT_CHARACTERS)


def clean(text: str) -> str:
    """Return a text in which U+FFFD replaces what a page cannot hold: control characters and lone surrogates."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text)


@dataclass(frozen=True)
class Details:
    """Nested mappings for a page: first single facts, then a table, then parts with a heading."""

    facts: tuple[tuple[str, str], ...]
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    parts: tuple[tuple[str, Details], ...] = ()


def details(values: Mapping[str, Any]) -> Details:
    """Return any JSON object for a page: objects of short values become rows of one table, others become parts."""
    nested = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    facts = tuple((named(key), plain(value)) for key, value in values.items() if key not in nested)
    flat = {k: v for k, v in nested.items() if v and all(map(_narrow, v.values()))}
    if len({tuple(value) for value in flat.values()}) != 1:
        flat = {}
    columns = tuple(next(iter(flat.values()), ()))
    rows = tuple((named(key), tuple(plain(value[column]) for column in columns)) for key, value in flat.items())
    parts = tuple((named(key), details(value)) for key, value in nested.items() if key not in flat)
    return Details(facts, tuple(named(column) for column in columns), rows, parts)


def _narrow(value: Any) -> bool:
    """Return whether a value fits in a cell of a table."""
    return not isinstance(value, Mapping) and len(plain(value)) <= 40


def named(key: str) -> str:
    """Return a key in words: a metric's title, or the key without underscores."""
    return clean(NAMES.get(key) or title(key).replace("_", " "))


def plain(value: Any) -> str:
    """Return a JSON value in few characters: numbers with three decimals, lists in brackets."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(plain, value))}]"
    return clean(str(value))
