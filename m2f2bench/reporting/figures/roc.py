"""ROC and precision-recall curves with pointwise bands; the key has the area and its interval."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ScoreError
from ...leaderboards.text import format_score
from ...metrics.names import AVERAGE
from ...metrics.registry import title
from .series import Band, Series
from .sheet import EDGE, GAP, REFERENCE, Entry, Key, Page, Sheet, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...core.records import Floats

log = logging.getLogger("m2f2bench")
LEFT, BOTTOM, TOP = 0.42, 0.33, 0.06
"""Inches left of, below and above the axes, for their labels."""
SIDE_OF_DOUBLE = 3.1
LEAST_FPR = 1e-6
BAND_POINTS = 201


def draw_roc(series: Sequence[Series], page: Page, log_x: bool = False, bands: bool = True) -> Figure:
    """Draw ROC curves, FPR against TPR, with the AUC. With `log_x` the axis begins at a power of ten below 1 / reals.

    The area under a drawn curve (trapezoids) is the AUC of the key. Raises ScoreError if a class is missing.
    """
    start = _first_fpr(max(one.n_units[0] for one in series)) if log_x else 0.0
    axes, figure, values = _sheet(series, page, "auc")
    grid = np.geomspace(start, 1.0, BAND_POINTS) if log_x else np.linspace(0.0, 1.0, BAND_POINTS)
    chance = np.geomspace(start, 1.0, 100) if log_x else np.array([0.0, 1.0])
    axes.plot(chance, chance, label="_chance", **REFERENCE)
    for i, (one, has_interval) in enumerate(zip(series, values, strict=True)):
        x, y = one.roc()
        _band(axes, one.roc_band(grid) if bands and has_interval else None, i)
        if log_x:
            x, y = from_fpr(x, y, start)
        axes.plot(x, y, zorder=3, gid=f"curve-{i}", **look(i).line)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", ylim=(-0.01, 1.01))
    if log_x:
        axes.set_xscale("log")
        axes.set_xlim(start, 1.0)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    else:
        axes.set_xlim(-0.01, 1.01)
    return figure


def draw_pr(series: Sequence[Series], page: Page, bands: bool = True) -> Figure:
    """Draw precision-recall curves, fake the positive class, as steps; their area is the average precision in the key.

    The dotted line is the precision of a detector that calls every face fake. Raises ScoreError if a class is missing.
    """
    axes, figure, values = _sheet(series, page, "ap")
    grid = np.linspace(0.0, 1.0, BAND_POINTS)[1:]
    n_real, n_fake = series[0].n_units
    if series[0].group != AVERAGE:  # the chance level is not the same for all methods
        share = n_fake / (n_real + n_fake)
        axes.plot([0, 1], [share, share], label="_chance", **REFERENCE)
    for i, (one, has_interval) in enumerate(zip(series, values, strict=True)):
        recall, precision = one.precision_recall()
        _band(axes, one.precision_band(grid) if bands and has_interval else None, i)
        x = np.repeat(np.concatenate([[0.0], recall]), 2)[1:-1]
        axes.plot(x, np.repeat(precision, 2), zorder=3, gid=f"curve-{i}", **look(i).line)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return figure


def from_fpr(x: Floats, y: Floats, start: float) -> tuple[Floats, Floats]:
    """Return a ROC curve [P] from the rate `start` on, with more points where a logarithmic axis bends a line."""
    kept = x >= start
    first = float(np.interp(start, x, y))
    x, y = np.concatenate([[start], x[kept]]), np.concatenate([[first], y[kept]])
    slanted = np.flatnonzero((np.diff(x) > 0) & (np.diff(y) > 0))
    pieces_x, pieces_y, done = [], [], 0
    for i in slanted:
        more = np.geomspace(x[i], x[i + 1], 2 + min(48, math.ceil(24 * math.log10(x[i + 1] / x[i]))))[1:-1]
        pieces_x += [x[done : i + 1], more]
        pieces_y += [y[done : i + 1], np.interp(more, [x[i], x[i + 1]], [y[i], y[i + 1]])]
        done = i + 1
    return np.concatenate([*pieces_x, x[done:]]), np.concatenate([*pieces_y, y[done:]])


def _first_fpr(n_real: int) -> float:
    """Return the start of a logarithmic axis: the power of ten that is one false positive or less, at most 0.1."""
    return min(0.1, max(LEAST_FPR, float(10.0 ** math.floor(math.log10(1.0 / max(n_real, 1)) + 1e-9))))


def _sheet(series: Sequence[Series], page: Page, metric: str) -> tuple[Axes, Figure, list[bool]]:
    """Return square axes, with the key below or (wide page) to the right, and whether each value has an interval."""
    entries, has_interval = [], []
    for i, one in enumerate(series):
        score = one.score(metric)
        if score.value is None:
            raise ScoreError(f"'{one.name}' has no {title(metric)} and therefore no curve: {score.reason}")
        entries.append(Entry(one.name, format_score(score), look(i)))
        has_interval.append(score.ci is not None)
        if score.reason:
            log.info("'%s', %s: %s", one.name, title(metric), score.reason)
    level = f" [{100 * series[0].rules.level:g}% interval]" if any(has_interval) else ""
    wide = not page.narrow
    side = SIDE_OF_DOUBLE if wide else page.room - LEFT - 0.06
    left = EDGE + LEFT + side + 3 * GAP
    key = Key(entries, page.width - EDGE - left if wide else page.room, title(metric) + level)
    body = TOP + side + BOTTOM
    sheet = Sheet(page, max(body, key.height + TOP) if wide else body, None if wide else key)
    if wide:
        sheet.key(key, left, TOP)
    return sheet.axes(EDGE + LEFT, TOP, side, side), sheet.figure, has_interval


def _band(axes: Axes, band: Band | None, index: int) -> None:
    if band is not None:
        # Transparent, as bands may cover each other.
        own = look(index)
        axes.fill_between(*band, color=own.colour, alpha=0.16, linewidth=0, zorder=2, gid=f"band-{index}")
