"""Text in figures: measured, wrapped and shortened, with an escape for each character that the font lacks."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from .style import FAMILY, SIZE

ELLIPSIS = "…"
BREAK_AFTER = frozenset("-_/. +:·")
LONGEST = 400
"""Characters of a name that are considered at most; a longer one is shortened anyway."""


@functools.lru_cache(maxsize=4096)
def width(text: str, size: float = SIZE) -> float:
    """Return the width in inches of one line of text; `size` is in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    # A hinted rendering may be a little wider than the font's own measures.
    measured, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(family=FAMILY, size=size), False)
    return 1.03 * float(measured) / 72.0


@functools.lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Return one line of text; an escape replaces what cannot be printed or the font lacks (`\\n`, `\\u4e2d`)."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=FAMILY)))

    return "".join(c if font.get_char_index(ord(c)) else _escape(c) for c in printable(text))


def printable(text: str) -> str:
    """Return one line of text with an escape for each character that cannot be printed (`\\n`, `\\x1b`)."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def fit(text: str, room: float, lines: int = 2) -> list[str]:
    """Return at most `lines` lines, each at most `room` inches wide; longer text loses its middle."""
    text = clean(text)
    rows = _wrapped(text, room) if len(text) <= LONGEST else []
    if 0 < len(rows) <= lines:
        return rows
    few, many = 2, min(len(text), LONGEST)
    while many - few > 1:  # `few` always fits, or no length does
        kept = (few + many) // 2
        few, many = (kept, many) if len(_wrapped(_elided(text, kept), room)) <= lines else (few, kept)
    return _wrapped(_elided(text, few), room)


def _elided(text: str, kept: int) -> str:
    """Return text with only `kept` of its characters, most of them from its beginning."""
    head = -(-kept * 3 // 5)
    return f"{text[:head]}{ELLIPSIS}{text[len(text) - (kept - head) :]}"


def fit_all(names: Sequence[str], room: float) -> list[list[str]]:
    """Return `fit` of each name; different names that would be printed alike get a number."""
    fitted = [fit(name, room) for name in names]
    for rows in list(fitted):
        if fitted.count(rows) > 1:
            same = [i for i, other in enumerate(fitted) if other == rows]
            for number, i in enumerate(same, 1):
                fitted[i] = fit(f"({number}) {names[i]}", room)
    return fitted


def _wrapped(text: str, room: float) -> list[str]:
    """Return text in lines of at most `room` inches, broken after a hyphen or similar if one is late in the line."""
    rows = []
    while text:
        end = len(text)
        if width(text) > room:
            end = 1
            while end < len(text) and width(text[: end + 1]) <= room:
                end += 1
            soft = max((i for i in range(end * 2 // 5, end + 1) if text[i - 1 : i] in BREAK_AFTER and i), default=end)
            end = soft
        rows.append(text[:end].strip())
        text = text[end:].strip()
    return rows or [""]


def paragraph(parts: Sequence[str], room: float) -> list[str]:
    """Return parts joined by ` · ` in lines of at most `room` inches; only a part that is wider is broken."""
    rows: list[str] = []
    for part in map(clean, parts):
        joined = f"{rows[-1]} · {part}" if rows else part
        if rows and width(joined) <= room:
            rows[-1] = joined
        else:
            rows += _wrapped(part, room)
    return rows
