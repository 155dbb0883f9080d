"""Best number of a column: marked only if paired tests show that it is better than every other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..core.errors import ScoreError
from ..metrics.detection.paired import Judged, Paired
from ..metrics.detection.tails import differences
from ..metrics.registry import known_metric
from ..results.stored import ResampledResult, Stored
from ..scoring.compare_answers import DrawnPair
from ..scoring.detection import ScoredRows, refuse_incomparable
from ..scoring.tasks import TASKS
from .table import Cell, Table, TableColumn

ALPHA = 0.05
"""Level of each test. "Better than every other" is an intersection-union test (Berger 1982): it is wrong only if the
best is not better than at least one other, so the whole test has this level too."""

Grounds = Mapping[tuple[str, str], ScoredRows | ResampledResult]
"""What paired tests take, by (signature, protocol): rows of P(fake), or the metrics of answers in each resample."""


def mark_best(table: Table, evidence: Grounds) -> Table:
    """Return the table with `best` set in cells that are better than every other of their column by a paired test.

    No cell is marked in a column if `evidence` lacks one of its results, or if their frames or clusters differ.
    """
    tests = _Tests(table, evidence)
    rows = [list(row.cells) for row in table.rows]
    for i, column in enumerate(table.columns):
        cells = {j: cells[i] for j, cells in enumerate(rows)}
        winner = tests.winner(column, {j: c for j, c in cells.items() if c is not None and c.score.value is not None})
        cell = None if winner is None else rows[winner][i]
        if winner is not None and cell is not None:
            rows[winner][i] = replace(cell, best=True)
    marked = [replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True)]
    return replace(table, rows=tuple(marked))


class _Tests:
    """Paired tests between a table's cells; values of a detector are computed once."""

    def __init__(self, table: Table, evidence: Grounds) -> None:
        self._evidence = evidence
        self._judged: dict[tuple[str, str], Judged] = {}
        self._metrics: dict[tuple[str, str], list[str]] = {}
        for column in table.columns:
            names = self._metrics.setdefault((column.signature, column.protocol), [])
            if _computed_here(column) and column.metric not in names:
                names.append(column.metric)

    def winner(self, column: TableColumn, cells: Mapping[int, Cell]) -> int | None:
        """Return the row of the column's best cell, if it is significantly better than every other."""
        if len(cells) < 2 or any((cell.signature, column.protocol) not in self._evidence for cell in cells.values()):
            return None
        sign = column.about.worse
        best, *others = sorted(cells, key=lambda row: sign * (cells[row].score.value or 0.0))
        for other in others:
            p = self._p(column, cells[best], cells[other])
            if p is None or p > ALPHA:
                return None
        return best

    def _p(self, column: TableColumn, first: Cell, second: Cell) -> float | None:
        one, other = (self._evidence[cell.signature, column.protocol] for cell in (first, second))
        try:
            if isinstance(one, ResampledResult) and isinstance(other, ResampledResult):
                return None if column.method else DrawnPair(one, other).difference(column.metric).p
            assert isinstance(one, ScoredRows) and isinstance(other, ScoredRows)  # one column, one signature
            if not _computed_here(column):
                return None
            refuse_incomparable(one.detector, one, other.detector, other)
            pair = Paired(self._judge(column, first), self._judge(column, second))
        except ScoreError:
            return None
        return differences([pair], [(column.method, column.metric)], alpha=ALPHA)[0][0].p

    def _judge(self, column: TableColumn, cell: Cell) -> Judged:
        key = (cell.signature, column.protocol)
        if key not in self._judged:
            names, own = self._metrics[column.signature, column.protocol], self._evidence[key]
            assert isinstance(own, ScoredRows)
            self._judged[key] = Judged(own.units, own.cut, names, own.protocol.bootstrap)
        return self._judged[key]


def _computed_here(column: TableColumn) -> bool:
    """Return whether a column's metric is this package's, or registered here with the code that results describe."""
    if column.described is None:
        return True
    known = known_metric(column.described.name)
    return known is not None and known.identity == column.described.identity


def read_evidence(stored: Sequence[Stored]) -> dict[tuple[str, str], ScoredRows | ResampledResult]:
    """Return what paired tests between these results take, by (signature, protocol), if it is stored with them."""
    found = {(one.result.signature, one.result.protocol): TASKS[one.result.task].evidence(one) for one in stored}
    return {key: own for key, own in found.items() if own is not None}
