"""The leaderboard as one html file: no request leaves it, and it reads without scripts too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..board import Board
from ..published import Figure, by_source
from ..table import legends, title
from . import charts
from .parts import render_page
from .views import Viewer

LINK = re.compile(r"https?://[^\s<>\"']+")
"""What is shown as a link; nothing else is."""


@dataclass(frozen=True)
class PublishedSource:
    """Others' figures of one source and one way of measuring: detectors by columns, '' where there is none."""

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
        best=any(cell and cell.best for table in tables for row in table.rows for cell in row.cells),
    )


def _published(figures: Sequence[Figure]) -> list[PublishedSource]:
    """Figures grouped by what they have in common, in the order of their first."""
    out = []
    for own in by_source(figures):
        columns = list(dict.fromkeys((f.dataset, f.metric) for f in own))
        values: dict[tuple[str, str, str], list[str]] = {}
        for f in own:
            values.setdefault((f.detector, f.dataset, f.metric), []).append(f"{f.value:g}")
        detectors = dict.fromkeys(f.detector for f in own)
        rows = tuple((d, tuple(" / ".join(values.get((d, *column), ())) for column in columns)) for d in detectors)
        link = own[0].where if LINK.fullmatch(own[0].where) else ""
        heads = tuple(f"{dataset}: {title(metric)}" for dataset, metric in columns)
        out.append(PublishedSource(own[0], link, heads, rows))
    return out
