"""Idioms with which a clause refers to another: answers, ellipses, pronouns for several regions."""

from __future__ import annotations

from collections.abc import Sequence

from .region_claims import Reading
from .region_clauses import Clause
from .region_words import AUXILIARY, GRAMMAR, PATTERNS, Word, has_role

PAIRED = ("former", "latter", "firstofpair", "secondofpair")
"""Words for one of a pair of regions."""
FRAGMENT = 3
"""A sentence of at most this many words without a subject ("Geometrically impossible.") continues the one before."""


def denies(clause: Clause, found: Reading) -> bool:
    """Return whether the text after a colon withdraws the text before it: "activation over the eyes: negligible"."""
    short = len(clause.words) <= FRAGMENT + 1
    return (short and found.praised and not found.faulted) or set(clause.texts) <= GRAMMAR["none"]


def names_it(clause: Clause) -> bool:
    """Return whether a clause says which region it is: "I think it is the mouth"."""
    texts = clause.texts
    if "it" not in texts or clause.negated:
        return False
    place = texts.index("it")
    return set(texts[:place]) <= GRAMMAR["opinion"] and texts[place + 1 : place + 2] == ["is"]


def answers(clause: Clause) -> bool:
    """Return whether a clause is only a pronoun with an auxiliary: "they are not", "it does"."""
    texts = [text for text in clause.texts if text != ","]
    return 1 < len(texts) <= FRAGMENT and texts[1] in AUXILIARY and texts[-1] in {"not", texts[1]}


def several(start: Sequence[Word]) -> bool:
    """Return whether a sentence is about all regions of the one before: "all above the threshold", "both are
    blurry"."""
    after = start[1] if len(start) > 1 else None
    if start[0].text in ("both", "each"):
        return after is not None and (after.verb or after.text == "of")
    return start[0].text in ("all", "these")


def whole(clause: Clause) -> bool:
    """Return whether a clause is about all regions."""
    for place, word in enumerate(clause.words):
        if word.text in GRAMMAR["all"]:
            return any(one.text in GRAMMAR["features"] for one in clause.words[place + 1 : place + 5])
    return False


def generic(clause: Clause) -> bool:
    """Return whether a clause is about pictures in general: "since they are often smeared", "generators tend to …"."""
    return any("generic" in word.roles for word in clause.words)


def begins_with_region(clause: Clause) -> bool:
    """Return whether a clause begins with a region, as an item of a list does."""
    start = next((word for word in clause.words if word.text not in GRAMMAR["sides"]), None)
    return start is not None and start.region != ""


def harmless(clause: Clause, found: Reading) -> bool:
    """Return whether a clause gives a harmless reason: "because he was talking"."""
    return clause.opener == "because" and not found.faulted and has_role(clause.words, "causes")


def retracts(texts: Sequence[str]) -> bool:
    """Return whether a clause withdraws an accusation: "the suspicion proved groundless", "that is a false alarm"."""
    return PATTERNS["retracts"].search(" ".join(texts)) is not None


def contradicts(texts: Sequence[str]) -> bool:
    """Return whether a clause contradicts others: "they are wrong"."""
    return PATTERNS["contradicts"].fullmatch(" ".join(texts)) is not None


def only_one(texts: Sequence[str]) -> bool:
    """Return whether only one of a pair is meant: "only the latter"."""
    return any(one.startswith(PAIRED) and before == "only" for before, one in zip(texts, texts[2:], strict=False))


def presupposes(texts: Sequence[str]) -> bool:
    """Return whether a question assumes what it asks about: "why does the skin shimmer?"."""
    return (texts[:1] == ["why"] and texts[1:2] not in (["should"], ["would"], ["not"])) or texts[:2] in (
        ["how", "did"],
        ["suspicious", "is"],
    )


def affirms(texts: Sequence[str]) -> bool:
    """Return whether a sentence is a yes in other words: "I believe it has", "I think so"."""
    said = texts[:1] == ["i"] and "not" not in texts and 2 < len(texts) <= 5
    return said and texts[1] in GRAMMAR["embeds"] | {"fear", "am"} and texts[-1] in AUXILIARY | {"so"}


def refuses_to_think_so(texts: Sequence[str]) -> bool:
    """Return whether a sentence begins with a no in other words: "I doubt it", "I don't think so"."""
    return texts[:1] == ["i"] and ("doubt" in texts[:3] or texts[1:5] == ["do", "not", "think", "so"])
