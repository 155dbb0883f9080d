"""Table of a leaderboard: the columns of results, and the order of its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ..cards.corpora import Domain, Trained
from ..cards.folders import EXPLANATION
from ..cards.models import Column, LeaderboardCard, corpus_of, people_of
from ..core.records import Score
from ..metrics.metric import Metric
from ..metrics.names import AT_HALF, AVERAGE
from ..metrics.reader_errors import error_note
from ..metrics.registry import at_threshold, metric_of, title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import DETECTOR, MAP, differing, measure_signature, place_of, short
from ..scoring.controls import known_to
from ..scoring.pooled import count_of, count_text

BY = tuple(key for key in DETECTOR if key not in ("cov", "env"))
"""Fields that results of one detector share: all but the machine that it ran on and its coverage of a dataset."""


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
    """The fields that differ, if another column differs only in its signature."""
    reader: str = ""
    """Error rate of the reader of answers that the metric needs, if any; of the first result."""
    described: Metric | None = field(default=None, compare=False)
    """The metric as the results describe it; None for one of this package, and without results."""

    @property
    def place(self) -> str:
        """The dataset, with its split if that is not the test split."""
        return place_of(self.dataset, self.split)

    @property
    def about(self) -> Metric:
        """The metric. Raises ScoreError if it is neither known nor described by a result."""
        return self.described or metric_of(self.metric)

    @property
    def metric_title(self) -> str:
        """Title of the metric."""
        return title(self.metric, self.described)

    @property
    def oracle(self) -> bool:
        """Whether its decisions are at a threshold that was chosen on the same scores."""
        return "ORACLE" in self.signature and at_threshold(self.metric, self.described)

    @property
    def title(self) -> str:
        """The heading."""
        metric = f"{self.metric_title} ({self.reader})" if self.reader else self.metric_title
        what = [self.method] if self.method else [self.protocol, metric]
        return " · ".join(part for part in (self.place, *what, "oracle threshold" * self.oracle, self.note) if part)


MARKS = {"": "", "dataset": "†", "corpus": "‡", "people": "§"}
LEGENDS = {
    "dataset": "in-domain: the detector was trained on this dataset's training split.",
    "corpus": "in-domain: the detector was trained on the same corpus (people and videos) in another form: another "
    "compression, other crops or manipulations.",
    "people": "in-domain by people: the detector was trained on another corpus, and some people are in both.",
}


@dataclass(frozen=True)
class Cell:
    """One number and how it was measured.

    `coverage` is of units, `frame_coverage` of frames (None if the result does not have it). `domain` is `dataset` if
    the detector was trained on this dataset, `corpus` if it was trained on another of the same people and videos,
    `people` if it was trained on another corpus and some people are in both, else empty. `best`: paired tests show
    that it is better than every other of its column. `trainings`: of how many trainings it is the mean; None if the
    detector is no training.
    """

    score: Score
    coverage: float
    domain: Domain
    signature: str
    best: bool = False
    frame_coverage: float | None = None
    trainings: int | None = None

    @property
    def in_domain(self) -> bool:
        """Whether the detector was trained on the same people, or some of them."""
        return bool(self.domain)

    @property
    def covered(self) -> str:
        """The coverage, of units and of frames, as text; empty if both are 1, or 1 and unknown."""

        def short(value: float) -> str:
            return f"{min(value, 0.999):.3f}"  # never rounded up to 1

        frames = self.frame_coverage
        if frames is None or frames in (1.0, self.coverage):
            return f"coverage {short(self.coverage)}" if self.coverage < 1.0 else ""
        return f"coverage {short(self.coverage) if self.coverage < 1.0 else '1'}, of frames {short(frames)}"

    @property
    def mark(self) -> str:
        """The mark for `domain` after the number."""
        return MARKS[self.domain]


@dataclass(frozen=True)
class Row:
    """One detector; `rank` from 1, or None without a rank: a column is missing or undefined, or it is a control.

    `knows`: what a control of explanations makes its answers from; empty for every other row.
    """

    detector: str
    trained_on: tuple[str, ...]
    signature: str
    cells: tuple[Cell | None, ...]
    rank: int | None
    knows: str = ""

    @property
    def trainings(self) -> tuple[int, ...]:
        """The different numbers of trainings of its cells, from few to many; empty if it is no training."""
        return tuple(sorted({cell.trainings for cell in self.cells if cell and cell.trainings}))

    @property
    def trained(self) -> str:
        """How many trainings it has, in words; empty for a control or a detector that is not trained."""
        return count_text(self.trainings)

    @property
    def values(self) -> list[float | None]:
        """The numbers of its cells; None for one without a result or without a value."""
        return [cell.score.value if cell else None for cell in self.cells]


@dataclass(frozen=True)
class Table:
    """A leaderboard; `rank_by` is the column that its rows are sorted by."""

    name: str
    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[Row, ...]
    rank_by: int = 0

    @property
    def cells(self) -> list[Cell]:
        """All cells with a result."""
        return [cell for row in self.rows for cell in row.cells if cell]

    @property
    def ranked(self) -> bool:
        """Whether any row has a rank."""
        return any(row.rank is not None for row in self.rows)

    @property
    def signatures(self) -> list[str]:
        """The signatures of the columns, each once."""
        return list(dict.fromkeys(column.signature for column in self.columns))


def build_table(results: Sequence[Result], card: LeaderboardCard | None = None) -> Table:
    """Return the table of a card's columns, or without a card of all results.

    Results with different signatures never share a column: it is split, and the new columns name the fields that
    differ. Rows are sorted by the card's `rank_by` column, the best first, incomplete ones last and without a rank;
    controls of explanations, which see no image, come after all others and have no rank.
    """
    wanted = list(card.columns) if card else _all_columns(results)
    columns = [column for spec in wanted for column in _split(spec, results)]
    key = min(card.rank_by, len(columns) - 1) if card and columns else 0
    rows = _rows(results, columns, key)
    heading = (card.title or card.name) if card else "Results"
    return Table(card.name if card else "results", heading, tuple(columns), tuple(rows), key)


def method_table(results: Sequence[Result], metric: str = "auc") -> Table:
    """Return a table of one metric by manipulation (each method's fakes against all reals), with the mean."""
    found: dict[TableColumn, None] = {}
    for result in results:
        place = (result.dataset, result.split, result.protocol, metric, measure_signature(result.measured))
        for method in [*([AVERAGE] if len(result.methods) > 1 and result.average else []), *result.methods]:
            found.setdefault(TableColumn(*place, method, described=_described(result, metric)))
    columns = list(found)
    rows = _rows(results, columns, None)
    heading = title(metric, columns[0].described if columns else None)
    return Table("methods", f"{heading} by manipulation", tuple(columns), tuple(rows))


def _all_columns(results: Sequence[Result]) -> list[Column]:
    """Return the main metrics of a single dataset and protocol, the primary one first, or of several that of each."""
    last = {(r.dataset, r.protocol, r.split): r for r in results}
    columns = []
    for (dataset, protocol, split), result in last.items():
        main = [m for m in result.metrics if (known := known_in(result, m)) and known.headline] or list(result.metrics)
        if (primary := result.protocol_card.get("primary")) in result.metrics:
            main = [primary, *(m for m in main if m != primary)]
        for metric in main if len(last) == 1 else main[:1]:
            columns.append(Column(dataset=dataset, protocol=protocol, split=split, metric=metric))
    return columns


def _split(spec: Column, results: Sequence[Result]) -> list[TableColumn]:
    """Return a column of a card as one column for each signature of its results, or as one empty column."""
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
    """Return a user's metric as a result describes it; None for one of this package."""
    described = metric.removesuffix(AT_HALF) in result.protocol_card.get("described", {})
    return result.about(metric) if described else None


def _rows(results: Sequence[Result], columns: Sequence[TableColumn], key: int | None) -> list[Row]:
    grouped: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        grouped.setdefault((result.detector, short(result.measured, BY)), []).append(result)
    rows = []
    looked_up = (cache(corpus_of), cache(people_of))
    for (detector, signature), own in grouped.items():
        # Coverage, environment and heat maps may differ.
        whole = {short(result.measured, (*DETECTOR, MAP)) for result in own}
        signature = whole.pop() if len(whole) == 1 else signature
        cells = tuple(_cell(column, own, looked_up) for column in columns)
        if any(cells):
            knows = known_to(detector) if own[0].task == EXPLANATION else ""
            rows.append(Row(detector, own[0].training_datasets, signature, cells, None, knows))
    return rows if key is None else _ranked(rows, columns, key)


ONE = "one training: another seed would give another number, which intervals and tests of this row do not say"
SEVERAL = (
    "±: standard deviation between trainings, whose mean the number is; intervals and tests are over people and "
    "trainings"
)


def trainings_notes(table: Table) -> list[str]:
    """Return what the numbers of trainings in a table mean; empty if no row is a training."""
    counts = {count for row in table.rows for count in row.trainings}
    return [SEVERAL] * (max(counts, default=0) > 1) + [ONE] * (1 in counts)


def legends(table: Table) -> dict[str, str]:
    """Return the marks of in-domain numbers in a table, with their meaning."""
    found = {cell.domain for cell in table.cells}
    return {MARKS[domain]: text for domain, text in LEGENDS.items() if domain in found}


LookUp = tuple[Callable[[str], str], Callable[[str], tuple[str, ...]]]
"""Functions that return a dataset's corpus, and other corpora whose people are in it, by the dataset's name."""


def domain_of(
    result: Result,
    corpus: Callable[[str], str] = corpus_of,
    people: Callable[[str], tuple[str, ...]] = people_of,
) -> Domain:
    """Return whether a result's detector was trained on its dataset, its corpus, some of its people, or none of these.

    The result and the detector's card name the corpora. Older ones only name datasets: `corpus` and `people` return
    those of one, by default from its card. Case is ignored.
    """
    sources, others = (result.detector_card.get(key) or () for key in ("training_sources", "training_people"))
    trained = Trained.of(result.training_datasets, sources, others, corpus, people)
    own = (result.source, result.people) if result.source else (corpus(result.dataset), people(result.dataset))
    return trained.common(result.dataset, *own)[0]


def _cell(column: TableColumn, results: Sequence[Result], looked_up: LookUp) -> Cell | None:
    for result in results:
        same = (result.dataset, result.split, result.protocol) == (column.dataset, column.split, column.protocol)
        if same and measure_signature(result.measured) == column.signature:
            groups = {"": result.metrics, AVERAGE: result.average, **result.methods}
            score = groups.get(column.method, {}).get(column.metric)
            if score is not None:
                domain = domain_of(result, *looked_up)
                what = (score, result.coverage, domain, result.signature)
                return Cell(*what, frame_coverage=result.frame_coverage, trainings=count_of(result))
    return None


def _ranked(rows: list[Row], columns: Sequence[TableColumn], key: int) -> list[Row]:
    if not columns:
        return rows
    sign = columns[key].about.worse

    def order(row: Row) -> tuple[bool, bool, float, str]:
        value = row.values[key]
        return bool(row.knows), None in row.values, math.inf if value is None else sign * value, row.detector

    ranked: list[Row] = []
    for place, row in enumerate(sorted(rows, key=order), 1):
        tied = ranked and row.values[key] == ranked[-1].values[key]
        rank = None if None in row.values or row.knows else ranked[-1].rank if tied else place
        ranked.append(replace(row, rank=rank))
    return ranked
