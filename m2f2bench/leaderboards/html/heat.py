"""Heat table of a board: one value by manipulation, with a colour for each value, of all datasets and protocols."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...core.records import Score
from ...metrics.metric import Metric
from ..table import BY, Cell, Row, Table
from .fields import fields

SHADES = 10
"""Colours from the value of guessing to the best one, and as many below guessing."""
Key = tuple[str, str]
"""A detector and the part of its signature that its results share."""


def merge(tables: Sequence[Table], main: Table) -> Table:
    """Return one table with the columns of all `tables`, and their rows in the order of the main table.

    Rows of the same detector in different tables become one, whatever machine its results are from.
    """
    whole: dict[Key, dict[int, Row]] = {}
    for number, table in enumerate(tables):
        for row in table.rows:
            whole.setdefault(_key(row), {})[number] = row
    rank = {_key(row): place for place, row in enumerate(main.rows)}
    order = sorted(whole, key=lambda key: rank.get(key, len(rank)))
    rows = [_row(key, whole[key], tables) for key in order]
    heading = tables[0].title if tables else ""
    return Table("methods", heading, tuple(c for table in tables for c in table.columns), tuple(rows))


def _key(row: Row) -> Key:
    return row.detector, "|".join(f"{key}:{value}" for key, _, value in fields(row.signature) if key in BY)


def _row(key: Key, own: dict[int, Row], tables: Sequence[Table]) -> Row:
    """Return a detector's rows as one; their signature without machine and coverage if these differ."""
    signatures = {row.signature for row in own.values()}
    cells: list[Cell | None] = []
    for number, table in enumerate(tables):
        cells += own[number].cells if number in own else [None] * len(table.columns)
    first = next(iter(own.values()))
    signature = signatures.pop() if len(signatures) == 1 else key[1]
    return replace(first, signature=signature, cells=tuple(cells), rank=None)


def shade(score: Score | None, about: Metric) -> str:
    """Return the class of a value's colour: `up0` at the value of guessing to `up9`, `down0` to `down9` below it.

    Empty without a value, or if the metric has no end. Without a value of guessing, the worst of its range is used.
    """
    if score is None or score.value is None:
        return ""
    guess, best = anchors(about)
    if not (math.isfinite(guess) and math.isfinite(best)):
        return ""
    part = (score.value - guess) / (best - guess) if best != guess else 0.0
    step = min(int(abs(part) * SHADES), SHADES - 1)
    return f"{'down' if part < 0.0 else 'up'}{step}"


def anchors(about: Metric) -> tuple[float, float]:
    """Return the value of guessing and the best value."""
    low, high = about.range
    worst = high if about.lower_is_better else low
    return (worst if about.chance is None else about.chance), about.best


def scale(rows: Sequence[Sequence[Score | None]], about: Metric) -> list[tuple[str, float]]:
    """Return shades with their values for a colour key: from guessing to the best, and below guessing if any is."""
    guess, best = anchors(about)
    marks = [(f"up{step}", guess + (best - guess) * step / SHADES) for step in (0, 2, 4, 6, 8)]
    below = [shade(score, about) for row in rows for score in row]
    lowest = max((int(name.removeprefix("down")) for name in below if name.startswith("down")), default=None)
    if lowest is None:
        return marks
    steps = dict.fromkeys((lowest, 0))
    return [(f"down{step}", guess - (best - guess) * (step + 1) / SHADES) for step in steps] + marks


def near_chance(score: Score | None, about: Metric) -> bool:
    """Return whether a value's interval contains the value of guessing."""
    if score is None or score.value is None or score.ci is None or about.chance is None:
        return False
    return score.ci[0] <= about.chance <= score.ci[1]
