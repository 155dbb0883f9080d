"""Which regions of the face an answer calls manipulated, and how well they agree with those that are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import verdict_words as words
from .statistic import Bools, Statistic, Sums, ratio
from .prose import PICTURE, sentences, verdicts_by_subject
from .verdict import f1_of

WORDS = Path(__file__).with_name("regions.yaml")
"""The words of regions, faults and merits."""
SKIN = "skin"
LONGEST = 40
"""Letters of the longest word that is stemmed; the stemmer's own recursion grows with a word's length."""

_DETERMINERS = frozenset(("the", "his", "her", "their", "this", "both", "its"))
_JOINING = frozenset(("and", "or", "nor", ",", "/", "the", "both", "'", "person", "well", "as", "left", "right", "his", "her"))
_VERBS = words.COPULAS | words.wordset(
    "do does did lack lacks lookes can could might may show shows match matches align aligns fit fits seem keep"
)
_NEGATORS = (words.NEGATORS | {"less", "notany"}) - words.wordset("lack lacks lacking fail fails failed doubt doubts unlikely")
_BREAKS = (words.BREAKS | words.CONCEDES | words.CONDITIONS) - {"(", ")"}
_PREPOSITIONS = words.wordset(
    "on of in to with around near at from between above below under over beside across behind"
)
_PRONOUNS = frozenset(("it", "they", "these", "those", "which", "them"))
_COMPARED = words.wordset(
    "larger bigger smaller higher lower wider narrower darker brighter lighter longer shorter thicker thinner redder paler "
    "blurrier softer rounder"
)
_ACCUSES = words.wordset("of by from at around on in to about near")
"""Behind "because", "due" or "given away" these name what the picture is called fake for."""


@dataclass(frozen=True)
class Lexicon:
    """The words of `regions.yaml` by their stems."""

    region: dict[str, str]
    elsewhere: frozenset[str]
    surface: frozenset[str]
    carriers: frozenset[str]
    faults: frozenset[str]
    faults_of: dict[str, frozenset[str]]
    merits: frozenset[str]
    outright: frozenset[str]
    listing: frozenset[str]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The words by which regions, faults and merits are told, read once."""
    import yaml

    held: dict[str, Any] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))

    def stems(listed: Sequence[str]) -> frozenset[str]:
        return frozenset(_stem(word) for word in listed)

    plain = {key: stems(held[key]) for key in ("elsewhere", "surface", "carriers", "faults", "merits", "outright", "listing")}
    region = {stem: name for name, listed in held["regions"].items() for stem in stems(listed)}
    return Lexicon(region=region, faults_of={k: stems(v) for k, v in held["faults_of"].items()}, **plain)


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    return str(_stemmer().stem(word)) if len(word) <= LONGEST else word


def known_regions() -> tuple[str, ...]:
    """The regions that can be called: skin, eyes, eyebrows, nose, mouth."""
    return tuple(dict.fromkeys(lexicon().region.values()))


def called_regions(text: str) -> frozenset[str]:
    """The regions of `known_regions` that an answer calls manipulated.

    Goes by clauses: the region that a clause is about is called where the clause finds a fault that it does not deny
    ("the eyes look asymmetric", not "there are no boundaries on the skin") or denies a merit ("the nose does not
    align"). Traits ("naturally round eyes", "smooth skin") are no faults. Boundaries, stains and brighter or darker
    areas of the face are the skin's. Of a region that the answer calls real, or of any where it calls the picture
    real, only being called fake outright counts. Time is linear in the text.
    """
    known = lexicon()
    real = [subject for subject, verdict in verdicts_by_subject(text).items() if verdict == "real"]
    praised = set(known.region.values()) if PICTURE in real else {known.region.get(_stem(word)) for word in real}
    called: set[str] = set()
    about: tuple[str, ...] = ()
    for sentence in sentences(text):
        ends = ""
        accused = False
        for clause, mark in _clauses(sentence):
            stems = [_stem(word) for word in clause]
            named = _named(clause, stems, known)
            pronoun = any(word in _PRONOUNS for word in clause[:3])
            kept = pronoun or (ends == ":" and bool(about))
            about = named if named is not None else about if kept else ()
            regions = about or _surface(stems, known)
            if ends == "because" and accused and clause[0] in _ACCUSES:
                called |= set(about)
            elif ends == ":" and accused and named is not None:
                called |= {known.region[stem] for stem in stems if stem in known.region}
            called |= {one for one in regions if _at_fault(clause, stems, one, known, one in praised)}
            accused = _accuses(clause, stems, known) or (accused and mark == ends == ":")
            ends = mark
    return frozenset(called)


def _accuses(clause: list[str], stems: list[str], known: Lexicon) -> bool:
    """Whether a clause calls the picture, or a list that follows it, fake: "fake (because …)", "manipulated regions:"."""
    outright = any(stem in known.outright for stem in stems) or any(stem in known.listing for stem in stems)
    return outright and not any(word in _NEGATORS for word in clause)


def _clauses(sentence: list[str]) -> Iterator[tuple[list[str], str]]:
    """A sentence cut at conjunctions and where a new subject begins, each piece with the word it was cut at.

    Examples ("such as pores") are left out, and what stands in a condition.
    """
    clause: list[str] = []
    example = condition = verb = False
    for place, word in enumerate(sentence):
        if word in _BREAKS or _begins(sentence, place, bool(clause), verb):
            if clause:
                yield clause, word
            clause, example, verb = [], False, False
            condition = word in words.CONDITIONS or (condition and word not in _BREAKS)
        elif word == ",":
            condition = False
        if word == "such" and sentence[place + 1 : place + 2] == ["as"]:
            example = True
        if not (example or condition or word in _BREAKS):
            clause.append(word)
            verb = verb or (word in _VERBS and word != "'")
    if clause:
        yield clause, ""


def _begins(sentence: list[str], place: int, inside: bool, verb: bool) -> bool:
    """Whether a new subject with its verb begins at a word: "there are …", "the person's …", "the left eye looks …".

    It does not behind a preposition, nor where it is only joined to a subject whose verb is still to come: `inside` a
    clause that has no `verb` yet.
    """
    word, behind = sentence[place], sentence[place + 1 : place + 5]
    before = sentence[place - 1] if place else ""
    if not behind or before in _PREPOSITIONS or (before in _JOINING and inside and not verb):
        return False
    if word == "there":
        return behind[0] in _VERBS or behind[0] == "area"
    if word not in _DETERMINERS:
        return False
    if behind[:2] in (["person", "'"], ["person", "has"], ["person", "have"]):
        return True
    for number, one in enumerate(behind):
        if one in _VERBS and number > 0 and one != "'":
            known = lexicon()
            stem = _stem(behind[number - 1])
            return stem in known.region or stem in known.elsewhere
    return False


def _named(clause: list[str], stems: list[str], known: Lexicon) -> tuple[str, ...] | None:
    """The region a clause is about, with those joined to it ("the nose and the mouth"); None where it names nothing.

    Empty where it is about something that is no region ("mismatched beard").
    """
    found: list[str] = []
    for place, stem in enumerate(stems):
        region = known.region.get(stem)
        if region:
            found.append(region)
        elif stem in known.elsewhere and not _owner(clause, place):
            if found:
                break
            if not any(one in known.region for one in stems[place + 1 : place + 4]) or clause[place + 1] != "and":
                return ()
        elif found and clause[place] not in _JOINING:
            break
    return tuple(dict.fromkeys(found)) or None


def _owner(clause: list[str], place: int) -> bool:
    """Whether a noun only says whose region it is, or where: "the person's", "the person has", "in the image"."""
    word, after = clause[place], clause[place + 1 : place + 2]
    owner = word in ("person", "man", "woman", "image", "picture", "photo", "head", "expression")
    return owner and (after in (["'"], ["has"], ["have"], ["does"], ["only"]) or place > 0)


def _surface(stems: list[str], known: Lexicon) -> tuple[str, ...]:
    on_it = any(stem in known.carriers for stem in stems)
    return (SKIN,) if on_it and any(stem in known.surface for stem in stems) else ()


def _at_fault(clause: list[str], stems: list[str], region: str, known: Lexicon, outright: bool) -> bool:
    """Whether a clause finds a fault, or denies a merit."""
    faults = known.outright if outright else known.faults | known.faults_of.get(region, frozenset())
    negated = hollow = fault = False
    for place, (word, stem) in enumerate(zip(clause, stems, strict=True)):
        if word in _NEGATORS:
            negated, hollow = not negated or (word == "nor" and negated) or word == "notany", False
        elif word in _COMPARED and not outright and "than" in clause[place + 1 : place + 8] and not negated:
            return True
        elif word == "naturally" and not negated:
            break  # "naturally misaligned teeth" is a trait
        elif stem in faults or (word == "too" and not outright and place + 1 < len(clause)):
            if not negated:
                return True
            fault = True
        elif stem in known.merits and negated and (not outright or word in words.SAYS_REAL):
            return True
        elif word in ("have", "has") and negated:
            hollow = not outright
    return hollow and not fault


def region_statistics(
    called: Sequence[frozenset[str]], truth: Sequence[frozenset[str] | None], asked: Bools
) -> dict[str, Statistic]:
    """`region_precision`, `region_recall` and `region_f1` of called regions [N] against those truly manipulated [N].

    Micro averages: true positives, false positives and false negatives are summed over the items before they are
    divided, so that an answer that names many regions weighs more. An item without a known truth (None), or not
    `asked`, bool [N], adds nothing. A real image has an empty truth: whatever is called there is a false positive.
    The control to hold it against calls all regions of every image.
    """
    has = np.array([one is not None for one in truth], dtype=np.bool_) & asked
    pairs = [(said, true or frozenset()) for said, true in zip(called, truth, strict=True)]
    rows = [(len(said & true), len(said - true), len(true - said)) for said, true in pairs]
    counts = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    return {
        "region_precision": Sums(counts, lambda sums: ratio(sums[0], sums[0] + sums[1]), has),
        "region_recall": Sums(counts, lambda sums: ratio(sums[0], sums[0] + sums[2]), has),
        "region_f1": Sums(counts, f1_of, has),
    }
