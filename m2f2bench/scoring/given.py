"""What a user gives to `score`, `compare`, `plot` and `leaderboard`: paths, results, and rows in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..core.errors import ScoreError
from ..core.files import user_path
from ..core.patterns import is_pattern, matching
from ..core.text import quoted
from ..results.answers_in_memory import answers_in_memory, are_answers
from ..results.columns import ColumnNames, columns_of
from ..results.in_memory import FORMS, InMemory, are_records, as_frame, is_table
from ..results.read_rows import rows_in_memory
from ..results.result import Result
from ..results.store import RESULT
from ..results.wide import score_columns
from .scored import OWN, Source

Place: TypeAlias = Path | InMemory


class Frame(Protocol):
    """A table with named columns, such as a pandas DataFrame."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""


Data: TypeAlias = str | Path | Frame | Mapping[str, Any] | Sequence[Any] | Result
"""Rows of one detector: a path, a data frame, a dict of columns, `(label, score)`, a list of records, or a result."""


@dataclass(frozen=True)
class Given:
    """One detector's rows: where they are, the name that the user gave it, and how a result's rows were read."""

    place: Place
    name: str = ""
    own: Source = OWN
    score: str = ""
    """The column of the scores, if the file is a wide table: with a column for each detector."""

    @property
    def origin(self) -> str:
        """Where the rows are, for messages and for names that would be the same."""
        return f"{self.place}:{self.score}" if self.score else str(self.place)

    def source(self, wanted: Source) -> Source:
        """Return how to read the rows: as wanted, else as the result was made from them."""
        own, here = self.own, wanted.dataset is not None
        columns = wanted.columns or own.columns
        if self.score:
            columns = {**columns_of(columns, Path(str(self.place))), "score": self.score}
        return Source(
            own.protocol if wanted.protocol is None else wanted.protocol,
            wanted.dataset if here else own.dataset,
            wanted.split if here or own.dataset is None else own.split,
            self.name or own.detector or wanted.detector,
            columns,
            own.validation if wanted.validation is None else wanted.validation,
        )


def expand(
    values: Iterable[Data],
    names: Sequence[str] = (),
    columns: ColumnNames | None = None,
    answers: bool | None = None,
) -> list[Given]:
    """Return what a user gave as one item a detector; `names` name the items in order.

    A mapping of data (`{name: data}`) and a list of results are several items; every other value is one. `answers` says
    whether data in memory are answers to questions or rows of P(fake); None: see `held`. Raises ScoreError for anything
    else, and unless there are as many `names` as items.
    """
    listed = list(values)
    found = []
    for number, value in enumerate(listed, 1):
        found += _expand(value, f"data {number}" if len(listed) > 1 else "data", columns, answers)
    if isinstance(names, str):
        raise ScoreError(f"names is one text, {quoted(names)}: give a list of names, one for each detector")
    if not names:
        return found
    if len(names) != len(found):
        raise ScoreError(f"names has {len(names)} names, but there are {len(found)} detectors: give a name for each")
    return [_named(one, str(name)) for one, name in zip(found, names, strict=True)]


class Matched(NamedTuple):
    """One thing that a user gave, and the pattern that matched it and the name that it has, if there are any."""

    value: Any
    pattern: str = ""
    name: str = ""


def matched(places: Iterable[Any]) -> list[Matched]:
    """Return what a user gave, with each pattern of paths (`runs/a-seed*`), also in a mapping, as what it matches.

    A pattern stands for the trainings of one detector. Raises ScoreError if it matches nothing, or a trained detector
    in place of its rows.
    """
    found: list[Matched] = []
    for place in places:
        if is_pattern(place):
            found += [Matched(one, str(place)) for one in _matching(place)]
        elif is_named_data(place) and any(map(is_pattern, place.values())):
            for name, value in place.items():
                if is_pattern(value):
                    found += [Matched(one, str(value), str(name)) for one in _matching(value)]
                else:
                    found.append(Matched({name: value}))
        else:
            found.append(Matched(place))
    return found


def _matching(pattern: str | Path) -> list[Path]:
    found = matching(pattern)
    if not found:
        raise ScoreError(f"'{pattern}' matches nothing: give a pattern of runs or files of rows")
    for place in found:
        if (place / "card.yaml").is_file() and not (place / RESULT).is_file():
            raise ScoreError(
                f"'{pattern}' matches '{place}', a detector and not its rows: judge it first, m2f2bench run "
                f"-d '{pattern}' -s DATASET"
            )
    return found


def _named(one: Given, name: str) -> Given:
    place = replace(one.place, name=name) if isinstance(one.place, InMemory) else one.place
    return replace(one, place=place, name=name)


def _expand(value: Any, name: str, columns: ColumnNames | None, answers: bool | None) -> list[Given]:
    if is_named_data(value):
        return [_named(_one(one, str(key), columns, answers), str(key)) for key, one in value.items()]
    if are_results(value):
        return [_one(one, name, columns, answers) for one in value]
    if isinstance(value, (str, Path)):
        place = user_path(value)
        wide = [Given(place, own=Source(detector=one), score=one) for one in score_columns(place, columns)]
        if wide:
            return wide
    return [_one(value, name, columns, answers)]


def _one(value: Any, name: str, columns: ColumnNames | None, answers: bool | None) -> Given:
    if isinstance(value, Result):
        kept = value.kept
        if kept is None:
            raise ScoreError(
                f"'{name}' is a result of '{value.detector}' that does not know its rows: give the folder or the rows"
            )
        return kept if isinstance(kept, Given) else Given(Path(kept))
    if isinstance(value, (str, Path)):
        return Given(user_path(value))
    if are_results(value):
        raise ScoreError(f"'{name}' holds {len(value)} results: give one result")
    if (
        isinstance(value, (list, tuple))
        and value
        and all(isinstance(one, (str, Path)) or is_table(one) for one in value)
    ):
        raise ScoreError(f"'{name}' is a list of several: give each by itself, as {FORMS}")
    return Given(held(value, name, columns, answers))


def held(value: Any, name: str, columns: ColumnNames | None, answers: bool | None = None) -> InMemory:
    """Return data in memory as answers to questions, or as rows of P(fake); if it is not known which, by its columns.

    Raises ScoreError in one line.
    """
    data = as_frame(value, name)
    if are_answers(data, columns, name) if answers is None else answers:
        return answers_in_memory(data, name, columns)
    return rows_in_memory(data, name, columns)


def are_results(value: Any) -> bool:
    """Return whether a value is a list of results, such as `run` returns."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(one, Result) for one in value)


def is_named_data(value: Any) -> bool:
    """Return whether a value is `{name: data}`, as opposed to a dict of columns."""
    if not isinstance(value, Mapping):
        return False
    paths = [isinstance(one, (str, Path)) for one in value.values()]
    return any(map(_is_data, value.values())) or (any(paths) and all(paths))


def _is_data(value: Any) -> bool:
    """Return whether a value of a dict is one detector's data and no column; a text may be either."""
    if isinstance(value, (Result, Mapping)) or is_table(value) or are_results(value):
        return True
    if isinstance(value, tuple):
        return len(value) == 2 and all(hasattr(one, "__len__") and not isinstance(one, str) for one in value)
    return are_records(value)
