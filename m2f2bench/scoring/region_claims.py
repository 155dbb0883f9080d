"""What a clause claims: faults and merits, said or denied, and of which of its regions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .region_clauses import BREAKS, DETERMINERS, MARKERS, PREPOSITIONS, Clause, Group, groups
from .region_words import Word
from .verdict_words import wordset

SKIN = "skin"
_ENDING = wordset("i doubt doubts doubted doubtful")
_SPARES = wordset("spare spares spared sparing nowhere")
_NEITHER = wordset("nor notany neither")
_COMPARED = wordset(
    "larger bigger smaller higher lower wider narrower darker brighter lighter longer shorter thicker thinner redder paler "
    "blurrier softer rounder sharper smoother"
)
_AUXILIARIES = wordset("do does did is are was were has have can could")
_SMALL = _AUXILIARIES | DETERMINERS | PREPOSITIONS | wordset(
    "not no none nor neither never and or , & / too also either so well likewise as just only both same however though unlike except than it that "
    "insteadof especially particularly mainly mostly notably namely specifically primarily chiefly above all about left right upper lower "
    "i mean say would concentrate concentrates focused focuses affects affect reached reaches extends extend true person image face area "
    "region regions answer think believe guess i we probably likely perhaps possibly least even again yes"
)
_PLAINLY = wordset("confirm verify detect identify discern spot observe determine reproduce substantiate rule exclude report list object agree show shows draw raise attract worry concern suggest indicate reveal affect find notice know think say call judge see give have believe want need mean cause deserve look looks appear appears seem seems feel understand")
_SUPPOSED = wordset("would should")
_SAYING = wordset("flag single blame name list pick suspect question i say guess call point be suspicious like")
_EXPLAINS = re.compile(
    r"\b(?:due to|caused by|result of|results from|effect of|explained by|explains|comes? from|stems? from|because of|attribut\w+ to|down to|owing to|"
    r"put \w+ down to|consequence of|produced by|product of|work of|owed to|reflection of|belongs? to|typical of|thanks to)\b"
)
_MERELY = wordset("just merely simply only really actually probably surely obviously perfectly quite entirely")
_COPULA = wordset("is are was were looks look seems appears")


@dataclass(frozen=True)
class Claim:
    """A fault (`sign` 1) or merit (-1) at a place, said or `denied`."""

    place: int
    sign: int
    denied: bool

    @property
    def accuses(self) -> bool:
        """Whether it speaks against what it is said of."""
        return (self.sign > 0) != self.denied


@dataclass
class Reading:
    """What a clause says: of its subject, the regions it accuses and clears, and for the next clause its last claim."""

    subject: tuple[str, ...] | None = None
    """The regions it is about; empty: about something that is none; None: it names nothing."""
    mentioned: tuple[str, ...] = ()
    """The regions that it named last."""
    accused: set[str] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)
    vouched: set[str] = field(default_factory=set)
    """Those that it calls real outright."""
    faulted: bool = False
    """A claim that accuses, whatever of."""
    praised: bool = False
    sign: int = 0
    denied: bool = False
    bare: bool = False
    """Nothing but regions, small words and auxiliaries: what was said before goes for these, too."""
    outright: bool = False
    listing: bool = False
    excused: bool = False


def read(clause: Clause, about: tuple[str, ...], praised: frozenset[str] | set[str]) -> Reading:
    """Reads one clause; `about` are the regions that the clause before was about, `praised` those called real outright."""
    words = _supposed(clause.words)
    named = groups(words)
    found = Reading(mentioned=named[-1].regions if named else ())
    supposed = clause.words[len(words) + 1 :]
    primary = None if about and _continues(clause, words) else _primary(words, named)
    made = _claims(words, primary.start if primary else -1 if about and not named else len(words), named)
    if primary:
        found.subject = primary.regions
    elif about and _continues(clause, words):
        found.subject = about if made else None
    elif named or _of_something_else(words, clause.opener):
        found.subject = ()
    subject = found.subject if found.subject is not None else about
    found.bare = bool(named) and all(one.region or one.text in _SMALL or _soft(one) for one in words) and not made
    found.outright = any("outright" in one.roles for one in words)
    found.listing = any("listing" in one.roles for one in words)
    found.excused = bool(made) and _excused(words, made)
    for claim in made:
        if found.excused and claim.accuses:
            continue
        _place(claim, words, named, subject, found, praised)
    if not subject and named == [] and found.subject is None and (skin := _surface(words, made)):
        (found.accused if skin else found.cleared).add(SKIN)
    _own_faults(words, subject, found, praised)
    if not found.sign and supposed:
        found.sign = next((claim.sign for claim in _claims(supposed, 0, ())), 0)
    return found


def _of_something_else(words: Sequence[Word], opener: str) -> bool:
    """Whether a clause that names no region is about something that is none."""
    first = next((one for one in words if one.roles & _NOUNS or one.text in _PERSONAL), None)
    return first is not None and "elsewhere" in first.roles and not (opener == "whose" and "cast" in first.roles)


_NOUNS = frozenset(("elsewhere", "parts", "deeds", "carriers"))
_PERSONAL = wordset("it its they their them both")


def _continues(clause: Clause, words: Sequence[Word]) -> bool:
    """Whether a clause begins with its verb or predicate, so that it goes on about what the one before was about."""
    start = next((place for place, one in enumerate(words) if one.text not in (",", "and", "or", "that", "not", "also")), None)
    if start is None:
        return False
    first = words[start]
    if first.claim and clause.opener in ("(", "which", ":", "—"):
        return start + 1 >= len(words) or words[start + 1].text in PREPOSITIONS
    inverted = first.text in _COPULA and any(one.region for one in words[start + 1 : start + 3])
    return first.verb and not first.claim and not inverted


def _soft(word: Word) -> bool:
    return not word.claim and word.text.endswith("ly")


def _supposed(words: Sequence[Word]) -> tuple[Word, ...]:
    """The words up to what is only supposed: "pores one would expect"."""
    for place, word in enumerate(words):
        if word.text in _SUPPOSED and not ({one.text for one in words[max(0, place - 1) : place + 3]} & _SAYING):
            return tuple(words[:place])
    return tuple(words)


def _primary(words: Sequence[Word], named: Sequence[Group]) -> Group | None:
    """The group that a clause is about; None where that is nothing or something that is no region ("mismatched beard")."""
    plain = [group for group in named if group.kind in ("", "likewise") and not _beyond(words, group)]
    if not plain:
        return None
    first = next((group for group in plain if group.kind == ""), plain[0])
    if first.kind == "" and len(plain) > 1:
        like = [one for group in plain if group.kind == "likewise" for one in group.regions]
        first = Group(tuple(dict.fromkeys([*first.regions, *like])), first.start, first.end)
    for place in range(first.start):
        if "elsewhere" in words[place].roles and not _leads_on(words, place, first):
            return None
    return first


def _beyond(words: Sequence[Word], group: Group) -> bool:
    """Whether a clause begins with what lies beyond a region: "above the nose it is blurred"."""
    before = [one.text for one in words[: group.start] if one.text not in DETERMINERS]
    return len(before) == 1 and before[0] in _BEYOND


_BEYOND = wordset("above below beneath beyond underneath besides")


def _leads_on(words: Sequence[Word], place: int, group: Group) -> bool:
    """Whether a noun that is no region leads on to the group: "the hair of the brows", "shadow on the nose", "glasses and eyes"."""
    between = [one.text for one in words[place + 1 : group.start]]
    if not between or between[:1] == ["of"]:
        return True
    if between[0] in PREPOSITIONS and "cast" in words[place].roles:
        return True
    if len(between) <= 4 and between[0] in ("and", ",", "or", "nor", "/"):
        return True
    before = [one.text for one in words[max(0, place - 3) : place]]
    inside = any(one in PREPOSITIONS for one in before)
    return inside and not any(one in PREPOSITIONS for one in between)


def _claims(words: Sequence[Word], told: int, named: Sequence[Group]) -> list[Claim]:
    """All claims of a clause in order, with negation; "the brows, not the mouth" denies nothing of the brows.

    `told`: from which place on it is known what the clause is about.
    """
    spared = [group.start for group in named if group.kind == "not" and told < len(words)]
    made: list[Claim] = []
    scope: list[Claim] = []
    denied = doubted = words[0].text == "that" and words[-1].text in _ENDING
    lacking = False
    lack = last = 0

    def close() -> None:
        nonlocal scope, lacking
        made.extend(_settled(scope, words, denied))
        if lacking and not scope and denied:
            made.append(Claim(lack, 1, False))
        scope, lacking = [], False

    checked = False
    for place, word in enumerate(words):
        if "checks" in word.roles and place and words[0].text in ("i", "we", "looking", "when"):
            checked = True
        if checked and word.text == "for":
            break
        if "lacks" in word.roles and place and words[place - 1].text in _COPULA and not _deed_before(words, place):
            scope.append(Claim(place, 1, denied))
            continue
        if word.negator or "lacks" in word.roles:
            if doubted and "doubt" in word.text:
                break
            if word.text in ("no",) and place + 1 < len(words) and words[place + 1].text == ",":
                continue
            if word.text == "not" and any(place < start <= place + 5 for start in spared):
                continue
            absent = "lacks" in word.roles and place > 0 and _deed_before(words, place)
            last = place
            turned = denied if word.text in _NEITHER and denied else not denied
            close()
            if absent:
                made[:] = [Claim(one.place, one.sign, True) if one.sign > 0 else one for one in made]
                continue
            denied = turned or word.text == "notany"
            lacking, lack = "lacks" in word.roles or (place > told and (_helped(words, place) or _without_part(words, place))), place
        elif word.text in ("just", "merely") and denied:
            close()
            denied = False
        elif word.text in ("and", ",") and denied and scope and (_verb_ahead(words, place + 1) or _turns(scope, words, place)):
            close()
            denied = False
        elif word.text == "naturally" and not denied and any(one.fault for one in words[place + 1 : place + 3]):
            break
        elif (sign := _sign(words, place, denied)) != 0:
            scope.append(Claim(place, sign, denied))
        elif word.verb and scope and not denied:
            made.extend(scope)
            scope = []
    if denied and not scope and not lacking and _deed_before(words, last):
        made[:] = [Claim(one.place, one.sign, True) if one.sign > 0 else one for one in made]
    close()
    return made


def _sign(words: Sequence[Word], place: int, denied: bool) -> int:
    word = words[place]
    if word.text == "too" and place + 1 < len(words) and words[place + 1].text.isalpha():
        return 1
    if word.text in _COMPARED and any(one.text in ("than", "that") for one in words[place + 1 : place + 8]):
        return 1
    if word.fault:
        return 1
    return -1 if word.merit else 0


def _settled(scope: Sequence[Claim], words: Sequence[Word], denied: bool) -> list[Claim]:
    """The claims under one negation: where a fault is denied, the merits about it are not."""
    if not denied or not any(one.sign > 0 for one in scope):
        return list(scope)
    if scope[0].sign < 0 and "fitting" in words[scope[0].place].roles:
        return [scope[0]]
    return [one for one in scope if one.sign > 0]


def _deed_before(words: Sequence[Word], place: int) -> bool:
    """Whether what is denied at a place is a fault that the clause is about: "artifacts are not visible around the eyes"."""
    if place < len(words) and words[place].text not in _SPARES and not (words[place - 1].verb or "lacks" in words[place].roles):
        return False
    first = next((at for at, one in enumerate(words[:place]) if "deeds" in one.roles or one.region or one.negator), None)
    return first is not None and "deeds" in words[first].roles


def _helped(words: Sequence[Word], place: int) -> bool:
    """Whether "not" denies a verb of a region that is no matter of taste: "the lids do not shut"."""
    if words[place].text != "not" or not place or words[place - 1].text not in ("do", "does", "did", "can", "could"):
        return False
    if place + 1 >= len(words):
        return False
    after = words[place + 1]
    return after.text.isalpha() and after.text not in _PLAINLY and not after.text.endswith("ly")


def _without_part(words: Sequence[Word], place: int) -> bool:
    """Whether "no" denies a region its part: "the nose has no bridge"."""
    if words[place].text not in ("no", "without"):
        return False
    return any(one.region or "parts" in one.roles or one.text.startswith("hair") for one in words[place + 1 : place + 3])


def _turns(scope: Sequence[Claim], words: Sequence[Word], place: int) -> bool:
    """Whether a fault follows a denied merit: "not ok, asymmetrical"."""
    return all(one.sign < 0 for one in scope) and any(one.fault for one in words[place + 1 : place + 3])


def _verb_ahead(words: Sequence[Word], start: int) -> bool:
    for word in words[start : start + 12]:
        if word.text in (",", "and", "or"):
            return False
        if word.verb:
            return True
    return False


def _excused(words: Sequence[Word], made: Sequence[Claim]) -> bool:
    """Whether a clause explains a fault: "the blur is caused by motion", "the asymmetry of the brows is perfectly normal"."""
    faults = [one for one in made if one.accuses and one.sign > 0]
    if not faults:
        return False
    text = " ".join(one.text for one in words)
    if (cause := _EXPLAINS.search(text)) and any("causes" in one.roles for one in words[text.count(" ", 0, cause.start()) :]):
        return True
    last = faults[-1].place
    if any(one.text in ("naturally", "normally") for one in words[last:]) or _believable(words, last):
        return True
    copula = next((at for at in range(faults[0].place + 1, len(words)) if words[at].text in _COPULA), None)
    if any(one.text == "asif" for one in words):
        return False
    if copula is None or any(one.negator for one in words[copula:]):
        return False
    behind = words[copula:]
    if len(behind) > 1 and behind[1].text in _MERELY and any("causes" in one.roles for one in behind):
        return True
    return any(one.merit for one in behind) and not any(one.fault for one in behind)


def _believable(words: Sequence[Word], place: int) -> bool:
    """Whether a fault is joined to what makes it none: "uneven and believable"."""
    behind = [one for one in words[place + 1 : place + 4] if not one.text.endswith("ly")]
    return len(behind) > 1 and behind[0].text in ("and", "but") and behind[1].text in _NATURAL


_THESE = wordset("this that which it both they these")
_USUAL = wordset("normal natural common expected typical usual harmless ordinary fine unremarkable")
_NATURAL = wordset("natural believable realistic normal plausible credible lifelike human")


def _place(
    claim: Claim, words: Sequence[Word], named: Sequence[Group], subject: Sequence[str], found: Reading, praised: frozenset[str] | set[str]
) -> None:
    """Gives a claim to the regions that it is made of."""
    found.faulted |= claim.accuses
    found.praised |= not claim.accuses
    found.sign, found.denied = claim.sign, claim.denied
    target: Sequence[str] = subject
    if words[claim.place].roles & {"faults", "merits"} and (group := _before_noun(claim.place, words, named)):
        target = group.regions if group.kind in ("", "likewise") else ()
    outright = "outright" in words[claim.place].roles
    if claim.accuses:
        found.accused |= {one for one in target if one not in praised or outright or (claim.sign < 0 and claim.denied and words[claim.place].text in _SAYS_REAL)}
    else:
        found.cleared |= set(target)
        found.vouched |= set(target) if words[claim.place].text in _SAYS_REAL else set()
    turned = {one for group in named if group.kind == "not" and group.apart for one in group.regions}
    if claim.sign < 0 and not claim.denied and target is subject:
        found.accused |= turned | {one for group in named if group.kind == "unlike" for one in group.regions}


_SAYS_REAL = wordset("real authentic genuine legitimate unaltered untouched original")


def _before_noun(place: int, words: Sequence[Word], named: Sequence[Group]) -> Group | None:
    """The group right behind an adjective: "blurry nose", "mismatched left pupil"."""
    if words[place].text.endswith("ly") or "fitting" in words[place].roles:
        return None
    for group in named:
        if place < group.start <= place + 7:
            between = [one for one in words[place + 1 : group.start] if one.text not in ("of", "out", "up") and "parts" not in one.roles]
            plain = len(between) < 4 and all(not (one.text in MARKERS or one.text in ("as", "like") or one.verb or one.negator or one.text in PREPOSITIONS or one.text in BREAKS or one.text in ("and", ",")) for one in between)
            joined = len(between) == 2 and between[0].text in ("and", ",") and between[1].claim
            return group if plain or joined else None
    return None


def _surface(words: Sequence[Word], made: Sequence[Claim]) -> bool | None:
    """Whether stains of the face, or of areas of nothing named, are said (True) or denied (False); None without any."""
    if not any("carriers" in one.roles for one in words):
        return None
    told = [one for one in made if "surface" in words[one.place].roles]
    return any(one.accuses for one in told) if told else None


def _own_faults(words: Sequence[Word], subject: Sequence[str], found: Reading, praised: frozenset[str] | set[str]) -> None:
    """Adds the faults of single regions: a curved nose."""
    for region in subject:
        at = next((place for place, one in enumerate(words) if one.fault_of(region)), None)
        if at is not None and region not in praised and not any(one.negator for one in words[:at]):
            found.accused.add(region)
            found.faulted = True
            found.sign, found.denied = 1, False


def explains(clause: Clause) -> bool:
    """Whether a clause makes what was said harmless: "but they are simply chapped", "and that is due to the flash"."""
    words = clause.words
    text = " ".join(one.text for one in words)
    cause = _EXPLAINS.search(text)
    if cause and any("causes" in one.roles for one in words[text.count(" ", 0, cause.start()) :]):
        return True
    copula = next((at for at, one in enumerate(words) if one.text in _COPULA), None)
    if copula is None or copula > 3:
        return False
    behind = words[copula + 1 :]
    if len(behind) and behind[0].text in _MERELY and not any(one.fault or one.negator for one in behind):
        return True
    if words[0].text in _THESE and len(behind) and behind[0].text in _USUAL:
        return True
    denied = any(one.text == "not" and any("deeds" in w.roles or "outright" in w.roles for w in behind[at:]) for at, one in enumerate(behind))
    return denied or ("harmless" in text)
