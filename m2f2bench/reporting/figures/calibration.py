"""Reliability diagrams, and histograms of the scores by manipulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...core.errors import ScoreError
from ...core.records import FAKE, REAL
from ...core.rows import Units
from ...leaderboards.text import format_score
from ...metrics.detection.sample import EDGES
from .series import Series
from .sheet import (
    EDGE,
    FAKE_COLOUR,
    GAP,
    GREY,
    LEADING,
    PALE,
    REAL_COLOUR,
    REFERENCE,
    Page,
    Sheet,
    fit,
    fit_all,
    look,
    width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEFT, BOTTOM = 0.46, 0.34
"""Inches left of and below a block of axes, for their labels."""
BETWEEN, APART = 0.16, 0.34
"""Inches between columns without and with numbers on the left."""
STRIP = 0.5
"""Inches of a reliability diagram's histogram."""
ROW, LOWEST_ROW = 0.8, 0.45
"""Inches of one method's histogram with its name above: preferred, and at least."""
SCORE_BINS = 20
"""Equal bins of [0, 1] in the score histogram. A bin has its lower edge, as a score at the threshold counts as fake."""
PALE_REAL = "#d6e7f3"
"""Ground of the reals' bars, under lines in their colour: lighter than the fakes' in grey too."""
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Distances of the lines that bars are read against, as shares."""
TALLEST = 9.5
"""Inches of a printed page: the height of histograms at most."""


class Histogram(NamedTuple):
    """Reals and a method's fakes by bin, int64 [SCORE_BINS]; `apart`: reals and fakes without a finite score."""

    real: npt.NDArray[np.int64]
    fake: npt.NDArray[np.int64]
    apart: tuple[int, int]


def histogram(units: Units, method: str) -> Histogram:
    """Count the reals and a method's fakes; every unit is in a bin or in `apart`."""
    counts, apart = [], []
    for kept in (units.label == REAL, (units.label == FAKE) & (units.method == method)):
        score = units.score[kept]
        finite = score[np.isfinite(score)]
        counts.append(np.histogram(finite, SCORE_BINS, (0.0, 1.0))[0])
        apart.append(len(score) - len(finite))
    return Histogram(counts[0], counts[1], (apart[0], apart[1]))


def draw_reliability(series: Sequence[Series], page: Page) -> Figure:
    """Draw the share of fakes against the mean score by bin, with intervals, and below it the number of units by bin.

    The bins are those of the ECE, which is printed above with its interval. Raises ScoreError if there is no unit.
    """
    columns, side = _columns(len(series), page, 2.6, LEFT, APART)
    aside = (page.room - LEFT - columns * side - APART * (columns - 1)) / 2.0
    names = fit_all([one.name for one in series], side)
    head = LEADING * (max(map(len, names)) + 1) + 0.05
    block = head + side + 0.06 + STRIP + BOTTOM + 0.06
    rows = math.ceil(len(series) / columns)
    sheet = Sheet(page, rows * block)
    for i, one in enumerate(series):
        score = one.score("ece")
        if score.value is None:
            raise ScoreError(f"'{one.name}' has no reliability diagram: {score.reason}")
        row, column = divmod(i, columns)
        left, top = EDGE + LEFT + aside + column * (side + APART), row * block
        _head(sheet, left + side / 2, top + head - 0.05, [*names[i], f"ECE {format_score(score)}"])
        axes = sheet.axes(left, top + head, side, side)
        strip = sheet.axes(left, top + head + side + 0.06, side, STRIP)
        _diagram(axes, strip, one, i, side, first=column == 0)
    return sheet.figure


def _columns(n: int, page: Page, largest: float, left: float, between: float) -> tuple[int, float]:
    """Return the number of panels in a row, and the width of one in inches."""
    columns = min(n, 2 if page.narrow else 4)
    return columns, min(largest, (page.room - left - 0.05 - between * (columns - 1)) / columns)


def _head(sheet: Sheet, middle: float, bottom: float, rows: Sequence[str]) -> None:
    for up, row in enumerate(reversed(rows)):
        sheet.text(middle, bottom - (up + 1) * LEADING, row, ha="center", color=GREY if up == 0 else "black")


def _diagram(axes: Axes, strip: Axes, one: Series, index: int, side: float, first: bool) -> None:
    own, bins = look(index), one.bins()
    kept = bins.n > 0
    axes.plot([0, 1], [0, 1], label="_ideal", **REFERENCE)
    axes.vlines(bins.score[kept], bins.low[kept], bins.high[kept], color=own.colour, linewidth=0.8, zorder=2)
    how: dict[str, Any] = {"color": own.colour, "marker": own.marker, "markersize": 3.2, "linewidth": 0.8, "zorder": 3}
    axes.plot(bins.score[kept], bins.fake[kept], linestyle=own.dash, gid="bins", clip_on=False, **how)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], xticklabels=[])
    strip.bar(EDGES[:-1], bins.n, np.diff(EDGES), align="edge", color=own.colour, alpha=0.45, linewidth=0.0)
    strip.set(xlim=(-0.01, 1.01), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"], xlabel="score, P(fake)")
    top = int(max(bins.n))
    strip.set(ylim=(0, top * 1.05), yticks=[0, top], yticklabels=["0", _short(top)])
    axes.set_yticklabels(["0", "0.5", "1"] if first else [])
    if first:
        for place, words in ((axes, "share of fakes"), (strip, "units")):
            place.set_ylabel(words)
            place.yaxis.set_label_coords((0.1 - LEFT) / side, 0.5)


def _short(n: int) -> str:
    """Return a count in about four characters."""
    return f"{n:,}" if n < 10_000 else f"{n / 1000:.3g}k" if n < 1_000_000 else f"{n / 1e6:.3g}M"


def draw_histogram(series: Sequence[Series], page: Page) -> Figure:
    """Draw the scores of each detector by method: fakes upwards, reals downwards, as shares of each.

    A line marks the decision threshold. The heading gives the number of units that have no score.
    """
    columns, wide = _columns(len(series), page, page.room, 0.05, BETWEEN)
    methods = series[0].units.methods or ("",)
    names = fit_all([one.name for one in series], wide)
    head = LEADING * (max(map(len, names)) + 1) + 0.05
    rows = math.ceil(len(series) / columns)
    high = max(LOWEST_ROW, min(ROW, (TALLEST / rows - head - BOTTOM) / len(methods)))
    block = head + len(methods) * high + BOTTOM
    if rows * block > TALLEST + 0.01:
        raise ScoreError(
            f"histograms of {len(series)} detectors by {len(methods)} methods would be {rows * block:.0f} inches high: "
            f"give fewer detectors{', or --width double' if page.narrow else ''}"
        )
    drawn = [[histogram(one.units, method) for method in methods] for one in series]
    step = _step(max(max(_shares(h.real).max(), _shares(h.fake).max()) for own in drawn for h in own))
    bars = f"bars: shares of the fakes and of the reals in bins of {1 / SCORE_BINS:g}; grey lines: every {step:.0%}"
    page = replace(page, foot=(*page.foot, bars))
    sheet = Sheet(page, rows * block + LEADING)
    for i, one in enumerate(series):
        row, column = divmod(i, columns)
        left, top = EDGE + 0.05 + column * (wide + BETWEEN), row * block
        _head(sheet, left + wide / 2, top + head - 0.05, [*names[i], _cut(one)])
        ends = (max(_shares(h.real).max() for h in drawn[i]), max(_shares(h.fake).max() for h in drawn[i]))
        for j, (method, counts) in enumerate(zip(methods, drawn[i], strict=True)):
            place = top + head + j * high
            sheet.text(left, place, fit(_panel_heading(method, counts), wide, 1)[0])
            axes = sheet.axes(left, place + LEADING, wide, high - LEADING - 0.04)
            _mirror(axes, counts, one.threshold[1], ends, step)
            _furnish(axes, last=j == len(methods) - 1)
    _classes(sheet, rows * block, int((series[0].units.label == REAL).sum()))
    return sheet.figure


def _cut(one: Series) -> str:
    policy, value, oracle = one.threshold
    if value is None:
        return f"no threshold ({policy})"
    return f"threshold {value:.3g}" + (", an ORACLE" if oracle else "" if f"{value:g}" == policy else f" ({policy})")


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(counts / max(int(counts.sum()), 1), dtype=np.float64)


def _step(highest: float) -> float:
    """Return the distance of lines such that the highest bar crosses at most six."""
    return next((step for step in STEPS if highest / step <= 6.0 + 1e-9), STEPS[-1])


def _mirror(axes: Axes, counts: Histogram, threshold: float | None, ends: tuple[float, float], step: float) -> None:
    """Draw fakes upwards and reals downwards on one scale; `ends` are the highest shares of reals and of fakes.

    Every bar has edges, the fakes' are solid and the reals' have lines, so that they differ in grey too.
    """
    edges = np.linspace(0.0, 1.0, SCORE_BINS + 1)
    for share in np.arange(step, max(ends) + step / 2, step):
        lines = [sign * share for sign, end in ((-1, ends[0]), (1, ends[1])) if share <= end + step / 2]
        axes.hlines(lines, 0.0, 1.0, color=PALE, linewidth=0.4, zorder=0)
    up, down = _shares(counts.fake), -_shares(counts.real)
    axes.stairs(up, edges, fill=True, color=FAKE_COLOUR, gid="fake")
    axes.stairs(down, edges, fill=True, color=PALE_REAL, gid="real")
    places, wide = edges[:-1], 1.0 / SCORE_BINS
    axes.bar(places, up, wide, align="edge", fill=False, edgecolor="white", linewidth=0.4)
    axes.bar(places, down, wide, align="edge", fill=False, edgecolor=REAL_COLOUR, linewidth=0.4, hatch="//////")
    axes.axhline(0.0, color="black", linewidth=0.5)
    if threshold is not None:
        axes.axvline(threshold, color="black", linewidth=0.7, linestyle=(0, (4, 2)), gid="threshold")
    axes.set(xlim=(-0.01, 1.01), ylim=(-1.08 * max(ends[0], 0.25 * ends[1]), 1.08 * max(ends[1], 0.25 * ends[0])))


def _panel_heading(method: str, counts: Histogram) -> str:
    """Return a panel's heading: the method, its number of fakes, and how many units have no finite score."""
    without = sum(counts.apart)
    words = f"{method or 'no fakes'} ({int(counts.fake.sum()):,})"
    return words + (f"; {without:,} without a score" if without else "")


def _furnish(axes: Axes, last: bool) -> None:
    """Set ticks, with labels only below the last panel."""
    axes.spines["bottom"].set_visible(last)
    axes.tick_params(axis="x", length=2.5 if last else 0)
    tenths = [i / 10 for i in range(11)]
    named = ["0", *[""] * 4, "0.5", *[""] * 4, "1"]
    axes.set(xticks=tenths if last else [], xticklabels=named if last else [], yticks=[])
    axes.spines["left"].set_visible(False)
    if last:
        axes.set_xlabel("score, P(fake)")


def _classes(sheet: Sheet, top: float, n_real: int) -> None:
    """Print the meaning of the two colours below the panels."""
    x = EDGE
    meanings = ((FAKE_COLOUR, "fakes (number), upwards"), (PALE_REAL, f"the {n_real:,} reals, downwards"))
    for colour, words in meanings:
        sheet.line([x, x + 0.15], [top + LEADING / 2] * 2, color=colour, linewidth=5.0, solid_capstyle="butt")
        for part in (0.0, 0.03, 0.06, 0.09, 0.12) if colour == PALE_REAL else ():
            ends = [top + LEADING / 2 + 0.035, top + LEADING / 2 - 0.035]
            sheet.line([x + part, x + part + 0.03], ends, color=REAL_COLOUR, linewidth=0.6)
        sheet.text(x + 0.15 + GAP, top, words)
        x += 0.15 + 2.5 * GAP + width(words)
