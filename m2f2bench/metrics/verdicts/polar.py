"""Keys that ask for real or for fake ("is_fake", "P(real)"), with yes, no, null, a number or a list as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FAKE_KEY = re.compile(
    r"\b(?:(?:deep)?fakes?|faked|forged|forgery|manipulat\w+|tamper\w+|altered|alterations?|edited|editing|synthetic|"
    r"synthe[st]i\w+|(?:ai|machine|computer)?\s?generated|swapp?(?:ed)?|replaced|exchanged|doctored|photoshopped|reenact\w*|gan|splic\w+|morph\w*|retouch\w*|inpaint\w*|composit\w*|inauthentic|spoof\w*|"
    r"computergenerated|faceswap\w*|fakeness|suspicion|suspicious|diffusion|cgi|rendered)\b"
)
_REAL_KEY = re.compile(
    r"\b(?:real|authentic|authenticity|genuine|genuineness|realness|original|camera (?:photo|image|shot|original)|"
    r"photograph|unaltered|pristine|legitimate|bonafide|unmanipulated)\b"
)
PART_KEY = re.compile(
    r"\b(?:eyes?|eyebrows?|brows?|nose|mouth|lips?|teeth|skin|hair\w*|ears?|chin|jaw\w*|cheeks?|forehead|background|"
    r"lighting|shadows?|expression|texture)\b"
)
_NEGATED_KEY = re.compile(r"\b(?:not|non|un)\b")
_YES = re.compile(
    r"(?:yes|true|y|present|detected|found|likely|very likely|high|very high|✅|✓|✔️?|definitely|certainly|positive|"
    r"confirmed)\b|[✅✓✔]"
)
_NO = re.compile(
    r"(?:no|false|n|none|absent|not detected|not found|not present|undetected|unlikely|very unlikely|low|"
    r"very low|negative|absent|nothing|nil|not(?=\W*$))\b|[❌✗✘]"
)
OPEN = re.compile(
    r"unknown|undetermined|uncertain|unsure|inconclusive|unclear|indeterminate|undecided|ambiguous|not sure"
)
UNKNOWN = re.compile(
    r"(?:null|unknown|undetermined|uncertain|unsure|inconclusive|unclear|indeterminate|undecided|ambiguous|n/?a|"
    r"abstain|no decision|withheld|cannot (?:be )?(?:determined?|say|tell)|can't (?:be )?(?:determined?|say|tell)|"
    r"not sure|not determinable|undecidable|maybe|perhaps|possibly|open(?= ?(?:$|[(,;.]))|"
    r"either)\b"
)
_NUMBER = re.compile(r"([01]?\.\d+|\d+(?:\.\d+)?)\s*(%|(?:/|out of)\s*(?:100|10|5)\b)?")
COUNT = re.compile(
    r"\b(?:number|count|amount|total|how many|regions|areas|parts|faces|artifacts|artefacts|traces|"
    r"signs|spots|features)\b"
)
"""A key that asks for a number of things."""
_SORT = re.compile(r"\b(?:type|method|kind|technique|class)\b")
"""A key that asks for the kind of manipulation: any named kind means yes."""
_PLACES = re.compile(r"\b(?:regions?|areas?|parts?|features?)\b")
_FLAGS = ("detected", "present", "found", "exists", "value", "flag", "flagged", "result", "answer", "is present")


def turned(verdict: str) -> str:
    """Return the opposite of `real` or `fake`; any other verdict unchanged."""
    return {"real": "fake", "fake": "real"}.get(verdict, verdict)


def polarity(key: str) -> str:
    """Return whether a key asks for `real` or for `fake`; "" for neither, or for both ("real or fake")."""
    fake, real = bool(_FAKE_KEY.search(key)), bool(_REAL_KEY.search(key))
    if fake == real:
        return ""
    name = "fake" if fake else "real"
    return turned(name) if _NEGATED_KEY.search(key) else name


def flag(value: Any) -> Any:
    """Return the flag of {"detected": false, "type": null}; any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    return next((one for key, one in value.items() if plain_key(str(key)) in _FLAGS and truth(one)), None)


def verdict_of(pairs: list[tuple[str, Any]]) -> str:
    """Return the verdict of keys that ask for real or fake, with yes, no, null, a number or a list as values."""
    scores: dict[str, float] = {}
    whole: list[str] = []
    parts: list[str] = []
    accused = False
    for key, value in pairs:
        asks = polarity(key)
        if not asks:
            continue
        if COUNT.search(key) and (count := re.fullmatch(r"\s*(\d+)\s*", str(value))):
            value = int(count.group(1)) > 0
        number = probability(value)
        if number is not None and not isinstance(value, bool) and not PART_KEY.search(key):
            scores.setdefault(asks, number)
            continue
        said = truth(value)
        if said is None and asks == "fake" and _SORT.search(key) and isinstance(value, str) and value.strip():
            said = "yes"
        if said is None or (asks == "real" and _PLACES.search(key)):
            continue
        found = said if said == "undetermined" else asks if said == "yes" else turned(asks)
        accused = accused or (asks == "fake" and said == "yes" and not PART_KEY.search(key))
        (parts if PART_KEY.search(key) or isinstance(value, (list, tuple)) else whole).append(found)
    if whole:
        return "fake" if accused else whole[-1]
    if scores:
        fake = scores.get("fake", 1.0 - scores.get("real", 0.0))
        real = scores.get("real", 1.0 - fake)
        return "fake" if fake > real else "real" if real > fake else "undetermined"
    if parts:
        return "fake" if "fake" in parts else parts[-1]
    return ""


def truth(value: Any) -> str | None:
    """Return `yes`, `no` or `undetermined` for a value of JSON or in words; None for anything else."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "undetermined"
    if isinstance(value, (list, tuple)):
        return "yes" if value else "no"
    if isinstance(value, str):
        text = value.strip().lower()
        if UNKNOWN.match(text):
            return "undetermined"
        return "no" if _NO.match(text) else "yes" if _YES.match(text) else None
    return None


def probability(value: Any) -> float | None:
    """Return a probability for a number from 0 to 1, a percentage, or a number out of ten; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0.0 <= value <= 1.0 else float(value) / 100.0 if 1.0 < value <= 100.0 else None
    if isinstance(value, str) and (found := _NUMBER.fullmatch(value.strip())):
        number, unit = float(found.group(1)), (found.group(2) or "").replace(" ", "")
        if (most := unit.removeprefix("outof").removeprefix("/")) in ("5", "10"):
            return number / float(most)
        return number / 100.0 if unit or number > 1.0 else number
    return None


def plain_key(key: str) -> str:
    """Return a key in lower-case words: `isFake` and `is_fake` become "is fake"."""
    return " ".join(re.sub(r"[^a-z0-9]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).lower()).split()).replace(
        "judgement", "judgment"
    )
