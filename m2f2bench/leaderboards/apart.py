"""Sentences on what a board's data can tell apart: paired tests between the rows, in the primary metric.

That is the metric that the protocol of the column that sorts the rows declares, if a column has it; else that column's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType

from ..metrics.detection.paired import Difference
from ..metrics.registry import title
from ..scoring.control_names import PREFIX
from ..scoring.trainings import OVER
from ..stats.multiplicity import holm
from .table import Row, Table, TableColumn

ALPHA = 0.05
"""Level of the tests after Holm's correction over the pairs of one sentence."""
MOST = 12
"""Rows whose pairs are tested, from the top: with more, tests by resampling would take minutes."""
LISTED = 6
"""Largest number of clauses in one sentence."""
Pair = tuple[int, int]
"""Two rows of a table."""
Tested = Mapping[Pair, Difference | None]
Test = Callable[[TableColumn, Sequence[Pair]], Tested]
"""Test pairs of rows in a column; None for a pair that cannot be tested."""


def told_apart(table: Table, test: Test, primary: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """Return what the data tell apart in the column that sorts the table; no sentence with fewer than two values.

    `primary` has the primary metric that a protocol declares: where the column has another metric, that of the primary
    one is taken, and if there is none the sentences say that they are exploratory.
    The first sentence is on the pairs of detectors (controls of explanations are not among them), then there is one for
    each explainer against the controls. Each has Holm's correction over its own pairs.
    """
    if not table.columns:
        return ()
    place = _place(table, primary)
    column = table.columns[place]
    known = [i for i, row in enumerate(table.rows) if row.values[place] is not None]
    own = [i for i in known if not table.rows[i].knows]
    controls = [i for i in known if table.rows[i].knows]
    names = _names(table.rows)
    sentences = []
    if len(own) > 1:
        first = own[:MOST]
        found = test(column, list(combinations(first, 2)))
        noun = "explainers" if any(row.knows for row in table.rows) else "detectors"
        whom = f"the first {MOST} of {len(own)} {noun}" if len(own) > MOST else f"{len(own)} {noun}"
        sentences.append(_among(found, names, column, whom))
    for one in own[:MOST] if controls else ():
        found = test(column, [(one, other) for other in controls])
        sentences.append(_against(found, names, column, names[one]))
    declared = primary.get(column.protocol, column.metric)
    if sentences and column.metric != declared:
        sentences.append(f"That is exploratory: the primary metric of {column.protocol} is {title(declared)}.")
    return tuple(sentences)


def _place(table: Table, primary: Mapping[str, str]) -> int:
    """Return the column whose pairs are tested: the one that sorts the table, or the same with the primary metric."""
    column = table.columns[table.rank_by]
    wanted = primary.get(column.protocol, column.metric)
    if wanted == column.metric:
        return table.rank_by
    place = (column.dataset, column.split, column.protocol, column.method)
    for i, other in enumerate(table.columns):
        if other.metric == wanted and (other.dataset, other.split, other.protocol, other.method) == place:
            return i
    return table.rank_by


def _names(rows: Sequence[Row]) -> list[str]:
    """Return the rows' names; those of one name get the number of the row."""
    named = [row.detector for row in rows]
    return [f"{name} (row {i})" if named.count(name) > 1 else name for i, name in enumerate(named, 1)]


def _decided(found: Tested, column: TableColumn) -> dict[Pair, bool]:
    """Return the pairs that the tests tell apart, and whether the first of each is the better one."""
    adjusted = dict(zip(found, holm([d.p if d else None for d in found.values()]), strict=True))
    out = {}
    for pair, d in found.items():
        p = adjusted[pair]
        if d is not None and d.difference is not None and p is not None and p <= ALPHA:
            out[pair] = column.about.worse * d.difference < 0.0
    return out


def _where(column: TableColumn) -> str:
    protocol = "" if column.method else f", {column.protocol}"
    return f"{column.metric_title} ({column.place}{protocol})"


def _how(found: Tested) -> str:
    """Return how the pairs were tested, and how many of them could not be."""
    n = sum(d is not None and d.p is not None for d in found.values())
    holm = f" after Holm's correction for {n} pairs" if n > 1 else ""
    left = len(found) - n
    over = " over people and trainings" * any(d is not None and d.test.endswith(OVER) for d in found.values())
    return f"paired tests{over}, p ≤ .05{holm}" + (f"; {left} {_pairs(left)} could not be tested" if left else "")


def _pairs(n: int) -> str:
    return "pair" if n == 1 else "pairs"


def _among(found: Tested, names: Sequence[str], column: TableColumn, whom: str) -> str:
    """Return how many pairs of detectors are told apart, and which are better than which."""
    if all(d is None or d.p is None for d in found.values()):
        return f"Which of {whom} differ is not known: no pair can be tested in {_where(column)}."
    decided = _decided(found, column)
    if not decided:
        counted = f"Of {len(found)} pairs of {whom} the data tell none apart"
        counted = f"The data do not tell the {whom} apart" if len(found) == 1 else counted
        return f"{counted} in {_where(column)}: {_how(found)}."
    losers: dict[int, list[int]] = {}
    for (one, other), better in decided.items():
        losers.setdefault(one if better else other, []).append(other if better else one)
    winners: dict[tuple[int, ...], list[int]] = {}
    for winner in sorted(losers):
        winners.setdefault(tuple(sorted(losers[winner])), []).append(winner)
    clauses = [
        f"{_listed([names[i] for i in better])} {'is' if len(better) == 1 else 'are'} better than "
        f"{_listed([names[i] for i in worse])}"
        for worse, better in winners.items()
    ]
    left = len(clauses) - LISTED
    text = "; ".join(clauses[:LISTED]) + (f"; and {left} more such lists" if left > 0 else "")
    counted = f"Of {len(found)} pairs of {whom} the data tell {len(decided)} apart"
    counted = f"The data tell the {whom} apart" if len(found) == 1 else counted
    return f"{counted} in {_where(column)}: {text} ({_how(found)})."


def _against(found: Tested, names: Sequence[str], column: TableColumn, name: str) -> str:
    """Return how many controls an explainer is better than, which are better, and how many are not told apart."""
    if all(d is None or d.p is None for d in found.values()):
        return f"Whether {name} differs from the {len(found)} controls is not known: no pair can be tested."
    decided = _decided(found, column)
    worse = [names[pair[1]].removeprefix(PREFIX) for pair in found if decided.get(pair) is False]
    better = sum(decided.values())
    parts = [f"better than {better}"] * bool(better)
    parts += [f"worse than {len(worse)} ({', '.join(worse)})"] * bool(worse)
    left = len(found) - len(decided)
    parts += [f"not told apart from {left}"] * bool(left)
    count = f"{len(found)} control{'' if len(found) == 1 else 's'} without the image"
    return f"Of {count}, {name} is {_listed(parts)} in {column.metric_title} ({_how(found)})."


def _listed(words: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
