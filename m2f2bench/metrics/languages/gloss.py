"""Word-by-word translation of German, French, Spanish and Chinese answers into English that the readers know.

`turns/` has a file for each language, used only for verdicts: regions are read by words. Its idioms are translated as a
whole before the words, because their words mislead one by one. They are regular expressions over lower-case text with
single spaces, applied in order. `{name}` is one of `parts`, which may contain others; `{real}` and `{fake}`, unless
`parts` defines them, are any word of `gloss.yaml` with such a meaning. An idiom with `{x}` stands for two, with a word
for fake and with one for real; `says: so` becomes that verdict, `says: not` the other.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.parsing import read_yaml
from .patterns import compiled

WORDS = Path(__file__).with_name("gloss.yaml")
"""The words of each language by their English."""
TURNS = WORDS.with_name("turns")
TRADITIONAL = WORDS.with_name("traditional.txt")
"""Lines of traditional characters and their simplified ones."""
_HAN = re.compile(r"[\u4e00-\u9fff]")
SPACES = re.compile(r"[^\S\n]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_SAYS = {"real": " it is genuine ", "fake": " it is fake "}
_MEANINGS = {
    "real": ("real", "genuine", "unaltered", "untouched", "real person"),
    "fake": ("fake", "deepfake", "manipulated", "computergenerated", "synthetic", "faceswap", "edited"),
}
"""Parts of idioms by the English meanings of the words that they stand for."""
_CHUNK = re.compile(r"(?<=[.!])(?=\s)|(?<=[^?]\n)")
"""Boundaries of chunks: no idiom extends beyond a sentence, except for a question and its answer."""


@dataclass(frozen=True)
class Language:
    """The words of one language: those that identify it, and all with their English."""

    known: set[str]
    pattern: re.Pattern[str]
    english: dict[str, str]
    starts: re.Pattern[str]
    open: tuple[tuple[str, str], ...]
    """Beginnings of words with their English, the longest first."""
    turns: str
    """The language whose idioms are translated before the words; "" for none."""

    def put(self, text: str) -> str:
        """Return the text with every known idiom and word in English; the others stay."""
        if self.turns:
            text = "".join(_put_turns(self.turns, chunk) for chunk in _CHUNK.split(SPACES.sub(" ", text)))
        return self.pattern.sub(lambda found: f" {self._english(found.group())} ", text)

    def knows(self, word: str) -> bool:
        """Return whether a word is one of the language's."""
        return word in self.known or self.starts.match(word) is not None

    def _english(self, found: str) -> str:
        word = " ".join(found.split())
        if word in self.english:
            return self.english[word]
        return next(english for start, english in self.open if word.startswith(start))


@lru_cache(maxsize=4)
def held(path: Path) -> dict[str, dict[str, list[str]]]:
    """Return the words of a file, by language and by English."""
    words: dict[str, dict[str, list[str]]] = read_yaml(path)
    return words


@lru_cache(maxsize=4)
def languages(more: Path | None = None) -> dict[str, Language]:
    """Return the languages of `gloss.yaml`, read once, with the words of the file `more` before its own."""
    known = {name: words for name, words in held(WORDS).items() if name != "en"}
    for name, listed in (held(more) if more else {}).items():
        spelt = {word for words in listed.values() for word in words}
        own = {english: [word for word in words if word not in spelt] for english, words in known[name].items()}
        known[name] = {english: [*listed.get(english, []), *own.get(english, [])] for english in {**own, **listed}}
    return {name: _language(name, words, "" if more else name) for name, words in known.items()}


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    """Return the replacements of Chinese characters and marks."""
    plain = {"。": ". ", "、": ", ", "「": '"', "」": '"', "『": '"', "』": '"', "【": "[", "】": "] "}
    for line in TRADITIONAL.read_text(encoding="utf-8").split("\n"):
        plain |= dict(zip(*line.split(), strict=True)) if line else {}
    return str.maketrans(plain)


def _language(name: str, words: dict[str, list[str]], turns: str) -> Language:
    english: dict[str, str] = {}
    marks = words["marks"]
    for put, listed in words.items():
        for word in listed if put != "marks" else ():
            english.setdefault(word.translate(_simplified()) if name == "zh" else word, put)
    if name == "es":
        for word in [word for word in english if len(word) > 4 and " " not in word]:
            if (plain := unaccented(word)) not in marks:
                english.setdefault(plain, english[word])
    spelt = [_spelling(word, name != "zh") for word in sorted(english, key=len, reverse=True)]
    starts = {word[:-1]: english.pop(word) for word in list(english) if word.endswith("*")}
    known = {word for phrase in english for word in phrase.split() if len(word) > 3 or word == phrase}
    begins = re.compile("|".join(map(re.escape, starts)) or r"(?!)")
    openings = tuple(sorted(starts.items(), key=lambda item: -len(item[0])))
    return Language(known.union(marks), re.compile("|".join(spelt)), english, begins, openings, turns)


def in_english(text: str, more: Path | None = None) -> str:
    """Return a lower-case text with the known words of its language in English; an English text is unchanged.

    The language is the one that knows most of the words, if it knows more than English does; Chinese is recognised by
    its characters. Words of the file `more` go before those of `gloss.yaml`.
    """
    if _HAN.search(text):
        return languages(more)["zh"].put(text.translate(_simplified()))
    words = [word for word in _LETTERS.findall(text)[:2000] if len(word) > 1]  # "y" may be short for "yes"
    if not words:
        return text
    english = set(held(WORDS)["en"]["marks"])
    best, most = "", sum(word in english for word in words)
    for name, language in languages().items():
        known = sum(language.knows(word) for word in words) if name != "zh" else 0
        if known > most:
            best, most = name, known
    return languages(more)[best].put(text) if best else text


@lru_cache(maxsize=64)
def _put_turns(language: str, text: str) -> str:
    """Return a lower-case text with the idioms of a language in English; the rest is unchanged."""
    for pattern, english in _turns(language):
        text = pattern.sub(english, text)
    return text


@lru_cache(maxsize=8)
def _turns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the idioms of a language and their English, in order."""
    own: dict[str, Any] = read_yaml(TURNS / f"{language}.yaml")
    parts = {kind: _any_of(language, meanings) for kind, meanings in _MEANINGS.items()} | own["parts"]
    found = []
    for turn in own["turns"]:
        for spelt in turn["from"]:
            if "says" not in turn:
                found.append((compiled(spelt, parts), str(turn["to"])))
                continue
            for verdict, other in (("fake", "real"), ("real", "fake")):
                said = verdict if turn["says"] == "so" else other
                found.append((compiled(spelt, parts | {"x": parts[verdict]}), _SAYS[said]))
    return found


def _any_of(language: str, meanings: tuple[str, ...]) -> str:
    listed = [word for meaning in meanings for word in held(WORDS)[language].get(meaning, [])]
    return "|".join(_spelling(word, language != "zh") for word in sorted(listed, key=len, reverse=True))


def _spelling(word: str, bounded: bool) -> str:
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
