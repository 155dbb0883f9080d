"""Turns of another language whose words, one by one, do not say what the turn says, put into English before its words.

`turns/` has a file for each language, used for verdicts only: regions are read by words. Turns are regular expressions
over lower-case text whose spaces are single, put in their order. `{name}` is one of `parts`, which may hold others;
`{real}` and `{fake}` are, where `parts` does not say them, any word of `gloss.yaml` of such a meaning. A turn with
`{x}` stands for two, with a word for fake and with one for real; `says: so` is put as that verdict, `says: not` as the
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
"""Parts of turns by the English of the words that they stand for."""
_CHUNK = re.compile(r"(?<=[.!])(?=\s)|(?<=[^?]\n)")
"""Where a text is cut for the turns, none of which goes beyond a sentence, but for a question and its answer."""


@dataclass(frozen=True)
class Turn:
    """A turn as an expression, and what is put for it."""

    pattern: re.Pattern[str]
    english: str

    def put(self, text: str) -> str:
        """The text with the turn in English."""
        return self.pattern.sub(self.english, text)


def put_turns(language: str, text: str) -> str:
    """A text in lower case with the turns of a language in English; the rest stays."""
    return "".join(_chunk(language, chunk) for chunk in _CHUNK.split(text))


@lru_cache(maxsize=64)
def _chunk(language: str, text: str) -> str:
    for turn in turns(language):
        text = turn.put(text)
    return text


@lru_cache(maxsize=8)
def turns(language: str) -> tuple[Turn, ...]:
    """The turns of a language, in order; one that `says` so of `{x}`, or not, is two: for real and for fake."""
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
    """A part as a group; a set of signs stays as it is, so that a count may follow it."""
    return part if part.startswith("[") else f"(?:{part})"
