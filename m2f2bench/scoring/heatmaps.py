"""Heat maps ready for scoring: stored rows with their protocol and signature; their result and its resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.folders import HEATMAPS
from ..cards.models import HeatMapCard
from ..core.errors import ScoreError
from ..core.files import user_path
from ..core.records import Score
from ..heatmaps import faithfulness_report, localization_report
from ..heatmaps.faithfulness_report import Faithfulness
from ..heatmaps.localization_report import Localization, masks_hash
from ..heatmaps.pixels import settings_of
from ..heatmaps.report import CONTROLS, LABELS, MappedFrame, MappedFrames, Measured, count_outcomes, refuse_nothing
from ..heatmaps.store import MapForm, maps_hash, read_maps
from ..metrics.names import Group
from ..results.result import Result
from ..results.signature import MAP, coverage_text, drawn_field, heat_map_fields
from ..results.store import MAPS
from ..results.stored import ResampledResult, stored_at, stored_card
from ..results.units import clusters
from .scored import COUNTED, Origin, Scored, ids_hash, stored_origin


@dataclass(frozen=True, eq=False)
class ScoredMaps(Scored):
    """One detector's mapped frames, in the order of the plan."""

    protocol: HeatMapCard
    rows: Sequence[MappedFrame]
    place: Measured
    """Where the rows come from, as reports take it."""

    @cached_property
    def report(self) -> Localization | Faithfulness:
        """The whole report, with every control and group."""
        if self.protocol.measure == "masks":
            return localization_report.summarise(self.rows, self.place)
        return faithfulness_report.summarise(self.rows, self.place, settings_of(self.protocol).fields)


def gather_maps(rows: Sequence[MappedFrame], protocol: HeatMapCard, origin: Origin, how: str = "") -> ScoredMaps:
    """Return the rows ready for scoring. Raises NothingJudged where no frame has a map."""
    refuse_nothing(f"{origin.by['det']} on {origin.data}", rows)
    by = {key: value for key, value in origin.by.items() if key != "cov"}
    measured = Measured(origin.data, origin.split, origin.limit, by, protocol.bootstrap, how, str(protocol.frames))
    frames = MappedFrames(rows, measured)
    codes, drawn_by = clusters(frames.judged.ordered(), protocol.bootstrap.cluster)
    drawn = drawn_field(drawn_by, codes.tolist())
    place, masks = (origin.data, origin.split, frames.fields["hash"]), masks_hash(rows)
    fields = heat_map_fields(*place, len(rows), protocol, origin.limit, drawn, masks, origin.crop)
    found = ScoredMaps(protocol, fields | by | {MAP: frames.map_field}, origin, rows, measured)
    found.measured["cov"] = coverage_text(_mapped_share(rows), found.report.coverage)
    return found


def load_maps(path: str | Path, protocol: HeatMapCard | None = None) -> ScoredMaps:
    """Return the rows of a run's folder or a result file, ready for scoring. Raises ScoreError in one line.

    `protocol` may differ from the run's own in metrics and bootstrap alone: the rows hold what its other keys gave.
    """
    place = user_path(path)
    stored = stored_at(place)
    if stored is None or stored.result.task != HEATMAPS:
        raise ScoreError(f"'{place}' is no run of heat maps: give the folder that run wrote under such a protocol")
    if stored.rows is None:
        raise ScoreError(f"'{place}' has no rows beside it ({MAPS}): nothing to score")
    own = stored_card(HeatMapCard, stored.result.protocol_card, stored.path)
    rules = own if protocol is None else protocol
    for key in ("measure", "frames", "steps", "area", "fills"):
        mine, theirs = getattr(rules, key), getattr(own, key)
        if mine != theirs:
            raise ScoreError(f"'{place}' has maps with {key}: {theirs}, not {mine}: run it again under '{rules.name}'")
    if rules.bootstrap.seed != own.bootstrap.seed:
        raise ScoreError(f"'{place}' has controls of seed {own.bootstrap.seed}: run it again under '{rules.name}'")
    rows = read_maps(stored.rows, MapForm.of(own))
    if maps_hash(rows, MapForm.of(own)) != stored.result.predictions:
        raise ScoreError(f"'{stored.rows}' does not hold the rows that '{stored.path}' was scored from: run it again")
    return gather_maps(rows, rules, stored_origin(stored), str(stored.result.measured.get(MAP, "")).partition("-")[2])


def score_maps(maps: ScoredMaps) -> Result:
    """Return the result of mapped frames: the protocol's metrics, by manipulation or label too, and the controls'."""
    report, names = maps.report, maps.protocol.metrics
    if isinstance(report, Localization):
        metrics, methods, labels = report.metrics, report.methods, {}
        controls, more = report.controls, {key: metrics[key] for key in ("mask_area", "iou_best_threshold")}
        details: dict[str, Any] = {"level": _json(report.level)}
    else:
        metrics, methods = report.metrics["all"], {}
        labels = {name: scores for name, scores in report.metrics.items() if name != "all"}
        controls = {name: groups["all"] for name, groups in report.controls.items()}
        more = {"called": metrics["called"]}
        details = {"faithful": report.faithful, "curves": report.curves, "groups": report.clusters["groups"]}
    details = {
        "controls": {name: _json(controls[name]) for name in CONTROLS},
        "more": _json(more),
        "outcomes": report.outcomes,
        "shapes": [list(shape) for shape in report.shapes],
        COUNTED: {"frames": ids_hash(row.frame.id for row in maps.rows if row.values)},
        **details,
    }
    n = report.clusters["n"]
    return maps.result(
        metrics={name: metrics[name] for name in names},
        methods={method: {name: found[name] for name in names} for method, found in methods.items()},
        labels={label: {name: found[name] for name in names} for label, found in labels.items()},
        coverage=report.coverage,
        frame_coverage=_mapped_share(maps.rows),
        statuses=count_outcomes(maps.rows),
        clusters={"by": report.clusters["by"], "n": n, "independent": n == len(maps.rows)},
        details=details,
        predictions=maps_hash(maps.rows, MapForm.of(maps.protocol)),
    )


def resampled_maps(maps: ScoredMaps) -> ResampledResult:
    """Return the result with the protocol's metrics in each resample, over all frames and, without masks, by label.

    Frames are taken in the order of their ids, so that detectors on the same frames get the same resamples.
    """
    frames = MappedFrames(sorted(maps.rows, key=lambda row: row.frame.id), maps.place)
    names = list(map(str, maps.protocol.metrics))
    if maps.protocol.measure == "masks":
        fakes = localization_report.estimate_fakes(frames, "detector").drawn.get(localization_report.ALL, {})
        draws = {Group(): {name: fakes[name] for name in names if fakes}}
    else:
        groups = {Group(): np.ones(len(frames.rows), bool)}
        groups |= {Group("labels", name): frames.label == label for name, label in LABELS}
        found = faithfulness_report.estimate_groups(frames, settings_of(maps.protocol).fields, groups).drawn
        draws = {group: {name: own[f"detector.{name}"] for name in names} for group, own in found.items()}
    return ResampledResult(score_maps(maps), draws)


def _json(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {name: score.to_json() for name, score in scores.items()}


def _mapped_share(rows: Sequence[MappedFrame]) -> float:
    """Return the share of planned frames that have a map."""
    return sum(row.level is not None for row in rows) / max(len(rows), 1)
