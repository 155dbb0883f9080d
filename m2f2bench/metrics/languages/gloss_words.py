"""Words of other languages by the English ones, from a file, and words as expressions."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

WORDS = Path(__file__).with_name("gloss.yaml")
"""The words of each language by the English ones."""


@lru_cache(maxsize=4)
def held(path: Path) -> dict[str, dict[str, list[str]]]:
    """The words of a file, by language and by English."""
    import yaml

    words: dict[str, dict[str, list[str]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return words


def spelling(word: str, bounded: bool) -> str:
    """A word or turn as an expression; a `*` at its end is any rest of the word, `bounded` words stand alone."""
    rest = r"[^\W\d_]*" if word.endswith("*") else ""
    plain = r"[^\S\n]+".join(re.escape(part) for part in word.removesuffix("*").split())
    if not bounded:
        return plain + rest
    end = "" if word.endswith(("'", ":")) else r"(?![^\W\d_])"
    return rf"(?<![^\W\d_]){plain}{rest}{end}"


def unaccented(text: str) -> str:
    """A text with its letters' accents left out: "montée" is "montee"."""
    return "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))
