"""A leaderboard from Python: of cards, folders, results and rows in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cards.models import AnyProtocol, DatasetCard
from ..core.arguments import checked
from ..core.errors import ScoreError
from ..core.files import user_path, write_text
from ..results.columns import ColumnNames
from ..results.read_rows import SUFFIXES
from ..results.result import Result
from ..results.stored import ResampledResult
from ..scoring.detection import ScoredRows, score_rows
from ..scoring.given import Data, Given, are_results, expand
from ..scoring.pooled import Evidence
from ..scoring.scored import Source
from ..scoring.tasks import about_answers, task_at
from .board import Board, gather
from .render import render


@checked
def leaderboard(
    *places: Data | Mapping[str, Data],
    names: Sequence[str] = (),
    protocol: str | AnyProtocol | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: ColumnNames | None = None,
    published: bool = False,
    seeds: bool = False,
    out: str | Path | None = None,
) -> Board:
    """Return a leaderboard: a row for each detector, a column for each dataset, protocol and metric.

    A place is a leaderboard card (its name or file), a folder of results or a result file, what `run` or `score`
    returned, or one detector's rows as `score` takes them: a file, a DataFrame, a dict of columns, `(label, score)`,
    records, or a mapping `{name: data}` of several. `names` name the detectors of rows, in order; `protocol`,
    `dataset`, `split` and `columns` are those of `score`, for rows alone. A value is marked best only where paired
    tests on the same frames tell it apart from every other. With `seeds`, or for a pattern of folders, results of one
    detector (or with names that differ in `-seed0`, `-seed1`, … alone) are its trainings and one row: the mean, the
    deviation between trainings, and an interval over people and trainings. With `published` the board also has
    published figures of others. `out` is a file to write: .md, .csv, .tex, .html or .json. Raises DataError if there is
    nothing to show, and ScoreError for rows as `score` does, or if the ending of `out` is unknown.
    """
    paths = [str(place) for place in places if isinstance(place, (str, Path)) and not _is_rows(place)]
    data = [place for place in places if not isinstance(place, (str, Path)) or _is_rows(place)]
    finished = [one for place in data if isinstance(place, Result) or are_results(place) for one in _listed(place)]
    paths += [str(one.kept) for one in finished if _is_stored(one)]
    results = [one for one in finished if not _is_stored(one) and not _has_rows(one)]
    evidence: dict[tuple[str, str], Evidence] = {}
    source = Source(protocol, dataset, split, columns=columns)
    rows = [place for place in data if not isinstance(place, Result) and not are_results(place)]
    given = [*expand([one for one in finished if _has_rows(one)], (), columns)]
    given += expand(rows, names, columns, about_answers(protocol))
    for one in given:
        own = _loaded(one, source)
        results.append(score_rows(own) if isinstance(own, ScoredRows) else own.result)
        evidence[results[-1].signature, results[-1].protocol] = own
    _refuse_namesakes(results)
    board = gather(paths, published, results, evidence, seeds)
    if out is not None:
        file = user_path(out)
        write_text(file, render(board, file.suffix[1:] or "md"))
    return board


def _is_rows(place: str | Path) -> bool:
    """Return whether a path is a file of rows, and no card, result or folder."""
    path = user_path(place)
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _listed(place: Any) -> list[Result]:
    return [place] if isinstance(place, Result) else list(place)


def _is_stored(result: Result) -> bool:
    """Return whether a result is on disk, as those of `run` are."""
    return isinstance(result.kept, Path)


def _has_rows(result: Result) -> bool:
    """Return whether a result is of `score` and knows the rows that paired tests need."""
    return isinstance(result.kept, Given)


def _loaded(given: Given, source: Source) -> ScoredRows | ResampledResult:
    """Return a detector's rows, or an explainer's result with its resamples, ready for paired tests."""
    wanted = given.source(source)
    found: ScoredRows | ResampledResult = task_at(given.place, wanted.protocol).load(given.place, wanted)
    return found


def _refuse_namesakes(results: Sequence[Result]) -> None:
    """Raise ScoreError for two detectors of one name on the same data: a board has one row a detector."""
    seen: set[tuple[str, str, str]] = set()
    for result in results:
        key = (result.detector, result.dataset, result.protocol)
        if key in seen:
            raise ScoreError(
                f"two detectors are named '{result.detector}': give names=[…], or a mapping {{name: data}}"
            )
        seen.add(key)
