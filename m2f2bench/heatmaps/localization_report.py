"""Localization report: heat maps compared with true masks, overall, by manipulation, and with controls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core.records import FAKE, REAL, Score
from ..metrics.heatmaps import GRID, MEASURES, thresholds
from ..metrics.registry import title
from ..stats.statistic import Columns, Estimate, Statistic
from .report import CONTROLS, MappedFrame, MappedFrames, MapReport, Measured, shown

RULE = "pointing and IoU 0, energy the mask's area, pixel AUC .5"
SIGNED = (
    *("data", "split", "hash", "masks", "n", "frames", "ci", "limit", "v"),
    *("det", "weights", "prep", "prec", "seed", "env", "map"),
)
MEANS = ("energy_in_mask", "mask_area", "energy_above_area", "pointing", "iou", "pixel_auc")
REPORTED = (*MEANS[:2], "energy_difference", "energy_ratio", *MEANS[2:])
"""Metrics of all fakes and of each manipulation's, in addition to `iou_best` and `iou_best_threshold`."""
CURVE = tuple(f"iou@{place}" for place in range(GRID))
"""Columns of the IoU at each threshold."""
AGAINST = {
    "energy_in_mask": "detector_less_control",
    "pointing": "pointing_less_control",
    "iou": "iou_less_control",
    "pixel_auc": "pixel_auc_less_control",
}
"""Measures of which the control's value is subtracted from the detector's, and the name of the difference."""
ALL = ""
"""The group of all frames; no manipulation has this name."""
LEVELS = ("real", "fake", "difference")
TABLES = (
    ("energy_in_mask", "mask_area", "energy_difference", "energy_ratio", "energy_above_area"),
    ("pointing", "iou", "iou_best", "iou_best_threshold", "pixel_auc"),
)
"""Columns of the two tables of fakes."""
CONTROL_TABLE = (
    "energy_in_mask",
    "detector_less_control",
    "pointing",
    "iou",
    "iou_less_control",
    "pixel_auc",
    "pixel_auc_less_control",
)
"""Columns of the table of controls."""
SHORT = {
    "mask_area": "mask area",
    "energy_difference": "difference",
    "energy_ratio": "ratio",
    "energy_above_area": "above area",
    "iou_best_threshold": "its threshold",
    **dict.fromkeys(AGAINST.values(), "detector less control"),
}
"""Headings of columns; of all others the metric's title."""
FORMS = {"energy_difference": "+.3f", "energy_ratio": ".2f", "iou_best_threshold": ".2f"}


@dataclass(frozen=True)
class Localization(MapReport):
    """How well one detector's heat maps find the manipulated pixels of one dataset.

    `metrics` hold, over the fakes that count: `energy_in_mask`, `mask_area` (what a constant map gets),
    `energy_difference` and `energy_ratio` of the two, `energy_above_area` (share of the fakes whose energy exceeds
    their mask's area), `pointing`, `iou` at half of the map's highest value, `pixel_auc`, and `iou_best`, the mean IoU
    at the one threshold that is best for all these frames, which makes it an oracle, with that `iou_best_threshold` (a
    share of the map's highest value); `methods` the same by manipulation. `controls` hold them by control, with
    `detector_less_control`, the detector's energy minus the control's, and `pointing_less_control`, `iou_less_control`,
    `pixel_auc_less_control`. `level` is the maps' mean value on `real` and `fake` frames and their `difference`.
    `coverage` is the share of planned fakes with a map that is not zero and that covers some of their mask.
    """

    metrics: dict[str, Score]
    methods: dict[str, dict[str, Score]]
    controls: dict[str, dict[str, Score]]
    level: dict[str, Score]

    KEYS: ClassVar[tuple[str, ...]] = (
        *("detector", "dataset", "split", "metrics", "methods", "controls", "level", "coverage", "outcomes", "shapes"),
        *("clusters", "signature", "measured", "versions"),
    )
    TITLE: ClassVar[str] = "Heat maps"
    SILENT_AS: ClassVar[str] = f"maps that say nothing ({RULE})"
    LACKING: ClassVar[str] = "map"

    @property
    def scaled(self) -> bool:
        """Return whether these are class activation maps: each is divided by its own highest value."""
        return "-" in self.measured["map"]

    def _values(self, row: MappedFrame) -> dict[str, Any]:
        """Return the level and the detector's measures; the controls' can be computed again from the seed."""
        return {"level": row.level, **row.values.get("detector", {})}

    def _tables(self) -> list[list[list[str]]]:
        groups = {"all": self.metrics, **(self.methods if len(self.methods) > 1 else {})}
        tables = []
        for columns in TABLES:
            lines = [["fakes", "frames", *map(_heading, columns)]]
            lines += [
                [name, str(found["energy_in_mask"].n_fake), *_cells(found, columns)] for name, found in groups.items()
            ]
            tables.append(lines)
        against = [["control", *map(_heading, CONTROL_TABLE)]]
        against += [[name, *_cells(found, CONTROL_TABLE)] for name, found in self.controls.items()]
        return [*tables, against]

    def _first_notes(self) -> list[str]:
        real, fake, difference = (self.level[name] for name in LEVELS)
        return [
            f"mean map value: {shown(fake)} on {fake.n_fake} fakes, {shown(real)} on {real.n_real} reals, "
            f"difference {shown(difference, '+.3f')}",
            *(["each map is scaled by its own highest value: its mean value is no score"] if self.scaled else []),
            f"coverage {self.coverage:.4g}: {self.outcomes['fake'].get('ok', 0)} of "
            f"{sum(self.outcomes['fake'].values())} fakes have a map that says something of their mask",
        ]

    def _groups(self) -> Mapping[str, Mapping[str, Score]]:
        return {"all": self.metrics, **self.methods, **self.controls, "mean map value": self.level}


def _heading(column: str) -> str:
    return SHORT.get(column) or title(column)


def _cells(found: Mapping[str, Score], columns: Iterable[str]) -> list[str]:
    return [shown(found[name], "+.3f" if "_less_" in name else FORMS.get(name, ".3f")) for name in columns]


def summarise(rows: Sequence[MappedFrame], origin: Measured) -> Localization:
    """Return the report of frames that were compared with their masks, in the order of the plan."""
    frames = MappedFrames(rows, origin)
    methods = sorted({row.frame.method for row in rows if row.frame.label == FAKE})
    own = estimate_fakes(frames, "detector", methods).scores
    measured = {**frames.fields, "masks": masks_hash(rows), **origin.by, "map": frames.map_field}
    planned = [row for row in rows if row.frame.label == FAKE]
    return Localization(
        **frames.common(measured, SIGNED),
        metrics=own[ALL],
        methods={method: own[method] for method in methods},
        controls={name: estimate_fakes(frames, name).scores[ALL] for name in CONTROLS},
        level=_levels(frames),
        coverage=sum(row.outcome == "ok" for row in planned) / max(len(planned), 1),
        clusters={"by": frames.drawn_by, "n": frames.n_clusters},
    )


def estimate_fakes(frames: MappedFrames, who: str, methods: Sequence[str] = ()) -> Estimate[str]:
    """Return the metrics of one maker's maps: over all fakes (ALL), and over each manipulation's."""
    fake = frames.label == FAKE
    named = np.array([row.frame.method for row in frames.rows], dtype=object)
    return frames.estimate(statistics(frames, who), {ALL: fake} | {one: fake & (named == one) for one in methods})


def statistics(frames: MappedFrames, who: str) -> dict[str, Statistic]:
    """Return REPORTED and the best IoU of one maker's maps; for a control also the detector's values minus its own."""
    columns = {name: frames.column(who, name) for name in MEASURES}
    curves = np.stack([row.curves.get(who, np.full(GRID, np.nan)) for row in frames.rows])
    columns |= dict(zip(CURVE, curves.T, strict=True))
    if who in CONTROLS:
        columns |= {f"own {name}": frames.column("detector", name) for name in AGAINST}
    table = Columns(columns)
    area = ("energy_in_mask", "mask_area")
    against = {"energy_difference": table.difference(*area), "energy_ratio": table.ratio(*area)}
    found: dict[str, Statistic] = {name: against[name] if name in against else table.mean(name) for name in REPORTED}
    found |= {"iou_best": table.best(CURVE), "iou_best_threshold": table.best_at(CURVE, thresholds())}
    if who in CONTROLS:
        found |= {key: table.difference(f"own {name}", name) for name, key in AGAINST.items()}
    return found


def _levels(frames: MappedFrames) -> dict[str, Score]:
    """Return LEVELS over every frame with a map, with or without a mask."""
    level = np.array([np.nan if row.level is None else row.level for row in frames.rows], dtype=np.float64)
    real = frames.label == REAL
    table = Columns({"real": np.where(real, level, np.nan), "fake": np.where(real, np.nan, level)})
    found = {"real": table.mean("real"), "fake": table.mean("fake"), "difference": table.difference("fake", "real")}
    return frames.estimate(found, {ALL: np.ones(len(level), bool)}).scores[ALL]


def masks_hash(rows: Sequence[MappedFrame]) -> str:
    """Return 12 hex digits over the true masks of all planned frames, in the order of their ids."""
    known = sorted((row.frame.id, row.mask_digest) for row in rows)
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]
