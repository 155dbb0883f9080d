"""Regions that an answer calls manipulated in a form: JSON, a table, ticks, numbers, a list under a heading."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from ..languages.gloss import in_english
from ..verdicts.objects import objects
from .region_claims import read
from .region_clauses import clauses
from .region_words import GLOSS, PATTERNS, PICTURED, regions_in, sentences

DEEPEST = 8
"""Most levels of a JSON value that are read."""
LONGEST_HEADING = 8
"""Most words of a heading."""

_YES, _NO = "✅✓✔", "❌✗✘✖"


def listed(text: str) -> frozenset[str] | None:
    """Return the regions that a form calls manipulated; None if no form is about regions."""
    plain = in_english(unicodedata.normalize("NFKC", text).lower().translate(PICTURED), GLOSS)
    found: dict[str, bool] = {}
    for value in objects(plain):
        for region, bad in _of_value(value, None, 0):
            found[region] = found.get(region, False) or bad
        if not found and _tells_none(value):
            return frozenset()
    for form in (_tags, _boxes, _arrays, _tables, _ticks, _states, _heads):
        if not found:
            found = form(plain)
    return frozenset(region for region, bad in found.items() if bad) if found else None


def _tells_none(value: Any) -> bool:
    """Return whether a JSON object has an empty list of manipulated regions."""
    pairs = [(str(key), one) for key, one in value.items() if key] if isinstance(value, dict) else []
    return any((one in ([], {}, None, "none") and _lists(key)) or _tells_none(one) for key, one in pairs)


def _lists(key: str) -> bool:
    return (PATTERNS["accused"].search(key) or PATTERNS["lists"].search(key)) is not None


def _meaning(key: str) -> bool | None:
    """Return whether "yes" to a key means manipulated (True) or real (False); None if unknown."""
    plain = key.replace("_", " ")
    if plain.startswith("least ") and (most := _meaning(plain.removeprefix("least "))) is not None:
        return not most
    if PATTERNS["spared"].search(plain):
        return False
    return True if PATTERNS["accused"].search(plain) else tone(plain)


def _of_value(value: Any, meaning: bool | None, depth: int) -> Iterator[tuple[str, bool]]:
    """Yield each region in a parsed value, and whether it is called manipulated; `meaning` is that of its key."""
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for one in value:
            if isinstance(one, str) and meaning is not None:
                yield from ((region, meaning) for region in regions_in(one))
            elif isinstance(one, dict) and (names := _named(one)):
                rest = {key: state for key, state in one.items() if not PATTERNS["names"].search(str(key))}
                states = [bad for key, state in rest.items() if (bad := _state(state, _meaning(str(key)))) is not None]
                yield from ((name, any(states) if states else bool(meaning)) for name in names)
            else:
                yield from _of_value(one, meaning, depth + 1)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _of_pair(str(key), one, meaning, depth)


def _of_pair(key: str, value: Any, meaning: bool | None, depth: int) -> Iterator[tuple[str, bool]]:
    regions = regions_in(key.replace("_", " "))
    if regions:
        own = _meaning(key)
        states = value.items() if isinstance(value, dict) else [("", value)]
        called = [
            _state(one, _meaning(str(name)) if name else own if own is not None else meaning) for name, one in states
        ]
        yield from ((region, any(called)) for region in regions)
        return
    inner = _meaning(key)
    if isinstance(value, str):
        if inner is not None or PATTERNS["lists"].search(key):
            named = set[str]() if PATTERNS["negative"].match(value) else regions_in(value)
            yield from ((region, inner is not False) for region in named)
        return
    if inner is None:
        inner = True if PATTERNS["lists"].search(key) and isinstance(value, list) else meaning
    yield from _of_value(value, inner, depth + 1)


def _named(item: dict[str, Any]) -> set[str]:
    """Return the regions of an item of a list."""
    return {
        region
        for key, one in item.items()
        if isinstance(one, str) and PATTERNS["names"].search(str(key))
        for region in regions_in(one)
    }


def _state(value: Any, meaning: bool | None) -> bool | None:
    """Return whether a value calls its region manipulated; None if it says nothing about it."""
    if isinstance(value, bool):
        return value == (meaning is not False)
    if isinstance(value, (int, float)):
        return (value >= 50 if value > 1 else value >= 0.5) == (meaning is not False)
    if isinstance(value, list):
        return any(bool(_state(one, meaning)) for one in value)
    if not isinstance(value, str) or re.fullmatch(r"\W*", value.replace("✅", "y")):
        return None
    if any(mark in value for mark in _YES + _NO):
        good = any(mark in value for mark in _YES)
        return good == meaning if meaning is not None else not good
    if PATTERNS["positive"].match(value):
        return meaning is not False
    if PATTERNS["negative"].match(value):
        return meaning is False
    return bool(tone(value))


def tone(text: str) -> bool | None:
    """Return whether a few words are negative ("warped", "not natural"); None if they are neutral."""
    read_ = [read(clause, ("skin",), frozenset()) for sentence, _ in sentences(text) for clause in clauses(sentence)]
    if any(one.faulted for one in read_):
        return True
    return False if any(one.praised for one in read_) else None


def _tables(plain: str) -> dict[str, bool]:
    """Read the rows of a table whose first cell names a region; a column's heading says what its "yes" means."""
    found: dict[str, bool] = {}
    heads: list[str] = []
    for line in plain.splitlines():
        if line.count("|") < 2:
            continue
        cells = [cell.strip(" *_") for cell in line.strip().strip("|").split("|")]
        regions = regions_in(cells[0])
        if not regions:
            heads = cells if any(cell.strip("-: ") for cell in cells) else heads
            continue
        states = [_state(cell, _meaning(heads[at]) if at < len(heads) else None) for at, cell in enumerate(cells) if at]
        for region in regions:
            found[region] = found.get(region, False) or any(states)
    return found


def _ticks(plain: str) -> dict[str, bool]:
    """Read regions with a tick or a cross, by line or by sentence."""
    found: dict[str, bool] = {}
    for line in re.split(r"\n|(?<=[a-z])[.;] ", plain):
        marks = [mark for mark in line if mark in _YES + _NO]
        if len(marks) == 1:
            found |= dict.fromkeys(regions_in(line.split(":")[0]) or regions_in(line), marks[0] in _NO)
            continue
        for name, mark, mark2, name2 in PATTERNS["ticks"].findall(line):
            found |= dict.fromkeys(regions_in(name or name2), (mark or mark2) in _NO)
    return found


def _boxes(plain: str) -> dict[str, bool]:
    """Read boxes of which those of the manipulated regions are ticked: "[x] mouth", "☑ nose"."""
    found: dict[str, bool] = {}
    for box, name in PATTERNS["boxes"].findall(plain):
        found |= dict.fromkeys(regions_in(name), box not in ("☐", "□", "[ ]", "[]", "( )", "()"))
    return found if len(found) > 1 and re.search(r"[☐□]|\[ ?\]|\( ?\)", plain) else {}


def _arrays(plain: str) -> dict[str, bool]:
    """Read zeros and ones in a list for regions in a given order."""
    row = PATTERNS["array"].search(plain)
    named = [next(iter(one)) for name in re.findall(r"[^\W\d_]+", plain) if (one := regions_in(name))]
    values = re.findall(r"[01]|true|false", row[1]) if row else []
    if not values or len(named) != len(values) or len(set(named)) != len(named):
        return {}
    flipped = PATTERNS["flipped"].search(plain) is not None
    return {name: (value in ("1", "true")) != flipped for name, value in zip(named, values, strict=True)}


def _states(plain: str) -> dict[str, bool]:
    """Read numbers, or yes and no, after two regions or more: "eyes=0, nose=1"."""
    marks = PATTERNS["out_of"].search(plain)
    plain = PATTERNS["out_of"].sub("", plain)
    pairs = [(regions_in(name), state.rstrip("% ")) for name, state in PATTERNS["states"].findall(plain)]
    pairs = [one for one in pairs if one[0]]
    if len(pairs) < 2:
        pairs = [(regions_in(name), state) for name, state in PATTERNS["numbers"].findall(plain) if regions_in(name)]
    if len(pairs) < 2:
        return _tones(plain)
    scale = PATTERNS["scale"].search(plain)
    real_on_top = scale is not None and PATTERNS["spared"].search(scale["top"] or "") is not None
    flipped = real_on_top or PATTERNS["flipped"].search(plain) is not None
    if marks and not scale:
        scale, flipped = marks, flipped or not PATTERNS["accused"].search(plain)
    numbers = [float(state) for _, state in pairs if state[0].isdigit()]
    middle = float(scale[1]) / 2 if scale else 0.5 if max(numbers, default=0) <= 1 else 50
    found: dict[str, bool] = {}
    for named, state in pairs:
        bad = float(state) >= middle if state[0].isdigit() else state in ("yes", "true")
        found |= dict.fromkeys(named, bad != flipped)
    return found if len(found) > 1 else {}


def _tones(plain: str) -> dict[str, bool]:
    """Read a word or two after each of several regions: "eyes - fine, nose - distorted"."""
    pairs = [(regions_in(name), tone(state)) for name, state in PATTERNS["tones"].findall(plain) if regions_in(name)]
    if len(pairs) < 2 or any(bad is None for _, bad in pairs) or regions_in(PATTERNS["tones"].sub(" ", plain)):
        return {}
    return {region: bool(bad) for named, bad in pairs for region in named}


def _heads(plain: str) -> dict[str, bool]:
    """Read lists of regions under a heading: "Manipulated regions: nose, mouth", or line by line below it."""
    found: dict[str, bool] = {}
    meaning: bool | None = None
    for line in re.split(r"\n|(?<=[a-z)])[.;] (?=[^\n.;:]{3,60}:)", plain):
        if line.rstrip().endswith("?"):
            continue
        match = PATTERNS["head"].match(line)
        if match and not regions_in(match[1]):
            row = match[2] or ""
            if not row.strip():
                meaning = _heading(match[1])
            elif _items(row) and not PATTERNS["but"].search(row) and (accuses := _heading(match[1])) is not None:
                found |= dict.fromkeys(regions_in(row), accuses)
                meaning = None
            else:
                meaning = None
        elif meaning is not None and (first := _first_region(line)):
            found |= dict.fromkeys(first, meaning)
    return found if any(found.values()) else {}


def _heading(text: str) -> bool | None:
    """Return what a heading says about its list: True for manipulated, also for a plain "Regions:"."""
    if len(text.split()) > LONGEST_HEADING:
        return None
    meaning = _meaning(text)
    return True if meaning is None and PATTERNS["lists"].search(text) else meaning


def _items(row: str) -> bool:
    """Return whether a row is a list of regions and not a sentence."""
    return bool(regions_in(row)) and tone(row) is None and len(row.split()) <= 4 * len(regions_in(row)) + 2


def _first_region(line: str) -> set[str]:
    """Return the regions at the start of a list item, unless it clears them."""
    head = re.split(r"[(:—]|\.\.| - ", line)[0]
    return regions_in(head) if not PATTERNS["clears"].search(line) else set()


def _tags(plain: str) -> dict[str, bool]:
    """Read regions as tags with a state ("<nose>1</nose>") or in tags ("<region>nose</region>")."""
    found: dict[str, bool] = {}
    for tag, inner in PATTERNS["tagged"].findall(plain):
        meaning = _meaning(tag)
        if named := regions_in(tag.replace("_", " ")):
            state = inner.strip()
            found |= dict.fromkeys(named, bool(_state(int(state) if state.isdigit() else state, meaning)))
            continue
        lists = PATTERNS["lists"].search(tag) or tag.startswith(("region", "area", "part"))
        if (meaning is not None or lists) and _items(inner):
            found |= dict.fromkeys(regions_in(inner), meaning is not False)
    return found
