"""Word-by-word translation of German, French, Spanish and Chinese answers into English that the readers know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .gloss_turns import put_turns
from .gloss_words import WORDS, held, spelling, unaccented

TRADITIONAL = Path(__file__).with_name("traditional.txt")
"""Lines of traditional characters and their simplified ones."""
_HAN = re.compile(r"[\u4e00-\u9fff]")
_SPACES = re.compile(r"[^\S\n]+")
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Language:
    """The words of one language: those that identify it, and all with their English."""

    known: frozenset[str]
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
            text = put_turns(self.turns, _SPACES.sub(" ", text))
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


@lru_cache(maxsize=1)
def _english() -> frozenset[str]:
    return frozenset(held(WORDS)["en"]["marks"])


def _language(name: str, words: dict[str, list[str]], turns: str) -> Language:
    english: dict[str, str] = {}
    marks = words["marks"]
    for put, listed in words.items():
        if put == "marks":
            continue
        for word in listed:
            english.setdefault(word.translate(_simplified()) if name == "zh" else word, put)
    if name == "es":
        for word in [word for word in english if len(word) > 4 and " " not in word]:
            if (plain := unaccented(word)) not in marks:
                english.setdefault(plain, english[word])
    starts = {word[:-1]: english.pop(word) for word in list(english) if word.endswith("*")}
    spelt = sorted([*english, *(f"{start}*" for start in starts)], key=len, reverse=True)
    bounded = name != "zh"
    parts = [spelling(word, bounded) for word in spelt]
    pattern = re.compile("|".join(parts))
    known = frozenset(marks) | frozenset(
        word for phrase in english for word in phrase.split() if len(word) > 3 or word == phrase
    )
    begins = re.compile("|".join(map(re.escape, starts)) or r"(?!)")
    openings = tuple(sorted(starts.items(), key=lambda item: -len(item[0])))
    return Language(known, pattern, english, begins, openings, turns)


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
    best, most = "", sum(word in _english() for word in words)
    for name, language in languages().items():
        known = sum(language.knows(word) for word in words) if name != "zh" else 0
        if known > most:
            best, most = name, known
    return languages(more)[best].put(text) if best else text
