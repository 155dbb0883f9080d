"""Text of the page's tables: every cell, heading and signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from ...metrics.names import AVERAGE
from ...results.signature import DETECTOR
from ..board import Board
from ..table import Cell, Row, Table, TableColumn
from ..text import counts
from .fields import fields
from .heat import merge, near_chance, shade

MEAN = "mean of the manipulations"
SEES = "the image, the question"
"""What an explainer knows."""


@dataclass(frozen=True)
class SignatureView:
    """A signature, or a column's or row's part of it, with the titles of its columns or rows in order of appearance."""

    id: str
    short: str
    titles: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class CellView:
    """One cell. `counts` are its units if they differ from those of its column, `note` is the number of its note.

    `signature` is the id of its signature, if that is not its column's joined with its row's. In a heat table `shade`
    is the class of its colour, and `at_chance` says that its interval contains the value of guessing.
    """

    cell: Cell | None
    counts: str = ""
    note: int = 0
    signature: str = ""
    shade: str = ""
    at_chance: bool = False


@dataclass(frozen=True)
class ColumnView:
    """Heading of one column. `counts` are the units of most of its cells; `measure` is the id of its signature.

    `first`: it begins a group. `in_group`: whether the group's heading has the counts, and the measure.
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
    in_group: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class GroupView:
    """A heading over neighbouring columns; `counts` and `measure` if all of them have the same, else ''."""

    place: str
    dataset: str
    width: int
    counts: str
    measure: str


@dataclass(frozen=True)
class RowView:
    """One detector's row; `by` is the id of its signature, `also` how it differs from others of the same name.

    `knows` is what its answers are made from, if the table has `controls` of explanations; `control`: it is one.
    `trained` says how many trainings it has.
    """

    detector: str
    also: str
    trained_on: tuple[str, ...]
    rank: int | None
    by: str
    cells: tuple[CellView, ...]
    knows: str = ""
    control: bool = False
    trained: str = ""


@dataclass(frozen=True)
class TableView:
    """One table; `heat` if its cells have colours, `controls` if some of its rows are controls of explanations."""

    id: str
    title: str
    ranked: bool
    groups: tuple[GroupView, ...]
    columns: tuple[ColumnView, ...]
    rows: tuple[RowView, ...]
    heat: bool = False
    controls: bool = False


class _Register:
    """Signatures or parts of them, each once, in order of appearance."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._found: dict[str, SignatureView] = {}

    def id(self, signature: str, titled: str) -> str:
        """Return the id of a signature's explanation; '' for an empty one."""
        if not signature:
            return ""
        view = self._found.setdefault(signature, SignatureView(f"{self._letter}{len(self._found) + 1}", signature))
        view.titles[titled] = None
        return view.id

    @property
    def views(self) -> tuple[SignatureView, ...]:
        """All signatures."""
        return tuple(self._found.values())


class Viewer:
    """Views of a board's tables, and each signature and note once.

    `measures` has the signatures of columns and curves, `detectors` those of rows, and `odd` the whole signatures of
    cells that differ from column and row. `notes` has the number of each note, from 1.
    """

    def __init__(self, board: Board) -> None:
        self.measures, self.detectors, self.odd = _Register("m"), _Register("d"), _Register("x")
        self.notes: dict[str, int] = {}
        self.table = self._table(board.table, "board")
        merged = merge(board.methods, board.table)
        self.heat = self._table(merged, "heat", heat=True) if merged.columns else None

    def _table(self, table: Table, id: str, heat: bool = False) -> TableView:
        plain = [self._column(c, [row.cells[i] for row in table.rows]) for i, c in enumerate(table.columns)]
        groups, columns = _grouped(plain)
        also = distinguish(table.rows)
        rows = tuple(self._row(table, row, note, columns) for row, note in zip(table.rows, also, strict=True))
        rows = tuple(shaded(row, table.columns) for row in rows) if heat else rows
        controls = any(row.knows for row in table.rows)
        return TableView(id, table.title, table.ranked, groups, columns, rows, heat, controls)

    def _column(self, column: TableColumn, cells: Sequence[Cell | None]) -> ColumnView:
        if column.method:
            place, protocol = f"{column.place} · {column.protocol}", ""
            label = MEAN if column.method == AVERAGE else column.method
            measure = self.measures.id(column.signature, place)
        else:
            place, protocol, label = column.place, column.protocol, column.metric_title
            measure = self.measures.id(column.signature, column.title)
        parts = (protocol, "oracle threshold" if column.oracle else "", column.note)
        detail = " · ".join(part for part in parts if part)
        counted = Counter(counts(cell.score) for cell in cells if cell is not None)
        usual = max(counted, key=counted.__getitem__, default="")
        lower = column.about.lower_is_better
        return ColumnView(label, column.title, place, column.dataset, detail, usual, lower, measure)

    def _row(self, table: Table, row: Row, also: str, columns: Sequence[ColumnView]) -> RowView:
        by = self.detectors.id(row.signature, row.detector)
        cells = []
        for column, view, cell in zip(table.columns, columns, row.cells, strict=True):
            if cell is None:
                cells.append(CellView(None))
                continue
            joined = "|".join(s for s in (column.signature, row.signature) if s)
            odd = self.odd.id(cell.signature, f"{row.detector}, {column.title}") if cell.signature != joined else ""
            score, own = cell.score, counts(cell.score)
            remark = score.reason if score.value is not None else None
            note = self.notes.setdefault(remark, len(self.notes) + 1) if remark else 0
            cells.append(CellView(cell, own if own != view.counts else "", note, odd))
        knows = (row.knows or SEES) if any(other.knows for other in table.rows) else ""
        what = (row.detector, also, row.trained_on, row.rank, by, tuple(cells))
        return RowView(*what, knows, bool(row.knows), row.trained)


def shaded(row: RowView, columns: Sequence[TableColumn]) -> RowView:
    """Return a row whose cells have colours."""
    cells = []
    for view, column in zip(row.cells, columns, strict=True):
        score = view.cell.score if view.cell else None
        cells.append(replace(view, shade=shade(score, column.about), at_chance=near_chance(score, column.about)))
    return replace(row, cells=tuple(cells))


def _grouped(columns: Sequence[ColumnView]) -> tuple[tuple[GroupView, ...], tuple[ColumnView, ...]]:
    """Return headings over neighbours of one place, and the columns with what these headings already have."""
    groups, out = [], []
    for (place, dataset), run in groupby(columns, lambda column: (column.place, column.dataset)):
        own = list(run)
        counts = own[0].counts if len({c.counts for c in own}) == 1 else ""
        shared = own[0].measure if len({c.measure for c in own}) == 1 else ""
        groups.append(GroupView(place, dataset, len(own), counts, shared))
        out += [replace(c, first=i == 0, in_group=(bool(counts), bool(shared))) for i, c in enumerate(own)]
    return tuple(groups), tuple(out)


def distinguish(rows: Sequence[Row]) -> list[str]:
    """Return, for rows with the same detector's name, the fields of their signatures that differ; else ''."""
    own = [{key: value for key, _, value in fields(row.signature)} for row in rows]
    out = []
    for row, mine in zip(rows, own, strict=True):
        alike = [theirs for other, theirs in zip(rows, own, strict=True) if other.detector == row.detector]
        keys = [key for key in DETECTOR if key in mine and len({theirs.get(key) for theirs in alike}) > 1]
        out.append(", ".join(f"{key}:{mine[key]}" for key in keys))
    return out


def number(value: float) -> str:
    """Return a value with three decimals and a true minus sign; -0.000 has no sign."""
    text = f"{value:.3f}"
    return text.replace("-", "" if float(text) == 0.0 else "−")


def interval(ci: tuple[float, float] | None) -> str:
    """Return `[low, high]`; empty without an interval."""
    return f"[{number(ci[0])}, {number(ci[1])}]" if ci else ""
