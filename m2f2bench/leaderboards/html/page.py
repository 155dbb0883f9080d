"""The leaderboard as one html file: no request leaves it, and it reads without scripts too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from ...metrics.registry import title
from ...version import __version__
from ..board import Board
from ..published import Figure, by_source
from ..table import legends
from . import charts
from .parts import compact, policy, templates
from .views import Viewer

STYLE, SCRIPT, TEMPLATE = "page.css", "page.js", "page.html.j2"
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
    """The board as a page of its own, ending in a newline; the same board gives the same page.

    All text of the board is escaped, and the page's content security policy lets nothing run or load but the page's own
    style and script, which are known by their hashes.
    """
    from markupsafe import Markup

    style, script = (compact(resources.files(__package__).joinpath(n).read_text("utf-8")) for n in (STYLE, SCRIPT))
    environment = templates(__package__)
    environment.filters["n"] = "{:g}".format
    viewer = Viewer(board)
    drawn = charts.Charts(board, viewer)
    datasets = dict.fromkeys(column.dataset for table in (board.table, *board.methods) for column in table.columns)
    trained = dict.fromkeys(name for row in board.table.rows for name in row.trained_on)
    page = environment.get_template(TEMPLATE).render(
        title=board.table.title,
        viewer=viewer,
        charts=drawn,
        geometry=charts,
        datasets=list(datasets),
        trained=sorted(trained),
        published=_published(board.published),
        legends=legends(board.table),
        best=any(cell and cell.best for t in (board.table, *board.methods) for row in t.rows for cell in row.cells),
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
    )
    return page.rstrip() + "\n"


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
