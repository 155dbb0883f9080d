"""Faults and merits of a clause, each asserted or denied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .region_clauses import Group
from .region_words import GRAMMAR, Word

AHEAD = 12
"""Number of words after "and" in which its verb is searched for."""


@dataclass(frozen=True)
class Claim:
    """A fault (`sign` 1) or merit (-1) at a place, asserted or `denied`."""

    place: int
    sign: int
    denied: bool

    @property
    def accuses(self) -> bool:
        """Whether it speaks against its subject."""
        return (self.sign > 0) != self.denied


def claims(words: Sequence[Word], subject_from: int, named: Sequence[Group]) -> list[Claim]:
    """Return all claims of a clause in order; `subject_from` is the place from which its subject is known."""
    return _Scopes(words, subject_from, named).read()


@dataclass
class _Scopes:
    """Reads a clause once, with the claims under the current negation.

    If a fault is denied, the merits next to it are not ("no clear artifacts"). Something that is lacking is a fault
    unless it is one itself. "The brows, not the mouth" denies nothing about the brows.
    """

    words: Sequence[Word]
    subject_from: int
    named: Sequence[Group]
    made: list[Claim] = field(default_factory=list)
    scope: list[Claim] = field(default_factory=list)
    denied: bool = False
    lacking: bool = False
    last: int = 0
    """The place of the last negation."""

    def read(self) -> list[Claim]:
        """Return the claims in order."""
        words = self.words
        doubted = self.denied = words[0].text == "that" and words[-1].text in GRAMMAR["doubts"]
        checked = False
        for place, word in enumerate(words):
            checked = checked or ("checks" in word.roles and (place == 0 or words[0].text in GRAMMAR["looking"]))
            if (checked and word.text == "for") or (doubted and word.negator and "doubt" in word.text):
                break  # "I checked the eyes for mismatched reflections"
            if word.text == "naturally" and not self.denied and any(one.fault for one in words[place + 1 : place + 3]):
                break  # "naturally misaligned teeth" is a trait
            self._word(place, word)
        if self.denied and not self.scope and not self.lacking and self._deed_before(self.last):
            self._deny_faults()
        self._close()
        return self.made

    def _word(self, place: int, word: Word) -> None:
        lacks = "lacks" in word.roles
        if lacks and place and self.words[place - 1].text in GRAMMAR["is"] and not self._deed_before(place):
            self.scope.append(Claim(place, 1, self.denied))
        elif word.negator or lacks:
            self._negation(place, word, lacks)
        elif self.denied and self._ends(place, word):
            self._close()
            self.denied = False
        elif sign := self._sign(place):
            self.scope.append(Claim(place, sign, self.denied))
        elif word.verb and self.scope and not self.denied:
            self.made.extend(self.scope)
            self.scope = []

    def _negation(self, place: int, word: Word, lacks: bool) -> None:
        after = self.words[place + 1] if place + 1 < len(self.words) else None
        if word.text == "no" and after is not None and after.text == ",":
            return
        if word.text == "not" and self.subject_from < len(self.words) and self._of_another(place):
            return
        absent = lacks and place > 0 and self._deed_before(place)
        self.last = place
        listed = word.text == "no" and place > 0 and self.words[place - 1].text in (",", "and", "or")
        turned = self.denied if (word.text in GRAMMAR["not_reversing"] or listed) and self.denied else not self.denied
        self._close()
        if absent:
            self._deny_faults()
            return
        self.denied = turned or word.text == "notany"
        self.lacking = lacks or (place > self.subject_from and (self._helped(place) or self._without_part(place)))

    def _of_another(self, place: int) -> bool:
        """Return whether "not" only excludes regions that are named after it."""
        return any(group.kind == "not" and place < group.start <= place + 5 for group in self.named)

    def _close(self) -> None:
        self.made.extend(self._settled())
        if self.lacking and not self.scope and self.denied:
            self.made.append(Claim(self.last, 1, False))
        self.scope, self.lacking = [], False

    def _settled(self) -> list[Claim]:
        """Return the claims under one negation."""
        scope = self.scope
        if not self.denied or not any(one.sign > 0 for one in scope):
            return scope
        if scope[0].sign < 0 and "fitting" in self.words[scope[0].place].roles:
            return scope[:1]
        return [one for one in scope if one.sign > 0]

    def _deny_faults(self) -> None:
        self.made = [replace(one, denied=True) if one.sign > 0 else one for one in self.made]

    def _ends(self, place: int, word: Word) -> bool:
        """Return whether a negation stops before a word: "not sharp and looks odd", "not ok, asymmetrical"."""
        if word.text in ("just", "merely"):
            return True
        if word.text not in ("and", ",") or not self.scope:
            return False
        turns = all(one.sign < 0 for one in self.scope) and any(one.fault for one in self.words[place + 1 : place + 3])
        return turns or self._verb_ahead(place + 1)

    def _verb_ahead(self, start: int) -> bool:
        for word in self.words[start : start + AHEAD]:
            if word.text in (",", "and", "or"):
                return False
            if word.verb:
                return True
        return False

    def _sign(self, place: int) -> int:
        word, words = self.words[place], self.words
        if word.text == "too" and place + 1 < len(words) and words[place + 1].text.isalpha():
            return 1
        if word.text in GRAMMAR["compared"] and {one.text for one in words[place + 1 : place + 8]} & {"than", "that"}:
            return 1
        return 1 if word.fault else -1 if word.merit else 0

    def _deed_before(self, place: int) -> bool:
        """Return whether the denied thing is a fault as subject: "artifacts are not visible around the eyes"."""
        word = self.words[place]
        if not (word.text in GRAMMAR["spares"] or "lacks" in word.roles or self.words[place - 1].verb):
            return False
        nouns = (one for one in self.words[:place] if "deeds" in one.roles or one.region or one.negator)
        first = next(nouns, None)
        return first is not None and "deeds" in first.roles

    def _helped(self, place: int) -> bool:
        """Return whether "not" denies a verb that is right for a region: "the lids do not shut"."""
        if self.words[place].text != "not" or not place or self.words[place - 1].text not in GRAMMAR["helpers"]:
            return False
        after = self.words[place + 1].text if place + 1 < len(self.words) else ""
        return after.isalpha() and after not in GRAMMAR["plainly"] and not after.endswith("ly")

    def _without_part(self, place: int) -> bool:
        """Return whether "no" denies a region its part: "the nose has no bridge"."""
        if self.words[place].text not in ("no", "without"):
            return False
        ahead = self.words[place + 1 : place + 3]
        return any(one.region or "parts" in one.roles or one.text.startswith("hair") for one in ahead)
