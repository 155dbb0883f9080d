"""What holding heat maps against true masks came to, frame by frame and in sum; as JSON and as a table."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards.protocols import Bootstrap
from ..core import markdown
from ..core.errors import NothingJudged
from ..core.records import FAKE, REAL, Frame, Prediction, Score
from ..core.rows import Rows, from_predictions
from ..metrics.detection.intervals import FEW_CLUSTERS
from ..metrics.heatmaps.localization import GRID, MEASURES, Formula, estimate, thresholds
from ..results.signature import bootstrap_field, data_hash, drawn_field, short, versions
from ..results.units import clusters
from ..stats.bootstrap import Resampling
from ..version import __version__

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats

OUTCOMES = ("ok", "unreadable", "error", "no_mask", "empty_mask", "unseen_mask", "zero_map")
"""What becomes of a frame. `unreadable` and `error` (no map) are anybody's; of a fake: the dataset has no mask for it,
the mask is empty, it lies outside the part that the detector sees, or the map is zero everywhere. A fake with a mask
counts; where it is not `ok` it counts as a map that says nothing (see `scoring.localization.SILENT`)."""
CONTROLS = ("constant", "centre", "random")
"""Maps that know nothing of the picture: of one value, a Gaussian about the middle, uniform noise from the seed."""
RULE = "pointing and IoU 0, energy the mask's area, pixel AUC .5"
SIGNED = (
    *("data", "split", "hash", "masks", "n", "frames", "ci", "limit", "v"),
    *("det", "weights", "prep", "prec", "seed", "env", "map"),
)
FORMULAS = {
    "energy_in_mask": Formula.mean("energy_in_mask"),
    "mask_area": Formula.mean("mask_area"),
    "energy_difference": Formula.difference("energy_in_mask", "mask_area"),
    "energy_ratio": Formula.ratio("energy_in_mask", "mask_area"),
    "energy_above_area": Formula.mean("energy_above_area"),
    "pointing": Formula.mean("pointing"),
    "iou": Formula.mean("iou"),
    "pixel_auc": Formula.mean("pixel_auc"),
}
"""What is reported of all fakes and of each manipulation's, beside `iou_best` and `iou_best_threshold`."""
CURVE = tuple(f"iou@{place}" for place in range(GRID))
"""Columns of the IoU at each threshold."""
AGAINST = ("energy_in_mask", "pointing", "iou", "pixel_auc")
"""What of a control is taken from what the detector has: `detector_less_control` (energy), `pointing_less_control` …"""
LEVELS = {
    "real": Formula.mean("real"),
    "fake": Formula.mean("fake"),
    "difference": Formula.difference("fake", "real"),
}
TABLES = (
    {
        "energy_in_mask": "energy in mask",
        "mask_area": "mask area",
        "energy_difference": "difference",
        "energy_ratio": "ratio",
        "energy_above_area": "above area",
    },
    {
        "pointing": "pointing",
        "iou": "IoU at half",
        "iou_best": "best IoU (oracle)",
        "iou_best_threshold": "its threshold",
        "pixel_auc": "pixel AUC",
    },
)
"""Columns of the two tables of fakes."""
CONTROL_TABLE = {
    "energy_in_mask": "energy in mask",
    "detector_less_control": "detector less control",
    "pointing": "pointing",
    "iou": "IoU at half",
    "iou_less_control": "detector less control",
    "pixel_auc": "pixel AUC",
    "pixel_auc_less_control": "detector less control",
}
FORMS = {"energy_difference": "+.3f", "energy_ratio": ".2f", "iou_best_threshold": ".2f"}


@dataclass
class MappedFrame:
    """One planned frame: what became of it (see OUTCOMES), why, and what its map and the controls come to.

    `level` is the map's mean value, of reals too; `values` hold MEASURES by who made the map (`detector`, CONTROLS),
    and `curves` the IoU at each threshold, float64 [GRID]. `digest` identifies the pixels, `mask_digest` the true mask.
    """

    frame: Frame
    outcome: str = "ok"
    message: str = ""
    digest: str = ""
    mask_digest: str = ""
    level: float | None = None
    shape: tuple[int, int] | None = None
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, Floats] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; the controls are left out, since the seed makes them again."""
        frame = self.frame
        out = {"frame": frame.id, "video": frame.video, "method": frame.method, "label": frame.label}
        out |= {"outcome": self.outcome, "level": self.level, **self.values.get("detector", {})}
        return out | ({"message": self.message} if self.message else {})


@dataclass(frozen=True)
class Localization:
    """How well one detector's heat maps find what was altered in one dataset.

    `metrics` hold, over the fakes that count: `energy_in_mask`, `mask_area` (what a constant map gets),
    `energy_difference` and `energy_ratio` of the two, `energy_above_area` (share of the fakes whose energy is above
    their mask's area), `pointing`, `iou` at half of the map's highest value, `pixel_auc`, and `iou_best`, the mean IoU
    at the one threshold that is best for all these frames, which makes it an oracle, with that `iou_best_threshold` (a
    share of the map's highest value); `methods` the same by manipulation. `controls` hold them by control, with
    `detector_less_control`, the detector's energy less the control's, and `pointing_less_control`, `iou_less_control`,
    `pixel_auc_less_control`. `level` is the maps' mean value on `real` and `fake` frames and their `difference`.
    `coverage` is the share of planned fakes with a map that says something of their mask, `outcomes` say by label what
    became of the others (see OUTCOMES). `clusters` say what the bootstrap draws as one.
    """

    detector: str
    dataset: str
    split: str
    metrics: dict[str, Score]
    methods: dict[str, dict[str, Score]]
    controls: dict[str, dict[str, Score]]
    level: dict[str, Score]
    coverage: float
    outcomes: dict[str, dict[str, int]]
    shapes: tuple[tuple[int, int], ...]
    clusters: dict[str, Any]
    signature: str
    measured: dict[str, Any]
    versions: dict[str, str]
    frames: tuple[MappedFrame, ...]

    @property
    def scaled(self) -> bool:
        """Whether these are class activation maps: each is divided by its own highest value."""
        return "-" in self.measured["map"]

    def to_json(self, frames: bool = False) -> dict[str, Any]:
        """As a JSON-ready dictionary; with `frames`, every frame's outcome and values too."""

        def scores(found: Mapping[str, Score]) -> dict[str, Any]:
            return {name: score.to_json() for name, score in found.items()}

        out = {
            "detector": self.detector,
            "dataset": self.dataset,
            "split": self.split,
            "metrics": scores(self.metrics),
            "methods": {name: scores(found) for name, found in self.methods.items()},
            "controls": {name: scores(found) for name, found in self.controls.items()},
            "level": scores(self.level),
            "coverage": self.coverage,
            "outcomes": self.outcomes,
            "shapes": [list(shape) for shape in self.shapes],
            "clusters": self.clusters,
            "signature": self.signature,
            "measured": self.measured,
            "versions": self.versions,
        }
        return out | ({"frames": [row.to_json() for row in self.frames]} if frames else {})

    def markdown(self) -> str:
        """The tables, and what is to be known of them."""
        groups = {"all": self.metrics, **(self.methods if len(self.methods) > 1 else {})}
        tables = []
        for columns in TABLES:
            lines = [["fakes", "frames", *columns.values()]]
            lines += [[name, str(_count(found)), *_cells(found, columns)] for name, found in groups.items()]
            tables.append(markdown.table(lines))
        against = [["control", *CONTROL_TABLE.values()]]
        against += [[name, *_cells(found, CONTROL_TABLE)] for name, found in self.controls.items()]
        tables.append(markdown.table(against))
        head = f"## Heat maps of {self.detector} on {self.dataset}, {self.split}\n\n"
        notes = "".join(f"- {line}\n" for line in self._notes())
        return head + "\n".join([*tables, notes])

    def _notes(self) -> list[str]:
        real, fake, difference = (self.level[name] for name in LEVELS)
        lines = [
            f"mean map value: {shown(fake)} on {fake.n_fake} fakes, {shown(real)} on {real.n_real} reals, "
            f"difference {shown(difference, '+.3f')}",
            *(["each map is scaled by its own highest value: its mean value is no score"] if self.scaled else []),
            f"coverage {self.coverage:.4g}: {self.outcomes['fake'].get('ok', 0)} of "
            f"{sum(self.outcomes['fake'].values())} fakes have a map that says something of their mask",
        ]
        silent = [row for row in self.frames if row.values and row.outcome != "ok"]
        lines += [f"{listed(silent)}: they count as maps that say nothing ({RULE})"] if silent else []
        for label, number in (("fake", FAKE), ("real", REAL)):
            rest = [r for r in self.frames if r.frame.label == number and r.outcome != "ok" and not r.values]
            lines += [f"{label} frames that do not count: {listed(rest)}"] if rest else []
        failed = next((row for row in self.frames if row.message), None)
        lines += [f"first without a map: {failed.frame.id} ({failed.message})"] if failed else []
        by, n = self.clusters["by"], self.clusters["n"]
        what = {"identity": "groups of people", "video": "videos", "frame": "frames"}[by]
        lines.append(f"intervals: {self.measured['ci']}; {n:,} {what} are drawn, the same for all that is compared")
        lines += [f"{n} are few: resampling them makes intervals too narrow"] if 1 < n < FEW_CLUSTERS else []
        return [*lines, *self._reasons(), f"`{self.signature}`"]

    def _reasons(self) -> list[str]:
        """Why values or intervals are missing, each reason once with where it holds."""
        places: dict[str, list[str]] = {}
        groups = {"all": self.metrics, **self.methods, **self.controls, "mean map value": self.level}
        for group, found in groups.items():
            for reason in dict.fromkeys(score.reason for score in found.values() if score.reason):
                places.setdefault(reason, []).append(group)
        return [f"{', '.join(names)}: {reason}" for reason, names in places.items()]

    def _repr_markdown_(self) -> str:
        return self.markdown()


def shown(score: Score, form: str = ".3f") -> str:
    """`value [low, high]`, a dash without a value."""
    if score.value is None:
        return "–"
    return f"{score.value:{form}}" + (f" [{score.ci[0]:{form}}, {score.ci[1]:{form}}]" if score.ci else "")


def listed(rows: Iterable[MappedFrame]) -> str:
    """How many frames came to what, in the order of OUTCOMES."""
    counts = Counter(row.outcome for row in rows)
    return ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name])


def _count(found: Mapping[str, Score]) -> int:
    return found["energy_in_mask"].n_fake


def _cells(found: Mapping[str, Score], columns: Iterable[str]) -> list[str]:
    return [shown(found[name], "+.3f" if "_less_" in name else FORMS.get(name, ".3f")) for name in columns]


def summarise(
    rows: Sequence[MappedFrame],
    *,
    dataset: str,
    split: str,
    limit: int | None,
    by: Mapping[str, Any],
    bootstrap: Bootstrap,
    how: str = "",
) -> Localization:
    """The report of mapped frames; `by` are the signature's fields of the detector (see `signature.detector_fields`),
    `how` says how its maps are made where they are not its own.

    Clusters are numbered over all planned frames, as in scoring, whatever became of them.
    """
    judged = from_predictions(as_prediction(one) for one in rows)
    cluster, what = clusters(judged, bootstrap.cluster)
    n_clusters = int(cluster.max()) + 1
    table = _Table(rows, cluster, n_clusters, Resampling(bootstrap.resamples, bootstrap.seed, bootstrap.level))
    methods = sorted({row.frame.method for row in rows if row.frame.label == FAKE})
    shapes = map_shapes(rows)
    measured = {
        **measured_fields(judged, dataset=dataset, split=split, limit=limit, bootstrap=bootstrap),
        "masks": _masks_hash(rows),
        **by,
        "map": map_field(shapes, how),
    }
    planned = [row for row in rows if row.frame.label == FAKE]
    return Localization(
        detector=str(by["det"]),
        dataset=dataset,
        split=split,
        metrics=table.metrics("detector"),
        methods={method: table.metrics("detector", method) for method in methods},
        controls={name: table.metrics(name, against=True) for name in CONTROLS},
        level=table.level(),
        coverage=sum(row.outcome == "ok" for row in planned) / max(len(planned), 1),
        outcomes={"fake": _outcomes(rows, FAKE), "real": _outcomes(rows, REAL)},
        shapes=shapes,
        clusters={"by": what, "n": n_clusters},
        signature=short(measured, SIGNED),
        measured=measured,
        versions=map_versions(how),
        frames=tuple(rows),
    )


def refuse_nothing(who: str, rows: Sequence[MappedFrame]) -> None:
    """Raise NothingJudged where no frame has a heat map."""
    if all(row.outcome in ("unreadable", "error") for row in rows):
        first = rows[0]
        raise NothingJudged.of(f"{who}, heat maps", "frames", len(rows), first.frame.id, first.outcome, first.message)


def _masks_hash(rows: Sequence[MappedFrame]) -> str:
    """12 hex digits over the true masks of all planned frames, in the order of their ids."""
    known = sorted((row.frame.id, row.mask_digest) for row in rows)
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]


def measured_fields(
    judged: Rows, *, dataset: str, split: str, limit: int | None, bootstrap: Bootstrap
) -> dict[str, Any]:
    """The signature's fields that say on what it was measured."""
    ordered = judged.ordered()
    codes, by = clusters(ordered, bootstrap.cluster)
    return {
        "data": dataset,
        "split": split,
        "hash": data_hash(ordered),
        "n": len(ordered),
        "frames": "all",
        "ci": bootstrap_field(bootstrap, drawn_field(by, codes.tolist())),
        "limit": limit if limit is not None else "none",
        "v": __version__,
    }


def map_shapes(rows: Iterable[MappedFrame]) -> tuple[tuple[int, int], ...]:
    """The sizes of maps that occur, sorted."""
    return tuple(sorted({row.shape for row in rows if row.shape is not None}))


def map_field(shapes: Iterable[tuple[int, int]], how: str) -> str:
    """The signature's `map`: the maps' sizes, then how they are made where that is not the detector's own way."""
    return ("+".join(f"{h}x{w}" for h, w in shapes) or "none") + (f"-{how}" if how else "")


def map_versions(how: str) -> dict[str, str]:
    """Versions of what computes, with that of the package of class activation maps where it made the maps."""
    return versions() | ({"grad-cam": metadata.version("grad-cam")} if how else {})


def as_prediction(one: MappedFrame) -> Prediction:
    """The frame as the row that a run would write for it, so that both have one data hash."""
    frame, people = one.frame, "+".join(one.frame.identities)
    status = one.outcome if one.outcome in ("unreadable", "error") else "ok"
    score = 0.0 if status == "ok" else None  # not a score of anybody's; it is not in the hash
    return Prediction(frame.id, frame.video, frame.method, people, frame.label, status, score, one.digest)


def _outcomes(rows: Sequence[MappedFrame], label: int) -> dict[str, int]:
    counts = {name: sum(r.outcome == name for r in rows if r.frame.label == label) for name in OUTCOMES}
    return {name: n for name, n in counts.items() if n}


class _Table:
    """Mapped frames as columns."""

    def __init__(
        self, rows: Sequence[MappedFrame], cluster: npt.NDArray[np.int64], n_clusters: int, resampling: Resampling
    ) -> None:
        self.rows, self.cluster, self.n_clusters, self.resampling = rows, cluster, n_clusters, resampling
        self.real = np.array([row.frame.label == REAL for row in rows])
        self.method = np.array([row.frame.method for row in rows], dtype=object)

    def metrics(self, who: str, method: str = "", against: bool = False) -> dict[str, Score]:
        """FORMULAS and the best IoU of one maker's maps, of one manipulation where it is named; `against` adds the
        detector's values less theirs."""
        kept = ~self.real & (self.method == method) if method else ~self.real
        columns = {name: self._column(who, name, kept) for name in MEASURES}
        curves = np.stack([row.curves.get(who, np.full(GRID, np.nan)) for row in self.rows])
        columns |= dict(zip(CURVE, np.where(kept[:, None], curves, np.nan).T, strict=True))
        formulas = {
            **FORMULAS,
            "iou_best": Formula.best(CURVE),
            "iou_best_threshold": Formula.best_at(CURVE, thresholds()),
        }
        for name in AGAINST if against else ():
            columns[f"own {name}"] = self._column("detector", name, kept)
            key = "detector_less_control" if name == "energy_in_mask" else f"{name}_less_control"
            formulas[key] = Formula.difference(f"own {name}", name)
        return self._estimate(columns, formulas)

    def level(self) -> dict[str, Score]:
        """LEVELS: over every frame with a map, with a mask or without."""
        level = np.array([np.nan if row.level is None else row.level for row in self.rows], dtype=np.float64)
        return self._estimate(
            {"real": np.where(self.real, level, np.nan), "fake": np.where(self.real, np.nan, level)}, LEVELS
        )

    def _estimate(self, columns: Mapping[str, Floats], formulas: Mapping[str, Formula]) -> dict[str, Score]:
        return estimate(columns, self.real, self.cluster, self.n_clusters, formulas, self.resampling)

    def _column(self, who: str, name: str, kept: npt.NDArray[np.bool_]) -> Floats:
        found = [row.values.get(who, {}).get(name, np.nan) for row in self.rows]
        return np.where(kept, np.array(found, dtype=np.float64), np.nan)
