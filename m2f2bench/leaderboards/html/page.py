"""Html pages of this package: one file each, without requests and readable without scripts too; and the board as such.

A page is one template, style and script, escaped text, and a strict content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from ...metrics.registry import title
from ...version import __version__
from ..board import Board
from ..published import figure_tables
from ..table import legends
from . import charts
from .views import Viewer, fields, interval, number

LINK = re.compile(r"https?://[^\s<>\"']+")
"""Only such a text becomes a link."""


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
        {"n": "{:g}".format, "number": number, "interval": interval, "fields": fields, "in_words": title},
        title=board.table.title,
        viewer=viewer,
        charts=drawn,
        geometry=charts,
        datasets=list(datasets),
        trained=sorted(trained),
        published=figure_tables(board.published),
        linked=LINK.fullmatch,
        legends=legends(board.table),
        best=any(cell.best for table in tables for cell in table.cells),
    )


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
