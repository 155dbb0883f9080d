"""Keys and columns that ask for real or for fake ("is_fake", "P(real)"), with yes, no, null, a number or a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .verdict_words import FORMS

_FLAGS = ("detected", "present", "found", "exists", "value", "flag", "flagged", "result", "answer", "is present")
_ROW = re.compile(r"^\s*\|(.+)\|\s*$", re.MULTILINE)
_RULE = re.compile(r"[\s|:-]+")


def turned(verdict: str) -> str:
    """Return the opposite of `real` or `fake`; any other verdict unchanged."""
    return {"real": "fake", "fake": "real"}.get(verdict, verdict)


def polarity(key: str) -> str:
    """Return whether a key asks for `real` or for `fake`; "" for neither, or for both ("real or fake")."""
    asked = [name for name, keys in (("real", FORMS["real_key"]), ("fake", FORMS["fake_key"])) if keys.search(key)]
    if len(asked) != 1:
        return ""
    return turned(asked[0]) if FORMS["negated_key"].search(key) else asked[0]


def flag(value: Any) -> Any:
    """Return the flag of {"detected": false, "type": null}; any other value unchanged."""
    if not isinstance(value, Mapping):
        return value
    return next((one for key, one in value.items() if plain_key(str(key)) in _FLAGS and truth(one)), None)


def verdict_of(pairs: list[tuple[str, Any]]) -> str:
    """Return the verdict of keys that ask for real or fake, with yes, no, null, a number or a list as values."""
    scores: dict[str, float] = {}
    whole, parts, accused = list[str](), list[str](), False
    for key, value in pairs:
        asks = polarity(key)
        if not asks:
            continue
        if FORMS["count_key"].search(key) and (count := re.fullmatch(r"\s*(\d+)\s*", str(value))):
            value = int(count.group(1)) > 0
        part = FORMS["part_key"].search(key)
        if (number := probability(value)) is not None and not part:
            scores.setdefault(asks, number)
            continue
        said = truth(value)
        named = isinstance(value, str) and value.strip() and FORMS["sort_key"].search(key)
        if said is None and asks == "fake" and named:
            said = "yes"
        if said is None or (asks == "real" and FORMS["places_key"].search(key)):
            continue
        found = said if said == "undetermined" else asks if said == "yes" else turned(asks)
        accused = accused or (asks == "fake" and said == "yes" and not part)
        (parts if part or isinstance(value, (list, tuple)) else whole).append(found)
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
    if isinstance(value, (bool, list, tuple)):
        return "yes" if value else "no"
    text = value.strip().lower() if isinstance(value, str) else ""
    if value is None or FORMS["unknown"].match(text):
        return "undetermined"
    return "no" if FORMS["no"].match(text) else "yes" if FORMS["yes"].match(text) else None


def probability(value: Any) -> float | None:
    """Return a probability for a number from 0 to 1, a percentage, or a number out of ten; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if 0.0 <= value <= 1.0 else float(value) / 100.0 if 1.0 < value <= 100.0 else None
    if isinstance(value, str) and (found := FORMS["number"].fullmatch(value.strip())):
        number, unit = float(found.group(1)), (found.group(2) or "").replace(" ", "")
        if (most := unit.removeprefix("outof").removeprefix("/")) in ("5", "10"):
            return number / float(most)
        return number / 100.0 if unit or number > 1.0 else number
    return None


def plain_key(key: str) -> str:
    """Return a key in lower-case words: `isFake` and `is_fake` become "is fake"."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).lower())
    return " ".join(words).replace("judgement", "judgment")


def from_table(text: str) -> str:
    """Return the verdict of the first table with such a column: of the whole's row, else fake if any row is fake."""
    rows = [[cell.strip(" *_`") for cell in row.split("|")] for row in _ROW.findall(text) if not _RULE.fullmatch(row)]
    if len(rows) < 2:
        return ""
    head = rows[0]
    columns = [place for place, cell in enumerate(head) if place and polarity(cell)]
    if len(columns) != 1:
        return ""
    asked = columns[0]
    said = [(row[0], row[asked]) for row in rows[1:] if len(row) == len(head) and truth(row[asked])]
    whole = [one for one in said if FORMS["whole_row"].search(one[0])] or said
    found = [verdict_of([(head[asked], value)]) for _, value in whole]
    return "fake" if "fake" in found else next(filter(None, found), "")
