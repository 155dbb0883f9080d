"""Words of other languages by their English, from a file, and words as regular expressions."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

WORDS = Path(__file__).with_name("gloss.yaml")
"""The words of each language by their English."""


@lru_cache(maxsize=4)
def held(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the words of a file, by language and by English."""
    import yaml

    words: dict[str, dict[str, list[str]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return words


def spelling(word: str, bounded: bool) -> str:
    """Return a word or phrase as a regular expression.

    A `*` at its end is any rest of the word; with `bounded`, it matches only whole words.
    """
    rest = r"[^\W\d_]*" if word.endswith("*") else ""
    plain = r"[^\S\n]+".join(re.escape(part) for part in word.removesuffix("*").split())
    if not bounded:
        return plain + rest
    end = "" if word.endswith(("'", ":")) else r"(?![^\W\d_])"
    return rf"(?<![^\W\d_]){plain}{rest}{end}"


def unaccented(text: str) -> str:
    """Return a text without accents: "montée" is "montee"."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))
