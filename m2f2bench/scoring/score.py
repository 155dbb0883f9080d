"""Scoring of rows: a finished run, a file from elsewhere and rows in memory are scored in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards.models import AnyProtocol, DatasetCard
from ..core.arguments import checked
from ..core.errors import ScoreError
from ..results.columns import ColumnNames, require_files
from ..results.in_memory import InMemory
from ..results.read_rows import rows_in_memory
from ..results.result import Result
from .given import Data, Given, expand
from .scored import Source
from .tasks import about_answers, task_at


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
    is a file of answers, or several files that complete each other. Raises ScoreError or DataError in one line that
    names the data and the row (its number from 1, and its index).
    """
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


def _validation(data: Data | None, columns: ColumnNames | None) -> str | Path | InMemory | None:
    if data is None or isinstance(data, (str, Path)):
        return data
    return rows_in_memory(data, "validation", columns)
