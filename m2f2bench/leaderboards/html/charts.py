"""Geometry of the page's charts: dots with intervals by manipulation, and ROC curves. Lengths are SVG user units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from ...core.records import Score
from ...results.signature import place_of
from ..board import Board, RocCurve
from ..table import Cell, Table
from .views import ColumnView, TableView, Viewer, interval, number

CHARTED = 40
"""Largest number of detectors in charts, in the table's order; the page says how many are left out."""
COLOURS, SHAPES, DASHES = 7, 8, 5
"""Numbers of colours, markers and line styles in the style sheet; coprime, so that 56 detectors differ."""
DOT_WIDTH, DOT_LEFT, DOT_RIGHT, DOT_TOP, DOT_STEP = 360.0, 132.0, 348.0, 24.0, 20.0
ROC_SIZE, ROC_LEFT, ROC_TOP = 300.0, 44.0, 10.0
MOST_DECADES = 4
MARKERS = 4
"""Number of markers along a ROC curve."""


@dataclass(frozen=True)
class Series:
    """Style of one detector, the same in every chart."""

    number: int
    name: str

    @property
    def classes(self) -> str:
        """The classes of its colour and line in the style sheet."""
        return f"c{self.number % COLOURS} l{self.number % DASHES}"

    @property
    def shape(self) -> str:
        """The id of the marker."""
        return f"s{self.number % SHAPES}"


@dataclass(frozen=True)
class Tick:
    """A position on an axis with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """One detector's value; without a value `x` is None and `text` says why. `low`, `high`: ends of its interval."""

    series: Series
    label: str
    y: float
    text: str
    x: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DotChart:
    """One manipulation of one dataset under one protocol, with a row for each detector."""

    dataset: str
    label: str
    height: float
    ticks: tuple[Tick, ...]
    chance: float | None
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class DotFigure:
    """All charts of one table; the page has the table below them."""

    table: TableView
    charts: tuple[DotChart, ...]


@dataclass(frozen=True)
class Line:
    """One ROC curve: `points` in SVG's format, and (x, y) of its markers."""

    series: Series
    points: str
    markers: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True)
class RocFigure:
    """The curves of one signature. The logarithmic axis begins at 10 to the power of -`decades`."""

    dataset: str
    title: str
    measure: str
    decades: int
    ticks: tuple[Tick, ...]
    rises: tuple[Tick, ...]
    log_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]


class Charts:
    """All charts of a board and their legend. `left_out` is the number of detectors beyond CHARTED."""

    def __init__(self, board: Board, viewer: Viewer) -> None:
        tables = (board.table, *board.methods)
        names = [row.detector for table in tables for row in table.rows] + [curve.detector for curve in board.curves]
        charted = set(names[len(board.table.rows) :])
        order = [name for name in dict.fromkeys(names) if name in charted]
        self.left_out = max(len(order) - CHARTED, 0)
        self.series = {name: Series(i, name) for i, name in enumerate(order[:CHARTED])}
        pairs = zip(board.methods, viewer.methods, strict=True)
        self.dots = tuple(DotFigure(view, self._dot_charts(table, view)) for table, view in pairs)
        self.rocs = tuple(self._rocs(board.curves, viewer))

    def _dot_charts(self, table: Table, view: TableView) -> tuple[DotChart, ...]:
        kept = [i for i, row in enumerate(table.rows) if row.detector in self.series]
        kept.sort(key=lambda i: self.series[table.rows[i].detector].number)
        scores = [cell.score for row in table.rows for cell in row.cells if cell and cell.score.value is not None]
        values = [value for score in scores for value in (score.value, *(score.ci or ()))]
        metrics = {column.metric for column in table.columns}
        about = table.columns[0].about if len(metrics) == 1 else None
        chance = None if about is None else about.chance  # what guessing reaches, drawn as a line
        ends = [] if about is None or chance is None else [chance, about.best]
        steps = nice([v for v in values if v is not None] + ends)
        charts = []
        for j, column in enumerate(view.columns):
            entries = [(self.series[table.rows[i].detector], view.rows[i].also, table.rows[i].cells[j]) for i in kept]
            charts.append(_dot_chart(column, entries, steps, chance))
        return tuple(charts)

    def _rocs(self, curves: Sequence[RocCurve], viewer: Viewer) -> list[RocFigure]:
        def key(curve: RocCurve) -> tuple[str, str, str, str]:
            return curve.dataset, curve.split, curve.protocol, curve.signature

        figures = []
        for (dataset, split, protocol, signature), own in groupby(sorted(curves, key=key), key):
            title = f"{place_of(dataset, split)} · {protocol}"
            drawn = [curve for curve in own if curve.detector in self.series]
            drawn.sort(key=lambda curve: self.series[curve.detector].number)
            if drawn:
                lines = tuple(_line(curve, self.series[curve.detector]) for curve in drawn)
                measure = viewer.measures.id(signature, f"{title} · ROC")
                n_real = max(curve.auc.n_real for curve in drawn)  # down to about one false positive among them
                decades = min(max(math.ceil(math.log10(max(n_real, 1))), 1), MOST_DECADES)
                figures.append(RocFigure(dataset, title, measure, decades, *_roc_ticks(decades), lines))
        return figures


def nice(values: Sequence[float]) -> list[float]:
    """Return 2 to 7 round axis steps, from at most the lowest of `values` to at least the highest."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = max(high - low, 1e-3)
    power = 10.0 ** math.floor(math.log10(span))
    step = next(s * power for s in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (s * power) <= 5.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, max(last, first + 1) + 1)]


def _dot_chart(
    column: ColumnView, entries: Sequence[tuple[Series, str, Cell | None]], steps: Sequence[float], chance: float | None
) -> DotChart:
    def x(value: float) -> float:
        return round(DOT_LEFT + (value - steps[0]) / (steps[-1] - steps[0]) * (DOT_RIGHT - DOT_LEFT), 1)

    dots = []
    for place, (series, also, cell) in enumerate(entries):
        y = DOT_TOP + (place + 0.5) * DOT_STEP
        label = f"{series.name} ({also})" if also else series.name
        score = cell.score if cell is not None else None
        known = () if score is None or score.value is None else (score.value, *(score.ci or ()))
        dots.append(Dot(series, label, y, "–" if score is None else with_interval(score), *map(x, known)))
    digits = max(len(f"{s:g}".partition(".")[2]) for s in steps)
    ticks = tuple(Tick(x(s), f"{s:.{digits}f}".replace("-", "−")) for s in steps)
    height = DOT_TOP + DOT_STEP * len(dots) + 4.0
    return DotChart(column.dataset, column.label, height, ticks, None if chance is None else x(chance), tuple(dots))


def with_interval(score: Score) -> str:
    """Return `value [low, high]`, or `null` with the reason."""
    if score.value is None:
        return f"null: {score.reason or 'no reason given'}"
    return f"{number(score.value)} {interval(score.ci)}".rstrip()


def _line(curve: RocCurve, series: Series) -> Line:
    rates = list(zip(curve.fpr, curve.tpr, strict=True))
    places = [(ROC_LEFT + ROC_SIZE * f, ROC_TOP + ROC_SIZE * (1.0 - t)) for f, t in rates]
    points = " ".join(f"{round(x, 2):g},{round(y, 1):g}" for x, y in corners(places))
    # Shifted by detector, so that markers of similar curves do not cover each other.
    shift = (series.number * 0.37) % 1.0
    along = [f + t for f, t in rates]
    wanted = [along[-1] * (i + 0.15 + 0.7 * shift) / MARKERS for i in range(MARKERS)]
    across, down = (np.interp(wanted, along, ends).tolist() for ends in zip(*places, strict=True))
    markers = tuple((round(x, 2), round(y, 1)) for x, y in zip(across, down, strict=True))
    return Line(series, points, markers, f"AUC {with_interval(curve.auc)}")


def corners(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a polyline without points on the straight line between their neighbours."""
    kept = list(places[:1])
    for here, after in pairwise(places[1:]):
        (x0, y0), (x1, y1), (x2, y2) = kept[-1], here, after
        if abs((x1 - x0) * (y2 - y1) - (x2 - x1) * (y1 - y0)) > 1e-9:
            kept.append(here)
    return kept + list(places[1:][-1:])


def _roc_ticks(decades: int) -> tuple[tuple[Tick, ...], tuple[Tick, ...], tuple[Tick, ...]]:
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    across = tuple(Tick(round(ROC_LEFT + ROC_SIZE * s, 1), f"{s:g}") for s in shares)
    up = tuple(Tick(round(ROC_TOP + ROC_SIZE * (1.0 - s), 1), f"{s:g}") for s in shares)
    powers = range(-decades, 1)
    logs = tuple(Tick(round(ROC_LEFT + ROC_SIZE * (1.0 + p / decades), 1), f"{10.0**p:g}") for p in powers)
    return across, up, logs
