"""A result's metrics in each resample, stored next to the result: paired tests need no texts and no dataset.

All results of one protocol on the same questions have the same resamples, so the difference of two explainers in a
resample is a subtraction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ScoreError
from ..core.files import replacing
from ..core.parsing import Refused
from ..core.tables import read_table
from ..metrics.names import Group
from .result import Result
from .stored import Stored, sidecar

if TYPE_CHECKING:
    from ..core.records import Floats

DRAWS = "resamples.parquet"
FIELDS = ("metrics", "labels")
"""Groups that are stored: all questions, and the real and the fake ones separately."""


@dataclass(frozen=True, eq=False)
class ResampledResult:
    """A result with its metrics in each resample, float64 [resamples], by group and metric."""

    result: Result
    draws: Mapping[Group, Mapping[str, Floats]]

    @property
    def detector(self) -> str:
        """The detector's name."""
        return self.result.detector

    @property
    def measured(self) -> dict[str, Any]:
        """The fields of the signature."""
        return self.result.measured


def stored_resamples(stored: Stored) -> ResampledResult | None:
    """Return a stored result with the resamples next to its file; None if there are no resamples."""
    path = sidecar(stored.path, DRAWS, "resamples")
    return None if path is None else ResampledResult(stored.result, read_draws(path))


def write_draws(path: Path, drawn: Mapping[Group, Mapping[str, Floats]]) -> None:
    """Write the values [resamples] of each group and metric as a column `field name|metric`, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        f"{group.field} {group.name}|{name}": values
        for group, found in drawn.items()
        if group.field in FIELDS
        for name, values in found.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        pq.write_table(pa.table(columns), file, compression="zstd")


def read_draws(path: Path) -> dict[Group, dict[str, Floats]]:
    """Read what `write_draws` wrote. Raises ScoreError in one line."""
    try:
        table = read_table(path)
    except Refused as error:
        raise ScoreError(f"'{path}' cannot be read as resamples: {error}") from None
    found: dict[Group, dict[str, Floats]] = {}
    for column in table.column_names:
        group, bar, name = column.partition("|")
        if not bar:
            raise ScoreError(f"'{path}' does not hold resamples: its column '{column}' is not named GROUP|METRIC")
        field, _, title = group.partition(" ")
        try:
            own = found.setdefault(Group(field, title), {})
            own[name] = np.asarray(table.column(column).to_numpy(), dtype=np.float64)
        except (TypeError, ValueError):
            raise ScoreError(f"'{path}' does not hold resamples: its column '{column}' is not numeric") from None
    return found
