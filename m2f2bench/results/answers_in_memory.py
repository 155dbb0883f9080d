"""Answers in memory: data frames, columns and records of answers, as the same entries that a file gives."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ScoreError
from ..core.records import Answer
from ..core.text import quoted
from .columns import ColumnNames, columns_of
from .in_memory import NO_CELL, InMemory, as_frame, columns_in, is_frame, is_list, mappings_in
from .row_files import ASKED, USAGE, answers_of

IDS = ("id", "question", "question_id", "key")
"""Names of the column of the question's id; the first that is there counts."""
TEXTS = ("text", "answer")
"""Names of the column of the answer's text."""
PUBLISHED = ("prompt", "image", "metadata")
"""Further keys of M2F2-Det's output files."""
OURS = tuple(one.name for one in dataclasses.fields(Answer) if one.name not in (*USAGE, *ASKED))
"""Columns that all our own rows of answers have."""


@dataclass(frozen=True, eq=False)
class AnswersInMemory(InMemory):
    """Answers to questions: objects as lines of a JSON file have them, or our own rows."""

    entries: Sequence[Answer | dict[str, Any]] = field(kw_only=True)


def are_answers(data: Any, columns: ColumnNames | None, name: str) -> bool:
    """Return whether data have a column of texts and no label: answers, and not rows of P(fake)."""
    mapping = columns_of(columns, Path(name))
    if is_frame(data):
        names = {str(column) for column in data.columns}
    elif isinstance(data, np.ndarray):
        names = set(data.dtype.names or ())
    elif is_list(data):
        first = data[0] if len(data) else {}
        fields = dataclasses.fields(first) if dataclasses.is_dataclass(first) else ()
        names = set(map(str, first)) if isinstance(first, Mapping) else {one.name for one in fields}
    else:
        names = set(map(str, data)) if isinstance(data, Mapping) else set()
    texts = {mapping["text"]} if "text" in mapping else set(TEXTS)
    return bool(names & texts) and not names & {"label", mapping.get("label", "label")}


def answers_in_memory(data: Any, name: str, columns: ColumnNames | None = None) -> AnswersInMemory:
    """Return data as answers in memory; `columns` maps our names to the data's.

    `data` is what `in_memory.columns_in` takes, with the columns `id` (see IDS), `text` (see TEXTS) and maybe `score`;
    rows of `run` (`Answer` records, `answers.parquet`) keep all their columns. Cells without a value are null, as in
    JSON. Raises ScoreError, which names the data and the row.
    """
    mapping = columns_of(columns, Path(name))
    wanted = {*IDS, *TEXTS, "score", *mapping.values()}
    data = as_frame(data, name)
    if is_list(data) and not (isinstance(data, tuple) and len(data) == 2):
        place, rows = InMemory(name), [{str(key): one for key, one in row.items()} for row in mappings_in(data, name)]
        known = list(dict.fromkeys(key for row in rows for key in row))
    else:
        found, labels = columns_in(data, name, {mapping.get("id", "id"), *IDS})
        place, known = InMemory(name, labels), [column for column, _ in found]
        twice = [column for column in known if column in {*wanted, *OURS} and known.count(column) > 1]
        if twice:
            raise ScoreError(f"'{name}' has two columns '{twice[0]}': rename or remove one")
        listed = [values.tolist() if isinstance(values, np.ndarray) else values for _, values in found]
        rows = [dict(zip(known, cells, strict=True)) for cells in zip(*listed, strict=True)]
    if not rows:
        raise ScoreError(f"'{name}' has no answers")
    if not mapping and set(OURS) <= set(known):
        every = [one.name for one in dataclasses.fields(Answer) if one.name in known]
        cells = {column: [_plain(place, column, i, row.get(column)) for i, row in enumerate(rows)] for column in every}
        return AnswersInMemory(name, place.index, entries=answers_of(cells, name))
    entries = [
        {key: _plain(place, key, i, one) if key in wanted else _other(key, one) for key, one in row.items()}
        for i, row in enumerate(rows)
    ]
    return AnswersInMemory(name, place.index, entries=entries)


def _other(key: str, value: Any) -> Any:
    """Return a copy of a value that is not ours: None unless M2F2-Det's files have it."""
    return copy.deepcopy(value) if key in PUBLISHED else None


def _plain(place: InMemory, column: str, i: int, value: Any) -> str | int | float | None:
    """Return a cell as JSON has it; None for an empty one."""
    if type(value).__name__ in NO_CELL:
        return None
    if isinstance(value, str):
        return str(value)
    if getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()  # a number of numpy's or torch's
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, (int, str)):
        return value
    shown = quoted(str(value), 40)
    raise ScoreError(
        f"{place.row(i)} has the {column} {shown} of type {type(value).__name__}: text or a number is wanted"
    )
