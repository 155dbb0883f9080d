"""A metric by how it is evaluated: for each choice of a multiverse the values of all ways with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ScoreError
from ...metrics.registry import metric_of, title
from ...scoring.choices import Choice
from ...scoring.multiverse_report import Multiverse, Universe
from .sheet import EDGE, GREY, LEADING, PALE, Entry, Key, Page, Sheet, fit_all, look, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOT = 0.085
"""Inches from one detector's marker to the next in a row."""
LABELS = {"single": 1.1, "double": 2.2}
TRIMMED = re.compile(r"trimmed(\d+)floor\d+")


def _short(aggregation: str) -> str:
    return TRIMMED.sub(r"trimmed \1", aggregation)


OF: tuple[Callable[[Choice], str], ...] = (
    lambda choice: choice.frames,
    lambda choice: f"video, {_short(choice.aggregation)}" if choice.aggregation else choice.level,
    lambda choice: choice.missing,
)
"""The blocks of rows: frames; level and aggregation; missing rule."""


def draw_multiverse(found: Multiverse, page: Page, metric: str) -> Figure:
    """Draw for each choice the least, the greatest and the mean value of all ways with it; on top the protocol's own.

    Raises ScoreError if no detector has a value.
    """
    rows = _rows(found)
    known = [one.values[name][metric] for one in found.universes for name in found.detectors]
    values = [value for value in known if value is not None]
    if not values:
        raise ScoreError(f"no detector has a value of {title(metric, metric_of(metric))}")
    labels = fit_all([name for name, _, _ in rows], LABELS["single" if page.narrow else "double"])
    n = len(found.detectors)
    row = max(LEADING * (max(map(len, labels)) + 0.6), DOT * (n + 1.2))
    left = EDGE + max(width(line) for lines in labels for line in lines) + 0.12
    key = Key([Entry(name, "", look(i), "marker") for i, name in enumerate(found.detectors)], page.room)
    sheet = Sheet(page, 0.06 + row * len(rows) + 0.33, key)
    axes = sheet.axes(left, 0.06, page.width - EDGE - 0.05 - left, row * len(rows))
    for i, name in enumerate(found.detectors):
        _marks(axes, rows, name, metric, i, DOT / row * (i - (n - 1) / 2))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), ["\n".join(lines) for lines in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(title(metric, metric_of(metric)) + (", at an ORACLE threshold" if found.oracle else ""))
    for y in range(len(rows) - 1):
        ends = rows[y][2] != rows[y + 1][2]
        axes.axhline(y + 0.5, color=GREY if ends else PALE, linewidth=0.6 if ends else 0.4, zorder=0)
    margin = 0.04 * max(max(values) - min(values), 0.1)
    axes.set_xlim(min(values) - margin, max(values) + margin)
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 2.5, 5, 10])
    return sheet.figure


def _rows(found: Multiverse) -> list[tuple[str, list[Universe], int]]:
    """Return (label, ways, block) of each row; a block with one choice alone is left out."""
    rows = [("own protocol", [found.universes[0]], 0)]
    for block, of in enumerate(OF, 1):
        names = list(dict.fromkeys(of(one.choice) for one in found.universes))
        if len(names) > 1:
            rows += [(name, [one for one in found.universes if of(one.choice) == name], block) for name in names]
    return rows


def _marks(
    axes: Axes, rows: list[tuple[str, list[Universe], int]], name: str, metric: str, index: int, shift: float
) -> None:
    own, means = look(index), []
    for y, (_, ways, _) in enumerate(rows):
        values = [value for one in ways if (value := one.values[name][metric]) is not None]
        if not values:
            continue
        means.append((float(np.mean(values)), y + shift))
        if len(values) > 1:
            ends = [min(values), max(values)]
            axes.plot(ends, [y + shift] * 2, color=own.colour, linewidth=0.9, zorder=2, gid=f"range-{index}")
    if means:
        x, places = zip(*means, strict=True)
        axes.plot(
            x,
            places,
            color=own.colour,
            marker=own.marker,
            markersize=3.5,
            linestyle="none",
            zorder=3,
            clip_on=False,
            gid=f"values-{index}",
        )
