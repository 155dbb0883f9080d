"""Results on disk, and the rows or resamples next to them.

A run's folder holds `result.json` and `predictions.parquet`. Elsewhere the rows of `NAME.json` are in `NAME.parquet` in
the same folder, or on a board those of `results/NAME.json` in `predictions/NAME.parquet`. Rows that a threshold was
picked on have the same name with `--val`. With the metrics of answers in each resample, paired tests need neither texts
nor a dataset: all results of one protocol on the same questions have the same resamples, so the difference of two
explainers in a resample is a subtraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..cards.folders import DETECTION, HEATMAPS
from ..cards.models import Card
from ..core.arrays import Floats
from ..core.arrow import arrow_array, floats_of
from ..core.errors import DataError, ScoreError, first_line
from ..core.files import replacing
from ..core.parsing import Refused, read_json, read_table
from ..metrics.names import Group
from .form import parse_result, unsound
from .result import Result
from .store import MAPS, PREDICTIONS, RESULT

C = TypeVar("C", bound=Card)
VALIDATION_SUFFIX = "--val"
ROWS_FOLDER = "predictions"
DRAWS = "resamples.parquet"
FIELDS = ("metrics", "labels")
"""Groups that are stored: all questions, and the real and the fake ones separately."""


@dataclass(frozen=True)
class Stored:
    """A result with its file, its rows and the rows of its threshold; None for rows that are not there."""

    result: Result
    path: Path
    rows: Path | None
    validation: Path | None


INVERTED = "the scores look inverted"
"""The start of the one warning that comes from the rows; all others are about the detector."""
_INVERTED_OLD = "the scores look turned round"  # in results before 0.6


def of_detector(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return those warnings of a result that hold for its rows under any protocol."""
    return tuple(one for one in warnings if not one.startswith((INVERTED, _INVERTED_OLD)))


def run_name(detector: str, dataset: str, protocol: str, split: str, limit: int | None) -> str:
    """Return the name of a run's folder, which is also its result's file name on a board, without the ending."""
    suffix = "" if split == "test" else f"--{split}"
    suffix += "" if limit is None else f"--limit{limit}"
    return f"{detector}--{dataset}--{protocol}{suffix}"


def read_stored(places: Iterable[Path]) -> list[Stored]:
    """Read the results in files, run folders, and folders of either, in the order of their paths. Raises DataError."""
    return [_read(path) for place in places for path in result_files(place)]


def result_files(place: Path) -> list[Path]:
    """Return the result files of a file, a run's folder, or a folder of either, in the order of their paths.

    Raises DataError if there are none.
    """
    if not place.exists():
        raise DataError(f"there is no file or folder '{place}'")
    if not place.is_file() and not place.is_dir():
        raise DataError(f"'{place}' is neither a file nor a folder")
    files = [place] if place.is_file() else sorted(place.rglob(RESULT)) or sorted(place.glob("*.json"))
    if not files:
        raise DataError(f"'{place}' has no result.json in it: give the folder that run wrote with --out")
    return files


def read_results(places: Iterable[Path]) -> list[Result]:
    """Read the results without their rows; see `read_stored`."""
    return [stored.result for stored in read_stored(places)]


def stored_at(place: Path) -> Stored | None:
    """Return the result in a run's folder or a result file; None for anything else."""
    if (place / RESULT).is_file():
        return _read(place / RESULT)
    return _read(place) if place.suffix == ".json" and place.is_file() else None


def stored_card(model: type[C], data: dict[str, Any], path: Path) -> C:
    """Return a card that a result holds. Raises ScoreError, naming the result, if it is not a valid card."""
    try:
        return model.model_validate(data)
    except ValueError as error:
        raise ScoreError(f"'{path}': a card in it cannot be read: {first_line(error)}") from None


def rows_file(place: Path) -> Path:
    """Return the file of rows in a run's folder; a file is returned as it is."""
    return place / PREDICTIONS if (place / PREDICTIONS).is_file() else place


def read_result(path: Path) -> Result:
    """Read the result in a file; see `form.parse_result`. Raises Refused."""
    return parse_result(read_json(path))


def _read(path: Path) -> Stored:
    try:
        result = read_result(path)
        problem = next(unsound(result), "")
    except Refused as error:
        raise DataError(f"'{path}' is not a result file: {error}") from None
    if problem:
        raise DataError(f"'{path}' cannot be used: {problem} (m2f2bench validate lists all problems)")
    return with_rows(result, path)


def with_rows(result: Result, path: Path) -> Stored:
    """Return a result that was read from `path`, with the rows next to it."""
    if result.task == HEATMAPS:
        return Stored(result, path, sidecar(path, MAPS), None)
    if result.task != DETECTION:  # answers have resamples next to them instead
        return Stored(result, path, None, None)
    return Stored(result, path, sidecar(path), sidecar(path, suffix=VALIDATION_SUFFIX))


def sidecar(path: Path, file: str = PREDICTIONS, folder: str = ROWS_FOLDER, suffix: str = "") -> Path | None:
    """Find the file that belongs to a result file: `file` in a run's folder, on a board `folder`/NAME.parquet.

    With a suffix it belongs to the run of that name with the suffix, such as the rows that a threshold was picked on.
    """
    if path.name == RESULT:
        places = [path.parent.with_name(path.parent.name + suffix) / file]
    else:
        name = f"{path.stem}{suffix}.parquet"
        places = [path.with_name(name), path.parent.parent / folder / name]
    return next((place for place in places if place.is_file()), None)


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
        f"{group.field} {group.name}|{name}": arrow_array(values.tolist(), pa.float64())
        for group, found in drawn.items()
        if group.field in FIELDS
        for name, values in found.items()
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        pq.write_table(pa.table(columns), file, compression="zstd")


def read_draws(path: Path) -> dict[Group, dict[str, Floats]]:
    """Read what `write_draws` wrote. Raises ScoreError in one line."""
    import pyarrow as pa

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
            own[name] = floats_of(table.column(column).cast(pa.float64()))
        except pa.ArrowException:
            raise ScoreError(f"'{path}' does not hold resamples: its column '{column}' is not numeric") from None
    return found
