"""Claims of a clause about regions: its subject, the regions it accuses and those it clears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .region_clauses import Clause, Group, groups
from .region_negation import Claim, claims
from .region_words import GRAMMAR, PATTERNS, Word, has_role

SKIN = "skin"


@dataclass
class Reading:
    """What a clause says: its subject, the regions it accuses and clears, and its last claim for the next clause."""

    subject: tuple[str, ...] | None = None
    """Its regions; empty: its subject is not a region; None: it has no subject."""
    mentioned: tuple[str, ...] = ()
    """The regions that it named last."""
    accused: set[str] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)
    vouched: set[str] = field(default_factory=set)
    """Regions that it plainly calls real."""
    faulted: bool = False
    """Whether there is a claim that accuses anything."""
    praised: bool = False
    """Whether there is a claim that clears anything."""
    sign: int = 0
    """The last claim: 1 a fault, -1 a merit, 0 no claim."""
    denied: bool = False
    """Whether the last claim was denied."""
    bare: bool = False
    """Whether it has only regions, function words and auxiliaries: then the last statement applies to these too."""
    supposed: bool = False
    """Whether part of it is only hypothetical: "the skin would show a seam"."""
    outright: bool = False
    listing: bool = False


def read(clause: Clause, about: tuple[str, ...], praised: frozenset[str] | set[str]) -> Reading:
    """Return what one clause says; `about` are the last clause's regions, `praised` those plainly called real."""
    words = _stated(clause.words)
    named = groups(words)
    goes_on = bool(about) and (_continues(clause, words) or _they_do(words))
    primary = None if goes_on else _primary(words, named)
    subject_from = primary.start if primary else -1 if about and not named else len(words)
    made = claims(words, subject_from, named) if words else []
    found = Reading(mentioned=named[-1].regions if named else (), supposed=len(words) < len(clause.words))
    if primary:
        found.subject = primary.regions
    elif goes_on:
        found.subject = about if made else None
    elif named or _of_something_else(words, clause.opener):
        found.subject = ()
    subject = found.subject if found.subject is not None else about
    found.bare = (
        bool(named)
        and not made
        and not found.supposed
        and all(one.region or one.text in GRAMMAR["small"] or _soft(one) for one in words)
    )
    found.outright, found.listing = (any(role in one.roles for one in words) for role in ("outright", "listing"))
    excused = bool(made) and _excused(words, made)
    placing = _Placing(words, named, subject, found, praised)
    for claim in made:
        if not (excused and claim.accuses):
            placing.place(claim)
    if not subject and not named and found.subject is None and (skin := _surface(words, made)) is not None:
        (found.accused if skin else found.cleared).add(SKIN)
    placing.own_faults()
    if supposed := clause.words[len(words) + 1 :]:
        found.sign = next((claim.sign for claim in claims(supposed, 0, ())), found.sign)
    return found


def _soft(word: Word) -> bool:
    return not word.claim and word.text.endswith("ly")


def _stated(words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words up to the hypothetical part: "pores one would expect"."""
    for place, word in enumerate(words):
        near = {one.text for one in words[max(0, place - 1) : place + 3]}
        behind = words[place + 2 : place + 3] if "be" in near else ()
        named = any(one.region or one.text in GRAMMAR["determiners"] for one in behind)  # "it would be the brows"
        if word.text in GRAMMAR["supposes"] and (near & GRAMMAR["expects"] or not (named or near & GRAMMAR["saying"])):
            return tuple(words[:place])
    return tuple(words)


def _of_something_else(words: Sequence[Word], opener: str) -> bool:
    """Return whether a clause without regions has another subject."""
    first = next((one for one in words if one.roles & _NOUNS or one.text in GRAMMAR["personal"]), None)
    return first is not None and "elsewhere" in first.roles and not (opener == "whose" and "cast" in first.roles)


_NOUNS = frozenset(("elsewhere", "parts", "deeds", "carriers"))


def _continues(clause: Clause, words: Sequence[Word]) -> bool:
    """Return whether a clause begins with its verb or predicate, and so continues with the last subject."""
    start = next((place for place, one in enumerate(words) if one.text not in GRAMMAR["links"]), None)
    if start is None:
        return False
    first = words[start]
    if first.claim and clause.opener in ("(", "which", ":", "—"):
        return start + 1 >= len(words) or words[start + 1].text in GRAMMAR["prepositions"]
    inverted = first.text in GRAMMAR["is"] and any(one.region for one in words[start + 1 : start + 3])
    return first.verb and not first.claim and not inverted


def _they_do(words: Sequence[Word]) -> bool:
    """Return whether a clause says about "they" something that is a fault in itself: "they hover above the skin"."""
    return len(words) > 1 and words[0].text == "they" and words[1].verb and words[1].fault


def _primary(words: Sequence[Word], named: Sequence[Group]) -> Group | None:
    """Return the group that is a clause's subject; None if it has none or it is not a region ("mismatched beard")."""
    plain = [group for group in named if group.kind in ("", "likewise") and not _beyond(words, group)]
    if len(plain) > 1 and _placed(words, plain):
        plain = plain[1:]
    if not plain:
        return None
    first = next((group for group in plain if group.kind == ""), plain[0])
    if first.kind == "" and len(plain) > 1:
        like = [one for group in plain if group.kind == "likewise" for one in group.regions]
        first = Group(tuple(dict.fromkeys([*first.regions, *like])), first.start, first.end)
    others = (place for place in range(first.start) if "elsewhere" in words[place].roles)
    return first if all(_leads_on(words, place, first) for place in others) else None


def _placed(words: Sequence[Word], plain: Sequence[Group]) -> bool:
    """Return whether the first group only says where the second is: "between the eyes the skin is doubled"."""
    first, second = plain[0], plain[1]
    between = [one.text for one in words[first.end : second.start] if one.text != ","]
    hung = words[0].text in GRAMMAR["prepositions"] and first.start < 4 and bool(between)
    stated = any(one.verb or one.claim for one in words[: second.start])
    return hung and not stated and set(between) <= GRAMMAR["determiners"] | {"left", "right", "upper", "lower"}


def _beyond(words: Sequence[Word], group: Group) -> bool:
    """Return whether a clause begins with something next to a region: "above the nose it is blurred"."""
    before = [one.text for one in words[: group.start] if one.text not in GRAMMAR["determiners"]]
    return len(before) == 1 and before[0] in GRAMMAR["beyond"]


def _leads_on(words: Sequence[Word], place: int, group: Group) -> bool:
    """Return whether a noun that is no region is joined to the group: "the hair of the brows", "glasses and eyes"."""
    between = [one.text for one in words[place + 1 : group.start]]
    if not between or between[0] == "of":
        return True
    if between[0] in GRAMMAR["prepositions"] and "cast" in words[place].roles:
        return True
    if len(between) <= 4 and between[0] in ("and", ",", "or", "nor", "/"):
        return True
    inside = any(one.text in GRAMMAR["prepositions"] for one in words[max(0, place - 3) : place])
    return inside and not any(one in GRAMMAR["prepositions"] for one in between)


@dataclass
class _Placing:
    """Assigns the claims of a clause to its regions."""

    words: Sequence[Word]
    named: Sequence[Group]
    subject: tuple[str, ...]
    found: Reading
    praised: frozenset[str] | set[str]

    def place(self, claim: Claim) -> None:
        """Assign one claim to the noun after it, or to the subject."""
        found, word = self.found, self.words[claim.place]
        found.faulted |= claim.accuses
        found.praised |= not claim.accuses
        found.sign, found.denied = claim.sign, claim.denied
        group = self._noun_behind(claim.place)
        target = self.subject if group is None else group.regions if group.kind in ("", "likewise") else ()
        real = word.text in GRAMMAR["says_real"]
        if claim.accuses:
            outright = "outright" in word.roles or (real and claim.denied)
            found.accused |= {one for one in target if outright or one not in self.praised}
        else:
            found.cleared |= set(target)
            found.vouched |= set(target) if real else set()
        if claim.sign < 0 and not claim.denied and group is None:
            others = (one for one in self.named if one.kind == "unlike" or (one.kind == "not" and one.apart))
            found.accused |= {region for one in others for region in one.regions}

    def _noun_behind(self, place: int) -> Group | None:
        """Return the group right after an adjective: "blurry nose", "mismatched left pupil"."""
        if self.words[place].verb and self.words[place].fault and self.words[place].text.endswith("s"):
            return None
        if self.words[place].text.endswith("ly") or self.words[place].roles & {"fitting", "lacks"}:
            return None
        group = next((one for one in self.named if place < one.start <= place + 7), None)
        if group is None:
            return None
        between = [one for one in self.words[place + 1 : group.start] if not _of_parts(one)]
        plain = len(between) < 4 and not any(one.verb or one.negator or one.text in _CUTS for one in between)
        joined = len(between) == 2 and between[0].text in ("and", ",") and between[1].claim
        return group if plain or joined else None

    def own_faults(self) -> None:
        """Add the faults of single regions: a curved nose."""
        for region in self.subject:
            at = next((place for place in range(len(self.words)) if self._own_fault(place, region)), None)
            if at is not None and region not in self.praised and not any(one.negator for one in self.words[:at]):
                self.found.accused.add(region)
                self.found.faulted = True
                self.found.sign, self.found.denied = 1, False

    def _own_fault(self, place: int, region: str) -> bool:
        """Return whether a word is a fault of one region and not only an epithet ("crooked teeth")."""
        word = self.words[place]
        epithet = word.text in GRAMMAR["epithets"] and any(one.region for one in self.words[place + 1 : place + 3])
        return word.fault_of(region) and not epithet


def _of_parts(word: Word) -> bool:
    return word.text in ("of", "out", "up") or "parts" in word.roles


_CUTS = GRAMMAR["prepositions"] | GRAMMAR["breaks"] | GRAMMAR["markers"] | {"as", "like", "and", ","}


def _surface(words: Sequence[Word], made: Sequence[Claim]) -> bool | None:
    """Return whether stains of the face or of unnamed areas are asserted (True) or denied (False), or None."""
    if not has_role(words, "carriers"):
        return None
    stains = [one for one in made if "surface" in words[one.place].roles]
    return any(one.accuses for one in stains) if stains else None


def _caused(words: Sequence[Word]) -> bool:
    """Return whether a harmless cause is named: "caused by motion"."""
    text = " ".join(one.text for one in words)
    cause = PATTERNS["explains"].search(text)
    return cause is not None and has_role(words[text.count(" ", 0, cause.start()) :], "causes")


def _excused(words: Sequence[Word], made: Sequence[Claim]) -> bool:
    """Return whether a clause explains its fault: "the blur is caused by motion", "the asymmetry is normal"."""
    faults = [one for one in made if one.accuses and one.sign > 0]
    if not faults:
        return False
    last = faults[-1].place
    if (
        _caused(words)
        or PATTERNS["mark"].search(" ".join(one.text for one in words[last:]))
        or any(one.text in ("naturally", "normally") for one in words[last:])
        or _believable(words, last)
    ):
        return True
    copula = next((at for at in range(faults[0].place + 1, len(words)) if words[at].text in GRAMMAR["is"]), len(words))
    behind = words[copula:]
    if not behind or any(one.negator for one in behind) or any(one.text == "asif" for one in words):
        return False
    if len(behind) > 1 and behind[1].text in GRAMMAR["merely"] and has_role(behind, "causes"):
        return True
    return any(one.merit for one in behind) and not any(one.fault for one in behind)


def _believable(words: Sequence[Word], place: int) -> bool:
    """Return whether a fault is joined to an excuse: "uneven and believable"."""
    behind = [one.text for one in words[place + 1 : place + 4] if not one.text.endswith("ly")]
    return len(behind) > 1 and behind[0] in ("and", "but") and behind[1] in GRAMMAR["natural"]


def explains(clause: Clause) -> bool:
    """Return whether a clause excuses what was said: "but they are simply chapped", "and that is due to the flash"."""
    words = clause.words
    if _caused(words):
        return True
    copula = next((at for at, one in enumerate(words[:4]) if one.text in GRAMMAR["is"]), None)
    behind = words[copula + 1 :] if copula is not None else ()
    if not behind:
        return False
    if behind[0].text in GRAMMAR["merely"] and not any(one.fault or one.negator for one in behind):
        return True
    if words[0].text in GRAMMAR["these"] and behind[0].text in GRAMMAR["usual"]:
        return True
    denial = next((at for at, one in enumerate(behind) if one.text == "not"), len(behind))
    return any(one.roles & {"deeds", "outright"} for one in behind[denial:]) or "harmless" in clause.texts
