"""From results to a table: which column a number stands in, in which order the rows come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from ..cards.models import Column, LeaderboardCard, corpus_of
from ..core.records import Score
from ..metrics.metric import Metric
from ..metrics.names import AT_HALF, AVERAGE
from ..metrics.reader_errors import error_note
from ..metrics.registry import at_threshold, metric_of, title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import DETECTOR, differing, measure_signature, place_of, short

BY = tuple(key for key in DETECTOR if key not in ("cov", "env"))
"""What makes results those of one detector: neither the machine it ran on nor how much of a dataset it covered."""


@dataclass(frozen=True)
class TableColumn:
    """One column: all its numbers share `signature`, the measure part of the results' signatures."""

    dataset: str
    split: str
    protocol: str
    metric: str
    signature: str
    method: str = ""
    note: str = ""
    """Where two columns differ in the signature alone: in which fields."""
    reader: str = ""
    """How often what reads the answers errs, where the metric rests on it; of the first result."""
    described: Metric | None = field(default=None, compare=False)
    """The metric as the results describe it; None where it is this package's, or there is no result."""

    @property
    def place(self) -> str:
        """The dataset, with its split where that is not the test split."""
        return place_of(self.dataset, self.split)

    @property
    def about(self) -> Metric:
        """The metric. Raises ScoreError for one that is neither known nor described by a result."""
        return self.described or metric_of(self.metric)

    @property
    def metric_title(self) -> str:
        """The metric as it is printed."""
        return title(self.metric, self.described)

    @property
    def oracle(self) -> bool:
        """Whether its decisions are at a threshold that was picked on the very scores."""
        return "ORACLE" in self.signature and at_threshold(self.metric, self.described)

    @property
    def title(self) -> str:
        """As a heading."""
        metric = f"{self.metric_title} ({self.reader})" if self.reader else self.metric_title
        what = [self.method] if self.method else [self.protocol, metric]
        oracle = "oracle threshold" if self.oracle else ""
        return " · ".join(part for part in (self.place, *what, oracle, self.note) if part)


MARKS = {"": "", "dataset": "†", "corpus": "‡"}
LEGENDS = {
    "dataset": "in-domain: the detector was trained on this dataset's training split.",
    "corpus": "in-domain: the detector was trained on the same corpus (people and videos) in another form: another "
    "compression, other crops or manipulations.",
}


@dataclass(frozen=True)
class Cell:
    """One number with what it rests on.

    `coverage` is of units, `frame_coverage` of frames (None where a result does not tell it). `domain` is `dataset`
    where the detector was trained on that dataset, `corpus` where it was trained on another of the same people and
    videos, empty where on neither. `best` where paired tests say that it is better than every other of its column.
    """

    score: Score
    coverage: float
    domain: Literal["", "dataset", "corpus"]
    signature: str
    best: bool = False
    frame_coverage: float | None = None

    @property
    def in_domain(self) -> bool:
        """Whether the detector was trained on the same corpus."""
        return bool(self.domain)

    @property
    def mark(self) -> str:
        """What stands behind the number to say so."""
        return MARKS[self.domain]


@dataclass(frozen=True)
class Row:
    """One detector; `rank` from 1, None where a column is missing or undefined, so that it cannot be ranked."""

    detector: str
    trained_on: tuple[str, ...]
    signature: str
    cells: tuple[Cell | None, ...]
    rank: int | None


@dataclass(frozen=True)
class Table:
    """A leaderboard."""

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[Row, ...]


def build_table(results: Sequence[Result], card: LeaderboardCard | None = None) -> Table:
    """The table of a card's columns, or without a card one of everything there is.

    Results with different signatures never share a column: the column is split and says in which fields they
    differ. Rows are ordered by the card's `rank_by` column, the best first, incomplete ones last and unranked.
    """
    wanted = list(card.columns) if card else _all_columns(results)
    columns = [column for spec in wanted for column in _split(spec, results)]
    key = min(card.rank_by, len(columns) - 1) if card and columns else 0
    rows = _rows(results, columns, key)
    heading = (card.title or card.name) if card else "Results"
    return Table(card.name if card else "results", heading, tuple(columns), tuple(rows))


def method_table(results: Sequence[Result], metric: str = "auc") -> Table:
    """One metric per manipulation (each method's fakes against all reals), and its mean over them."""
    columns = []
    for result in results:
        described = _described(result, metric)
        for method in [*([AVERAGE] if len(result.methods) > 1 and result.average else []), *result.methods]:
            column = TableColumn(
                result.dataset,
                result.split,
                result.protocol,
                metric,
                measure_signature(result.measured),
                method,
                described=described,
            )
            if column not in columns:
                columns.append(column)
    rows = _rows(results, columns, None)
    heading = title(metric, columns[0].described if columns else None)
    return Table("methods", f"{heading} by manipulation", tuple(columns), tuple(rows))


def _all_columns(results: Sequence[Result]) -> list[Column]:
    """The headlines where there is one dataset and protocol, else AUC (or a protocol's first metric) for each."""
    places = list(dict.fromkeys((r.dataset, r.protocol, r.split) for r in results))
    first = {(r.dataset, r.protocol, r.split): r for r in results}
    columns = []
    for dataset, protocol, split in places:
        result = first[dataset, protocol, split]
        shown = [m for m in result.metrics if (known := known_in(result, m)) and known.headline] or list(result.metrics)
        for metric in shown if len(places) == 1 else shown[:1]:
            columns.append(Column(dataset=dataset, protocol=protocol, split=split, metric=metric))
    return columns


def _split(spec: Column, results: Sequence[Result]) -> list[TableColumn]:
    """A wanted column as one column for each signature among its results; one empty column where there are none."""
    fitting = [r for r in results if (r.dataset, r.protocol, r.split) == (spec.dataset, spec.protocol, spec.split)]
    unique = {measure_signature(r.measured): r.measured for r in fitting} or {"": {}}
    readers = {measure_signature(r.measured): r.details.get("readers", {}) for r in reversed(fitting)}
    first = next(iter(unique.values()))
    columns = []
    for signature, measured in unique.items():
        fields = differing(first, measured) if measured is not first else []
        note = ", ".join(f"{name}:{measured.get(name)}" for name in fields)
        reader = error_note(spec.metric, readers.get(signature, {}))
        described = next((_described(r, spec.metric) for r in fitting if r.measured is measured), None)
        place = (spec.dataset, spec.split, spec.protocol, spec.metric)
        columns.append(TableColumn(*place, signature, "", note, reader, described))
    return columns


def _described(result: Result, metric: str) -> Metric | None:
    """A user's metric as a result describes it; None for one of this package."""
    described = metric.removesuffix(AT_HALF) in result.protocol_card.get("described", {})
    return result.about(metric) if described else None


def _rows(results: Sequence[Result], columns: Sequence[TableColumn], key: int | None) -> list[Row]:
    grouped: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        grouped.setdefault((result.detector, short(result.measured, BY)), []).append(result)
    rows = []
    corpus = cache(corpus_of)
    for (detector, signature), own in grouped.items():
        whole = {short(result.measured, DETECTOR) for result in own}  # they may differ in coverage and environment
        signature = whole.pop() if len(whole) == 1 else signature
        cells = tuple(_cell(column, own, corpus) for column in columns)
        if any(cells):
            rows.append(Row(detector, own[0].training_datasets, signature, cells, None))
    return rows if key is None else _ranked(rows, columns, key)


def legends(table: Table) -> dict[str, str]:
    """The marks of in-domain numbers that a table has, with what they mean."""
    found = {cell.domain for row in table.rows for cell in row.cells if cell}
    return {MARKS[domain]: text for domain, text in LEGENDS.items() if domain in found}


def domain_of(result: Result, corpus: Callable[[str], str] = corpus_of) -> Literal["", "dataset", "corpus"]:
    """Whether a result's detector was trained on its dataset, on another of the same corpus, or on neither.

    Corpora are those that result and detector's card name; older ones name datasets alone, whose corpus is that of
    `corpus`, a card's by default. Upper and lower case are one.
    """
    if result.dataset in result.training_datasets:
        return "dataset"
    named = result.detector_card.get("training_sources") or ()
    seen = {str(name).casefold() for name in (*named, *map(corpus, result.training_datasets))}
    return "corpus" if (result.source or corpus(result.dataset)).casefold() in seen else ""


def _cell(column: TableColumn, results: Sequence[Result], corpus: Callable[[str], str]) -> Cell | None:
    for result in results:
        same = (result.dataset, result.split, result.protocol) == (column.dataset, column.split, column.protocol)
        if same and measure_signature(result.measured) == column.signature:
            groups = {"": result.metrics, AVERAGE: result.average, **result.methods}
            scores = groups.get(column.method, {})
            if column.metric in scores:
                domain = domain_of(result, corpus)
                score, signature = scores[column.metric], result.signature
                return Cell(score, result.coverage, domain, signature, frame_coverage=result.frame_coverage)
    return None


def _ranked(rows: list[Row], columns: Sequence[TableColumn], key: int) -> list[Row]:
    if not columns:
        return rows
    sign = columns[key].about.worse

    def value(row: Row) -> float | None:
        cell = row.cells[key]
        return None if cell is None or cell.score.value is None else cell.score.value

    def complete(row: Row) -> bool:
        return all(cell is not None and cell.score.value is not None for cell in row.cells)

    def order(row: Row) -> tuple[bool, float, str]:
        own = value(row)
        return (not complete(row), sign * own if own is not None else float("inf"), row.detector)

    ordered = sorted(rows, key=order)
    ranks: list[int | None] = []
    for place, row in enumerate(ordered):
        tied = place > 0 and complete(row) and value(row) == value(ordered[place - 1])
        ranks.append((ranks[place - 1] if tied else place + 1) if complete(row) else None)
    return [Row(r.detector, r.trained_on, r.signature, r.cells, rank) for r, rank in zip(ordered, ranks, strict=True)]
