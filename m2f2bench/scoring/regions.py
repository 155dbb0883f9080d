"""Which regions of the face an answer calls manipulated, and how well they agree with those that are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import verdict_words as words
from .gloss import in_english
from .prose import PICTURE, general, sentences, verdicts_by_subject
from .stated import objects
from .statistic import Bools, Statistic, Sums, ratio
from .verdict import f1_of

WORDS = Path(__file__).with_name("regions.yaml")
"""The words of regions, faults and merits."""
SKIN = "skin"
LONGEST = 40
"""Letters of the longest word that is stemmed; the stemmer's own recursion grows with a word's length."""

_DETERMINERS = frozenset(("the", "his", "her", "their", "this", "both", "its"))
_JOINING = frozenset(
    ("and", "or", "nor", ",", "/", "the", "both", "'", "person", "well", "as", "left", "right", "his", "her")
)
_VERBS = words.COPULAS | words.wordset(
    "do does did lack lacks lookes can could might may show shows match matches align aligns fit fits seem keep"
)
_NEGATORS = (words.NEGATORS | {"less", "notany"}) - words.wordset("lack lacks lacking fail fails failed unlikely")
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


_AUXILIARY = frozenset(["do", "does", "did", "is", "are", "was", "were", "has", "have"])
_ALL_BUT = re.compile(
    r"(?:everything|all (?:the )?(?:features|regions|parts|areas)|every (?:feature|region|part|area)) (?:but|except|save|not)(?: for)? "
    r"((?:the |his |her |and |, )*\w+(?:(?: and|,) (?:the |his |her )?\w+)*?) (?=(?:is|are|has|have|looks?|seems?|appears?|was|were|'|—|:|,)\b|[—:,])(.*)"
)
_NOTHING_BUT = re.compile(
    r"(?:nothing|no (?:region|area|part|feature)) (?:but|except)(?: for)? ((?:the |his |her )?\w+(?: and (?:the |his |her )?\w+)?)|"
    r"except (?:for )?((?:the |his |her )?\w+(?: and (?:the |his |her )?\w+)?) .*\b(?:nothing|no|none|not|rest|everything|all)\b"
)
_EXPLAINED = re.compile(
    r"what (?:might |may |could )?(?:looks?|seems?|appears?) (?:like |to be )?.* (?:is|are) (?:just|only|simply|merely|really|actually)\b"
)
_TICKS = re.compile(
    r"\b([a-z]+)[\s*_]*[:=]?[\s*_]*([✅✓✔❌✗✘])|([✅✓✔❌✗✘])️?[\s*_]*([a-z]+)\b(?![\s*_]*[:=]?[\s*_]*[✅✓✔❌✗✘])"
)
_LISTS = re.compile(
    r"manipulat|alter|fake|forg|tamper|suspic|edit|swap|artifact|artefact|anomal|inconsisten|unnatural|regions?$|areas?$|parts?$|evidence"
)
_STATES = re.compile(r"\b([a-z]+)\s*[=:]\s*(0|1|yes|no|true|false|real|fake|manipulated|natural)\b")
_HEADED = re.compile(
    r"(?:^|[\n.*_])([^\n.:]{0,40}\b(?:regions?|areas?|parts?|features?|spots?|regionen|bereiche|zonas?|zones?|regiones|区域|部位)\b[^\n.:]{0,25})[\s*_]*:"
    r"([^\n]*)((?:\n\s*(?:[-*•]|\d+[.)])[^\n]*)*)"
)
_SPARED = re.compile(
    r"\b(?:real|authentic|natural|unaltered|untouched|unaffected|normal|genuine|intact|consistent|clean|no|not)\b"
)
_NAMES = re.compile(r"region|area|part|feature|name|location|where")
_WORD = re.compile(r"[^\W\d_]+")


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

    plain = {
        key: stems(held[key]) for key in ("elsewhere", "surface", "carriers", "faults", "merits", "outright", "listing")
    }
    plain["faults"] |= stems(sorted(words.SAYS_FAKE))
    plain["outright"] |= stems(sorted(words.SAYS_FAKE))
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
    listed = _listed(text, known)
    if listed is not None:
        return listed
    called: set[str] = set()
    about: tuple[str, ...] = ()
    before = _Clause()
    for sentence in sentences(text):
        if _says_nothing(sentence):
            continue
        if (apart := _all_but(sentence, known)) is not None:
            called |= apart
            continue
        before = replace(before, mark="", accuses=False)
        for clause, mark in _clauses(sentence):
            stems = [_stem(word) for word in clause]
            named = _named(clause, stems, known)
            pronoun = any(word in _PRONOUNS for word in clause[:3])
            kept = pronoun or (before.mark in (":", "—") and bool(about))
            about = named if named is not None else about if kept else ()
            regions = about or _surface(stems, known)
            if before.mark == "because" and before.accuses and clause[0] in _ACCUSES:
                called |= set(about)
            elif before.mark == ":" and before.accuses and named is not None:
                called |= {known.region[stem] for stem in stems if stem in known.region}
            elif named and (short := _short(clause, stems, known)) is not None:
                called |= set(named) if (before.praise if short else before.fault) else set()
            called |= {one for one in regions if _at_fault(clause, stems, one, known, one in praised)}
            accuses = _accuses(clause, stems, known) or (before.accuses and mark == before.mark == ":")
            denied = any(word in _NEGATORS for word in clause)
            fault, merit = (any(stem in group for stem in stems) for group in (known.faults, known.merits))
            before = _Clause(mark, accuses, fault, merit and not fault and not denied)
    return frozenset(called)


@dataclass(frozen=True)
class _Clause:
    """What a clause leaves to the next: the word it was cut at, and what it said."""

    mark: str = ""
    accuses: bool = False
    fault: bool = False
    praise: bool = False


def _says_nothing(sentence: list[str]) -> bool:
    """Whether a sentence speaks of pictures in general, declines, or explains something away."""
    whole = " ".join(sentence)
    return general(sentence) or bool(words.REFUSES.search(whole)) or bool(_EXPLAINED.match(whole))


def _short(clause: list[str], stems: list[str], known: Lexicon) -> bool | None:
    """Of "the mouth does (not)", which repeats what was said of another region: whether it denies; else None."""
    rest = [w for w, stem in zip(clause, stems, strict=True) if stem not in known.region and w not in _DETERMINERS]
    rest = [word for word in rest if word not in ("and", ",", "'", "or")]
    if rest and all(word in _AUXILIARY or word == "not" for word in rest) and any(word in _AUXILIARY for word in rest):
        return "not" in rest
    return None


def _all_but(sentence: list[str], known: Lexicon) -> frozenset[str] | None:
    """Of "everything but the nose is altered" all other regions, of "… looks natural" the one; None without it."""
    whole = " ".join(sentence)
    if (only := _NOTHING_BUT.match(whole)) and (named := _regions_in(only.group(1) or only.group(2), known)):
        return frozenset(named)
    found = _ALL_BUT.match(whole)
    if found is None:
        return None
    inner = {known.region[_stem(word)] for word in found.group(1).split() if _stem(word) in known.region}
    stems = [_stem(word) for word in found.group(2).split()]
    if not inner:
        return None
    fault = any(stem in known.faults for stem in stems)
    return frozenset(set(known.region.values()) - inner) if fault else frozenset(inner)


def _listed(text: str, known: Lexicon) -> frozenset[str] | None:
    """The regions that JSON, a table or ticks call; None where there is none of these."""
    plain = in_english(unicodedata.normalize("NFKC", text).lower())
    found: set[str] = set()
    seen = False
    for value in objects(plain):
        seen |= _from_json(value, known, found, False)
    for name, mark, mark2, name2 in _TICKS.findall(plain):
        if region := known.region.get(_stem(name or name2)):
            seen = True
            found |= {region} if (mark or mark2) in "❌✗✘" else set()
    pairs = [
        (known.region[_stem(name)], state) for name, state in _STATES.findall(plain) if _stem(name) in known.region
    ]
    if len({name for name, _ in pairs}) > 1:
        seen = True
        found |= {name for name, state in pairs if state in ("1", "yes", "true", "fake", "manipulated")}
    for head, row, bullets in _HEADED.findall(plain):
        if not _SPARED.search(head) and (_LISTS.search(head) or row.strip()):
            named = _regions_in(row if row.strip(" *_") else bullets, known)
            seen, found = seen or bool(named), found | named
    for line in plain.splitlines():
        cells = [cell.strip(" *_") for cell in line.strip().strip("|").split("|")]
        if line.count("|") > 1 and len(cells) > 1 and (regions := _regions_in(cells[0], known)):
            seen = True
            found |= regions if any(_bad(cell, known) for cell in cells[1:]) else set()
    return frozenset(found) if seen else None


def _from_json(value: Any, known: Lexicon, found: set[str], listing: bool) -> bool:
    """Add the regions that a parsed value calls; whether it tells of any. `listing`: it stands under "manipulated"."""
    seen = False
    if isinstance(value, dict):
        for key, one in value.items():
            regions = _regions_in(str(key), known)
            lists = _LISTS.search(str(key)) is not None
            if regions and not isinstance(one, (dict, list)):
                seen = True
                bad = one if isinstance(one, bool) else _bad(str(one), known)
                found |= regions if bad else set()
            elif lists and isinstance(one, str):
                seen = True
                found |= _regions_in(one, known)
            elif isinstance(one, (dict, list)):
                if regions and isinstance(one, dict):
                    inner: set[str] = set()
                    bad = any(v is True or (isinstance(v, str) and _bad(v, known)) for v in one.values())
                    found |= regions if bad else inner
                    seen = True
                else:
                    seen |= _from_json(one, known, found, lists) or (lists and not one)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, str) and listing:
                seen = True
                found |= _regions_in(one, known)
            elif isinstance(one, dict):
                names = {
                    r
                    for key, v in one.items()
                    if isinstance(v, str) and _NAMES.search(key)
                    for r in _regions_in(v, known)
                }
                states = [v for key, v in one.items() if not _NAMES.search(key)]
                if names:
                    seen = True
                    told = [v if isinstance(v, bool) else _bad(v, known) for v in states if isinstance(v, (bool, str))]
                    found |= names if any(told) or (listing and not told) else set()
                else:
                    seen |= _from_json(one, known, found, listing)
    return seen


def _regions_in(text: str, known: Lexicon) -> set[str]:
    return {known.region[stem] for word in _WORD.findall(text) if (stem := _stem(word)) in known.region}


def _bad(text: str, known: Lexicon) -> bool:
    """Whether a state in a few words is a fault: "warped", "yes", "not natural"."""
    found = _WORD.findall(text)
    negated = any(word in _NEGATORS for word in found)
    stems = [_stem(word) for word in found]
    if found[:1] in (["yes"], ["true"], ["suspicious"]):
        return True
    if found[:1] in (["no"], ["false"], ["none"], ["ok"], ["okay"]):
        return False
    fault, merit = (any(stem in group for stem in stems) for group in (known.faults, known.merits))
    return (fault and not negated) or (merit and negated)


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
        if word in _BREAKS or (not example and _begins(sentence, place, bool(clause), verb)):
            if clause:
                yield clause, word
            clause, example, verb = [], False, False
            condition = word in words.CONDITIONS or (condition and word not in _BREAKS)
        elif word == ",":
            condition = False
        if word in ("unlike", "despite") and not clause:
            condition = True
        if word in ("would", "'d") and not {"i", "say"} & set(sentence[max(0, place - 2) : place + 3]):
            condition = True
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
    if before == "," and verb and any(_stem(one) in lexicon().region for one in sentence[place : place + 2]):
        return True
    if word in ("it", "they") and before == "," and behind[:1] and behind[0] in _VERBS:
        return True
    if before == "that":
        return False
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
        elif (
            found
            and clause[place] not in _JOINING
            and not (place and clause[place - 1] in ("and", "as", "or") and clause[place] in _PREPOSITIONS)
        ):
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
            if not negated and not _excused(clause, stems, place, known):
                return True
            fault = True
        elif stem in known.merits and negated and (not outright or word in words.SAYS_REAL):
            return True
        elif word in ("have", "has") and negated:
            hollow = not outright
    return hollow and not fault


def _excused(clause: list[str], stems: list[str], place: int, known: Lexicon) -> bool:
    """Whether a fault is called fine behind a copula: "the slight asymmetry of the brows is perfectly normal"."""
    copula = next((i for i in range(place + 1, len(clause)) if clause[i] in ("is", "are", "looks", "seems")), None)
    if copula is None or any(word in _NEGATORS for word in clause[copula:]):
        return False
    return any(stem in known.merits for stem in stems[copula:]) and not any(s in known.faults for s in stems[copula:])


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
