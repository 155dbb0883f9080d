"""Figures on disk that show themselves in a notebook, with the numbers that are drawn in them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.notebook import data_frame, heading, page
from ...core.written import Written

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
"""Types of files that a notebook can show, by ending."""


class FigureFile(Written):
    """Path of a figure: the figure itself in a notebook, and as a data frame the numbers that it draws."""

    drawn: Sequence[dict[str, Any]] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return the drawn points, see `points`."""
        return list(self.drawn)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each drawn point.

        Columns: panel (from 0), part (`curve`, `band`, `bins`, …), detector, x, y (float64).
        """
        return data_frame(self.rows(), ("x", "y"))

    def _repr_html_(self) -> str:
        """Return the figure; of a PDF, which a notebook cannot show, its path."""
        kind = TYPES.get(self.suffix.lower())
        if kind is None or not self.is_file():
            return page(heading(str(self)))
        data = base64.b64encode(Path(self).read_bytes()).decode()
        return page(f'<img src="data:{kind};base64,{data}" alt="{escape(self.name)}" style="max-width:100%"/>')


def figure_file(path: Path, drawn: Sequence[dict[str, Any]]) -> FigureFile:
    """Return the path of a figure with the points that are drawn in it."""
    found = FigureFile(path)
    found.drawn = tuple(drawn)
    return found


def points(figure: Figure, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the points of all lines, steps and bands of a figure that have a name (a gid), in their order.

    `names` are the detectors': a gid that ends in a number is of that detector, and else a panel is of one detector.
    """
    panels = [axes for axes in figure.axes if any(True for _ in _named(axes))]
    found = []
    for number, axes in enumerate(panels):
        for gid, xy in _named(axes):
            part, dash, index = gid.rpartition("-")
            own = int(index) if dash and index.isdigit() else number
            detector = names[own] if own < len(names) else ""
            what = {"panel": number, "part": part if dash else gid, "detector": detector}
            found += [{**what, "x": float(x), "y": float(y)} for x, y in xy]
    return found


def _named(axes: Any) -> Iterator[tuple[str, Any]]:
    """Yield the gid and the points [P, 2] of each named artist of a panel."""
    for artist in (*axes.lines, *axes.patches, *axes.collections):
        gid = artist.get_gid()
        if not gid:
            continue
        if hasattr(artist, "get_xydata"):
            yield gid, np.asarray(artist.get_xydata(), dtype=np.float64)
        elif hasattr(artist, "get_data"):  # steps: a value for each bin, at its middle
            values, edges, _ = artist.get_data()
            yield gid, np.stack([(edges[:-1] + edges[1:]) / 2, values], axis=1)
        else:
            for path in artist.get_paths():
                yield gid, path.vertices
