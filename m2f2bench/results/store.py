"""Predictions and answers on disk: appended batch by batch, resumed after a kill, finished atomically.

During a run, rows are in `predictions.partial.jsonl`: a header line with the run's key, then one line per row. At the
end they become `predictions.parquet` in one rename. A line cut off by a kill or a full disk is dropped on resume; all
lines before it are kept. Answers and mapped frames are stored in the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import FileIO
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from ..core.errors import StoreError, Unanswered
from ..core.files import cannot_write
from ..core.locks import holding
from ..core.records import Answer, Prediction
from ..core.text import in_utf8
from .row_files import has_wrong_type, read_answers, read_key, read_parquet, row_problem, write_parquet

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
GOES_ON = "; finished rows are kept, and the same command continues from there"
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

    @classmethod
    def of(cls, row: R) -> str:
        """Return the id of what a row is about."""
        return str(attrgetter(cls.about)(row))

    @staticmethod
    def read(path: Path) -> list[R]:
        """Return the rows of a finished file. Raises ScoreError in one line."""
        raise NotImplementedError

    def flat(self, row: R) -> dict[str, Any]:
        """Return what is written of a row, column → value."""
        names, values = _columns(cast(Any, type(row)))
        return dict(zip(names, values(row), strict=True))

    def made(self, flat: dict[str, Any]) -> R:
        """Return the row from its columns. Raises ValueError, TypeError or KeyError if it cannot be a row."""
        row = self.row(**flat)
        if has_wrong_type(row) or row_problem(row):
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


@functools.cache
def _columns(row: Any) -> tuple[tuple[str, ...], attrgetter[tuple[Any, ...]]]:
    """Return the names of a row's columns, and what gives their values."""
    names = tuple(f.name for f in dataclasses.fields(row))
    return names, attrgetter(*names)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _line(flat: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(flat).encode() + b"\n"
