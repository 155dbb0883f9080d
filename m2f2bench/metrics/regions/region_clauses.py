"""Clauses of a sentence, separated where a new statement begins, and the groups of regions that each names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..verdicts.verdict_words import WORDS
from .region_words import GRAMMAR, Word

WIDEST = 9
"""Most words of a noun phrase."""
NOUNS = frozenset(("elsewhere", "owners", "parts", "deeds"))
"""Roles of nouns that are not regions."""
FARTHEST = 7
"""Most words between two joined regions."""


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
        breaks = word.text in GRAMMAR["breaks"]
        if example:
            starts = (place > example or _owned(sentence, place)) and _runs_on(sentence, place, held)
        else:
            starts = bool(held) and _begins(sentence, place, held, opener)
        if breaks or starts:
            if held:
                yield Clause(tuple(held), opener, word.text)
            marked = breaks or word.text in GRAMMAR["joins"]
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
    texts = [one.text for one in sentence[place : place + 2]]
    return texts[0] == "the" and texts[-1] in GRAMMAR["people"]


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
        if word.text in GRAMMAR["adverbs"] and behind and ahead and not epithet and _inside(kept, behind[0], ahead[0]):
            if kept[-1].text == "," and comma:
                kept.pop()
            skip = comma
            continue
        kept.append(word)
    return kept


def _inside(kept: Sequence[Word], before: Word, after: Word) -> bool:
    """Return whether a "but" is between a subject and its verb, or a verb and its predicate."""
    if before.verb:
        return after.claim and before.text in WORDS["copulas"]
    if not (before.region or before.roles & NOUNS):
        return False
    if after.verb or after.claim or after.negator:
        return True
    since = max((place for place, one in enumerate(kept[:-1]) if one.text == ","), default=-1)
    alone = not any(one.verb or one.claim or one.negator for one in kept[since + 1 :])
    return alone and not (after.region or after.text in _NEW)


_NEW = GRAMMAR["pronouns"] | GRAMMAR["determiners"] | GRAMMAR["prepositions"]


def _begins(sentence: Sequence[Word], place: int, held: Sequence[Word], opener: str) -> bool:
    """Return whether a new statement begins at a word, or after it if it is a comma or "and"."""
    word = sentence[place]
    if word.text in (",", "and", "or"):
        start = place + 1
        while start < min(len(sentence), place + 4) and sentence[start].text in GRAMMAR["again"]:
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


def _runs_on(sentence: Sequence[Word], place: int, held: Sequence[Word]) -> bool:
    """Return whether a new subject and verb follow without a mark: "they are blurry the nose is bent"."""
    word, before = sentence[place], sentence[place - 1]
    if word.text not in GRAMMAR["starts"] and word.text != "there":
        return False
    inside = before.text in GRAMMAR["prepositions"] | GRAMMAR["joins"] | GRAMMAR["embeds"]
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
    if opener in GRAMMAR["conditions"] and comma:
        return verb or first.text in GRAMMAR["speakers"]
    hung = comma and (held[0].text in GRAMMAR["prepositions"] or opener == "despite")
    whole = verb or hung or _is_whole(held, opener)
    if first.verb and (comma or not held[-1].verb) and mark != "or":
        return whole or (comma and opener in GRAMMAR["aside"])
    if first.text in GRAMMAR["breaks"] or first.text in GRAMMAR["prepositions"]:
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
        return first.text in GRAMMAR["whole"] or any(one.verb or one.text in ("of", "not") for one in ahead)
    if mark == "or" or _embedded(held):
        return False
    end = subjects_end(sentence, start) if comma else subject_end(sentence, start)
    if not 0 < end < len(sentence):
        return False
    after = sentence[end + 1] if sentence[end].text == "that" and end + 1 < len(sentence) else sentence[end]
    return after.predicate


def _hangs(word: Word) -> bool:
    return word.text in GRAMMAR["prepositions"] and word.text != "of"


_SUBJECTS = GRAMMAR["pronouns"] - (GRAMMAR["determiners"] - {"this", "it"})


def _lists(first: Word, held: Sequence[Word]) -> bool:
    """Return whether a repeated fault begins the next item: "artifacts in the mouth, artifacts in the skin"."""
    whole = any(one.region for one in held) and any(one.claim for one in held)
    return "deeds" in first.roles and whole and not any(one.negator for one in held)


def _embedded(held: Sequence[Word]) -> bool:
    """Return whether a clause ends with a subject whose verb follows: "I do not believe that the nose"."""
    within = GRAMMAR["fill"] | GRAMMAR["joins"]
    back = next((one for one in reversed(held) if not (one.region or one.text in within)), None)
    return back is not None and back.text in GRAMMAR["embeds"] and held[-1].region != ""


def _is_whole(held: Sequence[Word], opener: str) -> bool:
    """Return whether a clause without a verb is complete: a region with a claim, "teeth fine"."""
    named = next((place for place, one in enumerate(held) if one.region), None)
    if named is None:
        return bool(opener) and any(one.claim for one in held)
    return any(one.claim or one.text == "too" for one in held[named + 1 :])


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
    if text in ("not", "insteadof"):
        return "not"
    if text in GRAMMAR["markers"]:
        return text
    if text == "like" or (text == "as" and any(one.text == "as" for one in words[max(0, place - 4) : place])):
        return "likewise"
    if text == "that" and any(one.text in ("more", "less") for one in words[max(0, place - 6) : place]):
        return "than"
    return ""


def _group(words: Sequence[Word], start: int, kind: str, apart: bool) -> Group:
    """Return the group that begins with the region at `start`."""
    named, end, place = [words[start].region], start + 1, start + 1
    joined = strange = False
    hung = any(one.claim or one.text in GRAMMAR["prepositions"] for one in words[max(0, start - 3) : start])
    while place < len(words):
        word = words[place]
        if word.region and (joined or place == end):
            named.append(word.region)
            end, joined = place + 1, False
        elif word.text in GRAMMAR["joins"] or word.text == "to":
            if (kind or hung) and word.text == "," and predicated(words, place + 1):
                break
            joined, strange = True, False
        elif (strange and word.text in GRAMMAR["prepositions"]) or place - end > FARTHEST or not _within(word, joined):
            break
        else:
            strange = strange or word.text not in GRAMMAR["fill"]
        place += 1
    return Group(tuple(dict.fromkeys(named)), start, end, kind, apart)


def _within(word: Word, joined: bool) -> bool:
    """Return whether a word may be between two regions of a group; after "and", also an adjective or another noun."""
    plain = adjective(word) and not word.claim and word.text not in GRAMMAR["markers"]
    return word.text in GRAMMAR["fill"] or (joined and ("elsewhere" in word.roles or plain))


def subject_end(words: Sequence[Word], start: int) -> int:
    """Return where the noun phrase at `start` ends, including its prepositional phrases; -1 if there is none."""
    place, stop = start, min(len(words), start + WIDEST)
    head = False
    while place < stop:
        word = words[place]
        if word.region or word.roles & NOUNS:
            head = True
        elif head and word.text in GRAMMAR["prepositions"]:
            if place + 1 < stop and words[place + 1].text in GRAMMAR["objects"]:
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
    if word.text in GRAMMAR["determiners"]:
        return True
    return word.text.isalpha() and not (word.verb or word.negator or word.text in _OTHERS)


_OTHERS = GRAMMAR["prepositions"] | GRAMMAR["joins"] | GRAMMAR["breaks"] | GRAMMAR["pronouns"]
