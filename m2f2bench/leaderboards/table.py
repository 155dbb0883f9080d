"""Table of a leaderboard: the columns of results, and the order of its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from ..cards.columns import Column
from ..cards.corpora import Domain, Trained
from ..cards.folders import EXPLANATION
from ..cards.models import LeaderboardCard, corpus_of, people_of
from ..core.records import Score
from ..metrics.metric import Metric
from ..metrics.names import AT_HALF, AVERAGE
from ..metrics.reader_errors import error_note
from ..metrics.registry import at_threshold, metric_of, title
from ..results.form import known_in
from ..results.result import Result
from ..results.signature import DETECTOR, MAP, differing, joined_signature, measure_signature, place_of, short, touching
from ..scoring.controls import known_to
from ..scoring.pooled import count_of, count_text

BY = tuple(key for key in DETECTOR if key not in ("cov", "env"))
"""Fields that results of one detector share: all but the machine that it ran on and its coverage of a dataset."""


@dataclass(frozen=True)
class TableColumn:
    """One column: all its numbers share the fields that the metric depends on, `key`.

    `signature` is the measure part of its results' signatures; where they differ, in what does not touch the values, it
    has each: `ci:A or B`.
    """

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
    key: str = ""

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
    columns = [
        column for one in wanted for column in _split((one.dataset, one.split, one.protocol), one.metric, results)
    ]
    key = min(card.rank_by, len(columns) - 1) if card and columns else 0
    rows = _rows(results, columns, key)
    heading = (card.title or card.name) if card else "Results"
    return Table(card.name if card else "results", heading, tuple(columns), tuple(rows), key)


def method_table(results: Sequence[Result], metric: str = "auc") -> Table:
    """Return a table of one metric by manipulation (each method's fakes against all reals), with the mean."""
    found: dict[tuple[tuple[str, str, str], str], None] = {}
    for result in results:
        for method in [*([AVERAGE] if len(result.methods) > 1 and result.average else []), *result.methods]:
            found.setdefault(((result.dataset, result.split, result.protocol), method))
    columns = [
        replace(column, method=method)
        for place, method in found
        for column in _split(place, metric, [one for one in results if method in (AVERAGE, *one.methods)])
    ]
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


def _split(place: tuple[str, str, str], metric: str, results: Sequence[Result]) -> list[TableColumn]:
    """Return the column of a metric at a place (dataset, split, protocol) as one for each key of its results.

    Without results it is one empty column.
    """
    fitting: dict[str, list[Result]] = {}
    for result in results:
        if (result.dataset, result.split, result.protocol) == place:
            fitting.setdefault(key_of(result, metric), []).append(result)
    dataset, split, protocol = place
    if not fitting:
        return [TableColumn(dataset, split, protocol, metric, "")]
    columns = []
    (first, *_), *_ = fitting.values()
    for key, own in fitting.items():
        known = known_in(own[0], metric)
        fields = differing(first.measured, own[0].measured, None if known is None else {metric: known})
        columns.append(
            TableColumn(
                *(dataset, split, protocol, metric, joined_signature([one.measured for one in own])),
                note=", ".join(f"{name}:{own[0].measured.get(name)}" for name in fields),
                reader=error_note(metric, own[0].details.get("readers", {})),
                described=_described(own[0], metric),
                key=key,
            )
        )
    return columns


def key_of(result: Result, metric: str) -> str:
    """Return the fields that a metric's value depends on, in the short form; all of them for an unknown metric."""
    known = known_in(result, metric)
    return measure_signature(result.measured if known is None else touching(result.measured, metric, known))


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
        if same and key_of(result, column.metric) == column.key:
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
