"""Clauses of a sentence, cut where a new statement begins, and the groups of regions that each names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .region_words import Word
from .verdict_words import COPULAS, wordset

BREAKS = wordset(
    "but however because since yet therefore thus hence so nevertheless nonetheless instead otherwise while whereas although "
    "though despite which who whose when if unless whether ; : ( ) —"
)
"""Words and marks at which a new clause begins."""
CONDITIONS = wordset("if unless whether")
_ASIDE = CONDITIONS | wordset("which who whose when although though despite because while whereas since")
"""Openers of clauses after whose end at a comma the sentence goes on as before."""
DETERMINERS = wordset("the his her their this both its my these those each a an one another either neither our your any some every")
_STARTS = wordset("the his her their this both its these those")
PREPOSITIONS = wordset(
    "on of in to with around near at from between above below under over beside across behind along inside within about by "
    "through into onto underneath beneath towards toward round for against outside alongside next beyond without via where before after"
)
PRONOUNS = wordset("it they these those them this that both each one he she i we you something nothing everything none there all someone restofit")
_SPEAKERS = wordset("i you we one it they there")
_JOINS = wordset("and or nor neither , / & both plus")
_EMBEDS = wordset("that think believe say says suggest suggests suspect claim find found see sees know means mean make makes made doubt doubts feel consider considered show shows")
_FILL = DETERMINERS | PREPOSITIONS | wordset(
    "left right upper lower inner outer same two person man woman face own other entire whole visible as well also either even "
    "region area part corner tip bridge edge edges line areas rest half white whites shape down up middle center centre side"
)
WIDEST = 9
"""Words that are looked at ahead."""


@dataclass(frozen=True)
class Clause:
    """The words of a clause, the word or mark at which it began, and the mark at which it ended."""

    words: tuple[Word, ...]
    opener: str = ""
    closer: str = ""


@dataclass(frozen=True)
class Group:
    """Regions named together, from the place of the first to behind the last, and how they are brought in.

    `kind`: "" plainly, else `not`, `unlike`, `than`, `except`, `likewise`.
    """

    regions: tuple[str, ...]
    start: int
    end: int
    kind: str = ""
    apart: bool = False
    """Its kind stands behind a comma: "natural, not the mouth"."""


def clauses(sentence: Sequence[Word]) -> Iterator[Clause]:
    """A sentence cut at conjunctions, at brackets and where a new subject with its verb begins; examples left out."""
    sentence = _plainly(sentence)
    held: list[Word] = []
    opener = ""
    example = False
    for place, word in enumerate(sentence):
        if word.text in BREAKS or (held and not example and _begins(sentence, place, held, opener)):
            if held:
                yield Clause(tuple(held), opener, word.text)
            held, opener, example = [], word.text if word.text in BREAKS or word.text in _JOINS else "", False
            if word.text in BREAKS or word.text in _JOINS:
                continue
        if word.text == "such" and place + 1 < len(sentence) and sentence[place + 1].text == "as":
            example = True
        if not example:
            held.append(word)
    if held:
        yield Clause(tuple(held), opener)


def _plainly(sentence: Sequence[Word]) -> list[Word]:
    """A sentence without the "however" that stands behind its subject ("the mouth, however, is blurry")."""
    kept: list[Word] = []
    skip = False
    for place, word in enumerate(sentence):
        if skip:
            skip = False
            continue
        after = [one for one in sentence[place + 1 : place + 3]]
        comma = after[:1] and after[0].text == ","
        ahead = after[1:] if comma else after
        behind = kept[-2:] if kept and kept[-1].text == "," else kept[-1:]
        if word.text in _ADVERBS and behind and ahead and _inside(kept, behind[0], ahead[0]):
            if kept[-1].text == "," and comma:
                kept.pop()
            skip = bool(comma)
            continue
        kept.append(word)
    return kept


def _inside(kept: Sequence[Word], before: Word, after: Word) -> bool:
    """Whether a "but" stands between a subject and its verb, or a verb and its predicate."""
    if before.verb:
        return after.claim and before.text in COPULAS
    if not (before.region or before.roles & _NOUNS):
        return False
    since = max((place for place, one in enumerate(kept[:-1]) if one.text == ","), default=-1)
    alone = not any(one.verb or one.claim or one.negator for one in kept[since + 1 :])
    return after.verb or after.claim or after.negator or (alone and not (after.region or after.text in PRONOUNS or after.text in DETERMINERS or after.text in PREPOSITIONS))


_ADVERBS = wordset("however but though nevertheless nonetheless instead yet although")


def _begins(sentence: Sequence[Word], place: int, held: Sequence[Word], opener: str) -> bool:
    """Whether a new statement begins at a word, or behind it where it is a comma or "and"."""
    word = sentence[place]
    if word.text in (",", "and", "or"):
        return _goes_on(sentence, place, held, opener)
    if word.region and held[-1].claim and place + 1 < len(sentence) and sentence[place + 1].claim and _told(held, ""):
        return True  # "eyes good nose good"
    if word.text not in _STARTS and word.text != "there":
        return False
    before = sentence[place - 1]
    if before.text in PREPOSITIONS or before.text in _JOINS or before.text in _EMBEDS or before.verb or before.negator:
        return False
    if not any(one.verb for one in held):
        return False
    if word.text == "there":
        return place + 1 < len(sentence) and (sentence[place + 1].verb or "parts" in sentence[place + 1].roles)
    end = subject_end(sentence, place)
    return 0 < end < len(sentence) and sentence[end].verb


def _goes_on(sentence: Sequence[Word], place: int, held: Sequence[Word], opener: str) -> bool:
    start = place + 1
    while start < len(sentence) and sentence[start].text in ("and", ",", "also", "then", "in", "turn", "too") and start < place + 4:
        start += 1
    if start >= len(sentence):
        return False
    if opener in CONDITIONS and sentence[place].text == ",":
        return any(one.verb for one in held) or sentence[start].text in _SPEAKERS
    first, verb = sentence[start], any(one.verb for one in held)
    comma = sentence[place].text == ","
    told = verb or _told(held, opener) or (comma and (held[0].text in PREPOSITIONS or opener == "despite"))
    if first.verb and not held[-1].verb and sentence[place].text != "or":
        return told or (comma and opener in _ASIDE)
    if first.text in BREAKS or first.text in PREPOSITIONS:
        return False
    listed = comma and "deeds" in first.roles and not any(one.negator for one in held)
    if listed and any(one.region for one in held) and any(one.claim for one in held):
        return any(one.region for one in sentence[start + 1 : start + 5])  # "artifacts in the mouth, artifacts in the skin"
    if not told:
        return False
    if first.claim and start + 2 < len(sentence) and sentence[start + 1].verb:
        return any(one.region for one in sentence[start + 2 : start + 4])  # "what is wrong is the mouth"
    if first.text in PRONOUNS and first.text not in DETERMINERS - {"this", "it"} and start + 1 < len(sentence):
        return first.text in ("nothing", "none", "everything", "restofit") or any(one.verb or one.text in ("of", "not") for one in sentence[start + 1 : start + 3])
    if sentence[place].text == "or" or _embedded(held):
        return False
    end = _subjects_end(sentence, start) if comma else subject_end(sentence, start)
    if not 0 < end < len(sentence):
        return False
    after = sentence[end + 1] if sentence[end].text == "that" and end + 1 < len(sentence) else sentence[end]
    return after.predicate


def _embedded(held: Sequence[Word]) -> bool:
    """Whether a clause ends with a subject whose verb is to come: "I do not believe that the nose"."""
    back = next((one for one in reversed(held) if not (one.region or one.text in _FILL or one.text in _JOINS)), None)
    return back is not None and back.text in _EMBEDS and held[-1].region != ""


def _subjects_end(words: Sequence[Word], start: int) -> int:
    """Where noun phrases that are joined end: "both the nose and the mouth"."""
    end = subject_end(words, start)
    for _ in range(3):
        if not 0 < end < len(words) - 1 or words[end].text not in ("and", ","):
            break
        after = subject_end(words, end + 1 + (words[end + 1].text == "and"))
        if after < 0:
            break
        end = after
    return end


def _told(held: Sequence[Word], opener: str) -> bool:
    """Whether a verbless clause is whole: a region with a claim, "teeth fine"."""
    named = next((place for place, one in enumerate(held) if one.region), None)
    return any(one.claim or one.text == "too" for one in held[named + 1 :]) if named is not None else bool(opener) and any(one.claim for one in held)


def subject_end(words: Sequence[Word], start: int) -> int:
    """Where the noun phrase that begins at `start` ends, with what hangs on it by prepositions; -1 where none does."""
    place, stop = start, min(len(words), start + WIDEST)
    head = False
    while place < stop:
        word = words[place]
        if word.region or word.roles & _NOUNS:
            head = True
        elif head and word.text in PREPOSITIONS:
            if place + 1 < stop and words[place + 1].text in ("it", "them", "him", "her", "us"):
                return place + 2
            inner = subject_end(words, place + 1)
            return inner if inner > 0 else place + 1
        elif head and _adjective(word) and not word.claim and place + 1 < stop and words[place + 1].verb:
            return place + 1  # "the iris pattern is"
        elif head or not _adjective(word):
            break
        place += 1
    return place if head else -1


_NOUNS = frozenset(("elsewhere", "owners", "parts", "deeds"))


def _adjective(word: Word) -> bool:
    if word.text in DETERMINERS:
        return True
    return word.text.isalpha() and not (
        word.verb or word.negator or word.text in PREPOSITIONS or word.text in _JOINS or word.text in BREAKS or word.text in PRONOUNS
    )


MARKERS = {"unlike": "unlike", "than": "than", "except": "except", "insteadof": "not", "likewise": "likewise"}


def groups(words: Sequence[Word]) -> list[Group]:
    """The regions that a clause names, those joined ("the nose and the mouth") together."""
    found: list[Group] = []
    place, kind, since = 0, "", 0
    while place < len(words):
        word = words[place]
        if word.text in MARKERS:
            kind, since = MARKERS[word.text], place
        elif word.text == "not":
            kind, since = "not", place
        elif word.text in ("as", "like") and (word.text == "like" or any(one.text == "as" for one in words[max(0, place - 4) : place])):
            kind, since = "likewise", place
        elif word.text == "that" and any(one.text in ("more", "less") for one in words[max(0, place - 6) : place]):
            kind, since = "than", place
        elif kind in ("not", "likewise") and (word.verb or word.claim or place - since > 5):
            kind = ""
        elif word.text == "," and kind:
            kind = ""
        if not word.region:
            place += 1
            continue
        group = _group(words, place, kind, bool(kind and since and words[since - 1].text == "," or words[since].text == "insteadof"))
        found.append(group)
        place, kind = group.end, ""
    return found


def _group(words: Sequence[Word], start: int, kind: str, apart: bool) -> Group:
    named, end, place = [words[start].region], start + 1, start + 1
    joined = False
    strange = False
    hung = any(one.claim or one.text in PREPOSITIONS for one in words[max(0, start - 3) : start])
    while place < len(words):
        word = words[place]
        if word.region and (joined or place == end):
            named.append(word.region)
            end, joined = place + 1, False
        elif word.text in _JOINS or word.text == "to":
            if (kind or hung) and word.text == "," and _predicated(words, place + 1):
                break
            joined, strange = True, False
        elif strange and word.text in PREPOSITIONS:
            break
        elif place - end > 7 or not (word.text in _FILL or (joined and ("elsewhere" in word.roles or _plain(word)))):
            break
        else:
            strange = strange or word.text not in _FILL
        place += 1
    return Group(tuple(dict.fromkeys(named)), start, end, kind, apart)


def _plain(word: Word) -> bool:
    return _adjective(word) and not word.claim and word.text not in MARKERS


def _predicated(words: Sequence[Word], start: int) -> bool:
    end = subject_end(words, start)
    return 0 < end < len(words) and words[end].predicate
