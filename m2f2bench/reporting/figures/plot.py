"""Figures for papers from stored rows: options, drawing, and the line at the foot."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cards.columns import Column
from ...cards.models import DatasetCard, LeaderboardCard, ProtocolCard, corpus_of
from ...core.arguments import checked
from ...core.errors import ScoreError, StoreError, near
from ...core.files import user_path
from ...leaderboards.table import build_table
from ...loading import load_metrics
from ...metrics.detection.intervals import pick_threshold
from ...metrics.detection.values import all_metrics
from ...metrics.names import AVERAGE, OVERALL
from ...metrics.registry import title as title_of
from ...results.columns import ColumnNames
from ...results.result import Result
from ...results.signature import DETECTOR, measure_signature, place_of, share, short
from ...scoring.detection import ScoredRows
from ...scoring.given import Data
from ...scoring.multiverse import multiverse
from ...stats.ranks import rank
from . import calibration, curves, methods, ranks, roc, ways
from .chosen import Options, collect, name_of, narrowed, refuse_options, results_of
from .file import FigureFile, figure_file, points
from .series import Series
from .sheet import SUFFIXES, WIDTHS, Page, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("m2f2bench")
HEADINGS = {
    "roc": "ROC curves",
    "pr": "precision-recall curves",
    "ranks": "mean ranks",
    "multiverse": "ways to evaluate",
}
MOST_NAMED = 8
"""Largest number of datasets named at the foot of `ranks`; the file's description has all."""


@dataclass(frozen=True)
class Drawing:
    """A figure, and the metadata of its file: a title, and the signatures of all results in it.

    `names` are the detectors' in their order; `ranks` their mean ranks, where these are drawn.
    """

    figure: Figure
    title: str
    signature: str
    names: tuple[str, ...] = ()
    ranks: tuple[float, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return the numbers that are drawn, see `FigureFile.to_pandas`; of ranks a row for each detector."""
        if not self.ranks:
            return points(self.figure, self.names)
        what = {"panel": 0, "part": "rank", "y": 0.0}
        return [{**what, "detector": name, "x": rank} for name, rank in zip(self.names, self.ranks, strict=True)]


@checked
def plot(
    kind: str,
    *places: Data | Mapping[str, Data],
    out: str | Path,
    protocol: str | ProtocolCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str | None = None,
    columns: ColumnNames | None = None,
    group: str = OVERALL,
    log_x: bool = False,
    bands: bool = True,
    metric: str | None = None,
    width: str = "single",
    title: str = "",
    names: Sequence[str] = (),
) -> FigureFile:
    """Draw a figure from stored rows, write it to `out` (.png, .pdf or .svg), and return the path.

    `kind` is `roc`, `pr`, `reliability`, `histogram`, `methods`, `multiverse`, `ranks` or `curves`. A place is a
    run's folder, a folder of runs, a file of rows, rows in memory or a result as `score` takes them, a mapping
    `{name: data}`, or the list that `run` returns; for `ranks` a result, a result file or a folder of them; for
    `curves` a training's folder, its `training.json`, or a folder of them. `names` name the detectors in order.
    `protocol`, `dataset`, `split` and `columns` are those of `score`; from a folder of runs they select runs. `group`
    draws one manipulation's fakes against all reals, or `average`. `metric` is for `methods`, `multiverse`, `ranks`
    and `curves` (there a quantity such as `lr`). `width` is `single` (3.4 inches) or `double` (7). The same rows give
    the same bytes. The path shows the figure in a notebook, and its `to_pandas()` returns the drawn numbers. Raises
    ScoreError, StoreError or DataError.
    """
    target = user_path(out)
    if target.suffix.lower() not in SUFFIXES:
        raise StoreError(f"--out {target}: its name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    options = Options(protocol, dataset, split, columns, group, log_x, bands, metric, width, title, tuple(names))
    drawing = draw(kind, *places, options=options)
    save(drawing.figure, target, drawing.signature, drawing.title)
    return figure_file(target, drawing.rows())


def draw(kind: str, *places: Data | Mapping[str, Data], options: Options | None = None) -> Drawing:
    """Draw the figure of `plot` without writing it; pyplot does not know this figure."""
    wanted = options or Options()
    if wanted.metric is not None:
        wanted = replace(wanted, metric=load_metrics([wanted.metric])[0])
    refuse_options(kind, wanted)
    if not places:
        raise ScoreError("a figure needs at least one place: a folder of a run, of runs or of a training, or a file")
    paths = [user_path(place) for place in places if isinstance(place, (str, Path))]
    for path in paths:
        if not path.exists():
            raise ScoreError(f"there is no file or folder '{path}'")
    with styled():
        if kind == "curves":
            if len(paths) < len(places):
                raise ScoreError("curves are drawn from a training's folder or its training.json: give their paths")
            return _curves(paths, wanted)
        if kind == "multiverse":
            return _multiverse(places, wanted)
        if kind == "ranks":
            return _ranks([result for place in places for result in results_of(place)], wanted)
        return _figure(kind, collect(places, wanted), wanted)


def _series(name: str, evidence: ScoredRows, group: str) -> Series:
    units = evidence.units
    if group not in (OVERALL, AVERAGE, *units.methods):
        raise ScoreError(f"'{group}' is not a method of these rows{near(group, [*units.methods, AVERAGE])}")
    policy, oracle = str(evidence.threshold["policy"]), bool(evidence.threshold["oracle"])
    threshold = (policy, pick_threshold(units, evidence.cut), oracle)
    return Series(name, units, evidence.cut, evidence.protocol.bootstrap, group, threshold)


def _figure(kind: str, evidence: Mapping[str, ScoredRows], options: Options) -> Drawing:
    series = [_series(name, own, options.group) for name, own in evidence.items()]
    first = next(iter(evidence.values()))
    banded = kind in ("roc", "pr") and options.bands and series[0].rules.resamples > 0
    page = _page(options, _foot(evidence, series, banded))
    if kind == "roc":
        figure = roc.draw_roc(series, page, options.log_x, options.bands)
    elif kind == "pr":
        figure = roc.draw_pr(series, page, options.bands)
    elif kind == "reliability":
        figure = calibration.draw_reliability(series, page)
    elif kind == "histogram":
        figure = calibration.draw_histogram(series, page)
    else:
        known = all_metrics(first.protocol.metrics, first.cut)
        if options.metric is not None and options.metric not in known:
            raise ScoreError(f"metric '{options.metric}' is not one of the protocol's{near(options.metric, known)}")
        figure = methods.draw_methods(series, page, options.metric or ("auc" if "auc" in known else known[0]))
    group = f", {options.group}" if options.group else ""
    signatures = [measure_signature(first.measured), *(short(own.measured, DETECTOR) for own in evidence.values())]
    title = options.title or f"{HEADINGS.get(kind, kind)} on {_place(first)}{group}"
    return Drawing(figure, title, "\n".join(signatures), tuple(evidence))


def _multiverse(places: Sequence[Any], options: Options) -> Drawing:
    metrics = [options.metric] if options.metric else []
    rules: dict[str, Any] = {"protocol": options.protocol, "dataset": options.dataset, "split": options.split or "test"}
    found = multiverse(*places, **rules, names=options.names, columns=options.columns, metrics=metrics)
    metric, place = found.metrics[0], place_of(found.dataset, found.split)
    foot = [place, f"protocol {found.protocol}", f"{len(found.universes)} ways to evaluate the same rows"]
    foot.append("lines: least to greatest, markers: mean, of all ways with a choice")
    fields = dict(part.split(":", 1) for part in found.signature.split("|") if ":" in part)
    foot += [f"{word} {fields[key]}" for word, key in (("data", "hash"), ("m2f2bench", "v")) if key in fields]
    figure = ways.draw_multiverse(found, _page(options, foot), metric)
    title = options.title or f"{HEADINGS['multiverse']} on {place}"
    signatures = [found.signature, *found.described.values()]
    return Drawing(figure, title, "\n".join(signatures), found.detectors)


def _page(options: Options, foot: Sequence[str]) -> Page:
    return Page(WIDTHS[options.width], options.title, tuple(foot))


def _place(evidence: ScoredRows) -> str:
    return place_of(str(evidence.measured["data"]), str(evidence.measured["split"]))


def _foot(evidence: Mapping[str, ScoredRows], series: Sequence[Series], banded: bool) -> list[str]:
    """Return the parts of the foot in order: dataset, protocol, units, clusters, bands, hash, version."""
    own, one = next(iter(evidence.values())), series[0]
    n_real, n_fake = one.n_units
    names = {"identity": "groups of people", "people": "people", "video": "videos", "frame": f"{own.protocol.level}s"}
    by = names[one.units.clustered_by]
    parts = [_place(own), f"protocol {own.protocol.name}"]
    if one.group == AVERAGE:
        parts.append(f"mean over {len(one.units.methods)} methods")
    elif one.group:
        parts.append(f"only fakes of {one.group}")
    parts.append(f"{n_real:,} real + {n_fake:,} fake {own.protocol.level}s")
    units, frames = (sorted({getattr(e.units, k) for e in evidence.values()}) for k in ("coverage", "frame_coverage"))
    for what, found in (("coverage", units), ("coverage of frames", [] if frames == units else frames)):
        if found and found[0] < 1.0:
            parts.append(f"{what} {' to '.join(map(share, dict.fromkeys((found[0], found[-1]))))}")
    parts.append(f"{one.units.n_clusters:,} clusters ({by})")
    if banded:
        parts.append(f"bands: {100 * one.rules.level:g}% at each point, {one.rules.resamples:,} resamples of clusters")
    return [*parts, f"data {own.measured['hash']}", f"m2f2bench {own.measured['v']}"]


def _ranks(results: Sequence[Result], options: Options) -> Drawing:
    chosen = narrowed(results, "split", options.split)
    chosen = narrowed(chosen, "protocol", name_of(options.protocol))
    metric = options.metric or ("auc" if "auc" in chosen[0].metrics else next(iter(chosen[0].metrics)))
    known = {name for result in chosen for name in result.metrics}
    if metric not in known:
        raise ScoreError(f"metric '{metric}' is not in the results{near(metric, known)}")
    about = ranks.metric_of_all(chosen, metric)
    specs = [
        Column(dataset=name, protocol=chosen[0].protocol, metric=metric, split=chosen[0].split)
        for name in sorted({result.dataset for result in chosen})
    ]
    table = build_table(chosen, LeaderboardCard(name="ranks", columns=tuple(specs) or (Column(dataset="none"),)))
    ranks.refuse_split(table, chosen)
    ranks.refuse_copies(chosen)
    names_of = [spec.dataset for spec in specs]
    complete, notes = ranks.complete_rows(table.rows, names_of)
    sources = {name: corpus_of(name) for name in names_of} | {r.dataset: r.source for r in chosen if r.source}
    values, same = ranks.joined(complete, names_of, sources)
    notes += same
    found = rank(values, about.lower_is_better)
    for note in notes:
        log.info(note)
    hashes = {r.dataset: str(r.measured.get("hash")) for r in chosen}
    data = [f"{name} {hashed}" for name, hashed in sorted(hashes.items())]
    more = [f"and {len(data) - MOST_NAMED} more"] if len(data) > MOST_NAMED else []
    versions = ", ".join(sorted({str(result.measured.get("v")) for result in chosen}))
    foot = [f"protocol {chosen[0].protocol}", f"{len(data)} datasets", *data[:MOST_NAMED], *more]
    foot.append(f"m2f2bench {versions}")
    figure = ranks.draw_ranks(
        [name for name, _ in complete], found, _page(options, foot), title_of(metric, about), notes
    )
    signatures = [*(column.signature for column in table.columns), *(row.signature for row in table.rows)]
    title, names = options.title or f"mean ranks by {title_of(metric, about)}", tuple(name for name, _ in complete)
    return Drawing(figure, title, "\n".join(signatures), names, tuple(map(float, found.ranks)))


def _curves(places: Sequence[Path], options: Options) -> Drawing:
    trainings = curves.read_trainings(places)
    facts = [{key: str(getattr(one, key)) for key in ("dataset", "stage", "data_fingerprint")} for one in trainings]
    apart = [key for key in ("stage", "dataset") if len({one[key] for one in facts}) > 1]
    names = [
        " · ".join([str(one.detector), *(own[key] for key in apart)]) for one, own in zip(trainings, facts, strict=True)
    ]
    twice = {name for name in names if names.count(name) > 1}
    labels = [
        f"{name} ({str(one.identity)[:8]})" if name in twice else name
        for name, one in zip(names, trainings, strict=True)
    ]
    foot = [f"{key} {facts[0][key]}" for key in ("dataset", "stage") if key not in apart]
    hashes = sorted({one["data_fingerprint"] for one in facts})
    versions = sorted({str((one.versions or {}).get("m2f2bench")) for one in trainings})
    foot += [f"data {', '.join(hashes)}", f"m2f2bench {', '.join(versions)}"]
    figure = curves.draw_curves(trainings, labels, _page(options, foot), options.metric)
    signature = "\n".join(one.signature for one in trainings)
    return Drawing(figure, options.title or "training curves", signature, tuple(labels))
