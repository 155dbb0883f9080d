"""Leaderboard as one html file, without requests and readable without scripts too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...metrics.registry import title
from ..board import Board
from ..published import Figure, figure_tables
from ..table import legends
from . import charts
from .parts import render_page
from .views import Viewer

LINK = re.compile(r"https?://[^\s<>\"']+")
"""Only such a text becomes a link."""


@dataclass(frozen=True)
class PublishedSource:
    """A `FigureTable` as text: detectors by columns, '' without a figure."""

    first: Figure
    link: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def to_html(board: Board) -> str:
    """Return the board as one page; see `render_page` for what the page may do."""
    viewer = Viewer(board)
    drawn = charts.Charts(board, viewer)
    tables = (board.table, *board.methods)
    datasets = dict.fromkeys(column.dataset for table in tables for column in table.columns)
    trained = dict.fromkeys(name for row in board.table.rows for name in row.trained_on)
    return render_page(
        __package__,
        "page",
        {"n": "{:g}".format},
        title=board.table.title,
        viewer=viewer,
        charts=drawn,
        geometry=charts,
        datasets=list(datasets),
        trained=sorted(trained),
        published=_published(board.published),
        legends=legends(board.table),
        best=any(cell.best for table in tables for cell in table.cells),
    )


def _published(figures: Sequence[Figure]) -> list[PublishedSource]:
    """Return published figures as text, a table for each source and way of measuring."""
    out = []
    for table in figure_tables(figures):
        where = table.first.where
        heads = tuple(f"{dataset}: {title(metric)}" for dataset, metric in table.columns)
        rows = tuple((name, tuple(" / ".join(map("{:g}".format, v)) for v in values)) for name, values in table.rows)
        out.append(PublishedSource(table.first, where if LINK.fullmatch(where) else "", heads, rows))
    return out
