"""Noun phrases of a clause, and groups of regions that it names together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import region_grammar as grammar
from .region_words import Word

WIDEST = 9
"""Most words of a noun phrase."""
NOUNS = frozenset(("elsewhere", "owners", "parts", "deeds"))
"""Roles of nouns that are not regions."""
FARTHEST = 7
"""Most words between two joined regions."""


@dataclass(frozen=True)
class Group:
    """Regions named together, from the place of the first to after the last, and how they are introduced.

    `kind`: "" plainly, else `not`, `unlike`, `than`, `except`, `likewise`.
    """

    regions: tuple[str, ...]
    start: int
    end: int
    kind: str = ""
    apart: bool = False
    """Whether its kind follows a comma: "natural, not the mouth"."""


def groups(words: Sequence[Word]) -> list[Group]:
    """Return the regions that a clause names, with joined ones ("the nose and the mouth") together."""
    found: list[Group] = []
    place, kind, since = 0, "", 0
    while place < len(words):
        word = words[place]
        if marked := _kind(words, place):
            kind, since = marked, place
        elif (kind in ("not", "likewise") and (word.verb or word.claim or place - since > 5)) or (
            word.text == "," and kind
        ):
            kind = ""
        if not word.region:
            place += 1
            continue
        behind_comma = bool(kind and since and words[since - 1].text == ",")
        found.append(_group(words, place, kind, behind_comma or words[since].text == "insteadof"))
        place, kind = found[-1].end, ""
    return found


def _kind(words: Sequence[Word], place: int) -> str:
    """Return the kind of group that a word introduces; "" for none."""
    text = words[place].text
    if text == "not" or text in grammar.MARKERS:
        return grammar.MARKERS.get(text, "not")
    if text == "like" or (text == "as" and any(one.text == "as" for one in words[max(0, place - 4) : place])):
        return "likewise"
    if text == "that" and any(one.text in ("more", "less") for one in words[max(0, place - 6) : place]):
        return "than"
    return ""


def _group(words: Sequence[Word], start: int, kind: str, apart: bool) -> Group:
    """Return the group that begins with the region at `start`."""
    named, end, place = [words[start].region], start + 1, start + 1
    joined = strange = False
    hung = any(one.claim or one.text in grammar.PREPOSITIONS for one in words[max(0, start - 3) : start])
    while place < len(words):
        word = words[place]
        if word.region and (joined or place == end):
            named.append(word.region)
            end, joined = place + 1, False
        elif word.text in grammar.JOINS or word.text == "to":
            if (kind or hung) and word.text == "," and predicated(words, place + 1):
                break
            joined, strange = True, False
        elif (strange and word.text in grammar.PREPOSITIONS) or place - end > FARTHEST or not _within(word, joined):
            break
        else:
            strange = strange or word.text not in grammar.FILL
        place += 1
    return Group(tuple(dict.fromkeys(named)), start, end, kind, apart)


def _within(word: Word, joined: bool) -> bool:
    """Return whether a word may be between two regions of a group; after "and", also an adjective or another noun."""
    plain = adjective(word) and not word.claim and word.text not in grammar.MARKERS
    return word.text in grammar.FILL or (joined and ("elsewhere" in word.roles or plain))


def subject_end(words: Sequence[Word], start: int) -> int:
    """Return where the noun phrase at `start` ends, including its prepositional phrases; -1 if there is none."""
    place, stop = start, min(len(words), start + WIDEST)
    head = False
    while place < stop:
        word = words[place]
        if word.region or word.roles & NOUNS:
            head = True
        elif head and word.text in grammar.PREPOSITIONS:
            if place + 1 < stop and words[place + 1].text in grammar.OBJECTS:
                return place + 2
            inner = subject_end(words, place + 1)
            return inner if inner > 0 else place + 1
        elif head and adjective(word) and not word.claim and place + 1 < stop and words[place + 1].verb:
            return place + 1  # "the iris pattern is"
        elif head or not adjective(word):
            break
        place += 1
    return place if head else -1


def subjects_end(words: Sequence[Word], start: int) -> int:
    """Return where joined noun phrases end: "both the nose and the mouth"."""
    end = subject_end(words, start)
    for _ in range(3):
        if not 0 < end < len(words) - 1 or words[end].text not in ("and", ","):
            break
        after = subject_end(words, end + 1 + (words[end + 1].text == "and"))
        if after < 0:
            break
        end = after
    return end


def predicated(words: Sequence[Word], start: int) -> bool:
    """Return whether a noun phrase with a predicate begins at `start`."""
    end = subject_end(words, start)
    return 0 < end < len(words) and words[end].predicate


def adjective(word: Word) -> bool:
    """Return whether a word may be before a noun: a determiner, or a word of no other known class."""
    if word.text in grammar.DETERMINERS:
        return True
    return word.text.isalpha() and not (word.verb or word.negator or word.text in _OTHERS)


_OTHERS = grammar.PREPOSITIONS | grammar.JOINS | grammar.BREAKS | grammar.PRONOUNS
