"""Faithfulness report: deletion and insertion results of a detector's heat maps over a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..cards.protocols import FAITHFULNESS_METRICS
from ..core.arrays import Bools
from ..core.records import FAKE, REAL, Score
from ..metrics.heatmaps import proven
from ..metrics.registry import metric_of, title
from ..results.units import FEWEST_CLUSTERS
from ..stats.statistic import Estimate, G, Statistic, mean_of
from .report import CONTROLS, MappedFrame, MappedFrames, MapReport, Measured, shown

CURVES = tuple(name for name in FAITHFULNESS_METRICS if name != "drop")
"""Pixels removed (`deletion`) or put back (`insertion`); the fill is the blurred picture or its mean colour."""
MEASURES = FAITHFULNESS_METRICS
"""Areas under the curves, and the decrease of the score when the highest part of the map is blurred."""
GROUPS = ("all", "called_fake", "called_real", "fake", "real")
"""All frames; those with P(fake) of at least 0.5, and the others; fake frames, and real ones."""
REFERENCE = "random"
"""The control that a faithful map must beat: noise on a grid as coarse as the map's."""
SIGNED = ("data", "split", "hash", "n", "frames", "ci", "limit", "v", "det", "weights", "prep", "prec", "seed", "env")
SIGNED_MAPS = ("map", "steps", "area", "blur", "fills")


@dataclass(frozen=True)
class Faithfulness(MapReport):
    """How well one detector's heat maps show which pixels decide its scores, over one dataset.

    The score is that of the predicted class: P(fake) if it is at least 0.5, else 1 - P(fake). `metrics` hold, by group
    (GROUPS), that score as `called`, the detector's areas under the curves (MEASURES; lower is better for deletion,
    higher for insertion) and `drop`, the decrease of the score when the highest `area` of the map is blurred.
    `controls` hold the same by control and group, with the detector's value minus the control's as
    `<measure>_less_control`, whose intervals are over the differences per frame. `curves` are the mean scores by group,
    curve and maker. `faithful` lists, by group, the measures at which the map is `better` and `worse` than the random
    one with an interval that excludes 0; if no measure is better, nothing shows that the maps are faithful. `coverage`
    is the share of planned frames with a map and scores. A frame whose map is missing or zero everywhere counts as with
    the random map; where scores are missing, the detector minus a control is 0, and all other values are unknown.
    `clusters` also count the clusters of each group; `passes` is the number of pictures that were judged.
    """

    metrics: dict[str, dict[str, Score]]
    controls: dict[str, dict[str, dict[str, Score]]]
    faithful: dict[str, dict[str, list[str]]]
    curves: dict[str, dict[str, dict[str, list[float]]]]
    passes: int

    KEYS: ClassVar[tuple[str, ...]] = (
        *("detector", "dataset", "split", "metrics", "controls", "faithful", "curves", "coverage", "outcomes"),
        *("shapes", "passes", "clusters", "signature", "measured", "versions"),
    )
    TITLE: ClassVar[str] = "Faithfulness of heat maps"
    SILENT_AS: ClassVar[str] = "with the random map"
    LACKING: ClassVar[str] = "curve"

    def _values(self, row: MappedFrame) -> dict[str, Any]:
        return {"score": row.score, "values": row.values}

    def _tables(self) -> list[list[list[str]]]:
        """Return the tables; a star means better than the control, with an interval that excludes 0."""
        drop = {"drop": f"drop, top {self.measured['area']:g}"}
        heads = {name: title(name) for name in self._names() if name in CURVES} | drop
        own = [["frames", "n", "score of the call", *heads.values()]]
        less = [["frames", "detector less control", *heads.values()]]
        for group, found in self._groups().items():
            own.append([group, str(_count(found)), *(shown(found[name]) for name in ("called", *heads))])
            for control, groups in self.controls.items():
                cells = [(name, groups[group][f"{name}_less_control"]) for name in heads]
                enough = self.clusters["groups"][group] >= FEWEST_CLUSTERS
                stars = [
                    " *" if enough and proven(metric_of(name).lower_is_better, one.ci) else "" for name, one in cells
                ]
                less.append(
                    [group, control, *(shown(one, "+.3f") + s for (_, one), s in zip(cells, stars, strict=True))]
                )
        return [own, less]

    def _first_notes(self) -> list[str]:
        lines = ["less is better for deletion, more for insertion and drop; *: better, and the interval excludes 0"]
        for group in self._groups():
            better, worse = (", ".join(self.faithful[group][side]) for side in ("better", "worse"))
            said = f"better by {better}" if better else "nothing shows that the maps are faithful"
            if self.clusters["groups"][group] < FEWEST_CLUSTERS:
                said = f"of {self.clusters['groups'][group]} clusters nothing is said, it takes {FEWEST_CLUSTERS}"
            lines.append(f"{group}, against the random map: {said}{f'; worse by {worse}' * bool(worse)}")
        n_intervals = len(self._names()) * len(self._groups())
        lines.append(f"that is {n_intervals} intervals; none is made wider for their number")
        lines.append("a map says what speaks for a fake: of frames called real it is not meant to show the reason")
        lines.append("constant: pixels in random order, which brings in fine noise as no coarse map does")
        n = sum(sum(counts.values()) for counts in self.outcomes.values())
        own = sum(counts.get("ok", 0) for counts in self.outcomes.values())
        lines.append(f"coverage {self.coverage:.4g}: {own} of {n} frames have a map and scores")
        return lines

    def _names(self) -> list[str]:
        """Return the MEASURES that were measured."""
        return [name for name in MEASURES if name in self.metrics["all"]]

    def _all_groups(self) -> Mapping[str, Mapping[str, Score]]:
        """Return the groups, and each control's as `CONTROL: GROUP`."""
        apart = {f"{name}: {group}": own for name, found in self.controls.items() for group, own in found.items()}
        return {**self.metrics, **apart}

    def _groups(self) -> Mapping[str, Mapping[str, Score]]:
        """Return the groups that have frames, and all frames."""
        return {group: found for group, found in self.metrics.items() if group == "all" or _count(found)}


def _count(found: Mapping[str, Score]) -> int:
    return found["called"].n_real + found["called"].n_fake


def summarise(
    rows: Sequence[MappedFrame], origin: Measured, settings: Mapping[str, Any], passes: int = 0
) -> Faithfulness:
    """Return the report of mapped frames, which are in the order of the plan.

    `settings` are the signature's fields of the test (`steps`, `area`, `blur`), `passes` counts the pictures judged.
    """
    frames = MappedFrames(rows, origin)
    groups = _frame_groups(frames)
    curves = [name for name in measures_by(settings) if name in CURVES]
    found = estimate_groups(frames, settings, groups).scores
    used = np.array([bool(row.values) for row in rows])
    held = {group: len(np.unique(frames.cluster[kept & used])) for group, kept in groups.items()}
    controls = {name: {group: _part(found[group], f"{name}.") for group in groups} for name in CONTROLS}
    measured = {**frames.fields, **origin.by, "map": frames.map_field, **settings}
    return Faithfulness(
        **frames.common(measured, (*SIGNED, *SIGNED_MAPS)),
        metrics={group: _part(found[group], "detector.") for group in groups},
        controls=controls,
        faithful={group: _compared(one, held[group]) for group, one in controls[REFERENCE].items()},
        curves={group: _mean_curves(rows, kept, curves) for group, kept in groups.items()},
        coverage=sum(row.outcome == "ok" for row in rows) / max(len(rows), 1),
        passes=passes,
        clusters={"by": frames.drawn_by, "n": frames.n_clusters, "groups": held},
    )


def estimate_groups(frames: MappedFrames, settings: Mapping[str, Any], groups: Mapping[G, Bools]) -> Estimate[G]:
    """Return every statistic of every group of frames."""
    return frames.estimate(statistics(frames, settings), groups)


def _frame_groups(frames: MappedFrames) -> dict[str, Bools]:
    """Return GROUPS as masks, bool [N]; a frame without a score is in neither group of calls."""
    score = np.array([np.nan if row.score is None else row.score for row in frames.rows], dtype=np.float64)
    label = frames.label
    masks = (np.ones(len(label), bool), score >= 0.5, score < 0.5, label == FAKE, label == REAL)
    return dict(zip(GROUPS, masks, strict=True))


def statistics(frames: MappedFrames, settings: Mapping[str, Any]) -> dict[str, Statistic]:
    """Return means over frames, by `maker.measure`: every maker's values, and the detector's minus each control's.

    Where the detector gave no scores, these differences are 0: a detector must gain nothing by failing.
    """
    rows = frames.rows
    known = any(row.values for row in rows)
    failed = np.array([known and row.outcome == "error" and not row.values for row in rows])
    found: dict[str, Statistic] = {"detector.called": mean_of(frames.column("detector", "called"))}
    for name in measures_by(settings):
        ends = (0.0, 1.0) if name in CURVES else None
        own = frames.column("detector", name)
        found[f"detector.{name}"] = mean_of(own, ends)
        for control in CONTROLS:
            theirs = frames.column(control, name)
            found[f"{control}.{name}"] = mean_of(theirs, ends)
            found[f"{control}.{name}_less_control"] = mean_of(np.where(failed, 0.0, own - theirs), None)
    return found


def measures_by(settings: Mapping[str, Any]) -> list[str]:
    """Return the MEASURES that exist for the fills in the signature's fields of the test."""
    fills = tuple(str(settings.get("fills", "blur+mean")).split("+"))
    return [name for name in MEASURES if name == "drop" or name.endswith(fills)]


def _part(found: Mapping[str, Score], prefix: str) -> dict[str, Score]:
    return {name.removeprefix(prefix): score for name, score in found.items() if name.startswith(prefix)}


def _compared(scores: Mapping[str, Score], held: int) -> dict[str, list[str]]:
    """Return the measures at which the detector's map is significantly better, and worse, than this control's.

    A group of few clusters (`held`) gets none, since its intervals are much too narrow."""
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for name in MEASURES if held >= FEWEST_CLUSTERS else ():
        if f"{name}_less_control" not in scores:
            continue
        ci, low = scores[f"{name}_less_control"].ci, metric_of(name).lower_is_better
        found["better"] += [name] if proven(low, ci) else []
        found["worse"] += [name] if proven(not low, ci) else []
    return found


def _mean_curves(rows: Sequence[MappedFrame], kept: Bools, curves: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    used = [row.curves for row, is_in in zip(rows, kept.tolist(), strict=True) if is_in and row.curves]
    if not used:
        return {}
    means = {who: np.mean([steps[who] for steps in used], axis=0) for who in used[0]}
    return {name: {who: [float(v) for v in mean[i]] for who, mean in means.items()} for i, name in enumerate(curves)}
