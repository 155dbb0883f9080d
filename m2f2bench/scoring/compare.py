"""Paired tests between stored runs or files: which detector is better by more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..cards.models import AnyProtocol, DatasetCard
from ..core.errors import ScoreError
from ..loading import load_metrics
from ..results.columns import ColumnNames, require_files
from ..results.read_rows import SUFFIXES
from ..results.signature import measure_signature
from ..results.stored import read_stored
from ..results.wide import score_columns
from .comparison import Comparison
from .scored import Source
from .tasks import TASKS, task_at


def compare(
    *places: str | Path,
    protocol: str | AnyProtocol | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: ColumnNames | None = None,
    metrics: Sequence[str] = (),
    against: str = "",
) -> Comparison:
    """Compare runs (folders that `run` wrote) or files of rows in pairs, all on the same frames (or questions).

    AUC: DeLong if units are independent, else the cluster bootstrap, as for all other metrics, with the same
    resamples for all detectors. Accuracy: McNemar. With more than two detectors, Holm's correction over the pairs,
    separately for each metric. Raises ScoreError, naming the fields that differ, if protocol, data or coverage are not
    the same. A CSV or TSV without a column `score` is wide: each further column of numbers is a detector of that name.
    """
    require_files(columns, places)
    if len(places) < 2:
        _require_wide(places, columns)
    source = Source(protocol, dataset, split, columns=columns)
    return task_at(places[0], protocol).compare(places, source, load_metrics(metrics), against)


def _require_wide(places: Sequence[str | Path], columns: ColumnNames | None) -> None:
    """Raise ScoreError unless the only place is a file with the scores of several detectors."""
    path = Path(places[0]).expanduser() if places else Path()
    if not places or path.suffix.lower() not in SUFFIXES:
        raise ScoreError("a comparison needs at least two runs or files of rows")
    found = score_columns(path, columns)
    if len(found) < 2:
        named = f", and '{path}' has only '{found[0]}'" if found else f": give another beside '{path}'"
        raise ScoreError(
            f"a comparison needs two runs or files of rows, or one CSV or TSV of id and label with a column of scores "
            f"for each detector{named}"
        )


def compare_folder(folder: str | Path, metrics: Sequence[str] = (), against: str = "") -> list[Comparison]:
    """Compare each set of two or more comparable runs in a folder that `run` wrote with --out."""
    root, metrics = Path(folder).expanduser(), load_metrics(metrics)
    groups: dict[str, list[Path]] = {}
    for stored in read_stored([root]):
        if stored.rows is not None or not TASKS[stored.result.task].from_rows:
            key = measure_signature(stored.result.measured)
            groups.setdefault(key, []).append(stored.path)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise ScoreError(f"no two runs in '{root}' have the same frames and protocol: nothing to compare")
    return [compare(*group, metrics=metrics, against=against) for group in several]
