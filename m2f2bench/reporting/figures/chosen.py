"""Options of a figure, and the rows and results that it is drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cards.folders import DETECTION
from ...cards.models import DatasetCard, ProtocolCard
from ...core.errors import ScoreError, near
from ...core.files import user_path
from ...metrics.names import AVERAGE, OVERALL
from ...results.columns import ColumnNames
from ...results.result import Result
from ...results.store import PREDICTIONS, RESULT
from ...results.stored import read_results, read_stored
from ...scoring.compare_rows import refuse_incomparable
from ...scoring.comparison import distinct_names
from ...scoring.detection import ScoredRows, load_rows
from ...scoring.given import Given, are_results, expand, is_named_data
from ...scoring.scored import Source
from .sheet import WIDTHS

KINDS = ("roc", "pr", "reliability", "histogram", "methods", "multiverse", "ranks", "curves")
GROUPED = ("roc", "pr", "reliability")


@dataclass(frozen=True)
class Options:
    """Options of a figure; see `plot`."""

    protocol: str | ProtocolCard | None = None
    dataset: str | DatasetCard | None = None
    split: str | None = None
    columns: ColumnNames | None = None
    group: str = OVERALL
    log_x: bool = False
    bands: bool = True
    metric: str | None = None
    width: str = "single"
    title: str = ""
    names: Sequence[str] = ()


def refuse_options(kind: str, options: Options) -> None:
    """Raise ScoreError for an unknown option, and for one without effect."""
    if kind not in KINDS:
        raise ScoreError(f"cannot plot '{kind}'{near(kind, KINDS)}")
    if options.width not in WIDTHS:
        raise ScoreError(f"--width {options.width}: give single (3.4 inches) or double (7)")
    limited = {
        "--group": (options.group != OVERALL, GROUPED),
        "--log-x": (options.log_x, ("roc",)),
        "--no-bands": (not options.bands, ("roc", "pr")),
        "--metric": (options.metric is not None, ("methods", "multiverse", "ranks", "curves")),
    }
    for option, (given, kinds) in limited.items():
        if given and kind not in kinds:
            raise ScoreError(f"{option} has no effect on {kind}, only on {', '.join(kinds)}: leave it out")
    of_rows = options.dataset is not None or bool(options.columns)
    if kind == "curves" and (of_rows or options.protocol is not None or options.split is not None):
        raise ScoreError("--protocol, --dataset, --split and --column have no meaning for curves: leave them out")
    if kind == "ranks" and of_rows:
        raise ScoreError("--dataset and --column have no meaning for ranks: give the results of several datasets")
    if kind == "reliability" and options.group == AVERAGE:
        raise ScoreError("a reliability diagram has no mean over methods: give --group METHOD, or leave --group out")


def results_of(place: Any) -> list[Result]:
    """Return the results in memory or at a path. Raises ScoreError for rows in memory."""
    if isinstance(place, (str, Path)):
        return read_results([user_path(place)])
    if isinstance(place, Result):
        return [place]
    if not are_results(place):
        raise ScoreError(f"ranks are drawn from results, not from a {type(place).__name__}: give those of run or score")
    return list(place)


def collect(places: Sequence[Any], options: Options) -> dict[str, ScoredRows]:
    """Return comparable rows by detector's name; a folder of runs stands for all its runs.

    Raises ScoreError, with the fields that differ, if they are not comparable.
    """
    protocol, dataset, split = options.protocol, options.dataset, options.split
    wanted = {"dataset": name_of(dataset), "protocol": name_of(protocol), "split": split}
    source = Source(protocol, dataset, split or "test", columns=options.columns)
    several = [place if _holds_several(place) else None for place in places]
    alone = [place for place, group in zip(places, several, strict=True) if group is None]
    if options.names and len(alone) < len(places):
        raise ScoreError("names are for single detectors, but a folder or a list of results has names: leave them out")
    singles = iter(_by_place(alone, options))
    found: list[tuple[str, str, ScoredRows]] = []
    for group in several:
        if group is not None:
            loaded = [(str(run), load_rows(run)) for run in _runs(group, wanted)]
            found += [(own.detector, run, own) for run, own in loaded]
            continue
        for given in next(singles):
            own = load_rows(given.place, given.source(source))
            found.append((given.name or own.detector, str(given.place), own))
    names, runs, evidence = zip(*found, strict=True)
    named = dict(zip(distinct_names(names, runs), evidence, strict=True))
    (one, first), *others = named.items()
    for other, second in others:
        refuse_incomparable(one, first, other, second)
    return named


def _holds_several(place: Any) -> bool:
    """Return whether a place is a folder of runs, or a list of results that are on disk."""
    if not isinstance(place, (str, Path)):
        return are_results(place) and all(isinstance(one.kept, Path) for one in place)
    path = user_path(place)
    return path.is_dir() and not any((path / name).is_file() for name in (RESULT, PREDICTIONS))


def _by_place(places: Sequence[Any], options: Options) -> list[list[Given]]:
    """Return the detectors of each place; a mapping and a list of results have several."""
    given = iter(expand(places, options.names, options.columns))
    counts = [len(place) if is_named_data(place) or are_results(place) else 1 for place in places]
    return [[next(given) for _ in range(n)] for n in counts]


def name_of(card: str | DatasetCard | ProtocolCard | None) -> str | None:
    """Return the name of a card or of a reference to it; None without one. Raises ScoreError for anything else."""
    if card is not None and not isinstance(card, (str, Path)) and not hasattr(card, "name"):
        raise ScoreError(f"protocol or dataset is of type {type(card).__name__}: give its name, a path, or its card")
    return str(card) if isinstance(card, Path) else card if card is None or isinstance(card, str) else card.name


def _runs(several: Any, wanted: Mapping[str, str | None]) -> list[Path]:
    """Return the results with rows of one dataset, protocol and split in a folder or a list of results.

    Raises ScoreError if there are several datasets, protocols or splits.
    """
    if isinstance(several, (str, Path)):
        source, places = f"'{several}'", [Path(several).expanduser()]
    else:
        source, places = "the results", [given.place for given in expand([several]) if isinstance(given.place, Path)]
    known = [one for one in read_stored(places) if one.rows is not None and one.result.task == DETECTION]
    if not known:
        raise ScoreError(f"{source} holds no runs with their rows: give a folder that run wrote, or a file of rows")
    for key, name in wanted.items():
        kept = narrowed([stored.result for stored in known], key, name, source)
        known = [stored for stored in known if stored.result in kept]
    return [stored.path for stored in known]


def narrowed(results: Sequence[Result], key: str, wanted: str | None, source: str = "the results") -> list[Result]:
    """Return the results of one dataset, protocol or split. Raises ScoreError if there are several, or none."""
    names = sorted({str(getattr(result, key)) for result in results})
    if wanted is None and len(names) > 1:
        raise ScoreError(f"{source}: several {key}s, {', '.join(names)}: give --{key}")
    if wanted is not None and wanted not in names:
        raise ScoreError(f"{source}: no result of the {key} '{wanted}'{near(wanted, names)}")
    return [result for result in results if wanted is None or getattr(result, key) == wanted]
