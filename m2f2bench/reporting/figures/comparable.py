"""Rows and results for figures, and checks that they are comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cards.models import DETECTION, DatasetCard, ProtocolCard
from ...core.errors import ScoreError, near
from ...results.result import Result
from ...results.signature import DETECTOR, short
from ...results.store import PREDICTIONS, RESULT
from ...results.stored import read_stored
from ...scoring.compare_detection import refuse_incomparable
from ...scoring.comparison import FIELDS, distinct_names
from ...scoring.detection import ScoredRows, load_rows
from ...scoring.source import Source

if TYPE_CHECKING:
    from ...leaderboards.table import Row, Table
    from ...metrics.metric import Metric


def existing(paths: Sequence[Path]) -> Sequence[Path]:
    """Return the paths. Raises ScoreError for one that does not exist."""
    for path in paths:
        if not path.exists():
            raise ScoreError(f"there is no file or folder '{path}'")
    return paths


def collect(
    places: Sequence[Path],
    protocol: str | ProtocolCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> dict[str, ScoredRows]:
    """Return comparable rows by detector's name; a folder of runs stands for all its runs.

    Raises ScoreError, with the fields that differ, if they are not comparable.
    """
    found: list[tuple[Path, ScoredRows]] = []
    wanted = {"dataset": name_of(dataset), "protocol": name_of(protocol), "split": split}
    for place in places:
        if place.is_dir() and not any((place / name).is_file() for name in (RESULT, PREDICTIONS)):
            found += [(run, load_rows(run)) for run in _runs(place, wanted)]
        else:
            found.append((place, load_rows(place, Source(protocol, dataset, split or "test", columns=columns))))
    runs, evidence = zip(*found, strict=True)
    named = dict(zip(distinct_names([own.detector for own in evidence], runs), evidence, strict=True))
    (one, first), *others = named.items()
    for other, second in others:
        refuse_incomparable(one, first, other, second)
    return named


def name_of(card: str | DatasetCard | ProtocolCard | None) -> str | None:
    """Return the name of a card or of a reference to it; None without one."""
    return card if card is None or isinstance(card, str) else card.name


def _runs(folder: Path, wanted: Mapping[str, str | None]) -> list[Path]:
    """Return a folder's results with rows of one dataset, protocol and split; ScoreError if there are several."""
    known = [one for one in read_stored([folder]) if one.rows is not None and one.result.task == DETECTION]
    if not known:
        raise ScoreError(f"'{folder}' holds no runs with their rows: give a folder that run wrote, or a file of rows")
    for key, name in wanted.items():
        kept = narrowed([stored.result for stored in known], key, name, f"'{folder}'")
        known = [stored for stored in known if stored.result in kept]
    return [stored.path for stored in known]


def metric_of_all(results: Sequence[Result], metric: str) -> Metric:
    """Return the metric of all results. Raises ScoreError for a user's metric if its code is not the same."""
    first, *others = (result.about(metric) for result in results if metric in result.metrics)
    codes = sorted({one.code for one in (first, *others)})
    if len(codes) > 1:
        raise ScoreError(f"the results have different metrics of the name '{metric}' ({', '.join(codes)}): score again")
    return first


def narrowed(results: Sequence[Result], key: str, wanted: str | None, source: str = "the results") -> list[Result]:
    """Return the results of one dataset, protocol or split. Raises ScoreError if there are several, or none."""
    names = sorted({str(getattr(result, key)) for result in results})
    if wanted is None and len(names) > 1:
        raise ScoreError(f"{source}: several {key}s, {', '.join(names)}: give --{key}")
    if wanted is not None and wanted not in names:
        raise ScoreError(f"{source}: no result of the {key} '{wanted}'{near(wanted, names)}")
    return [result for result in results if wanted is None or getattr(result, key) == wanted]


def refuse_split(table: Table, results: Sequence[Result]) -> None:
    """Raise ScoreError, with the fields that differ, if a dataset's results are not in one column."""
    clash = next((column for column in table.columns if column.note), None)
    if clash is not None:
        fields = [part.split(":")[0] for part in clash.note.split(", ")]
        values = {k: sorted({str(r.measured.get(k)) for r in results if r.dataset == clash.dataset}) for k in fields}
        words = ", ".join(f"{FIELDS.get(k, k)} ({k}: {' / '.join(v)})" for k, v in values.items())
        raise ScoreError(
            f"results on '{clash.dataset}' cannot be ranked together because they differ in {words}: "
            f"judge all detectors under one protocol on the same data"
        )


def refuse_copies(results: Sequence[Result]) -> None:
    """Raise ScoreError if two detectors have the same predictions: ranks need different detectors."""
    known: dict[tuple[str, str, str], Result] = {}
    for result in results:
        if not result.predictions:
            continue
        first = known.setdefault((result.dataset, result.split, result.predictions), result)
        if short(first.measured, DETECTOR) != short(result.measured, DETECTOR):
            raise ScoreError(
                f"'{first.detector}' and '{result.detector}' have the same predictions on '{result.dataset}': "
                f"leave one of them out"
            )


def complete_rows(rows: Sequence[Row], datasets: Sequence[str]) -> tuple[list[tuple[str, list[float]]], list[str]]:
    """Return detectors with a value on every dataset, by name, and a note for each of the others."""
    kept, notes = [], []
    names = [row.detector for row in rows]
    for row in rows:
        weights: Any = dict(part.split(":", 1) for part in row.signature.split("|") if ":" in part).get("weights", "")
        name = f"{row.detector} ({weights[:8]})" if names.count(row.detector) > 1 else row.detector
        known = [value for value in row.values if value is not None]
        if len(known) == len(row.values):
            kept.append((name, known))
        else:
            lacking = ", ".join(place for place, value in zip(datasets, row.values, strict=True) if value is None)
            notes.append(f"left out: '{name}', which has no value on {lacking}")
    return kept, notes
