"""Style of all figures: sizes, colours, line styles and markers that differ without colour too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

WIDTHS = {"single": 3.4, "double": 7.0}
"""Inches: one column and both columns of a two-column page."""
FAMILY = "DejaVu Sans"
"""A font that comes with matplotlib, so that a figure is the same on every machine."""
SIZE = 7.0
"""Size of all text in points."""
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


SETTINGS: dict[str, Any] = {
    "font.family": [FAMILY],
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelpad": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 1.1,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # TrueType: text can be searched, and journals refuse Type 3
    "svg.fonttype": "none",
    "svg.hashsalt": "m2f2bench",  # else ids are random
    "text.parse_math": False,  # a detector may be called `$x_1$`
    "text.usetex": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Use matplotlib's defaults with SETTINGS on top in place of the user's settings, which are restored at the end."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        # Its stubs know no other keys than literal ones.
        matplotlib.rcParams.update(cast(Any, SETTINGS))
        yield
