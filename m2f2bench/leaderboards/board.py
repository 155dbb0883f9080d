"""Boards: tables, ROC curves and published figures of others, from folders of results.

The best number of a column is marked only if paired tests show that it is better than every other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.folders import card_folders, iter_cards
from ..cards.models import LeaderboardCard
from ..cards.protocols import Bootstrap
from ..core.errors import DataError, ScoreError
from ..core.files import user_path
from ..core.notebook import bar, chart, columns_of, curves, data_frame, heading, lines, page, shown_score
from ..core.notebook import table as html_table
from ..core.patterns import is_pattern, matching
from ..core.records import Score
from ..loading import load_leaderboard
from ..metrics.detection.clusters import few_clusters
from ..metrics.detection.paired import Difference, Judged, Paired
from ..metrics.detection.sample import plain
from ..metrics.detection.tails import differences
from ..metrics.detection.values import all_fakes
from ..metrics.registry import known_metric
from ..results.result import Result
from ..results.signature import place_of
from ..results.stored import ResampledResult, Stored, read_stored
from ..scoring.compare_answers import DrawnPair
from ..scoring.compare_rows import refuse_incomparable
from ..scoring.detection import ScoredRows
from ..scoring.pooled import Evidence, Trainings, pool
from ..scoring.tasks import TASKS
from ..scoring.trainings import is_fixed, mean_difference
from .apart import told_apart
from .published import Figure, load_published
from .table import LEGENDS, MARKS, Cell, Table, TableColumn, build_table, key_of, method_table, trainings_notes

if TYPE_CHECKING:
    import pandas as pd

HOMES = ("results", "explanations")
"""Folders of results in the folders of leaderboard cards."""
POINTS = 200
"""Largest number of points in a ROC curve of a board."""
ALPHA = 0.05
"""Level of each test. "Better than every other" is an intersection-union test (Berger 1982): it is wrong only if the
best is not better than at least one other, so the whole test has this level too."""

Grounds = Mapping[tuple[str, str], Evidence]
"""What paired tests take, by (signature, protocol): rows of P(fake) or those of each training, or the metrics of
answers in each resample."""


@dataclass(frozen=True)
class RocCurve:
    """One detector's ROC curve on one dataset under one protocol, with at most POINTS points.

    `fpr` and `tpr` ascend from (0, 0) to (1, 1). `signature` is its measure part: a chart has curves of one signature.
    """

    dataset: str
    split: str
    protocol: str
    signature: str
    detector: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    auc: Score


@dataclass(frozen=True)
class Board:
    """A leaderboard: `table`, one more table of AUC by manipulation for each dataset and protocol, curves, figures.

    `lead`: sentences on what the data tell apart, see `told_apart`.
    """

    table: Table
    methods: tuple[Table, ...] = ()
    curves: tuple[RocCurve, ...] = ()
    published: tuple[Figure, ...] = ()
    lead: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    """Warnings of datasets with few clusters, a sentence each."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each detector and column of the table, and of those by manipulation.

        Columns: rank (missing without one), detector, dataset, split, protocol, metric, method (empty for all), value,
        ci_low, ci_high (float64, NaN without a value), n_real, n_fake (units), reason, deviation (between trainings,
        NaN for one), trainings (their number, missing if the detector is none), best (by paired tests), coverage,
        in_domain, signature. Cells without a result are left out.
        """
        rows = [row for table in (self.table, *self.methods) for row in table_rows(table)]
        frame = data_frame(rows, ("value", "ci_low", "ci_high", "deviation"))
        return frame.astype({"rank": "Int64", "trainings": "Int64"} if rows else {})

    def _repr_html_(self) -> str:
        """Return the table, a chart of its first column, and the ROC curves of the first chart."""
        columns, rows = self.table.columns, self.table.rows
        counted = any(row.trainings for row in rows)
        cells = [["rank", "detector", *["trainings"] * counted, *(column.title for column in columns)]]
        cells += [
            [
                "" if row.rank is None else str(row.rank),
                row.detector,
                *[row.trained.removesuffix("s").removesuffix(" training")] * counted,
                *(f"{shown_score(cell.score)}{cell.mark}" if cell else "" for cell in row.cells),
            ]
            for row in rows
        ]
        best = [
            (i, j + 2 + counted) for i, row in enumerate(rows) for j, cell in enumerate(row.cells) if cell and cell.best
        ]
        bars = [bar(row.detector, cell.score) for row in rows if row.cells and (cell := row.cells[0])]
        first = [one for one in self.curves if one.signature == self.curves[0].signature]
        said = ["bold: better than every other of its column, by a paired test against each"] if best else []
        said += [
            f"{mark} {LEGENDS[name]}"
            for name, mark in MARKS.items()
            if any(c.domain == name for c in self.table.cells) and mark
        ]
        return page(
            heading(self.table.title or self.table.name),
            html_table(cells, left=2, bold=best),
            chart(columns[0].title, bars) if columns else "",
            curves(
                "ROC curves" + (f" on {first[0].dataset}" if first else ""), [(c.detector, c.fpr, c.tpr) for c in first]
            ),
            lines([*said, *trainings_notes(self.table), *self.few, *self.table.signatures]),
        )


def table_rows(table: Table) -> Iterator[dict[str, Any]]:
    """Yield a row for each cell of a table that has a result."""
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is None:
                continue
            place = {"dataset": column.dataset, "split": column.split, "protocol": column.protocol}
            what = {"rank": row.rank, "detector": row.detector, **place, "metric": column.metric}
            more = {"deviation": cell.score.deviation, "trainings": cell.trainings, "best": cell.best}
            more |= {"coverage": cell.coverage, "in_domain": cell.in_domain}
            yield {**what, "method": column.method, **columns_of(cell.score), **more, "signature": cell.signature}


def gather(
    places: Sequence[str],
    published: bool = False,
    more: Sequence[Result] = (),
    evidence: Grounds | None = None,
    seeds: bool = False,
) -> Board:
    """Return the board of a leaderboard card, of folders with results, or of a card with such folders.

    Without folders, a card takes the results of its columns from HOMES. `published`: with published figures of others.
    `more` results have their `evidence`, if there is any, in memory. `seeds`: trainings of one detector are one row; a
    pattern of folders wants this too. Raises DataError if there is nothing to show, ScoreError as `pooled.pool`.
    """
    card: LeaderboardCard | None = None
    folders: list[Path] = []
    for place in places:
        path = user_path(place)
        if is_pattern(place):
            folders += _matched(place)
            seeds = True
        elif path.is_dir() or path.suffix == ".json":
            folders.append(path)
        elif card is None:
            card = load_leaderboard(place)
        else:
            raise DataError(f"'{place}' is a second leaderboard: give one leaderboard, and folders of results")
    if not folders and not more:
        homes = [f / name for f in card_folders("leaderboards") for name in HOMES]
        folders = [place for place in homes if any(place.glob("*.json"))]
        if card is None:
            known = ", ".join(path.stem for path in iter_cards("leaderboards"))
            raise DataError(f"give a folder of results, for instance runs/, or a leaderboard: {known}")
    stored = read_stored(folders) if folders else []
    stored += [Stored(result, Path(result.detector), None, None) for result in more]
    if card is not None:
        wanted = {(column.dataset, column.protocol) for column in card.columns}
        stored = [one for one in stored if (one.result.dataset, one.result.protocol) in wanted]
    board = build_board(stored, card, load_published() if published else (), evidence, seeds)
    if card is not None and not board.table.rows:
        where = ", ".join(f"'{folder}'" for folder in folders) or "the folders beside the leaderboard cards"
        columns = ", ".join(dict.fromkeys(f"{column.dataset} ({column.protocol})" for column in card.columns))
        raise DataError(
            f"leaderboard '{card.name}' has no row: no result in {where} is on {columns}; also give a folder that run "
            f"wrote with --out"
        )
    return board


def _matched(pattern: str) -> list[Path]:
    """Return the folders and files that a pattern matches. Raises DataError if there is none."""
    found = matching(pattern)
    if not found:
        raise DataError(f"'{pattern}' matches nothing: give a pattern of folders with results")
    return found


def build_board(
    stored: Sequence[Stored],
    card: LeaderboardCard | None = None,
    published: Sequence[Figure] = (),
    more: Grounds | None = None,
    seeds: bool = False,
) -> Board:
    """Return the board of results; those with rows, stored or `more`, have curves and are tested against each other.

    With `seeds` a detector with several trainings has one row, see `pooled.pool`.
    """
    evidence: dict[tuple[str, str], Evidence] = {**read_evidence(stored), **(more or {})}
    results = [one.result for one in stored]
    if seeds:
        results, evidence = pool(results, evidence)
    methods: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        if len(result.methods) > 1 and "auc" in result.metrics:
            methods.setdefault((result.dataset, result.split, result.protocol), []).append(result)
    table = build_table(results, card)
    return Board(
        mark_best(table, evidence),
        tuple(mark_best(method_table(group), evidence) for group in methods.values()),
        tuple(_curves(results, evidence)),
        tuple(published),
        told_apart(table, _Tests(table, evidence).pairs, _declared(results)),
        tuple(_few(table, results)),
    )


def _declared(results: Sequence[Result]) -> dict[str, str]:
    """Return the primary metric of each protocol that declares one."""
    return {r.protocol: str(r.protocol_card["primary"]) for r in results if r.protocol_card.get("primary")}


def _few(table: Table, results: Sequence[Result]) -> list[str]:
    """Return what a reader of intervals must know: where clusters are few, or intervals were computed in several ways.

    A sentence for each dataset and protocol of the table, by its first result.
    """
    found: dict[str, None] = {}
    for column in table.columns:
        place = (column.dataset, column.split, column.protocol)
        fitting = (r for r in results if (r.dataset, r.split, r.protocol) == place)
        own = (r for r in fitting if key_of(r, column.metric) == column.key)
        first = next(own, None)
        for warning in few_clusters(first.clusters) if first and first.clusters.get("effective") else ():
            found[f"{place_of(column.dataset, column.split)} ({column.protocol}) has {warning}."] = None
        if ways := re.search(r"\|ci:([^|]+ or [^|]+)", column.signature):
            where = f"{place_of(column.dataset, column.split)} ({column.protocol})"
            found[f"{where} has intervals that were computed in several ways: {ways[1]}; values are comparable."] = None
    return list(found)


def _curves(results: Sequence[Result], evidence: Grounds) -> list[RocCurve]:
    drawn = []
    for result in results:
        own = evidence.get((result.signature, result.protocol))
        score = result.metrics.get("auc")
        own = (own,) if isinstance(own, ScoredRows) else own
        if not isinstance(own, tuple) or score is None or score.value is None:
            continue
        points = mean_curve([_curve(one) for one in own])
        fpr, tpr = (tuple(values[_thinned(*points)].tolist()) for values in points)
        names = (result.dataset, result.split, result.protocol, key_of(result, "auc"), result.detector)
        drawn.append(RocCurve(*names, fpr, tpr, score))
    return drawn


def _curve(own: ScoredRows) -> tuple[np.ndarray, np.ndarray]:
    """Return the false and true positive rates of one training, from (0, 0) to (1, 1)."""
    c = all_fakes(plain(own.units), np.ones((1, 1)))
    fpr, tpr = (np.concatenate([[0.0], values[:, 0] / n]) for values, n in ((c.fp, c.n_real), (c.tp, c.n_fake)))
    return fpr, tpr


def mean_curve(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of ROC curves (fpr, tpr) at each false positive rate; its area is the mean of their areas.

    Where a curve rises at one rate, both ends of the rise are points.
    """
    if len(found) == 1:
        return found[0]
    at = np.unique(np.concatenate([fpr for fpr, _ in found]))
    # Of several points at one rate, np.interp takes the last one.
    low = np.mean([np.interp(-at, -fpr[::-1], tpr[::-1]) for fpr, tpr in found], axis=0)
    high = np.mean([np.interp(at, fpr, tpr) for fpr, tpr in found], axis=0)
    return np.repeat(at, 2), np.column_stack([low, high]).ravel()


def _thinned(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """Return indices of at most POINTS points, evenly along the curve and with both ends."""
    if len(fpr) <= POINTS:
        return np.arange(len(fpr))
    along = fpr + tpr
    return np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], POINTS)).clip(0, len(along) - 1))


def mark_best(table: Table, evidence: Grounds) -> Table:
    """Return the table with `best` set in cells that are better than every other of their column by a paired test.

    No cell is marked in a column if `evidence` lacks one of its results, or if their frames or clusters differ.
    """
    tests = _Tests(table, evidence)
    rows = [list(row.cells) for row in table.rows]
    for i, column in enumerate(table.columns):
        known = {j: cell for j, cells in enumerate(rows) if (cell := cells[i]) and cell.score.value is not None}
        winner = tests.winner(column, known)
        if winner is not None:
            rows[winner][i] = replace(known[winner], best=True)
    marked = [replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True)]
    return replace(table, rows=tuple(marked))


class _Tests:
    """Paired tests between a table's cells: the best of a column, and pairs. Each detector is judged once."""

    def __init__(self, table: Table, evidence: Grounds) -> None:
        self._columns, self._rows, self._evidence = table.columns, table.rows, evidence
        self._judged: dict[tuple[str, str], tuple[Judged, ...]] = {}
        self._rules: dict[tuple[str, str, str], Bootstrap] = {}

    def winner(self, column: TableColumn, cells: Mapping[int, Cell]) -> int | None:
        """Return the row of the column's best cell, if it is significantly better than every other."""
        if len(cells) < 2 or any((cell.signature, column.protocol) not in self._evidence for cell in cells.values()):
            return None
        sign = column.about.worse
        best, *others = sorted(cells, key=lambda row: sign * (cells[row].score.value or 0.0))
        tested = (self._difference(column, cells[best], cells[other]) for other in others)
        return best if all(d is not None and d.p is not None and d.p <= ALPHA for d in tested) else None

    def pairs(self, column: TableColumn, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Difference | None]:
        """Test pairs of the table's rows in one column; None where the rows or resamples of one are not stored."""
        place = self._columns.index(column)
        found: dict[tuple[int, int], Difference | None] = {}
        for pair in pairs:
            first, second = (self._rows[i].cells[place] for i in pair)
            stored = first and second and all((c.signature, column.protocol) in self._evidence for c in (first, second))
            found[pair] = self._difference(column, first, second, len(pairs)) if first and second and stored else None
        return found

    def _difference(self, column: TableColumn, first: Cell, second: Cell, tests: int = 1) -> Difference | None:
        """Test two cells; None if they cannot be compared. `tests`: number of p-values that are corrected together."""
        drawn, also = (self._evidence[cell.signature, column.protocol] for cell in (first, second))
        try:
            if isinstance(drawn, ResampledResult) and isinstance(also, ResampledResult):
                return None if column.method else DrawnPair(drawn, also).difference(column.metric)
            if not _computed_here(column):
                return None
            one, other = _each(drawn), _each(also)
            refuse_incomparable(one[0].detector, one[0], other[0].detector, other[0], [column.metric])
            judged = self._judge(column, first, one), self._judge(column, second, other)
            if len(one) > 1 or len(other) > 1:
                return mean_difference(*judged, column.method, column.metric, (is_fixed(one), is_fixed(other)))
            pair = Paired(judged[0][0], judged[1][0])
        except ScoreError:
            return None
        return differences([pair], [(column.method, column.metric)], tests, ALPHA)[0][0]

    def _judge(self, column: TableColumn, cell: Cell, own: Trainings) -> tuple[Judged, ...]:
        """Return each training of a cell's detector, judged once."""
        key = (cell.signature, column.protocol)
        if key not in self._judged:
            place = (column.dataset, column.split, column.protocol)
            alike = [c for c in self._columns if (c.dataset, c.split, c.protocol) == place]
            names = list(dict.fromkeys(c.metric for c in alike if _computed_here(c)))
            rules = self._rules.setdefault(place, own[0].protocol.bootstrap)  # resamples must be the same for a pair
            self._judged[key] = tuple(Judged(one.units, one.cut, names, rules) for one in own)
        return self._judged[key]


def _each(own: Evidence) -> Trainings:
    """Return the rows of each training."""
    assert not isinstance(own, ResampledResult)  # one column, one signature
    return own if isinstance(own, tuple) else (own,)


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
