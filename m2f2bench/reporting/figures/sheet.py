"""Sheet of a figure: style, fitted text, and title, body, key and foot below each other, so that nothing can overlap.

Colours, line styles and markers differ without colour too. Text is measured, wrapped and shortened, with an escape for
each character that the font lacks.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.files import replacing
from ...version import __version__

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = {"single": 3.4, "double": 7.0}
"""Inches: one column and both columns of a two-column page."""
FAMILY = "DejaVu Sans"
"""A font that comes with matplotlib, so that a figure is the same on every machine."""
SIZE = 7.0
"""Size of all text in points."""
STYLE = Path(__file__).with_name("paper.mplstyle")
LEADING = 1.3 * SIZE / 72.0
"""Inches from one line of text to the next."""
DPI = 300
GREY, PALE = "#555555", "#d9d9d9"
REAL_COLOUR, FAKE_COLOUR = "#0072B2", "#D55E00"
REFERENCE: dict[str, Any] = {"color": GREY, "linewidth": 0.5, "linestyle": (0, (1, 2)), "zorder": 1}
"""The dotted line of chance, or of a perfect detector."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
"""Okabe and Ito's colour-blind-safe palette ("Color Universal Design", 2008), grey for its yellow."""
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (5, 1.5, 1.2, 1.5, 1.2, 1.5)),
    (0, (2.5, 1.2)),
    (0, (9, 1.5, 2.5, 1.5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

ELLIPSIS = "…"
BREAK_AFTER = frozenset("-_/. +:·")
LONGEST = 400
"""Characters of a name that are considered at most; a longer one is shortened anyway."""
SUFFIXES = (".png", ".pdf", ".svg")
EDGE = 0.06
"""Inches of margin at all four edges."""
GAP = 0.08
BASELINE = 0.72 * LEADING
HANDLE = 0.3
"""Inches of the sample line in the key."""
TAGS = {
    ".png": ("Title", "Description", "Software"),
    ".pdf": ("Title", "Subject", "Creator"),
    ".svg": ("Title", "Description", "Creator"),
}
"""Names of the title, the description and the software in each file format."""


@dataclass(frozen=True)
class Look:
    """How one detector is drawn: colour, dash pattern, marker."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Its line, as arguments of matplotlib."""
        return {"color": self.colour, "linestyle": self.dash}


def look(index: int) -> Look:
    """Return the look of detector number `index`, from 0. 64 looks differ: after 8 a colour gets another pattern."""
    turn, place = divmod(index, len(COLOURS))
    other = (place + turn) % len(COLOURS)
    return Look(COLOURS[place], DASHES[other], MARKERS[other])


def styled() -> AbstractContextManager[None]:
    """Use matplotlib's defaults with STYLE on top in place of the user's settings, which are restored at the end."""
    from matplotlib import style

    return style.context(["default", STYLE])


@functools.lru_cache(maxsize=4096)
def width(text: str) -> float:
    """Return the width in inches of one line of text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    # A hinted rendering may be a little wider than the font's own measures.
    measured, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(family=FAMILY, size=SIZE), False)
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
            end = max((i for i in range(end * 2 // 5, end + 1) if text[i - 1 : i] in BREAK_AFTER and i), default=end)
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


@dataclass(frozen=True)
class Page:
    """The frame of every figure: width in inches, title, and the parts of the line at its foot."""

    width: float
    title: str = ""
    foot: tuple[str, ...] = ()

    @property
    def room(self) -> float:
        """Inches between the edges."""
        return self.width - 2.0 * EDGE

    @property
    def narrow(self) -> bool:
        """Whether it has the width of a single column."""
        return self.width <= WIDTHS["single"]


@dataclass(frozen=True)
class Entry:
    """One line of a key: name, value, and how its sample is drawn (`line` or `marker`)."""

    name: str
    value: str
    look: Look
    kind: str = "line"


class Key:
    """A key that is laid out for a width; `height` is in inches. `Sheet.key` draws it."""

    def __init__(self, entries: Sequence[Entry], room: float, heading: str = "") -> None:
        """Lay out the key; `heading` is above the values, names get the remaining width and at most two lines."""
        self.entries, self.room, self.heading = entries, room, heading
        self.values = max((width(text) for text in [heading, *(e.value for e in entries)]), default=0.0)
        self.names = fit_all([e.name for e in entries], room - HANDLE - self.values - 2.5 * GAP)
        self.height = LEADING * (sum(len(rows) for rows in self.names) + bool(heading))


class Sheet:
    """A matplotlib figure with positions in inches: from the left, and down from the top of the body."""

    def __init__(self, page: Page, body: float, key: Key | None = None) -> None:
        """Make a figure with a body of `body` inches; `key` is drawn below it."""
        from matplotlib.figure import Figure

        title = [row for line in page.title.splitlines() for row in fit(line, page.room, 3)]
        foot = paragraph(page.foot, page.room)
        self.top = EDGE + len(title) * LEADING + (GAP if title else 0.0)
        below = (key.height + GAP if key else 0.0) + (len(foot) * LEADING + GAP if foot else 0.0) + EDGE
        self.page, self.body, self.height = page, body, self.top + body + below
        self.figure: Figure = Figure(figsize=(page.width, self.height), dpi=DPI)
        for i, row in enumerate(title):
            self.text(page.width / 2.0, EDGE + i * LEADING - self.top, row, ha="center")
        if key:
            self.key(key, EDGE, body + GAP)
        for i, row in enumerate(foot):
            self.text(EDGE, self.height - EDGE - (len(foot) - i) * LEADING - self.top, row, color=GREY)

    def axes(self, left: float, top: float, wide: float, high: float) -> Axes:
        """Return axes in this rectangle of the body."""
        bottom = self.height - self.top - top - high
        box = (left / self.page.width, bottom / self.height, wide / self.page.width, high / self.height)
        return self.figure.add_axes(box)

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        """Print one line of text, LEADING high, with its top at `y`."""
        options: dict[str, Any] = {"va": "baseline", "ha": "left", "transform": self.figure.dpi_scale_trans} | how
        self.figure.text(x, self.height - self.top - y - BASELINE, text, **options)

    def line(self, x: Sequence[float], y: Sequence[float], **how: Any) -> None:
        """Draw a line through points of the body."""
        from matplotlib.lines import Line2D

        up = [self.height - self.top - value for value in y]
        self.figure.add_artist(Line2D(list(x), up, transform=self.figure.dpi_scale_trans, **how))

    def key(self, key: Key, left: float, top: float) -> None:
        """Draw a key; its upper left corner is at `left`, `top`."""
        right, y = left + key.room, top
        if key.heading:
            self.text(right, y, key.heading, ha="right", color=GREY)
            y += LEADING
        for entry, rows in zip(key.entries, key.names, strict=True):
            self._sample(entry, left, y + LEADING / 2.0)
            for i, row in enumerate(rows):
                self.text(left + HANDLE + GAP, y + i * LEADING, row)
            self.text(right, y, entry.value, ha="right")
            y += LEADING * len(rows)

    def _sample(self, entry: Entry, left: float, y: float) -> None:
        look = entry.look
        ends, middle = [left, left + HANDLE], [left + HANDLE / 2.0]
        if entry.kind == "line":
            self.line(ends, [y, y], linewidth=1.1, **look.line)
        else:
            self.line(ends, [y, y], color=look.colour, linewidth=0.8)
            self.line(middle, [y], color=look.colour, marker=look.marker, markersize=3.5, linestyle="none")


def save(figure: Figure, out: Path, description: str, title: str) -> None:
    """Write a figure, atomically, in the format of its ending; the same figure gives the same bytes, without a date."""
    suffix = out.suffix.lower()
    lines = "\n".join(map(printable, description.split("\n")))  # XML cannot hold control characters
    tags = dict(zip(TAGS[suffix], (printable(title), lines, f"m2f2bench {__version__}"), strict=True))
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix, {})
    with styled(), replacing(out) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=DPI, metadata=tags | undated)
