"""Chart of one explainer against the controls in one metric: a dot and its interval for each, in SVG user units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.records import Score
from ...leaderboards.text import format_score

WIDTH, LEFT, RIGHT, TOP, STEP = 410.0, 162.0, 362.0, 22.0, 20.0


@dataclass(frozen=True)
class Tick:
    """A position on the axis with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """One value; without a value `x` is None. `low`, `high`: ends of its interval; `own`: it is the explainer's."""

    label: str
    note: str
    text: str
    y: float
    own: bool
    x: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chart:
    """A row for each, the explainer first; `own` is the position of its value, `ci`: whether there are intervals."""

    title: str
    height: float
    ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...]
    own: float | None
    ci: bool


def dot_chart(title: str, entries: Sequence[tuple[str, str, Score | None]], worse: float) -> Chart | None:
    """Return the chart of (name, note, score), the first of which is the explainer's; None without its value.

    The controls are sorted, the best first: `worse` is 1 if lower values are better, else -1.
    """
    first, *others = entries
    if first[2] is None or first[2].value is None:
        return None

    def order(entry: tuple[str, str, Score | None]) -> float:
        score = entry[2]
        return math.inf if score is None or score.value is None else worse * score.value

    rows = [first, *sorted(others, key=order)]
    known = [score for _, _, score in rows if score is not None and score.value is not None]
    values = [value for score in known for value in (score.value, *(score.ci or ())) if value is not None]
    steps = nice(values)

    def x(value: float) -> float:
        return round(LEFT + (value - steps[0]) / (steps[-1] - steps[0]) * (RIGHT - LEFT), 1)

    dots = []
    for place, (name, note, score) in enumerate(rows):
        there = () if score is None or score.value is None else (score.value, *(score.ci or ()))
        text = "no value" if score is None or score.value is None else format_score(score)
        dots.append(Dot(name, note, text, TOP + (place + 0.5) * STEP, place == 0, *map(x, there)))
    digits = max(len(f"{s:g}".partition(".")[2]) for s in steps)
    ticks = tuple(Tick(x(s), f"{s:.{digits}f}".replace("-", "\u2212")) for s in steps)
    ci = any(score.ci for score in known)
    return Chart(title, TOP + STEP * len(dots) + 2.0, ticks, tuple(dots), dots[0].x, ci)


def nice(values: Sequence[float]) -> list[float]:
    """Return 2 to 7 round axis steps, from at most the lowest of `values` to at least the highest."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = max(high - low, 1e-3)
    power = 10.0 ** math.floor(math.log10(span))
    step = next(s * power for s in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (s * power) <= 5.0)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 9) for i in range(first, max(last, first + 1) + 1)]
