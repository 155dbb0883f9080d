"""Results on disk, and the rows they were made of.

A run's folder holds `result.json` and `predictions.parquet`. Anywhere else `NAME.json` has its rows in `NAME.parquet`
beside it, or, on a board, `results/NAME.json` in `predictions/NAME.parquet`. Rows that a threshold was picked on have
the same name with `--val`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..cards.models import DETECTION, Card
from ..core.errors import DataError, ScoreError, first_line
from ..core.parsing import Refused, read_json
from .form import parse_result, unsound
from .result import Result
from .store import PREDICTIONS, RESULT

C = TypeVar("C", bound=Card)
VALIDATION_SUFFIX = "--val"
ROWS_FOLDER = "predictions"


@dataclass(frozen=True)
class Stored:
    """A result with its file, its rows and the rows of its threshold, as far as they are there."""

    result: Result
    path: Path
    rows: Path | None
    validation: Path | None


TURNED = "the scores look turned round"
"""How the warning begins that comes of the rows alone; all others are of the detector that made them."""


def of_detector(warnings: Sequence[str]) -> tuple[str, ...]:
    """Those warnings of a result that hold for its rows under any protocol."""
    return tuple(one for one in warnings if not one.startswith(TURNED))


def run_name(detector: str, dataset: str, protocol: str, split: str, limit: int | None) -> str:
    """What a run's folder is called, and its result on a board without the ending."""
    suffix = "" if split == "test" else f"--{split}"
    suffix += "" if limit is None else f"--limit{limit}"
    return f"{detector}--{dataset}--{protocol}{suffix}"


def read_stored(places: Iterable[Path]) -> list[Stored]:
    """The results in files, run folders, and folders of either, in the order of their paths. Raises DataError."""
    stored = []
    for place in places:
        if not place.exists():
            raise DataError(f"there is no file or folder '{place}'")
        if not place.is_file() and not place.is_dir():
            raise DataError(f"'{place}' is neither a file nor a folder")
        files = [place] if place.is_file() else sorted(place.rglob(RESULT)) or sorted(place.glob("*.json"))
        if not files:
            raise DataError(f"'{place}' has no result.json in it: give the folder that run wrote with --out")
        stored += [_read(path) for path in files]
    return stored


def read_results(places: Iterable[Path]) -> list[Result]:
    """The results alone; see `read_stored`."""
    return [stored.result for stored in read_stored(places)]


def stored_at(place: Path) -> Stored | None:
    """The one result that a run's folder or a result file holds; None for anything else."""
    if (place / RESULT).is_file():
        return _read(place / RESULT)
    return _read(place) if place.suffix == ".json" and place.is_file() else None


def stored_card(model: type[C], data: dict[str, Any], path: Path) -> C:
    """A card that a result holds. Raises ScoreError, naming the result, for one that is none."""
    try:
        return model.model_validate(data)
    except ValueError as error:
        raise ScoreError(f"'{path}': a card in it cannot be read: {first_line(error)}") from None


def rows_file(place: Path) -> Path:
    """The rows of a run's folder; a file is taken as it is."""
    return place / PREDICTIONS if (place / PREDICTIONS).is_file() else place


def read_result(path: Path) -> Result:
    """The result in a file, of the right form; see `resultform`. Raises Refused."""
    return parse_result(read_json(path))


def _read(path: Path) -> Stored:
    try:
        result = read_result(path)
        problem = next(unsound(result), "")
    except Refused as error:
        raise DataError(f"'{path}' is not a result file: {error}") from None
    if problem:
        raise DataError(f"'{path}' is not a sound result: {problem} (m2f2bench validate says what else)")
    return with_rows(result, path)


def with_rows(result: Result, path: Path) -> Stored:
    """A result that was read from `path`, with the rows that lie beside it."""
    if result.task != DETECTION:  # what lies beside it are resamples
        return Stored(result, path, None, None)
    return Stored(result, path, beside(path), beside(path, suffix=VALIDATION_SUFFIX))


def beside(path: Path, file: str = PREDICTIONS, folder: str = ROWS_FOLDER, suffix: str = "") -> Path | None:
    """What goes with a result file: `file` in a run's folder, on a board `folder`/NAME.parquet.

    With a suffix it is that of the run of its name and the suffix, as rows that a threshold was picked on are.
    """
    if path.name == RESULT:
        places = [path.parent.with_name(path.parent.name + suffix) / file]
    else:
        name = f"{path.stem}{suffix}.parquet"
        places = [path.with_name(name), path.parent.parent / folder / name]
    return next((place for place in places if place.is_file()), None)
