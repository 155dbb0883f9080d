"""Sheet of a figure: title, body, key and foot below each other, so that nothing can overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.files import replacing
from ...version import __version__
from .style import DPI, GREY, LEADING, Look, styled
from .text import fit, fit_all, paragraph, printable, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
class Page:
    """The frame of every figure: width in inches, title, and the parts of the line at its foot."""

    width: float
    title: str = ""
    foot: tuple[str, ...] = ()

    @property
    def room(self) -> float:
        """Inches between the edges."""
        return self.width - 2.0 * EDGE


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
    undated: Mapping[str, Any] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(suffix, {})
    with styled(), replacing(out) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=DPI, metadata={**tags, **undated})
