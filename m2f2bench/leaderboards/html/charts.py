"""Geometry of the page's ROC curves. Lengths are SVG user units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from ...core.records import Score
from ...results.signature import place_of
from ..board import Board, RocCurve
from .views import Viewer, interval, number

CHARTED = 40
"""Largest number of detectors in charts, in the table's order; the page says how many are left out."""
COLOURS, SHAPES, DASHES = 7, 8, 5
"""Numbers of colours, markers and line styles in the style sheet; coprime, so that 56 detectors differ."""
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
        curved = dict.fromkeys(curve.detector for curve in board.curves)
        order = dict.fromkeys([row.detector for row in board.table.rows if row.detector in curved] + list(curved))
        self.left_out = max(len(order) - CHARTED, 0)
        self.series = {name: Series(i, name) for i, name in enumerate([*order][:CHARTED])}
        self.rocs = tuple(self._rocs(board.curves, viewer))

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
