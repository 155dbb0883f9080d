"""Idioms of another language, translated as a whole before its words, because their words mislead one by one.

`turns/` has a file for each language, used only for verdicts: regions are read by words. Idioms are regular expressions
over lower-case text with single spaces, applied in order. `{name}` is one of `parts`, which may contain others;
`{real}` and `{fake}`, unless `parts` defines them, are any word of `gloss.yaml` with such a meaning. An idiom with
`{x}` stands for two, with a word for fake and with one for real; `says: so` becomes that verdict, `says: not` the
other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .gloss_words import WORDS, held, spelling

TURNS = Path(__file__).with_name("turns")
_PART = re.compile(r"\{([a-z_]+)\}")
_OTHER = {"real": "fake", "fake": "real"}
_SAYS = {"real": " it is genuine ", "fake": " it is fake "}
_MEANINGS = {
    "real": ("real", "genuine", "unaltered", "untouched", "real person"),
    "fake": ("fake", "deepfake", "manipulated", "computergenerated", "synthetic", "faceswap", "edited"),
}
"""Parts of idioms by the English meanings of the words that they stand for."""
_CHUNK = re.compile(r"(?<=[.!])(?=\s)|(?<=[^?]\n)")
"""Boundaries of chunks: no idiom extends beyond a sentence, except for a question and its answer."""


@dataclass(frozen=True)
class Turn:
    """An idiom as a regular expression, and its replacement."""

    pattern: re.Pattern[str]
    english: str

    def put(self, text: str) -> str:
        """Return the text with the idiom in English."""
        return self.pattern.sub(self.english, text)


def put_turns(language: str, text: str) -> str:
    """Return a lower-case text with the idioms of a language in English; the rest is unchanged."""
    return "".join(_chunk(language, chunk) for chunk in _CHUNK.split(text))


@lru_cache(maxsize=64)
def _chunk(language: str, text: str) -> str:
    for turn in turns(language):
        text = turn.put(text)
    return text


@lru_cache(maxsize=8)
def turns(language: str) -> tuple[Turn, ...]:
    """Return the idioms of a language, in order; one that `says` something of `{x}` gives two (real, fake)."""
    import yaml

    own: dict[str, Any] = yaml.safe_load((TURNS / f"{language}.yaml").read_text(encoding="utf-8"))
    parts = {kind: _any_of(language, meanings) for kind, meanings in _MEANINGS.items()} | own["parts"]
    found = []
    for turn in own["turns"]:
        for spelt in turn["from"]:
            if "says" not in turn:
                found.append(_turn(spelt, parts, str(turn["to"])))
                continue
            for verdict in ("fake", "real"):
                said = verdict if turn["says"] == "so" else _OTHER[verdict]
                found.append(_turn(spelt, parts | {"x": parts[verdict]}, _SAYS[said]))
    return tuple(found)


def _any_of(language: str, meanings: tuple[str, ...]) -> str:
    listed = [word for meaning in meanings for word in held(WORDS)[language].get(meaning, [])]
    return "|".join(spelling(word, language != "zh") for word in sorted(listed, key=len, reverse=True))


def _turn(spelt: str, parts: dict[str, str], english: str) -> Turn:
    while _PART.search(spelt):
        spelt = _PART.sub(lambda found: _group(parts[found.group(1)]), spelt)
    return Turn(re.compile(spelt), english)


def _group(part: str) -> str:
    """Return a part as a group; a set of characters is unchanged, so that a count may follow it."""
    return part if part.startswith("[") else f"(?:{part})"
