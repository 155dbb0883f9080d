"""Predictions and answers on disk: appended batch by batch, resumed after a kill, finished atomically.

During a run, rows are in `predictions.partial.jsonl`: a header line with the run's key, then one line per row. At the
end they become `predictions.parquet` in one rename. A line cut off by a kill or a full disk is dropped on resume; all
lines before it are kept. Answers are stored in the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..core.errors import ScoreError, StoreError, Unanswered
from ..core.files import cannot_write, replacing
from ..core.locks import holding
from ..core.parsing import Refused, parse_json
from ..core.records import ANSWER_STATUSES, STATUSES, Answer, Prediction
from ..core.tables import read_table
from ..core.text import in_utf8, quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Self

PREDICTIONS = "predictions.parquet"
RESULT = "result.json"
KEY = b"m2f2bench.key"
ANSWERS = "answers.parquet"
MAPS = "maps.parquet"
NUMBERS = {
    "label": "int8",
    "score": "double",
    "seconds": "double",
    "tokens_in": "int64",
    "tokens_out": "int64",
    "cost": "double",
}
"""Types of the columns that are not text."""
NULLS = ("score", "seconds", "tokens_in", "tokens_out", "cost")
"""Columns that may be empty."""
USAGE = ("seconds", "tokens_in", "tokens_out", "cost")
"""Columns that answers written by 0.4 and before lack."""
ASKED = ("wording", "digest", "stamp")
"""Columns that answers written by 0.5 and before lack."""
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
GOES_ON = "; finished rows are kept, and the same command continues from there"
R = TypeVar("R")
RowT = TypeVar("RowT", Prediction, Answer)


class RowStore(Generic[R]):
    """The rows of one run in one folder.

    `key` has everything that decides a row, in parts (see `keys`); a folder that holds rows of another key is refused.
    Use as a context manager: it locks the folder, so that no second process writes the same run.
    """

    row: ClassVar[type[Any]]
    """The class of a row: a dataclass of texts and numbers, unless a store says otherwise."""
    name: ClassVar[str]
    """The name of the finished file."""

    def __init__(self, folder: Path, key: Mapping[str, str]) -> None:
        """Create a store; entering it creates `folder` if it does not exist."""
        self.folder, self.key = folder, dict(key)
        self._partial: FileIO | None = None
        self._held = contextlib.ExitStack()
        self._pending = 0  # rows that are in the partial file only
        self._rows: dict[str, R] = {}
        self.partial = folder / self.name.replace(".parquet", ".partial.jsonl")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            held.enter_context(holding(self.folder))
            finished = self.folder / self.name
            if finished.exists():
                self._check_key(read_key(finished), finished)
                self._rows = {self.of(row): row for row in self.read(finished)}
            try:
                # Unbuffered: an appended row is with the operating system, and closing never writes.
                self._partial = held.enter_context(self.partial.open("ab+", buffering=0))
            except OSError as error:
                raise cannot_write(self.partial, error) from None
            self._recover()
            self._held = held.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._pending == 0:
            self.partial.unlink(missing_ok=True)
        self._held.close()

    @staticmethod
    def of(row: R) -> str:
        """Return the id of what a row is about."""
        raise NotImplementedError

    @staticmethod
    def read(path: Path) -> list[R]:
        """Return the rows of a finished file. Raises ScoreError in one line."""
        raise NotImplementedError

    def flat(self, row: R) -> dict[str, Any]:
        """What is written of a row, by column."""
        fields = dataclasses.fields(row)  # type: ignore[arg-type]
        return {f.name: getattr(row, f.name) for f in fields}

    def made(self, flat: dict[str, Any]) -> R:
        """The row of what was written. Raises ValueError, TypeError or KeyError for what is none."""
        row = self.row(**flat)
        if _untyped(row) or _problem(row):
            raise ValueError
        return cast(R, row)

    def write(self, rows: Sequence[R]) -> None:
        """Write the finished file."""
        write_parquet(self.folder / self.name, cast("Sequence[Prediction | Answer]", rows), self.key, self.row)

    @property
    def rows(self) -> Mapping[str, R]:
        """All rows so far, by the id of what they are about."""
        return self._rows

    def append(self, rows: Sequence[R]) -> None:
        """Add rows; they are with the operating system when this returns. Raises StoreError on a full disk."""
        if not rows:
            return
        assert self._partial is not None, "the store is used inside a with block"
        rows, lines = zip(*map(self._written, rows), strict=True)
        self._write(b"".join(lines))
        self._pending += len(rows)
        self._rows.update((self.of(row), row) for row in rows)

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
        """Write the finished file with the rows of these ids in this order, and return them."""
        rows = [self._rows[name] for name in order]
        self.write(rows)
        self._pending = 0
        return rows

    def _written(self, row: R) -> tuple[R, bytes]:
        """A row with its line; texts that UTF-8 cannot say, as messages about files may be, are escaped in both."""
        flat = self.flat(row)
        try:
            return row, _line(flat)
        except UnicodeEncodeError:
            clean = {name: in_utf8(value) if isinstance(value, str) else value for name, value in flat.items()}
            return self.made(clean), _line(clean)

    def _write(self, data: bytes) -> None:
        assert self._partial is not None
        start = self._partial.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[self._partial.write(left) :]
        except OSError as error:
            # Cut off the part of the last batch that a full disk accepted, so that only whole lines stay.
            with contextlib.suppress(OSError):
                os.ftruncate(self._partial.fileno(), start)
            raise StoreError(f"{cannot_write(self.partial, error)}{GOES_ON}") from None

    def _recover(self) -> None:
        """Read the partial file's whole lines, cut off the rest, and write the header if it is missing."""
        path = self.partial
        good = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break
                try:
                    data = json.loads(line)
                    if number == 0:
                        self._check_key(data["key"], path)
                    else:
                        row = self.made(data)
                        self._rows[self.of(row)] = row
                        self._pending += 1
                except (ValueError, TypeError, KeyError, RecursionError):
                    if number == 0:
                        raise StoreError(f"'{path}' is not a predictions file of m2f2bench: remove it") from None
                    break
                good += len(line)
        os.truncate(path, good)
        if good == 0:
            self._write(json.dumps({"key": self.key}).encode() + b"\n")

    def _check_key(self, found: Any, path: Path) -> None:
        if found == self.key:
            return
        known = found if isinstance(found, dict) else {}
        differing = describe_difference(known, self.key)
        reason = f"differing in {differing}" if differing else "written by another version of m2f2bench"
        raise StoreError(f"'{path}' holds rows of another run, {reason}: give another --out, or remove '{path.parent}'")


class PredictionStore(RowStore[Prediction]):
    """P(fake) by frame."""

    row = Prediction
    name = PREDICTIONS

    @staticmethod
    def of(row: Prediction) -> str:
        """Return the frame's id."""
        return row.frame

    @staticmethod
    def read(path: Path) -> list[Prediction]:
        """See `read_parquet`."""
        return read_parquet(path)


class AnswerStore(RowStore[Answer]):
    """Answers by question."""

    row = Answer
    name = ANSWERS

    @staticmethod
    def of(row: Answer) -> str:
        """Return the question's id."""
        return row.question

    @staticmethod
    def read(path: Path) -> list[Answer]:
        """See `read_answers`."""
        return read_answers(path)


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


def _line(flat: Mapping[str, Any]) -> bytes:
    return json.dumps(flat, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def write_parquet(
    path: Path,
    rows: Iterable[Prediction | Answer],
    key: Mapping[str, str] | None = None,
    row: type[Prediction] | type[Answer] = Prediction,
) -> None:
    """Write rows as Parquet with the run's key in its metadata, atomically; `row` is their class."""
    listed = list(rows)
    names = [f.name for f in dataclasses.fields(row)]
    types = {name: NUMBERS.get(name, "string") for name in names}
    write_columns(path, {name: [getattr(one, name) for one in listed] for name in names}, types, key)


def write_columns(
    path: Path, columns: Mapping[str, Sequence[Any]], types: Mapping[str, str], key: Mapping[str, str] | None = None
) -> None:
    """Write columns as Parquet with the run's key in its metadata, atomically; `types` as `arrow_type` takes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {name: arrow_type(types[name]) for name in columns}
    arrays = [pa.array(values, kinds[name]) for name, values in columns.items()]
    metadata = {KEY: json.dumps(dict(key or {}), sort_keys=True).encode()}
    table = pa.Table.from_arrays(arrays, schema=pa.schema(list(kinds.items()), metadata=metadata))
    with replacing(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def arrow_type(name: str) -> pa.DataType:
    """Return a column's type: a name of pyarrow's, or `doubles` for lists of them."""
    import pyarrow as pa

    return pa.list_(pa.float64()) if name == "doubles" else pa.type_for_alias(name)


def read_key(path: Path) -> dict[str, str]:
    """Return the run's key in a Parquet file of ours; empty for other files and for those of version 0.5 and before."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {error}") from None
    try:
        found = parse_json(metadata.get(KEY, b"{}").decode())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_parquet(path: Path) -> list[Prediction]:
    """Return the rows of one of our own `predictions.parquet` files. Raises ScoreError in one line."""
    return _read(path, Prediction, optional=("picture", "stamp"), what="frame")  # added by 0.2, 0.6


def read_answers(path: Path) -> list[Answer]:
    """Return the rows of one of our own `answers.parquet` files. Raises ScoreError in one line."""
    return _read(path, Answer, optional=(*USAGE, *ASKED), what="question")


def _untyped(row: Prediction | Answer) -> bool:
    """Return whether a value in a row from JSON is not of its column's type."""
    for field in dataclasses.fields(row):
        value, kind = getattr(row, field.name), NUMBERS.get(field.name, "string")
        wanted: tuple[type, ...] = (str,) if kind == "string" else (int, float) if kind == "double" else (int,)
        if not (value is None and field.name in NULLS) and (not isinstance(value, wanted) or isinstance(value, bool)):
            return True
    return False


def _problem(row: Prediction | Answer) -> str:
    """Return what is wrong with a row's status or score; empty if nothing is."""
    if row.status not in (STATUSES if isinstance(row, Prediction) else ANSWER_STATUSES):
        return f"has the unknown status {quoted(row.status)}"
    if row.score is not None and not 0.0 <= row.score <= 1.0:
        return f"has the score {row.score:.9g}, and P(fake) in [0, 1] is wanted"
    lacks = isinstance(row, Prediction) and row.status == "ok" and row.score is None
    return "has the status ok but no score" if lacks else ""


def typed(table: pa.Table, path: Path, types: Mapping[str, str], nulls: Collection[str]) -> pa.Table:
    """Return the table with its columns in their types (see `arrow_type`); `nulls` may have empty cells.

    Raises ScoreError for a column of another type.
    """
    import pyarrow as pa

    for i, name in enumerate(table.column_names):
        column = table.column(name)
        try:
            table = table.set_column(i, name, column.cast(arrow_type(types[name])))
        except pa.ArrowException:
            raise ScoreError(f"'{path}': its column {name} is of type {column.type}, not {types[name]}") from None
        if column.null_count and name not in nulls:
            raise ScoreError(f"'{path}': its column {name} has {column.null_count} empty cells")
    return table


def read_columns(path: Path, columns: Sequence[str], optional: Collection[str], what: str) -> pa.Table:
    """Return the named columns of a Parquet file of ours; those that are `optional` may be missing.

    Raises ScoreError in one line; `what` its rows are about.
    """
    try:
        table = read_table(path, columns)
    except Refused as error:
        raise ScoreError(f"'{path}' is not a readable Parquet file: {error}") from None
    missing = [name for name in columns if name not in table.column_names and name not in optional]
    if missing:
        raise ScoreError(f"'{path}' lacks the column '{missing[0]}': it is not a file of {what}s from m2f2bench")
    return table.select([name for name in columns if name in table.column_names])


def _read(path: Path, row: type[RowT], optional: Sequence[str], what: str) -> list[RowT]:
    columns = [f.name for f in dataclasses.fields(row)]
    table = read_columns(path, columns, optional, what)
    table = typed(table, path, {name: NUMBERS.get(name, "string") for name in columns}, (*NULLS, "text"))
    rows = [row(**one) for one in table.to_pylist()]
    for one in rows:
        if problem := _problem(one):
            raise ScoreError(f"'{path}': {what} {quoted(getattr(one, what))} {problem}")
    return rows
