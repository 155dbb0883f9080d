"""Critical-difference diagram: mean ranks on a line; a bar joins detectors that do not differ significantly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .ranking import Ranking
from .sheet import EDGE, GAP, Page, Sheet
from .style import GREY, LEADING, WIDTHS
from .text import fit_all, paragraph, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {"single": 0.9, "double": 2.2}
"""Inches of a name at most, on either side."""
BAR = 0.07
"""Inches from one bar to the next."""
SCALE = 0.62
"""Inches from the top of the body to the line of ranks."""
NEAREST = 0.06
"""Inches of line between a label and the position of its rank, at least."""


@dataclass(frozen=True)
class _Item:
    """One detector: mean rank, the lines of its name, its rank as text, and whether it is printed on the left."""

    rank: float
    rows: list[str]
    value: str
    at_left: bool

    @property
    def name(self) -> float:
        """Width of the name in inches."""
        return max(map(width, self.rows))

    @property
    def need(self) -> float:
        """Inches from the page's edge to the first place where its line may bend."""
        return EDGE + self.name + GAP + width(self.value) + GAP / 2 + NEAREST


@dataclass(frozen=True)
class _Axis:
    """Positions of ranks, in inches from the left of the page."""

    start: float
    step: float

    def __call__(self, rank: float) -> float:
        return self.start + self.step * rank


def draw_ranks(names: Sequence[str], found: Ranking, page: Page, what: str, notes: Sequence[str] = ()) -> Figure:
    """Draw Demsar's diagram (2006, figure 1) of ranks by the metric `what`, best on the left, with `notes` below."""
    order = np.argsort(found.ranks, kind="stable")
    labels = fit_all([names[i] for i in order], LABELS["double" if page.width > WIDTHS["single"] else "single"])
    half = (len(order) + 1) // 2
    ranks = [float(found.ranks[i]) for i in order]
    items = [_Item(ranks[i], rows, f"{ranks[i]:.2f}", i < half) for i, rows in enumerate(labels)]
    axis = _fitted(items, page.width)
    bars = found.alike()
    words = [row for note in [*_tests(found), *notes] for row in paragraph([note], page.room)]
    first = SCALE + 0.1 + BAR * len(bars) + 0.04
    step = LEADING * max(map(len, labels)) + 0.04
    sheet = Sheet(page, first + half * step + GAP + len(words) * LEADING)
    sheet.text(page.width / 2.0, 0.0, f"mean rank by {what} (1 is best)", ha="center")
    _scale(sheet, axis, len(items))
    _difference(sheet, axis, found)
    for i, (one, other) in enumerate(bars):
        ends = [axis(ranks[one]) - 0.03, axis(ranks[other]) + 0.03]
        sheet.line(ends, [SCALE + 0.09 + BAR * i] * 2, color="black", linewidth=2.2, solid_capstyle="butt", gid="alike")
    for i, item in enumerate(items):
        place = i if item.at_left else len(items) - 1 - i
        _label(sheet, axis(item.rank), item, first + (place + 0.5) * step)
    for i, row in enumerate(words):
        sheet.text(EDGE, first + half * step + GAP + i * LEADING, row)
    return sheet.figure


def _fitted(items: Sequence[_Item], wide: float) -> _Axis:
    """Return the longest axis on which every label ends before the position of its own rank."""
    left = [(1.0, 2 * EDGE), *((item.rank, item.need) for item in items if item.at_left)]
    right = [(float(len(items)), wide - 2 * EDGE), *((i.rank, wide - i.need) for i in items if not i.at_left)]

    def start(step: float) -> tuple[float, float]:
        return max(x - step * rank for rank, x in left), min(x - step * rank for rank, x in right)

    low, high = 0.0, wide
    for _ in range(60):  # bisection: a longer step leaves less space for the start
        middle = (low + high) / 2.0
        least, greatest = start(middle)
        low, high = (middle, high) if least <= greatest else (low, middle)
    return _Axis(sum(start(low)) / 2.0, low)


def _label(sheet: Sheet, place: float, item: _Item, y: float) -> None:
    """Print name and rank at the page's edge, and draw a line from there to the rank's position on the axis."""
    wide, sign, side = sheet.page.width, (1.0 if item.at_left else -1.0), ("left" if item.at_left else "right")
    edge = EDGE if item.at_left else wide - EDGE
    for i, row in enumerate(item.rows):
        sheet.text(edge, y + (i - len(item.rows) / 2.0) * LEADING, row, ha=side)
    value = edge + sign * (item.name + GAP)
    sheet.text(value, y - LEADING / 2.0, item.value, ha=side, color=GREY)
    end = value + sign * (width(item.value) + GAP / 2)
    sheet.line([place, place, end], [SCALE, y, y], color="black", linewidth=0.7, gid="detector")


def _tests(found: Ranking) -> list[str]:
    p = f"p = {found.p:.3f}" if found.p >= 0.001 else "p < 0.001"
    share = f"{100 * found.alpha:g}%"
    verdict = "" if found.differ else f": no two detectors differ significantly at {share}"
    return [
        f"Friedman's test over {found.n} datasets: χ² = {found.chi2:.2f} ({len(found.ranks) - 1} df), {p}{verdict}",
        f"Nemenyi's critical difference at {share}: CD = {found.difference:.2f}",
    ]


def _scale(sheet: Sheet, axis: _Axis, k: int) -> None:
    """Draw the line of ranks with numbers above; of many ranks, only some numbers are printed."""
    sheet.line([axis(1), axis(k)], [SCALE, SCALE], color="black", linewidth=0.7)
    room = width(f"{k}") + GAP
    every = max(1, int(np.ceil(room / max(axis.step, 1e-6))))
    for rank in range(1, k + 1):
        sheet.line([axis(rank)] * 2, [SCALE - 0.04, SCALE], color="black", linewidth=0.6)
        if rank == k or ((rank - 1) % every == 0 and k - rank >= every):
            sheet.text(axis(rank), SCALE - 0.06 - LEADING, str(rank), ha="center")


def _difference(sheet: Sheet, axis: _Axis, found: Ranking) -> None:
    """Draw the critical difference as a line above the scale, without an end if it is longer than the scale."""
    y, longest = SCALE - 0.06 - LEADING - 0.08, len(found.ranks) - 1.0
    end = 1.0 + min(found.difference, longest)
    sheet.line([axis(1), axis(end)], [y, y], color="black", linewidth=1.0, gid="cd")
    for place in (1.0, end) if found.difference <= longest else (1.0,):
        sheet.line([axis(place)] * 2, [y - 0.03, y + 0.03], color="black", linewidth=1.0)
    words = "CD" if found.difference <= longest else "CD, beyond the scale"
    sheet.text((axis(1) + axis(end)) / 2.0, y - 0.03 - LEADING, words, ha="center")
