"""Html pages of this package: one file each, without requests and readable without scripts too; and the board as such.

A page is one template, style and script, escaped text, and a strict content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ...metrics.registry import title
from ...version import __version__
from ..board import Board
from ..published import DEVIATES, NOT_ITS_PAPER, FigureTable, figure_tables
from ..table import legends, trainings_notes
from . import charts
from .fields import fields
from .heat import scale
from .views import Viewer, interval, number

LINK = re.compile(r"https?://[^\s<>\"']+")
"""Only such a text becomes a link."""


def to_html(board: Board) -> str:
    """Return the board as one page; see `render_page` for what the page may do."""
    viewer = Viewer(board)
    drawn = charts.Charts(board, viewer)
    tables = (board.table, *board.methods)
    best = any(cell.best for table in tables for cell in table.cells)
    datasets = dict.fromkeys(column.dataset for table in tables for column in table.columns)
    trained = dict.fromkeys(name for row in board.table.rows for name in row.trained_on)
    return render_page(
        __package__,
        "page",
        {
            "n": "{:g}".format,
            "number": number,
            "interval": interval,
            "fields": fields,
            "in_words": title,
            "aligned": aligned,
        },
        title=board.table.title,
        viewer=viewer,
        charts=drawn,
        geometry=charts,
        datasets=list(datasets),
        trained=sorted(trained),
        published=figure_tables(board.published),
        deviates=DEVIATES,
        not_its_paper=NOT_ITS_PAPER,
        linked=LINK.fullmatch,
        legends=legends(board.table),
        best=best,
        lead=board.lead,
        few=board.few,
        has=shown(board, viewer),
    )


@dataclass(frozen=True)
class Shown:
    """What the page's legends explain: only what is on the page.

    `key` has the explanations below the main table. The others are the heat table's: the `scale` of its colours, the
    value of guessing (`chance`), and whether a mark says that an interval contains it (`near`).
    """

    key: tuple[str, ...]
    scale: tuple[tuple[str, float], ...] = ()
    chance: float | None = None
    near: bool = False


def shown(board: Board, viewer: Viewer) -> Shown:
    """Return what a board's legends explain."""
    table = board.table
    cells, scores = table.cells, [cell.score for cell in table.cells]
    covered = [cell.covered for cell in cells]
    usual = next((f"{score.n_real}+{score.n_fake}" for score in scores), "")
    found = {
        "[low, high]: the interval": any(score.ci for score in scores),
        f"{usual}: number of real + fake units": bool(usual),
        "– : no result": any(cell is None for row in table.rows for cell in row.cells),
        "null: not defined, with the reason": any(score.value is None for score in scores),
        "coverage: share of the planned units with a score": any(covered),
        "of frames: share of the planned frames": any("of frames" in text for text in covered),
    }
    key = (*(words for words, there in found.items() if there), *trainings_notes(table))
    if viewer.heat is None:
        return Shown(key)
    about = board.methods[0].columns[0].about
    rows = [[view.cell.score if view.cell else None for view in row.cells] for row in viewer.heat.rows]
    near = any(view.at_chance for row in viewer.heat.rows for view in row.cells)
    return Shown(key, tuple(scale(rows, about)), about.chance, near)


def aligned(table: FigureTable) -> list[tuple[str, list[str]]]:
    """Return the rows of published figures as text, with the same number of decimals in each column."""
    digits = []
    for i in range(len(table.columns)):
        texts = [f"{value:g}" for _, values in table.rows for value in values[i]]
        exponent = any("e" in text for text in texts)
        digits.append(None if exponent else max((len(text.partition(".")[2]) for text in texts), default=0))

    def text(value: float, decimals: int | None) -> str:
        return f"{value:g}" if decimals is None else f"{value:.{decimals}f}"

    return [
        (name, [" / ".join(text(v, d) for v in found) or "–" for found, d in zip(values, digits, strict=True)])
        for name, values in table.rows
    ]


def render_page(package: str, name: str, filters: Mapping[str, Callable[[Any], Any]], **values: Any) -> str:
    """Return the page `name` of a package: NAME.html.j2, NAME.css and NAME.js, each on top of the base's.

    All text is escaped, and a name that the template does not know is an error. The page's content security policy lets
    nothing run or load but its own style and script, which are identified by their hashes, and pictures inside the
    page. The same values give the same page, which ends in a newline.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style, script = (
        compact(_text(__package__, f"base.{suffix}") + _text(package, f"{name}.{suffix}")) for suffix in ("css", "js")
    )
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(__package__, "")]),
        autoescape=True,  # jinja2 decides by the file's ending, which is .j2 here
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    page = environment.get_template(f"{name}.html.j2").render(
        style=Markup(style), script=Markup(script), policy=policy(style, script), version=__version__, **values
    )
    return page.rstrip() + "\n"


def _text(package: str, file: str) -> str:
    return resources.files(package).joinpath(file).read_text("utf-8")


def compact(text: str) -> str:
    """Return a style sheet or script without indentation, empty lines and lines that are a comment."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def policy(style: str, script: str) -> str:
    """Return a content security policy that admits only this style and script, and no request to anywhere."""

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
