"""Scoring of rows: a finished run, a file from elsewhere and rows in memory are scored in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards.folders import DETECTION
from ..cards.models import AnyProtocol, DatasetCard
from ..core.arguments import checked
from ..core.errors import ScoreError
from ..core.patterns import is_pattern
from ..results.columns import ColumnNames, require_files
from ..results.in_memory import InMemory
from ..results.read_rows import rows_in_memory
from ..results.result import Result
from .detection import score_rows
from .given import Data, Given, expand, matched
from .pooled import Evidence, pool
from .scored import Source
from .tasks import about_answers, task_at
from .trainings import method_in

OWN_VALIDATION = "validation rows are of one training: give runs, whose folders have their own"


@checked
def score(
    path: Data | Sequence[str | Path],
    *,
    protocol: str | AnyProtocol | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: ColumnNames | None = None,
    validation: Data | None = None,
    seeds: bool = False,
) -> Result:
    """Compute every metric of a protocol for a run's folder, a file of rows, or rows in memory.

    For detection a row has `id` (text or a whole number, each once), `label` (0 or `real`, 1 or `fake`) and `score`
    (P(fake) in [0, 1]; empty or NaN: the row is `missing`), and maybe `video`, `method`, `identity`, `status`,
    `picture`. `path` is a file (CSV, TSV, JSONL, Parquet), a pandas DataFrame (its index may be the id), a dict of
    columns of equal length, a list of records (dicts or `Prediction`), a tuple `(label, score)` of two arrays [N],
    whose ids are 0 … N - 1, or a result of `score` or `run`. The numbers are, to the last bit, those of the same rows
    in a file. float32 is taken exactly, as from Parquet.

    `detector` names the detector (default: the file's name; in memory `data`). `columns` maps our names to the data's,
    `{"score": "p_fake"}`. With `dataset` the rows are compared with the frames of its `split`. `validation` are the
    rows that a threshold is picked on, if the protocol wants that. Under a protocol about answers to questions `path`
    is a file of answers, or several files that complete each other. A pattern of paths (`runs/x-seed*`), or with
    `seeds` a list of data, is the trainings of one detector: the result has means over them, see `pooled.pool`. Raises
    ScoreError or DataError in one line that names the data and the row (its number from 1, and its index).
    """
    if seeds or is_pattern(path):
        if detector is not None:
            raise ScoreError("detector is not for several trainings: they are named by their files or runs")
        several: Sequence[Data] = path if isinstance(path, list) else [path]
        if validation is not None:
            raise ScoreError(OWN_VALIDATION)
        _, found = score_trainings(several, Source(protocol, dataset, split, None, columns), seeds)
        if len(found) > 1:
            listed = ", ".join(f"'{one.detector}' on {one.dataset}" for one in found)
            raise ScoreError(f"these are trainings of {len(found)} results ({listed}): score them one by one")
        return found[0]
    places = [path] if isinstance(path, (str, Path)) else path
    if isinstance(places, (list, tuple)) and all(isinstance(one, (str, Path)) for one in places):
        require_files(columns, [*places, *([validation] if isinstance(validation, (str, Path)) else [])])
    picked = _validation(validation, columns)
    source = Source(protocol, dataset, split, detector, columns, picked)
    if isinstance(path, (list, tuple)) and path and all(isinstance(one, (str, Path)) for one in path):
        return task_at(path[0], protocol).score(path, source)
    named = [detector] if detector and not isinstance(path, (str, Path)) else ()
    given = expand([path], named, columns, about_answers(protocol))
    if len(given) > 1:
        raise ScoreError(f"score takes the rows of one detector, and this has {len(given)}: score them one by one")
    source = given[0].source(source)
    result = task_at(given[0].place, source.protocol).score([given[0].place], source)
    return result.keep(Given(given[0].place, "", source))


def score_trainings(places: Sequence[Data], source: Source, seeds: bool = True) -> tuple[list[Result], list[Result]]:
    """Score each of several trainings; return their results, and these with the trainings of each detector as one.

    `places` may be patterns, each of one detector's trainings; with `seeds` trainings are found by their names alone.
    Raises ScoreError as `score` and `pooled.pool`, and for validation rows, of which each training has its own.
    """
    if source.validation is not None:
        raise ScoreError(OWN_VALIDATION)
    each: list[Result] = []
    evidence: dict[tuple[str, str], Evidence] = {}
    patterns: dict[str, list[str]] = {}
    for one in matched(places):
        for given in expand([one.value], (), source.columns, about_answers(source.protocol)):
            wanted = given.source(source)
            task = task_at(given.place, wanted.protocol)
            if task.name != DETECTION:
                raise ScoreError(f"trainings are pooled by P(fake) of frames, not by {task.items} of another task")
            rows = task.load(given.place, wanted)
            each.append(score_rows(rows).keep(Given(given.place, "", wanted)))
            evidence[each[-1].signature, each[-1].protocol] = rows
            if one.pattern and not seeds:
                patterns.setdefault(one.pattern, []).append(each[-1].detector)
    for pattern, called in patterns.items():
        method_in(pattern, called)
    return each, pool(each, evidence)[0]


def _validation(data: Data | None, columns: ColumnNames | None) -> str | Path | InMemory | None:
    if data is None or isinstance(data, (str, Path)):
        return data
    return rows_in_memory(data, "validation", columns)
