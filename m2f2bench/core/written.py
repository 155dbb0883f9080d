"""Paths of what a function wrote, which show themselves in a notebook."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .notebook import data_frame, heading, page, table

if TYPE_CHECKING:
    import pandas as pd

    _Path = Path
else:
    _Path = type(Path())  # before Python 3.12 `Path` itself cannot be a base


class Written(_Path):
    """Path of a file that a function wrote, with the files beside it: a table of them in a notebook."""

    # What is derived from this path, such as its parent, is a plain path.
    if sys.version_info >= (3, 12):

        def with_segments(self, *parts: Any) -> Path:
            """Return a path of these parts."""
            return Path(*parts)

    else:

        @classmethod
        def _from_parsed_parts(cls, *parts: Any) -> Path:
            found: Path = type(Path())._from_parsed_parts(*parts)  # type: ignore[attr-defined]
            return found

    def __reduce__(self) -> Any:
        return type(self), (str(self),)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the table: the files of its folder, with their bytes."""
        folder = Path(self).parent
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        return [{"file": file.relative_to(folder).as_posix(), "bytes": file.stat().st_size} for file in files]

    def picture(self) -> str:
        """Return the HTML of a chart; empty where there is none."""
        return ""

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame."""
        return data_frame(self.rows(), ())

    def _repr_html_(self) -> str:
        """Return the path, a table of its rows, and its chart."""
        rows = self.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
        return page(heading(str(self)), self.picture(), table(cells) if rows else "")


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
