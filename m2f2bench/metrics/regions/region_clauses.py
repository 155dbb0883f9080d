"""Clauses of a sentence, separated where a new statement begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..verdicts.verdict_words import COPULAS
from . import region_grammar as grammar
from .region_groups import NOUNS, subject_end, subjects_end
from .region_words import Word


@dataclass(frozen=True)
class Clause:
    """The words of a clause, the word or mark at which it began, and the mark at which it ended."""

    words: tuple[Word, ...]
    opener: str = ""
    closer: str = ""

    @property
    def texts(self) -> list[str]:
        """Its words as they are spelt."""
        return [word.text for word in self.words]

    @property
    def negated(self) -> bool:
        """Whether one of its words denies."""
        return any(word.negator for word in self.words)


def clauses(sentence: Sequence[Word]) -> Iterator[Clause]:
    """Return a sentence split at conjunctions, brackets and new subjects with verbs; examples are left out."""
    sentence = _plainly(sentence)
    held: list[Word] = []
    opener = ""
    example = 0
    """Where the first word of an example stands, while it goes on."""
    for place, word in enumerate(sentence):
        breaks = word.text in grammar.BREAKS
        if example:
            starts = (place > example or _owned(sentence, place)) and _runs_on(sentence, place, held)
        else:
            starts = bool(held) and _begins(sentence, place, held, opener)
        if breaks or starts:
            if held:
                yield Clause(tuple(held), opener, word.text)
            marked = breaks or word.text in grammar.JOINS
            held, opener, example = [], word.text if marked else "", 0
            if marked:
                continue
        if word.text == "such" and place + 1 < len(sentence) and sentence[place + 1].text == "as":
            example = place + 2
        if not example:
            held.append(word)
    if held:
        yield Clause(tuple(held), opener)


def _owned(sentence: Sequence[Word], place: int) -> bool:
    """Return whether a statement about somebody begins, which also ends an example: "the person's mouth looks fake"."""
    return sentence[place].text == "the" and any(one.text in _OWNERS for one in sentence[place + 1 : place + 2])


_OWNERS = frozenset(("person", "man", "woman"))


def _plainly(sentence: Sequence[Word]) -> list[Word]:
    """Return a sentence without the "however" after its subject ("the mouth, however, is blurry")."""
    kept: list[Word] = []
    skip = False
    for place, word in enumerate(sentence):
        if skip:
            skip = False
            continue
        after = sentence[place + 1 : place + 4]
        comma = len(after) > 0 and after[0].text == ","
        ahead = after[1:] if comma else after
        behind = kept[-2:] if kept and kept[-1].text == "," else kept[-1:]
        epithet = len(ahead) > 1 and ahead[0].claim and ahead[1].region  # "a fake wall, but real eyes"
        if word.text in grammar.ADVERBS and behind and ahead and not epithet and _inside(kept, behind[0], ahead[0]):
            if kept[-1].text == "," and comma:
                kept.pop()
            skip = comma
            continue
        kept.append(word)
    return kept


def _inside(kept: Sequence[Word], before: Word, after: Word) -> bool:
    """Return whether a "but" is between a subject and its verb, or a verb and its predicate."""
    if before.verb:
        return after.claim and before.text in COPULAS
    if not (before.region or before.roles & NOUNS):
        return False
    if after.verb or after.claim or after.negator:
        return True
    since = max((place for place, one in enumerate(kept[:-1]) if one.text == ","), default=-1)
    alone = not any(one.verb or one.claim or one.negator for one in kept[since + 1 :])
    return alone and not (after.region or after.text in _NEW)


_NEW = grammar.PRONOUNS | grammar.DETERMINERS | grammar.PREPOSITIONS


def _begins(sentence: Sequence[Word], place: int, held: Sequence[Word], opener: str) -> bool:
    """Return whether a new statement begins at a word, or after it if it is a comma or "and"."""
    word = sentence[place]
    if word.text in (",", "and", "or"):
        start = place + 1
        while start < min(len(sentence), place + 4) and sentence[start].text in _AGAIN:
            start += 1
        return start < len(sentence) and _goes_on(sentence, place, start, held, opener)
    if (
        word.region
        and held[-1].claim
        and place + 1 < len(sentence)
        and sentence[place + 1].claim
        and _is_whole(held, "")
    ):
        return True  # "eyes good nose good"
    return _runs_on(sentence, place, held)


_AGAIN = frozenset(("and", ",", "also", "then", "in", "turn", "too"))


def _runs_on(sentence: Sequence[Word], place: int, held: Sequence[Word]) -> bool:
    """Return whether a new subject and verb follow without a mark: "they are blurry the nose is bent"."""
    word, before = sentence[place], sentence[place - 1]
    if word.text not in grammar.STARTS and word.text != "there":
        return False
    inside = before.text in grammar.PREPOSITIONS | grammar.JOINS | grammar.EMBEDS
    whole = any(one.verb for one in held) or (before.region and any(one.claim for one in held))
    if inside or (not _owned(sentence, place) and (before.verb or before.negator or not whole)):
        return False
    if word.text == "there":
        return place + 1 < len(sentence) and (sentence[place + 1].verb or "parts" in sentence[place + 1].roles)
    end = subject_end(sentence, place)
    return 0 < end < len(sentence) and sentence[end].verb


def _goes_on(sentence: Sequence[Word], place: int, start: int, held: Sequence[Word], opener: str) -> bool:
    """Return whether a new statement begins at `start`, after the comma, "and" or "or" at `place`."""
    mark, first = sentence[place].text, sentence[start]
    comma, verb = mark == ",", any(one.verb for one in held)
    if opener in grammar.CONDITIONS and comma:
        return verb or first.text in grammar.SPEAKERS
    whole = verb or _is_whole(held, opener) or (comma and (held[0].text in grammar.PREPOSITIONS or opener == "despite"))
    if first.verb and (comma or not held[-1].verb) and mark != "or":
        return whole or (comma and opener in grammar.ASIDE)
    if first.text in grammar.BREAKS or first.text in grammar.PREPOSITIONS:
        return False
    if comma and _lists(first, held):
        return any(one.region for one in sentence[start + 1 : start + 5])
    if not whole:
        return False
    if first.claim and start + 2 < len(sentence) and sentence[start + 1].verb:
        return any(one.region for one in sentence[start + 2 : start + 4])  # "what is wrong is the mouth"
    if first.text in ("that", "those") and sentence[start + 1 : start + 2] and _hangs(sentence[start + 1]):
        return True
    if first.text in _SUBJECTS and start + 1 < len(sentence):
        ahead = sentence[start + 1 : start + 3]
        return first.text in grammar.WHOLE or any(one.verb or one.text in ("of", "not") for one in ahead)
    if mark == "or" or _embedded(held):
        return False
    end = subjects_end(sentence, start) if comma else subject_end(sentence, start)
    if not 0 < end < len(sentence):
        return False
    after = sentence[end + 1] if sentence[end].text == "that" and end + 1 < len(sentence) else sentence[end]
    return after.predicate


def _hangs(word: Word) -> bool:
    return word.text in grammar.PREPOSITIONS and word.text != "of"


_SUBJECTS = grammar.PRONOUNS - (grammar.DETERMINERS - {"this", "it"})


def _lists(first: Word, held: Sequence[Word]) -> bool:
    """Return whether a repeated fault begins the next item: "artifacts in the mouth, artifacts in the skin"."""
    whole = any(one.region for one in held) and any(one.claim for one in held)
    return "deeds" in first.roles and whole and not any(one.negator for one in held)


def _embedded(held: Sequence[Word]) -> bool:
    """Return whether a clause ends with a subject whose verb follows: "I do not believe that the nose"."""
    within = grammar.FILL | grammar.JOINS
    back = next((one for one in reversed(held) if not (one.region or one.text in within)), None)
    return back is not None and back.text in grammar.EMBEDS and held[-1].region != ""


def _is_whole(held: Sequence[Word], opener: str) -> bool:
    """Return whether a clause without a verb is complete: a region with a claim, "teeth fine"."""
    named = next((place for place, one in enumerate(held) if one.region), None)
    if named is None:
        return bool(opener) and any(one.claim for one in held)
    return any(one.claim or one.text == "too" for one in held[named + 1 :])
