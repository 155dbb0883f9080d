"""A metric with its interval by manipulation, for one or several detectors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core.errors import ScoreError
from ...core.records import Score
from ...metrics.names import AT_HALF, AVERAGE, OVERALL
from ...metrics.registry import at_threshold, metric_of, title
from .series import Series
from .sheet import EDGE, GREY, LEADING, PALE, REFERENCE, Entry, Key, Page, Sheet, fit_all, look, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger("m2f2bench")
DOT = 0.085
"""Inches from one detector's marker to the next in a row."""
LABELS = {"single": 1.1, "double": 2.2}


def draw_methods(series: Sequence[Series], page: Page, metric: str) -> Figure:
    """Draw a metric by manipulation (each method's fakes against all reals); on top, all fakes and the mean.

    Raises ScoreError if no detector has a value.
    """
    found = [_groups(one, metric) for one in series]
    groups = list(found[0])
    if all(scores[group].value is None for scores in found for group in groups):
        raise ScoreError(f"no detector has a value of {title(metric)}: {found[0][groups[0]].reason}")
    labels = _labels(groups, found[0], LABELS["single" if page.narrow else "double"])
    row = max(LEADING * (max(map(len, labels)) + 0.6), DOT * (len(series) + 1.2))
    left = EDGE + max(width(line) for lines in labels for line in lines) + 0.12
    key = Key([Entry(one.name, "", look(i), "marker") for i, one in enumerate(series)], page.room)
    sheet = Sheet(page, 0.06 + row * len(groups) + 0.33, key)
    axes = sheet.axes(left, 0.06, page.width - EDGE - 0.05 - left, row * len(groups))
    places = [DOT / row * (i - (len(series) - 1) / 2) for i in range(len(series))]
    for i, scores in enumerate(found):
        _marks(axes, scores, groups, places[i], i, metric, series[i].name)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks(range(len(groups)), ["\n".join(lines) for lines in labels])
    axes.tick_params(axis="y", length=0)
    oracle = series[0].threshold[2] and at_threshold(metric)
    axes.set_xlabel(title(metric) + (", at an ORACLE threshold" if oracle else ""))
    _furnish(axes, groups, metric, found)
    return sheet.figure


def _labels(groups: Sequence[str], scores: Mapping[str, Score], most: float) -> list[list[str]]:
    """Return each group's name in lines, with its number of fakes."""
    names = {OVERALL: "all fakes", AVERAGE: "mean of methods"}
    labels = fit_all([names.get(group, group) for group in groups], most)
    for rows, group in zip(labels, groups, strict=True):
        count = f"({scores[group].n_fake:,})"
        if group == AVERAGE:
            continue
        if width(f"{rows[-1]} {count}") <= most:
            rows[-1] = f"{rows[-1]} {count}"
        else:
            rows.append(count)
    return labels


def _groups(one: Series, metric: str) -> dict[str, Score]:
    """Return scores by group: all fakes, their mean and each method; only the method if there is just one."""
    scored = one.scored([metric.removesuffix(AT_HALF)])
    methods = {name: scores[metric] for name, scores in scored.methods.items()}
    if len(methods) == 1:
        return methods
    mean = {AVERAGE: scored.average[metric]} if methods else {}
    return {OVERALL: scored.overall[metric], **mean, **methods}


def _marks(
    axes: Axes, scores: Mapping[str, Score], groups: Sequence[str], shift: float, index: int, metric: str, name: str
) -> None:
    own = look(index)
    for y, group in enumerate(groups):
        score = scores[group]
        if score.value is None:
            axes.annotate("not defined", (0, y + shift), xycoords=("axes fraction", "data"), va="center", color=GREY)
            log.info("'%s', %s, %s: not defined, %s", name, title(metric), group or "all fakes", score.reason)
            continue
        if score.reason:
            log.info("'%s', %s, %s: %s", name, title(metric), group or "all fakes", score.reason)
        if score.ci is not None:
            axes.plot(score.ci, [y + shift] * 2, color=own.colour, linewidth=0.9, zorder=2, gid=f"interval-{index}")
    known = [(score.value, y + shift) for y, g in enumerate(groups) if (score := scores[g]).value is not None]
    if known:
        x, places = zip(*known, strict=True)
        how: dict[str, Any] = {"color": own.colour, "marker": own.marker, "markersize": 3.5, "linestyle": "none"}
        axes.plot(x, places, gid=f"values-{index}", zorder=3, clip_on=False, **how)


def _furnish(axes: Axes, groups: Sequence[str], metric: str, found: Sequence[Mapping[str, Score]]) -> None:
    """Draw lines between the rows and the line of chance; set limits that include every interval."""
    for y in range(len(groups) - 1):
        last_sum = groups[y] in (OVERALL, AVERAGE) and groups[y + 1] not in (OVERALL, AVERAGE)
        axes.axhline(y + 0.5, color=GREY if last_sum else PALE, linewidth=0.6 if last_sum else 0.4, zorder=0)
    values = [v for scores in found for s in scores.values() if s.value is not None for v in (s.value, *(s.ci or ()))]
    about = metric_of(metric)
    chance = about.chance
    if chance is not None:
        values.append(chance)
        axes.axvline(chance, **REFERENCE)
    low, high = min(values), max(values)
    margin = 0.04 * max(high - low, 0.1)
    axes.set_xlim(max(low - margin, about.range[0] - margin / 2), min(high + margin, about.range[1] + margin / 2))
    axes.locator_params(axis="x", nbins=6, steps=[1, 2, 2.5, 5, 10])
