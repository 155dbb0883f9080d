"""Mapped frames on disk: a flat row for each planned frame, from which every number can be computed again."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.protocols import HeatMapRules
from ..core.errors import ScoreError
from ..core.records import FAKE, REAL, Frame, Locator
from ..core.text import quoted, split_people
from ..metrics.heatmaps import GRID, MEASURES
from ..results.parts import Columns
from ..results.row_files import read_columns, typed
from ..results.store import MAPS, RowStore
from .pixels import settings_of
from .report import MAKERS, OUTCOMES, WITHOUT_MAP, MappedFrame

OF_ROW = ("outcome", "message", "digest", "stamp", "mask_digest")
FACTS = {
    **dict.fromkeys(("frame", "video", "method", "identity", "picture"), "string"),
    "label": "int8",
    **dict.fromkeys(OF_ROW, "string"),
    "level": "double",
    "height": "int64",
    "width": "int64",
    "score": "double",
}
"""The columns of every row that are not measures, with their types."""
EMPTY = ("level", "height", "width", "score")
"""Columns of FACTS that may be empty."""
CLOSE = 1e-9
"""Numbers may be outside their range by this much, by rounding."""


@dataclass(frozen=True)
class MapForm:
    """The columns of one protocol's rows: `<maker>.<measure>` a number, `<maker>.curves` a list of numbers.

    `curves` is the shape of each maker's curves, which are written one after the other.
    """

    measure: str
    measures: tuple[str, ...]
    curves: tuple[int, ...]

    @classmethod
    def of(cls, rules: HeatMapRules) -> MapForm:
        """Return the form of a protocol's rows."""
        if rules.measure == "masks":
            return cls("masks", tuple(MEASURES), (GRID,))
        settings = settings_of(rules)
        return cls("faithfulness", (*settings.curves, "drop"), (len(settings.curves), settings.steps + 1))

    def names(self, maker: str) -> list[str]:
        """Return the measures of one maker's maps."""
        called = ["called"] if self.measure == "faithfulness" and maker == "detector" else []
        return [*self.measures, *called]

    @property
    def types(self) -> dict[str, str]:
        """Return every column with its type, see `row_files.arrow_type`."""
        found = dict(FACTS)
        for maker in MAKERS:
            found |= dict.fromkeys((f"{maker}.{name}" for name in self.names(maker)), "double")
            found[f"{maker}.curves"] = "doubles"
        return found

    def flat(self, row: MappedFrame) -> dict[str, Any]:
        """Return a row's columns; None for values that it does not have."""
        frame, (height, width) = row.frame, row.shape or (None, None)
        out: dict[str, Any] = {"frame": frame.id, "identity": "+".join(frame.identities)}
        out |= {name: getattr(frame, name) for name in ("video", "method", "picture", "label")}
        out |= {name: getattr(row, name) for name in (*OF_ROW, "level", "score")}
        out |= {"height": height, "width": width}
        for maker in MAKERS:
            values = row.values.get(maker, {})
            out |= {f"{maker}.{name}": values.get(name) for name in self.names(maker)}
            curves = row.curves.get(maker)
            out[f"{maker}.curves"] = None if curves is None else curves.ravel().tolist()
        return out

    def made(self, flat: Mapping[str, Any]) -> MappedFrame:
        """Return the row from its columns. Raises ValueError in one line if it cannot be a row."""
        if problem := self._problem(flat):
            raise ValueError(problem)
        people = tuple(split_people(flat["identity"]))
        frame = Frame(
            flat["frame"], flat["video"], flat["label"], flat["method"], "", people, Locator(""), flat["picture"]
        )
        row = MappedFrame(frame, *(flat[name] for name in OF_ROW))
        row.level, row.score = flat["level"], flat["score"]
        row.shape = None if flat["height"] is None else (flat["height"], flat["width"])
        for maker in MAKERS:
            known = {name: flat[f"{maker}.{name}"] for name in self.names(maker)}
            values = {name: float(value) for name, value in known.items() if value is not None}
            if values:
                row.values[maker] = values
                row.curves[maker] = np.array(flat[f"{maker}.curves"], dtype=np.float64).reshape(self.curves)
        return row

    def _problem(self, flat: Mapping[str, Any]) -> str:
        """Return what is wrong with a row's columns; empty if nothing is."""
        types = self.types
        if set(flat) != set(types):
            return f"has or lacks the column '{min(set(flat) ^ set(types))}'"
        for name, kind in types.items():
            if not _is(flat[name], kind) and not (flat[name] is None and _may_lack(name)):
                return f"has {quoted(str(flat[name]))} in column {name}"
        if flat["label"] not in (REAL, FAKE) or flat["outcome"] not in OUTCOMES:
            return f"has the label {flat['label']} and the outcome {quoted(flat['outcome'])}"
        shape = (flat["height"], flat["width"])
        if (None in shape) != (shape == (None, None)) or any(side is not None and side < 1 for side in shape):
            return f"has a map of {shape[0]}x{shape[1]}"
        if flat["outcome"] not in WITHOUT_MAP and (flat["level"] is None or shape[0] is None):
            return f"has the outcome {flat['outcome']} and no map"
        for name in ("level", "score", *(f"{maker}.{name}" for maker in MAKERS for name in self.names(maker))):
            low = -1.0 if name.endswith(".drop") else 0.0
            if flat[name] is not None and not low - CLOSE <= flat[name] <= 1.0 + CLOSE:
                return f"has the {name} {flat[name]:.9g}, which is not in [{low:g}, 1]"
        return self._problem_of_values(flat)

    def _problem_of_values(self, flat: Mapping[str, Any]) -> str:
        """Return which measures are missing: a frame has those of all makers, with their curves, or of none."""
        lacking: dict[str, bool] = {}
        for maker in MAKERS:
            known = [flat[f"{maker}.{name}"] is not None for name in self.names(maker) if name != "pixel_auc"]
            curves = flat[f"{maker}.curves"]
            if len({*known, curves is not None}) > 1:
                return f"has some values of {maker} and lacks others"
            n = math.prod(self.curves)
            if curves is not None and (len(curves) != n or not -CLOSE <= min(curves) <= max(curves) <= 1.0 + CLOSE):
                return f"has curves of {maker} that are not {n} numbers in [0, 1]"
            lacking[maker] = not known[0]
        if len(set(lacking.values())) > 1:
            return "has values of some maps and lacks those of others"
        wanted = flat["outcome"] == "ok" and (self.measure == "faithfulness" or flat["label"] == FAKE)
        if wanted and lacking["detector"]:
            return "is ok and has no values"
        scored = flat["score"] is not None or self.measure == "masks" or lacking["detector"]
        return "" if scored else "has values and no score"


class MapStore(RowStore[MappedFrame]):
    """Mapped frames by frame."""

    name, about = MAPS, "frame.id"

    def __init__(self, folder: Path, key: Mapping[str, str], form: MapForm) -> None:
        """`form` has the columns of the protocol's rows."""
        super().__init__(folder, key)
        self.form = form

    @property
    def types(self) -> Mapping[str, str]:
        """See `RowStore.types`."""
        return self.form.types

    def columns(self, rows: Sequence[MappedFrame]) -> Columns:
        """See `RowStore.columns`."""
        flat = [self.form.flat(row) for row in rows]
        return {name: [one[name] for one in flat] for name in self.types}

    def made(self, flat: dict[str, Any]) -> MappedFrame:
        """See `MapForm.made`."""
        return self.form.made(flat)

    def read(self, path: Path) -> list[MappedFrame]:  # type: ignore[override]
        """See `read_maps`."""
        return read_maps(path, self.form)


def read_maps(path: Path, form: MapForm) -> list[MappedFrame]:
    """Return the rows of a finished file, in its order. Raises ScoreError in one line."""
    types = form.types
    table = typed(
        read_columns(path, list(types), (), "mapped frame"), path, types, [name for name in types if _may_lack(name)]
    )
    rows: dict[str, MappedFrame] = {}
    for flat in table.to_pylist():
        try:
            row = form.made(flat)
        except ValueError as error:
            raise ScoreError(f"'{path}': frame {quoted(flat['frame'])} {error}") from None
        if row.frame.id in rows:
            raise ScoreError(f"'{path}': frame {quoted(row.frame.id)} has two rows")
        rows[row.frame.id] = row
    if not rows:
        raise ScoreError(f"'{path}' has no rows")
    return list(rows.values())


def maps_hash(rows: Sequence[MappedFrame], form: MapForm) -> str:
    """Return 64 hex digits over rows in their order, without messages and stamps."""
    digest = hashlib.sha256()
    for row in rows:
        flat = {name: value for name, value in form.flat(row).items() if name not in ("message", "stamp")}
        digest.update(json.dumps(flat, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _may_lack(column: str) -> bool:
    return column in EMPTY or column not in FACTS


def _is(value: Any, kind: str) -> bool:
    """Return whether a value is of a column's type, and finite."""
    if kind == "doubles":
        return isinstance(value, list) and all(_is(one, "double") for one in value)
    if kind == "double":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, str if kind == "string" else int) and not isinstance(value, bool)
