"""What the page's tables show: every cell, heading and signature as the text that stands in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ...metrics.names import AVERAGE
from ...results.signature import DETECTOR, MEASURE
from ...scoring.comparison import FIELDS
from ..board import Board
from ..table import Cell, Row, Table, TableColumn
from ..text import cell_coverage

WORDS = FIELDS | {
    "ci": "intervals (level, drawn by, resamples)",
    "det": "detector",
    "weights": "hash of the weights",
    "prep": "preprocessing",
    "prec": "precision",
    "seed": "seed",
    "cov": "coverage (share of frames / of units with a score)",
}
"""The signature's fields in words."""
MEAN = "mean of the manipulations"
_KEY = re.compile(rf"(?:^|\|)({'|'.join((*MEASURE, *DETECTOR))}):")


@dataclass(frozen=True)
class SignatureView:
    """A signature, or the part that a column or a row has of it: its short form and (key, words, value) a field."""

    id: str
    titles: tuple[str, ...]
    short: str
    fields: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class CellView:
    """One cell's text. `kind` is `value`, `null` or `missing`; `sort` the full value; empty text is not shown."""

    kind: str
    text: str = ""
    sort: str = ""
    ci: str = ""
    counts: str = ""
    coverage: str = ""
    reason: str = ""
    note: int = 0
    in_domain: bool = False
    mark: str = ""
    best: bool = False
    signature: str = ""
    """The id of the cell's own signature, where it is not its column's and its row's put together."""


@dataclass(frozen=True)
class ColumnView:
    """One column's heading. `counts` are what most of its cells rest on; `measure` the id of its signature.

    `first`: it begins a group. `told`: whether its group's heading has the counts, and the measure, of all of them.
    """

    label: str
    full: str
    place: str
    dataset: str
    detail: str
    counts: str
    lower: bool
    measure: str
    first: bool = False
    told: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class GroupView:
    """A heading over neighbouring columns; `counts` and `measure` where they are the same for all of them, else ''."""

    place: str
    dataset: str
    width: int
    counts: str
    measure: str


@dataclass(frozen=True)
class RowView:
    """One detector's row; `by` is the id of its signature, `also` what tells it from others of the same name."""

    detector: str
    also: str
    trained_on: tuple[str, ...]
    rank: int | None
    by: str
    cells: tuple[CellView, ...]


@dataclass(frozen=True)
class TableView:
    """One table."""

    id: str
    title: str
    ranked: bool
    groups: tuple[GroupView, ...]
    columns: tuple[ColumnView, ...]
    rows: tuple[RowView, ...]

    @property
    def unranked(self) -> int:
        """How many rows have no rank in a table that has ranks."""
        return sum(row.rank is None for row in self.rows) if self.ranked else 0


class _Register:
    """Signatures or parts of them, each once, numbered as they come, with the titles of what has them."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._numbers: dict[str, int] = {}
        self._titles: list[list[str]] = []

    def id(self, signature: str, titled: str) -> str:
        """The id under which a signature is explained; '' for none."""
        if not signature:
            return ""
        number = self._numbers.setdefault(signature, len(self._numbers) + 1)
        if number > len(self._titles):
            self._titles.append([])
        if titled not in self._titles[number - 1]:
            self._titles[number - 1].append(titled)
        return f"{self._letter}{number}"

    @property
    def views(self) -> tuple[SignatureView, ...]:
        """All of them."""
        every = zip(self._numbers.items(), self._titles, strict=True)
        return tuple(SignatureView(f"{self._letter}{i}", tuple(titles), s, fields(s)) for (s, i), titles in every)


class Viewer:
    """Makes views, and gathers on the way each signature and each note once.

    `measures` is what columns and curves have of signatures, `detectors` what rows have, `odd` the whole signatures of
    cells that are not their column's and their row's put together. `notes` has the number of each note, from 1.
    """

    def __init__(self, board: Board) -> None:
        self.measures, self.detectors, self.odd = _Register("m"), _Register("d"), _Register("x")
        self.notes: dict[str, int] = {}
        self.table = self._table(board.table, "board")
        self.methods = tuple(self._table(table, f"methods-{i}") for i, table in enumerate(board.methods, 1))

    def _table(self, table: Table, id: str) -> TableView:
        plain = [self._column(c, [row.cells[i] for row in table.rows]) for i, c in enumerate(table.columns)]
        groups, columns = _grouped(plain)
        also = distinguish(table.rows)
        rows = tuple(self._row(table, row, note, columns) for row, note in zip(table.rows, also, strict=True))
        return TableView(id, table.title, any(row.rank is not None for row in rows), groups, columns, rows)

    def _column(self, column: TableColumn, cells: Sequence[Cell | None]) -> ColumnView:
        place = column.place
        full = column.title
        if column.method:
            place += f" · {column.protocol}"
            label, detail = MEAN if column.method == AVERAGE else column.method, []
            measure = self.measures.id(column.signature, place)
        else:
            label, detail = column.metric_title, [column.protocol]
            measure = self.measures.id(column.signature, full)
        if column.oracle:
            detail.append("oracle threshold")
        detail += [column.note] if column.note else []
        lower = column.about.lower_is_better
        counts = _usual_counts(cells)
        return ColumnView(label, full, place, column.dataset, " · ".join(detail), counts, lower, measure)

    def _row(self, table: Table, row: Row, also: str, columns: Sequence[ColumnView]) -> RowView:
        by = self.detectors.id(row.signature, row.detector)
        cells = []
        for column, view, cell in zip(table.columns, columns, row.cells, strict=True):
            own = ""
            if cell is not None and cell.signature != "|".join(s for s in (column.signature, row.signature) if s):
                own = self.odd.id(cell.signature, f"{row.detector}, {column.title}")
            cells.append(self._cell(cell, view, own))
        return RowView(row.detector, also, row.trained_on, row.rank, by, tuple(cells))

    def _cell(self, cell: Cell | None, column: ColumnView, own: str) -> CellView:
        if cell is None:
            return CellView("missing", "–")
        score, counts = cell.score, _counts(cell)
        plain = CellView(
            "null",
            "null",
            counts=counts if counts != column.counts else "",
            coverage=cell_coverage(cell),
            reason=score.reason or "",
            in_domain=cell.in_domain,
            mark=cell.mark,
            signature=own,
        )
        if score.value is None:
            return plain
        return replace(
            plain,
            kind="value",
            text=number(score.value),
            sort=repr(float(score.value)),
            ci=f"[{number(score.ci[0])}, {number(score.ci[1])}]" if score.ci else "",
            note=self.notes.setdefault(score.reason, len(self.notes) + 1) if score.reason else 0,
            best=cell.best,
        )


def _grouped(columns: Sequence[ColumnView]) -> tuple[tuple[GroupView, ...], tuple[ColumnView, ...]]:
    """Headings over neighbours of one place, and the columns, which know what is said above them."""
    groups, out = [], []
    for (place, dataset), run in groupby(columns, lambda column: (column.place, column.dataset)):
        own = list(run)
        counts = own[0].counts if len({c.counts for c in own}) == 1 else ""
        shared = own[0].measure if len({c.measure for c in own}) == 1 else ""
        groups.append(GroupView(place, dataset, len(own), counts, shared))
        out += [replace(c, first=i == 0, told=(bool(counts), bool(shared))) for i, c in enumerate(own)]
    return tuple(groups), tuple(out)


def fields(signature: str) -> tuple[tuple[str, str, str], ...]:
    """A signature's fields as (key, words, value), in its order; a value may hold `|` and `:`."""
    parts = _KEY.split(signature)[1:]
    return tuple((key, WORDS.get(key, key), value) for key, value in zip(parts[::2], parts[1::2], strict=True))


def distinguish(rows: Sequence[Row]) -> list[str]:
    """What tells rows of one detector's name apart: the fields of their signatures that differ; else ''."""
    own = [{key: value for key, _, value in fields(row.signature)} for row in rows]
    names: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        names.setdefault(row.detector, []).append(i)
    out = [""] * len(rows)
    for places in names.values():
        keys = [key for key in DETECTOR if len({own[i].get(key) for i in places}) > 1]
        for i in places:
            out[i] = ", ".join(f"{key}:{own[i][key]}" for key in keys if key in own[i])
    return out


def number(value: float) -> str:
    """Three decimals, with a true minus sign; what rounds to zero has none."""
    text = f"{value:.3f}"
    return text.replace("-", "" if float(text) == 0.0 else "−")


def _counts(cell: Cell) -> str:
    return f"{cell.score.n_real}+{cell.score.n_fake}"


def _usual_counts(cells: Sequence[Cell | None]) -> str:
    """What most of a column's cells rest on; ''  for a column without any."""
    counted = Counter(_counts(cell) for cell in cells if cell is not None)
    return counted.most_common(1)[0][0] if counted else ""
