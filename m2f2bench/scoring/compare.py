"""Paired tests between stored runs, files and rows in memory: which detector is better by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, overload

from ..cards.folders import DETECTION
from ..cards.models import AnyProtocol, DatasetCard
from ..core.arguments import checked
from ..core.errors import ScoreError
from ..core.files import user_path
from ..loading import load_metrics
from ..metrics.detection.margins import wanted_margin
from ..results.columns import ColumnNames, require_files
from ..results.form import known_in
from ..results.in_memory import InMemory
from ..results.read_rows import SUFFIXES
from ..results.result import Result
from ..results.signature import measure_signature, touching
from ..results.stored import read_stored
from .across import over_datasets
from .comparison import Comparison, Comparisons, distinct_names
from .correction import corrected
from .given import Data, Given, are_results, expand, matched
from .scored import Source
from .tasks import TASKS, about_answers, task_at
from .trainings import by_pattern, compare_trainings, grouped


@overload
def compare(
    first: Data,
    second: Data,
    /,
    *more: Data,
    names: Sequence[str] = ...,
    protocol: str | AnyProtocol | None = ...,
    dataset: str | DatasetCard | None = ...,
    split: str = ...,
    columns: ColumnNames | None = ...,
    metrics: Sequence[str] = ...,
    against: str = ...,
    seeds: bool = ...,
    margin: float | None = ...,
) -> Comparison: ...
@overload
def compare(
    named: Mapping[str, Data],
    /,
    *,
    names: Sequence[str] = ...,
    protocol: str | AnyProtocol | None = ...,
    dataset: str | DatasetCard | None = ...,
    split: str = ...,
    columns: ColumnNames | None = ...,
    metrics: Sequence[str] = ...,
    against: str = ...,
    seeds: bool = ...,
    margin: float | None = ...,
) -> Comparison: ...
@overload
def compare(
    folder: str | Path | Sequence[Result],
    /,
    *,
    metrics: Sequence[str] = ...,
    against: str = ...,
    seeds: bool = ...,
    margin: float | None = ...,
) -> Comparisons: ...
@checked
def compare(
    *places: Any,
    names: Sequence[str] = (),
    protocol: str | AnyProtocol | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: ColumnNames | None = None,
    metrics: Sequence[str] = (),
    against: str = "",
    seeds: bool = False,
    margin: float | None = None,
) -> Comparison | Comparisons:
    """Compare detectors in pairs, all on the same frames (or questions).

    Each place is one detector's rows: a run's folder, a file, or rows in memory or a result as `score` takes them, all
    with the same ids and labels; `names` name them in order. One mapping `{name: data}` names them too. For one folder
    of results, or the list that `run` returns, each set of comparable runs in it is compared, and the value is a list
    (`Comparisons`), as on the command line.

    AUC: DeLong, clustered (see `stats.clustered`). Accuracy: McNemar. All other metrics: the cluster bootstrap, with
    the same resamples for all detectors. With `seeds`, runs of one detector (or with names that differ in `-seed0`,
    `-seed1`, … alone) are its trainings: means over them are compared, over people and trainings. A pattern of paths
    (`runs/a-seed*`, also in a mapping) is the trainings of one detector.

    The protocol's primary metric decides: Holm's correction over its pairs, and over datasets where there are several.
    All else is exploratory, with Benjamini and Hochberg's. With a `margin`, above 0 and below 1, two one-sided tests at
    5% say whether two are equivalent within it, or one no worse than the other. `against` keeps only the pairs with
    that detector. Raises ScoreError, naming the fields that differ, if protocol, data or coverage are not the same;
    for rows as `score` does. A CSV or TSV without a column `score` is wide: each further column of numbers is a
    detector of that name.
    """
    if len(places) == 1 and _is_folder(places[0]):
        if protocol is not None or dataset is not None or columns or names:
            raise ScoreError("names, protocol, dataset and columns need two or more runs: name each of them")
        whole = places[0]
        return (
            compare_results(whole, metrics, against, seeds, margin)
            if are_results(whole)
            else compare_folder(whole, metrics, against, seeds, margin)
        )
    found = matched(places)
    patterned = any(one.pattern for one in found)
    if patterned and names:
        raise ScoreError("names are not for patterns: give a mapping {name: pattern}")
    answers = about_answers(protocol)
    if patterned:
        parts = [(one, expand([one.value], (), columns, answers)) for one in found]
        given = [item for _, own in parts for item in own]
        patterns = [(one.pattern, one.name) for one, own in parts for _ in own]
    else:
        given, patterns = expand(places, names, columns, answers), []
    require_files(columns, [str(one.place) for one in given])
    if len(given) < 2 and not patterned:
        _refuse_one(given)
    source = Source(protocol, dataset, split, columns=columns)
    return _compare(given, source, load_metrics(metrics), against, seeds, patterns, wanted_margin(margin))


def _refuse_one(given: Sequence[Given]) -> NoReturn:
    """Raise ScoreError: there is nothing, or one detector, to compare."""
    place = given[0].place if given else None
    if not isinstance(place, Path) or place.suffix.lower() not in SUFFIXES:
        raise ScoreError("a comparison needs at least two runs or files of rows, or a folder with several runs")
    named = f", and '{place}' has only '{given[0].score}'" if given[0].score else f": give another beside '{place}'"
    raise ScoreError(
        f"a comparison needs two runs or files of rows, or one CSV or TSV of id and label with a column of scores "
        f"for each detector{named}"
    )


def _is_folder(value: Any) -> bool:
    """Return whether a value holds several runs: a list of results, or a folder that is no run's own."""
    if not isinstance(value, (str, Path)):
        return are_results(value)
    folder = user_path(value)
    return folder.is_dir() and any(folder.iterdir()) and not (folder / "result.json").is_file()


def _compare(
    given: Sequence[Given],
    source: Source,
    metrics: Sequence[str],
    against: str,
    seeds: bool = False,
    patterns: Sequence[tuple[str, str]] = (),
    margin: float | None = None,
) -> Comparison:
    own = source.protocol if source.protocol is not None else given[0].own.protocol
    task = task_at(given[0].place, own)
    loaded = [task.load(one.place, one.source(source)) for one in given]
    names = [one.name or str(found.detector) for one, found in zip(given, loaded, strict=True)]
    if seeds or patterns:
        if task.name != DETECTION:
            raise ScoreError(f"trainings are compared by P(fake) of frames, not by {task.items} of another task")
        methods = grouped(names, loaded) if seeds else by_pattern(patterns, names, loaded)
        return compare_trainings(methods, metrics, against, margin)
    if any(isinstance(one.place, InMemory) for one in given) and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ScoreError(f"two detectors are named '{twice}': give names=[…], or a mapping {{name: data}}")
    named = dict(zip(distinct_names(names, [one.origin for one in given]), loaded, strict=True))
    return task.test(named, metrics, against, margin)


def compare_folder(
    folder: str | Path,
    metrics: Sequence[str] = (),
    against: str = "",
    seeds: bool = False,
    margin: float | None = None,
) -> Comparisons:
    """Compare each set of two or more comparable runs in a folder that `run` wrote with --out."""
    root = user_path(folder)
    groups: dict[str, list[Given]] = {}
    for stored in read_stored([root]):
        if stored.rows is not None or not TASKS[stored.result.task].from_rows:
            groups.setdefault(_comparable(stored.result, metrics), []).append(Given(stored.path))
    return _compare_groups(groups, f"in '{root}'", metrics, against, seeds, margin)


def compare_results(
    results: Sequence[Result],
    metrics: Sequence[str] = (),
    against: str = "",
    seeds: bool = False,
    margin: float | None = None,
) -> Comparisons:
    """Compare each set of two or more comparable results."""
    groups: dict[str, list[Given]] = {}
    for result, given in zip(results, expand([results]), strict=True):
        groups.setdefault(_comparable(result, metrics), []).append(given)
    return _compare_groups(groups, "of these results", metrics, against, seeds, margin)


def _comparable(result: Result, metrics: Sequence[str]) -> str:
    """Return what must be equal for results to be compared in these metrics (default: all)."""
    if not TASKS[result.task].from_rows:  # their stored resamples must be the same too
        return measure_signature(result.measured)
    names = [*metrics] or [*result.metrics]
    known = {name: one for name in names if (one := known_in(result, name)) is not None}
    parts = dict.fromkeys(measure_signature(touching(result.measured, name, one)) for name, one in known.items())
    return " ".join((result.protocol, *parts))


def _compare_groups(
    groups: Mapping[str, Sequence[Given]],
    where: str,
    metrics: Sequence[str],
    against: str,
    seeds: bool,
    margin: float | None,
) -> Comparisons:
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise ScoreError(f"no two runs {where} have the same frames and protocol: nothing to compare")
    known, wanted = load_metrics(metrics), wanted_margin(margin)
    found = [_compare(group, Source(), known, against, seeds, (), wanted) for group in several]
    return over_datasets(corrected(found))
