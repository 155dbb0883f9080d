"""Scoring of stored rows: a finished run and a file from elsewhere are scored in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards.models import AnyProtocol, DatasetCard
from ..results.columns import ColumnNames, require_files
from ..results.result import Result
from .scored import Source
from .tasks import task_at


def score(
    path: str | Path | Sequence[str | Path],
    *,
    protocol: str | AnyProtocol | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: ColumnNames | None = None,
    validation: str | Path | None = None,
) -> Result:
    """Compute every metric of a protocol for a file of rows or a run's folder.

    For detection a file has `id,label,score` (CSV, TSV, JSONL, Parquet); see `scoring.detection.load_rows` for the
    arguments. Under a protocol about answers to questions it has answers, see `scoring.answers.load_answers`; several
    files are then one explainer's answers that complete each other. Raises ScoreError or DataError in one line.
    """
    places = [path] if isinstance(path, (str, Path)) else list(path)
    require_files(columns, places if validation is None else [*places, validation])
    return task_at(places[0], protocol).score(places, Source(protocol, dataset, split, detector, columns, validation))
