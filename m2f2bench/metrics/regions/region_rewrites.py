"""Rewrites of sentences: the two halves of a pair that differ, and how much of a fault each region has."""

from __future__ import annotations

import re

REGION = (
    r"(?:eye|eyeball|iris|pupil|sclera|cornea|limbus|eyelid|lid|eyelash|lash|gaze|eyebrow|brow|nose|nostril|mouth|lip|"
    r"smile|tooth|gum|tongue|incisor|canine|molar|cheek|cheekbone|temple|forehead|skin|complexion)(?:e?s)?|teeth|"
    r"sclerae|dentition"
)
REGION = rf"(?:{REGION})"
"""Words that name a region, as a pattern."""

_OWN = r"(?:the|his|her|its|their|both|each|either|a|an)"
_PAIR = re.compile(
    rf"\b(?P<side>one|left|right)(?: of {_OWN} (?:two )?)? ?(?:\w+ )?"
    rf"(?P<part>{REGION})\b(?: {REGION}\b)?(?P<first>[^.;:?!\n]{{2,60}}?)"
    rf"[ ]?(?:[,;—]|\b(?:and|while|whereas|but)\b)[ ,]*(?:(?:and|while|whereas|but|the|his|her|its|that|those|one|"
    rf"in|of|on|a|through|from) ){{0,5}}(?P<other>other|right|left|second)(?: one)?(?: {REGION})?"
    r"(?P<second>[^.;:,?!\n]{2,60})"
)
_EMPTY = re.compile(
    r"(?:is|are|was|were|has|have|looks?|seems?|appears?|shows?|the|a|an|at|in|on|to|of|from|with|and|one|it|its|his|her|"
    r"that|by|very|slightly|clearly|quite|more|also|points?|towards?|straight)"
)
_EXCUSED = re.compile(
    r"\b(?:closed|open|opened|shut|hidden|covered|visible|occluded|shaded|shadow|shade|sunlit|wink\w*|raised|lowered|"
    r"obscured|also|too|same|similar\w*|not|no|never|without|cannot|turned|nearer|farther|half|away|if|would|as|than|tattoo\w*|scar\w*|does|"
    r"do|natural\w*|real|"
    r"realistic|sharp|fine|normal|clear|good|ok|okay|perfect|genuine|intact|authentic|flawless|untouched)\b"
)
"""Harmless differences between two eyes, or no difference at all."""

_LIT = re.compile(r"\b(?:light|sun|lamp|flash|window)\b")
_FAULTS = (
    r"(?:artifacts?|artefacts?|problems?|issues?|flaws?|faults?|defects?|errors?|anomal(?:y|ies)|irregularit(?:y|ies)|"
    r"inconsistenc(?:y|ies)|distortions?|seams?|manipulations?|edits?|signs|traces?|glitch(?:es)?|blurs?|blurring|smears?|"
    r"abnormalit(?:y|ies)|discrepanc(?:y|ies)|halos?|mistakes?)"
)
_WHERE = (
    r"(?:on|in|with|around|at|near|along|about|for|within|inside|over|under)"
    rf"(?= (?:{_OWN} )?(?:\w+ ){{0,2}}?{REGION}\b)"
)
_SOME = (
    r"(?:some|several|plenty|many|a few|few|one|two|three|lots|a lot|numerous|others|another|(?:a |an )?(?:\w+ )?ones?)"
)
_NONE_THERE = re.compile(rf"[,;:]?\s*(?:\b(?:and|but)\s)?\bnone {_WHERE}")
_SOME_THERE = re.compile(
    rf"[,;:]?\s*(?:\b(?:and|but|only|just|rather)\s)?(?<!not )(?<!than )\b{_SOME} (?P<where>{_WHERE})"
)
_SOME_HELD = re.compile(
    rf"(?P<part>\b{REGION} (?:region |area )?(?:has|have|had|shows?|contains?|does|exhibits?)) (?:\w+ly )?{_SOME}"
    rf"(?= ?(?:[,;.)]|$|and\b|but\b))"
)
_SENTENCE = re.compile(r"[^.?!\n]+")


def plainer(text: str) -> str:
    """Return a normalised text with its pairs and quantities rewritten as plain faults."""
    return _SENTENCE.sub(lambda found: _quantities(_pairs(found.group())), text)


def _pairs(sentence: str) -> str:
    """Return a sentence in which "one eye looks up, the other down" is followed by "the eye is mismatched"."""
    return _PAIR.sub(_differing, sentence)


def _differing(found: re.Match[str]) -> str:
    whole = found.group()
    lit = _LIT.search(found.string[: found.start()]) is not None
    if lit or found["side"] == found["other"] or _EXCUSED.search(found["first"]) or _EXCUSED.search(found["second"]):
        return whole
    first, second = _content(found["first"]), _content(found["second"])
    if not (first - second and second - first):
        return whole
    return f"{whole} ; the {found['part']} is mismatched "


def _content(predicate: str) -> set[str]:
    """Return the content words of a predicate."""
    return {word for word in re.findall(r"\w+", predicate) if not _EMPTY.fullmatch(word)}


def _quantities(sentence: str) -> str:
    """Return a sentence about faults with "some on the lids" as "; there are artifacts on the lids"."""
    fault = re.search(rf"\b{_FAULTS}\b", sentence)
    if fault is None:
        return sentence
    head, counts = sentence[: fault.end()], sentence[fault.end() :]
    counts = _SOME_HELD.sub(r"\g<part> artifacts", counts)
    counts = _NONE_THERE.sub(lambda one: one.group().replace("none", "; there is no artifact", 1), counts)
    counts = _SOME_THERE.sub(r" ; there are artifacts \g<where>", counts)
    return head + counts
