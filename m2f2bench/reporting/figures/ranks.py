"""Ranking of detectors over many datasets, as a critical-difference diagram.

Mean ranks are on a line (Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006),
figure 1). A bar joins detectors of which no two are told apart by signed ranks with Holm's correction, or all if Iman
and Davenport's test finds no difference; see `stats.ranks`. Nemenyi's critical difference is drawn above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import ScoreError
from ...results.result import Result
from ...results.signature import DETECTOR, short
from ...scoring.comparison import FIELDS
from ...stats.ranks import ALPHA, Ranking, by_source, fewest_for_a_pair
from .sheet import EDGE, GAP, GREY, LEADING, Page, Sheet, fit_all, paragraph, width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...leaderboards.table import Row, Table
    from ...metrics.metric import Metric

LABELS = {"single": 0.9, "double": 2.2}
"""Inches of a name at most, on either side."""
BAR = 0.07
"""Inches from one bar to the next."""
SCALE = 0.62
"""Inches from the top of the body to the line of ranks."""
NEAREST = 0.06
"""Inches of line between a label and the position of its rank, at least."""


def metric_of_all(results: Sequence[Result], metric: str) -> Metric:
    """Return the metric of all results. Raises ScoreError for a user's metric if its code is not the same."""
    first, *others = (result.about(metric) for result in results if metric in result.metrics)
    codes = sorted({one.code for one in (first, *others)})
    if len(codes) > 1:
        raise ScoreError(f"the results have different metrics of the name '{metric}' ({', '.join(codes)}): score again")
    return first


def refuse_split(table: Table, results: Sequence[Result]) -> None:
    """Raise ScoreError, with the fields that differ, if a dataset's results are not in one column."""
    clash = next((column for column in table.columns if column.note), None)
    if clash is not None:
        fields = [part.split(":")[0] for part in clash.note.split(", ")]
        values = {k: sorted({str(r.measured.get(k)) for r in results if r.dataset == clash.dataset}) for k in fields}
        words = ", ".join(f"{FIELDS.get(k, k)} ({k}: {' / '.join(v)})" for k, v in values.items())
        raise ScoreError(
            f"results on '{clash.dataset}' cannot be ranked together because they differ in {words}: "
            f"judge all detectors under one protocol on the same data"
        )


def refuse_copies(results: Sequence[Result]) -> None:
    """Raise ScoreError if two detectors have the same predictions: ranks need different detectors."""
    known: dict[tuple[str, str, str], Result] = {}
    for result in results:
        if not result.predictions:
            continue
        first = known.setdefault((result.dataset, result.split, result.predictions), result)
        if short(first.measured, DETECTOR) != short(result.measured, DETECTOR):
            raise ScoreError(
                f"'{first.detector}' and '{result.detector}' have the same predictions on '{result.dataset}': "
                f"leave one of them out"
            )


def complete_rows(rows: Sequence[Row], datasets: Sequence[str]) -> tuple[list[tuple[str, list[float]]], list[str]]:
    """Return detectors with a value on every dataset, by name, and a note for each of the others."""
    kept, notes = [], []
    names = [row.detector for row in rows]
    for row in rows:
        weights: Any = dict(part.split(":", 1) for part in row.signature.split("|") if ":" in part).get("weights", "")
        name = f"{row.detector} ({weights[:8]})" if names.count(row.detector) > 1 else row.detector
        known = [value for value in row.values if value is not None]
        if len(known) == len(row.values):
            kept.append((name, known))
        else:
            lacking = ", ".join(place for place, value in zip(datasets, row.values, strict=True) if value is None)
            notes.append(f"left out: '{name}', which has no value on {lacking}")
    return kept, notes


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


Axis = Callable[[float], float]
"""Position of a rank, in inches from the left of the page."""


def draw_ranks(names: Sequence[str], found: Ranking, page: Page, what: str, notes: Sequence[str] = ()) -> Figure:
    """Draw Demsar's diagram (2006, figure 1) of ranks by the metric `what`, best on the left, with `notes` below."""
    order = np.argsort(found.ranks, kind="stable")
    labels = fit_all([names[i] for i in order], LABELS["single" if page.narrow else "double"])
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


def _fitted(items: Sequence[_Item], wide: float) -> Axis:
    """Return the longest axis on which every label ends before the position of its own rank."""
    left = [(1.0, 2 * EDGE), *((item.rank, item.need) for item in items if item.at_left)]
    right = [(float(len(items)), wide - 2 * EDGE), *((i.rank, wide - i.need) for i in items if not i.at_left)]
    step = min((x - own) / (rank - lower) for lower, own in left for rank, x in right if rank > lower)
    start = (max(x - step * rank for rank, x in left) + min(x - step * rank for rank, x in right)) / 2.0
    return lambda rank: start + step * rank


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
    share = f"{100 * ALPHA:g}%"
    verdict = "" if found.differ else f": no two detectors differ significantly at {share}"
    f = "∞" if math.isinf(found.f) else f"{found.f:.2f}"
    said = [
        f"Friedman's test by Iman and Davenport over {found.n} datasets: F = {f} ({found.degrees[0]}, "
        f"{found.degrees[1]} df), {p}{verdict}"
    ]
    needed = fewest_for_a_pair(len(found.pairs))
    few = f"; with {len(found.pairs)} pairs it needs {needed} datasets to tell any apart" if found.n < needed else ""
    if found.differ:
        told = sum(one.holm <= ALPHA for one in found.pairs)
        said.append(
            f"bars: not told apart by Wilcoxon's signed ranks with Holm's correction at {share} ({told} of "
            f"{len(found.pairs)} pairs are){few}"
        )
    return [*said, f"Nemenyi's critical difference at {share}, beside it: CD = {found.difference:.2f}"]


def joined(rows: Sequence[tuple[str, list[float]]], datasets: Sequence[str], sources: Mapping[str, str]) -> Joined:
    """Return detectors' values with datasets of one source as one, and a note for each such source."""
    columns = {name: np.array([values[i] for _, values in rows]) for i, name in enumerate(datasets)}
    found = by_source(columns, sources)
    notes = []
    for source in found:
        own = [name for name in datasets if (sources.get(name) or name) == source]
        if len(own) > 1:
            notes.append(f"one source, one dataset: {', '.join(own)} ({source}), by the mean of their values")
    table = np.stack(list(found.values()), axis=1) if rows else np.zeros((0, len(found)))
    return table.tolist(), notes


Joined = tuple[list[list[float]], list[str]]
"""Values [k][n], and notes."""


def _scale(sheet: Sheet, axis: Axis, k: int) -> None:
    """Draw the line of ranks with numbers above; of many ranks, only some numbers are printed."""
    sheet.line([axis(1), axis(k)], [SCALE, SCALE], color="black", linewidth=0.7)
    room = width(f"{k}") + GAP
    every = max(1, math.ceil(room / (axis(2) - axis(1))))
    for rank in range(1, k + 1):
        sheet.line([axis(rank)] * 2, [SCALE - 0.04, SCALE], color="black", linewidth=0.6)
        if rank == k or ((rank - 1) % every == 0 and k - rank >= every):
            sheet.text(axis(rank), SCALE - 0.06 - LEADING, str(rank), ha="center")


def _difference(sheet: Sheet, axis: Axis, found: Ranking) -> None:
    """Draw the critical difference as a line above the scale, without an end if it is longer than the scale."""
    y, longest = SCALE - 0.06 - LEADING - 0.08, len(found.ranks) - 1.0
    end = 1.0 + min(found.difference, longest)
    sheet.line([axis(1), axis(end)], [y, y], color="black", linewidth=1.0, gid="cd")
    for place in (1.0, end) if found.difference <= longest else (1.0,):
        sheet.line([axis(place)] * 2, [y - 0.03, y + 0.03], color="black", linewidth=1.0)
    words = "CD" if found.difference <= longest else "CD, beyond the scale"
    sheet.text((axis(1) + axis(end)) / 2.0, y - 0.03 - LEADING, words, ha="center")
