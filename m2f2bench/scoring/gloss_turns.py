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
_ATOM = re.compile(
    r"(?P<look>\(\?<?[=!])|(?P<group>\((?:\?:)?)|(?P<none>\\[wWbBsSd1-9]|\[(?:\\.|[^\]\\])+\]|[.^$])|\\?(?P<plain>.)",
    re.DOTALL,
)
_OFTEN = re.compile(r"(?:[?*+]|\{(\d*)(?:,\d*)?\})\??")


@dataclass(frozen=True)
class Turn:
    """A turn as an expression, and what is put for it."""

    pattern: re.Pattern[str]
    english: str
    needs: frozenset[str]
    """Strings of which one stands in every text that the expression finds; empty where that is not known."""

    def put(self, text: str) -> str:
        """The text with the turn in English."""
        if self.needs and not any(needed in text for needed in self.needs):
            return text
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
    return Turn(re.compile(spelt), english, needs(spelt))


def _group(part: str) -> str:
    """A part as a group; a set of signs stays as it is, so that a count may follow it."""
    return part if part.startswith("[") else f"(?:{part})"


def needs(spelt: str) -> frozenset[str]:
    """Strings one of which stands in every text that an expression finds; empty where that cannot be told."""
    return _alternatives(spelt, 0)[0]


def _alternatives(spelt: str, at: int) -> tuple[frozenset[str], int]:
    """What is needed of the branches from a place to the end of their group, and that end."""
    branches = []
    while True:
        needed, at = _sequence(spelt, at)
        branches.append(needed)
        if at >= len(spelt) or spelt[at] == ")":
            return (frozenset().union(*branches) if all(branches) else frozenset()), at
        at += 1


def _sequence(spelt: str, at: int) -> tuple[frozenset[str], int]:
    """The same of one branch: the most telling of what its parts need."""
    found: list[frozenset[str]] = []
    run = ""
    while at < len(spelt) and spelt[at] not in "|)":
        atom = _ATOM.match(spelt, at)
        assert atom is not None  # the last alternative takes any letter
        at, inner = atom.end(), frozenset[str]()
        if atom["look"] or atom["group"]:
            inner, at = _alternatives(spelt, at)
            at += 1
        often = _OFTEN.match(spelt, at)
        at = often.end() if often else at
        once = often is None or often.group()[0] == "+" or often.group(1) not in (None, "", "0")
        if atom["plain"] and often is None:
            run += atom["plain"]
            continue
        found.append(frozenset([run] if run else []))
        run = ""
        if atom["group"] and once:
            found.append(inner)
    found.append(frozenset([run] if run else []))
    return max(found, key=lambda words: (min(map(len, words)) if words else 0, -len(words))), at
