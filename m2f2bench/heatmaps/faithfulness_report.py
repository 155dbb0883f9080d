"""What taking pixels away by a heat map's order did to a detector's score, in sum; as JSON and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.protocols import Bootstrap
from ..core import markdown
from ..core.records import FAKE, REAL, Score
from ..core.rows import from_predictions
from ..metrics.detection.intervals import FEW_CLUSTERS
from ..metrics.heatmaps.faithfulness import proven
from ..metrics.registry import lower_is_better
from ..results.signature import short
from ..results.units import FEWEST_CLUSTERS, clusters
from ..stats.bootstrap import Resampling
from ..stats.statistic import Statistic, estimate, mean_of
from .localization_report import (
    CONTROLS,
    MappedFrame,
    as_prediction,
    listed,
    map_field,
    map_shapes,
    map_versions,
    measured_fields,
    shown,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats

CURVES = ("deletion_blur", "deletion_mean", "insertion_blur", "insertion_mean")
"""Pixels taken away (`deletion`) or put back (`insertion`), against the picture blurred or in its own mean colour."""
MEASURES = (*CURVES, "drop")
"""Areas under the curves, and what the score loses when the highest part of the map is blurred."""
GROUPS = ("all", "called_fake", "called_real", "fake", "real")
"""All frames; those with P(fake) at least 0.5 and the others; those that are fake and real."""
REFERENCE = "random"
"""The control that a faithful map must beat: noise on a grid as coarse as the map's."""
OUTCOMES = ("ok", "unreadable", "error", "zero_map")
"""What becomes of a frame. With a map that is zero everywhere or is not there (`error`) it counts as with the random
one; where the scores are not there (`error`, too) the detector's less a control's is 0, and all else is not known."""
SIGNED = ("data", "split", "hash", "n", "frames", "ci", "limit", "v", "det", "weights", "prep", "prec", "seed", "env")
SIGNED_MAPS = ("map", "steps", "area", "blur")
HEADS = {name: name.replace("_", ", ") for name in CURVES}


@dataclass
class TestedFrame(MappedFrame):
    """One planned frame: what became of it (see OUTCOMES), P(fake), and what its map and the controls come to.

    `values` hold MEASURES by who made the map (`detector`, CONTROLS); `steps` the scores along each curve of CURVES,
    float64 [4, steps + 1], by the same.
    """

    __test__ = False

    score: float | None = None
    steps: dict[str, Floats] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object with all makers' values."""
        frame = self.frame
        out = {"frame": frame.id, "video": frame.video, "method": frame.method, "label": frame.label}
        out |= {"outcome": self.outcome, "score": self.score, "values": self.values}
        return out | ({"message": self.message} if self.message else {})


@dataclass(frozen=True)
class Faithfulness:
    """How far one detector's heat maps show what its scores rest on, over one dataset.

    The score followed is that of the class that the detector called: P(fake) from 0.5 on, else 1 - P(fake). `metrics`
    hold by group (GROUPS) that score as `called`, the detector's areas under the curves (MEASURES; for deletion less is
    better, for insertion more) and `drop`, what the score loses when the highest `area` of the map is blurred.
    `controls` hold the same by control and group, with the detector's less the control's as `<measure>_less_control`,
    whose intervals are over differences of each frame. `curves` are the mean scores by group, curve and maker.
    `faithful` lists by group the measures at which the map is `better` and `worse` than the random one with an interval
    that excludes 0: without a better one nothing shows that the maps are faithful. `coverage` is the share of planned
    frames with a map and scores (see OUTCOMES), `clusters` say what the bootstrap draws as one, and how many of them
    each group has.
    """

    detector: str
    dataset: str
    split: str
    metrics: dict[str, dict[str, Score]]
    controls: dict[str, dict[str, dict[str, Score]]]
    faithful: dict[str, dict[str, list[str]]]
    curves: dict[str, dict[str, dict[str, list[float]]]]
    coverage: float
    outcomes: dict[str, dict[str, int]]
    shapes: tuple[tuple[int, int], ...]
    passes: int
    clusters: dict[str, Any]
    signature: str
    measured: dict[str, Any]
    versions: dict[str, str]
    frames: tuple[TestedFrame, ...]

    def to_json(self, frames: bool = False) -> dict[str, Any]:
        """As a JSON-ready dictionary; with `frames`, every frame's outcome and values too."""

        def scores(groups: Mapping[str, Mapping[str, Score]]) -> dict[str, Any]:
            return {group: {name: one.to_json() for name, one in found.items()} for group, found in groups.items()}

        out = {
            "detector": self.detector,
            "dataset": self.dataset,
            "split": self.split,
            "metrics": scores(self.metrics),
            "controls": {name: scores(groups) for name, groups in self.controls.items()},
            "faithful": self.faithful,
            "curves": self.curves,
            "coverage": self.coverage,
            "outcomes": self.outcomes,
            "shapes": [list(shape) for shape in self.shapes],
            "passes": self.passes,
            "clusters": self.clusters,
            "signature": self.signature,
            "measured": self.measured,
            "versions": self.versions,
        }
        return out | ({"frames": [row.to_json() for row in self.frames]} if frames else {})

    def markdown(self) -> str:
        """The tables, and what is to be known of them. A star: better than the control, and the interval excludes 0."""
        drop = f"drop, top {self.measured['area']:g}"
        own = [["frames", "n", "score of the call", *HEADS.values(), drop]]
        less = [["frames", "detector less control", *HEADS.values(), drop]]
        for group, found in self._filled().items():
            own.append([group, str(_count(found)), *(shown(found[name]) for name in ("called", *MEASURES))])
            for control, groups in self.controls.items():
                cells = [(name, groups[group][f"{name}_less_control"]) for name in MEASURES]
                enough = self.clusters["groups"][group] >= FEWEST_CLUSTERS
                stars = [" *" if enough and proven(lower_is_better(name), one.ci) else "" for name, one in cells]
                less.append(
                    [group, control, *(shown(one, "+.3f") + s for (_, one), s in zip(cells, stars, strict=True))]
                )
        head = f"## Faithfulness of heat maps of {self.detector} on {self.dataset}, {self.split}\n\n"
        notes = "".join(f"- {line}\n" for line in self._notes())
        return f"{head}{markdown.table(own)}\n{markdown.table(less)}\n{notes}"

    def _notes(self) -> list[str]:
        lines = ["less is better for deletion, more for insertion and drop; *: better, and the interval excludes 0"]
        for group in self._filled():
            better, worse = (", ".join(self.faithful[group][side]) for side in ("better", "worse"))
            said = f"better by {better}" if better else "nothing shows that the maps are faithful"
            if self.clusters["groups"][group] < FEWEST_CLUSTERS:
                said = f"of {self.clusters['groups'][group]} clusters nothing is said, it takes {FEWEST_CLUSTERS}"
            lines.append(f"{group}, against the random map: {said}{f'; worse by {worse}' * bool(worse)}")
        n_intervals = len(MEASURES) * len(self._filled())
        lines.append(f"that is {n_intervals} intervals; none is made wider for their number")
        lines.append("a map says what speaks for a fake: of frames called real it is not meant to show the reason")
        lines.append("constant: pixels in random order, which brings in fine noise as no coarse map does")
        n = sum(sum(counts.values()) for counts in self.outcomes.values())
        own = sum(counts.get("ok", 0) for counts in self.outcomes.values())
        lines.append(f"coverage {self.coverage:.4g}: {own} of {n} frames have a map and scores")
        silent = [row for row in self.frames if row.values and row.outcome != "ok"]
        lines += [f"{listed(silent)}: they count as with the random map"] if silent else []
        for label, number in (("fake", FAKE), ("real", REAL)):
            rest = [r for r in self.frames if r.frame.label == number and r.outcome != "ok" and not r.values]
            lines += [f"{label} frames that do not count: {listed(rest)}"] if rest else []
        failed = next((row for row in self.frames if row.message), None)
        lines += [f"first without a curve: {failed.frame.id} ({failed.message})"] if failed else []
        held = self.clusters["n"]
        what = {"identity": "groups of people", "video": "videos", "frame": "frames"}[self.clusters["by"]]
        lines.append(f"intervals: {self.measured['ci']}; {held:,} {what} are drawn, the same for all that is compared")
        lines += [f"{held} are few: resampling them makes intervals too narrow"] if 1 < held < FEW_CLUSTERS else []
        return [*lines, *self._reasons(), f"`{self.signature}`"]

    def _filled(self) -> dict[str, dict[str, Score]]:
        """The groups that have frames."""
        return {group: found for group, found in self.metrics.items() if group == "all" or _count(found)}

    def _reasons(self) -> list[str]:
        """Why values or intervals are missing, each reason once with the groups where it holds."""
        places: dict[str, list[str]] = {}
        for group, found in self._filled().items():
            for reason in dict.fromkeys(score.reason for score in found.values() if score.reason):
                places.setdefault(reason, []).append(group)
        return [f"{', '.join(names)}: {reason}" for reason, names in places.items()]

    def _repr_markdown_(self) -> str:
        return self.markdown()


def _count(found: Mapping[str, Score]) -> int:
    return found["called"].n_real + found["called"].n_fake


def summarise(
    rows: Sequence[TestedFrame],
    *,
    dataset: str,
    split: str,
    limit: int | None,
    by: Mapping[str, Any],
    settings: Mapping[str, Any],
    bootstrap: Bootstrap,
    how: str = "",
    passes: int = 0,
) -> Faithfulness:
    """The report of tested frames. `by` are the signature's fields of the detector, `settings` those of the test
    (`steps`, `area`, `blur`), `how` says how maps are made where they are not its own, `passes` counts pictures judged.
    """
    judged = from_predictions(as_prediction(one) for one in rows)
    cluster, what = clusters(judged, bootstrap.cluster)
    n_clusters = int(cluster.max()) + 1
    measured = {
        **measured_fields(judged, dataset=dataset, split=split, limit=limit, bootstrap=bootstrap),
        **by,
        "map": map_field(map_shapes(rows), how),
        **settings,
    }
    label = np.array([row.frame.label for row in rows], dtype=np.int64)
    groups = _groups(rows, label)
    statistics = _statistics(rows)
    resampling = Resampling(bootstrap.resamples, bootstrap.seed, bootstrap.level)
    found = {
        group: {name: _of_frames(score) for name, score in scores.items()}
        for group, scores in estimate(statistics, groups, label, cluster, n_clusters, resampling).scores.items()
    }
    used = np.array([bool(row.values) for row in rows])
    held = {group: len(np.unique(cluster[kept & used])) for group, kept in groups.items()}
    controls = {name: {group: _part(found[group], f"{name}.") for group in groups} for name in CONTROLS}
    return Faithfulness(
        detector=str(by["det"]),
        dataset=dataset,
        split=split,
        metrics={group: _part(found[group], "detector.") for group in groups},
        controls=controls,
        faithful={group: _compared(one, held[group]) for group, one in controls[REFERENCE].items()},
        curves={group: _mean_curves(rows, kept) for group, kept in groups.items()},
        coverage=sum(row.outcome == "ok" for row in rows) / max(len(rows), 1),
        outcomes={name: _outcomes(rows, one) for name, one in (("fake", FAKE), ("real", REAL))},
        shapes=map_shapes(rows),
        passes=passes,
        clusters={"by": what, "n": n_clusters, "groups": held},
        signature=short(measured, (*SIGNED, *SIGNED_MAPS)),
        measured=measured,
        versions=map_versions(how),
        frames=tuple(rows),
    )


def _groups(rows: Sequence[TestedFrame], label: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.bool_]]:
    """GROUPS as masks [N]; of frames without a score neither call."""
    score = np.array([np.nan if row.score is None else row.score for row in rows], dtype=np.float64)
    masks = (np.ones(len(rows), bool), score >= 0.5, score < 0.5, label == FAKE, label == REAL)
    return dict(zip(GROUPS, masks, strict=True))


def _statistics(rows: Sequence[TestedFrame]) -> dict[str, Statistic]:
    """Means over frames, by `maker.measure`: every maker's values, and the detector's less each control's.

    Where the detector gave no scores its map is no better than any control: to fail must not pay.
    """
    known = any(row.values for row in rows)
    failed = np.array([known and row.outcome == "error" and not row.values for row in rows])

    def column(who: str, name: str) -> Floats:
        return np.array([row.values.get(who, {}).get(name, np.nan) for row in rows], dtype=np.float64)

    found: dict[str, Statistic] = {"detector.called": mean_of(column("detector", "called"))}
    for name in MEASURES:
        ends = (0.0, 1.0) if name in CURVES else None
        own = column("detector", name)
        found[f"detector.{name}"] = mean_of(own, ends)
        for control in CONTROLS:
            theirs = column(control, name)
            found[f"{control}.{name}"] = mean_of(theirs, ends)
            found[f"{control}.{name}_less_control"] = mean_of(np.where(failed, 0.0, own - theirs), None)
    return found


def _of_frames(score: Score) -> Score:
    return Score(None, score.n_real, score.n_fake, reason="no frame has a value") if score.value is None else score


def _part(found: Mapping[str, Score], prefix: str) -> dict[str, Score]:
    return {name.removeprefix(prefix): score for name, score in found.items() if name.startswith(prefix)}


def _compared(scores: Mapping[str, Score], held: int) -> dict[str, list[str]]:
    """The measures at which the detector's map is better, and worse, than this control's for sure; none in a group of
    few clusters (`held`), whose intervals are far too narrow."""
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for name in MEASURES if held >= FEWEST_CLUSTERS else ():
        ci, low = scores[f"{name}_less_control"].ci, lower_is_better(name)
        found["better"] += [name] if proven(low, ci) else []
        found["worse"] += [name] if proven(not low, ci) else []
    return found


def _mean_curves(rows: Sequence[TestedFrame], kept: npt.NDArray[np.bool_]) -> dict[str, dict[str, list[float]]]:
    used = [row.steps for row, is_in in zip(rows, kept.tolist(), strict=True) if is_in and row.steps]
    if not used:
        return {}
    means = {who: np.mean([steps[who] for steps in used], axis=0) for who in used[0]}
    return {name: {who: [float(v) for v in mean[i]] for who, mean in means.items()} for i, name in enumerate(CURVES)}


def _outcomes(rows: Sequence[TestedFrame], label: int) -> dict[str, int]:
    counts = {name: sum(r.outcome == name for r in rows if r.frame.label == label) for name in OUTCOMES}
    return {name: n for name, n in counts.items() if n}
