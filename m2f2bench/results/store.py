"""Predictions and answers on disk: appended batch by batch, resumed after a kill, finished atomically.

During a run, rows are in `predictions.partial.arrows`, part by part (see `parts`). At the end they become
`predictions.parquet` in one rename. A part cut off by a kill or a full disk is dropped on resume; all parts before it
are kept. Answers and mapped frames are stored in the same way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..core.errors import StoreError, Unanswered
from ..core.locks import holding
from ..core.records import Answer, Prediction
from ..core.text import in_utf8
from .parts import BY_ANOTHER, GOES_ON, Columns, Parts
from .row_files import (
    column_types,
    columns_of,
    has_wrong_type,
    read_answers,
    read_key,
    read_parquet,
    row_problem,
    write_columns,
)

if TYPE_CHECKING:
    from typing_extensions import Self

PREDICTIONS = "predictions.parquet"
RESULT = "result.json"
ANSWERS = "answers.parquet"
MAPS = "maps.parquet"
KEY_PARTS = {
    "detector": "detector",
    "weights": "weights, state or code",
    "code": "code",
    "preprocessing": "preprocessing",
    "precision": "precision",
    "dataset": "dataset",
    "root": "the dataset's folder",
    "options": "the dataset's options",
    "device": "device",
    "predicting": "version of m2f2bench's predictions",
    "questions": "kinds of questions",
    "maps": "how heat maps are made",
    "measure": "what heat maps are compared with",
    "mapping": "version of m2f2bench's measures of heat maps",
    "call": "call (nothing identifies this detector, so no other run may reuse its rows)",
}
"""The parts of a key in words; versions of packages have the package's name."""
R = TypeVar("R")


class RowStore(Generic[R]):
    """The rows of one run in one folder.

    `key` has everything that decides a row, in parts (see `keys`); a folder that holds rows of another key is refused.
    Use as a context manager: it locks the folder, so that no second process writes the same run.
    """

    row: ClassVar[type[Any]]
    """The class of a row: a dataclass of texts and numbers, unless a store says otherwise."""
    name: ClassVar[str]
    """The name of the finished file."""
    about: ClassVar[str]
    """The attribute of a row that holds the id of what it is about."""

    def __init__(self, folder: Path, key: Mapping[str, str]) -> None:
        """Create a store; entering it creates `folder` if it does not exist."""
        self.folder, self.key = folder, dict(key)
        self._parts: Parts | None = None
        self._held = contextlib.ExitStack()
        self._pending = 0  # rows that are in the partial file only
        self._rows: dict[str, R] = {}
        self.partial = folder / self.name.replace(".parquet", ".partial.arrows")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            held.enter_context(holding(self.folder))
            finished, older = self.folder / self.name, self.partial.with_suffix(".jsonl")
            if older.exists():
                raise StoreError(f"'{older}' {BY_ANOTHER}")
            if finished.exists():
                self._check_key(read_key(finished), finished)
                self._rows = {self.of(row): row for row in self.read(finished)}
            self._parts = held.enter_context(contextlib.closing(Parts(self.partial, self.types, self.key)))
            self._parts.recover(partial(self._check_key, path=self.partial), self._take)
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._parts is not None
        with self._held:
            try:
                self._parts.flush()
            except StoreError:
                if error is None:  # else what ended the run is said, and not this besides
                    raise
            if self._pending == 0:
                self.partial.unlink(missing_ok=True)

    @classmethod
    def of(cls, row: R) -> str:
        """Return the id of what a row is about."""
        return str(attrgetter(cls.about)(row))

    @staticmethod
    def read(path: Path) -> list[R]:
        """Return the rows of a finished file. Raises ScoreError in one line."""
        raise NotImplementedError

    @property
    def types(self) -> Mapping[str, str]:
        """The columns with their types, see `row_files.arrow_type`."""
        return column_types(self.row)

    def columns(self, rows: Sequence[R]) -> Columns:
        """Return what is written of rows."""
        return columns_of(cast("Sequence[Prediction | Answer]", rows), self.row)

    def made(self, flat: dict[str, Any]) -> R:
        """Return the row from its columns. Raises ValueError, TypeError or KeyError if it cannot be a row."""
        row = self.row(**flat)
        if has_wrong_type(row) or row_problem(row):
            raise ValueError
        return cast(R, row)

    @property
    def rows(self) -> Mapping[str, R]:
        """All rows so far, as they are written, by the id of what they are about. Raises StoreError as `append`."""
        if self._parts is not None:
            self._parts.flush()
        return self._rows

    def append(self, rows: Sequence[R]) -> None:
        """Add rows; a thread writes them, while the caller makes more.

        Raises StoreError, such as on a full disk, if rows before these could not be written.
        """
        if not rows:
            return
        assert self._parts is not None, "the store is used inside a with block"
        self._rows.update((self.of(row), row) for row in rows)
        self._parts.append(partial(self._part, tuple(rows)))
        self._pending += len(rows)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Add to the error of a service that stops answering that the rows so far are kept."""
        try:
            yield
        except Unanswered as error:
            raise Unanswered(f"{error}{GOES_ON}" if self._rows else str(error)) from None

    def siblings(self, name: str) -> dict[str, R]:
        """Return rows of the same key from finished runs next to this one, whose folders begin with `name`.

        If several have a row about the same thing, any of them is right: the key is the same.
        """
        known = {}
        for path in sorted(self.folder.parent.glob(f"{name}--*/{self.name}")):
            if path.parent != self.folder and read_key(path) == self.key:
                known.update({self.of(row): row for row in self.read(path)})
        return known

    def finish(self, order: Iterable[str]) -> list[R]:
        """Write the finished file with the rows of these ids in this order, and return them. Raises StoreError."""
        assert self._parts is not None, "the store is used inside a with block"
        self._parts.flush()
        rows = [self._rows[name] for name in order]
        write_columns(self.folder / self.name, self.columns(rows), self.types, self.key)
        self._pending = 0
        return rows

    def _part(self, rows: Sequence[R], clean: bool) -> Columns:
        """Return rows as they are written; if `clean`, texts that UTF-8 cannot say are escaped, in the rows too."""
        columns = self.columns(rows)
        if not clean:
            return columns
        columns = {name: [in_utf8(one) if isinstance(one, str) else one for one in columns[name]] for name in columns}
        flat = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        self._rows.update((self.of(row), row) for row in map(self.made, flat))
        return columns

    def _take(self, flat: Sequence[dict[str, Any]]) -> None:
        """Take the rows of a part. Raises as `made`."""
        rows = [self.made(one) for one in flat]
        self._rows.update((self.of(row), row) for row in rows)
        self._pending += len(rows)

    def _check_key(self, found: Any, path: Path) -> None:
        if found == self.key:
            return
        known = found if isinstance(found, dict) else {}
        differing = describe_difference(known, self.key)
        reason = f"differing in {differing}" if differing else "written by another version of m2f2bench"
        raise StoreError(f"'{path}' holds rows of another run, {reason}: give another --out, or remove '{path.parent}'")


class PredictionStore(RowStore[Prediction]):
    """P(fake) by frame."""

    row, name, about = Prediction, PREDICTIONS, "frame"
    read = staticmethod(read_parquet)


class AnswerStore(RowStore[Answer]):
    """Answers by question."""

    row, name, about = Answer, ANSWERS, "question"
    read = staticmethod(read_answers)


def describe_difference(held: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Return the parts in which two keys differ, as `name (there / now)`; empty if the stored key is empty."""
    parts = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)] if held else []
    hidden = ("root", "options", "call", "code")  # hashes that say nothing to a reader
    described = [
        KEY_PARTS.get(name, name)
        + ("" if name in hidden else f" ({held.get(name, 'none')} / {wanted.get(name, 'none')})")
        for name in parts
    ]
    return ", ".join(described)
