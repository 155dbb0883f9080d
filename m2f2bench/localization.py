"""What holding heat maps against true masks came to, frame by frame and in sum; as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import markdown
from .records import FAKE, REAL, Frame, Prediction, Score
from .rules import Bootstrap
from .scoring.intervals import FEW_CLUSTERS, Resampling
from .scoring.localization import MEASURES, Formula, estimate
from .scoring.rows import from_predictions
from .signature import data_hash, short, versions
from .units import clusters
from .version import __version__

if TYPE_CHECKING:
    import numpy.typing as npt

    from .records import Floats

OUTCOMES = ("ok", "unreadable", "error", "no_mask", "empty_mask", "unseen_mask", "zero_map")
"""What becomes of a frame. `unreadable` and `error` (no map) are anybody's; of a fake: the dataset has no mask for it,
the mask is empty, it lies outside the part that the detector sees, or the map is zero everywhere. Only `ok` counts."""
CONTROLS = ("constant", "centre", "random")
"""Maps that know nothing of the picture: of one value, a Gaussian about the middle, uniform noise from the seed."""
SIGNED = ("data", "split", "hash", "n", "frames", "ci", "limit", "v", "det", "weights", "prep", "prec", "seed", "map")
FORMULAS = {
    "energy_in_mask": Formula.mean("energy_in_mask"),
    "mask_area": Formula.mean("mask_area"),
    "energy_difference": Formula.difference("energy_in_mask", "mask_area"),
    "energy_ratio": Formula.ratio("energy_in_mask", "mask_area"),
    "energy_above_area": Formula.mean("energy_above_area"),
    "pointing": Formula.mean("pointing"),
}
"""What is reported of all fakes and of each manipulation's."""
LEVELS = {
    "real": Formula.mean("real"),
    "fake": Formula.mean("fake"),
    "difference": Formula.difference("fake", "real"),
}
HEADS = ("fakes", "frames", "energy in mask", "mask area", "difference", "ratio", "above area", "pointing")


@dataclass
class MappedFrame:
    """One planned frame: what became of it (see OUTCOMES), why, and what its map and the controls come to.

    `level` is the map's mean value, of reals too; `values` hold MEASURES by who made the map (`detector`, CONTROLS).
    """

    frame: Frame
    outcome: str = "ok"
    message: str = ""
    digest: str = ""
    level: float | None = None
    shape: tuple[int, int] | None = None
    values: dict[str, dict[str, float]] = field(default_factory=dict)

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
    their mask's area) and `pointing`; `methods` the same by manipulation. `controls` hold them by control, with
    `detector_less_control`: the detector's energy less the control's. `level` is the maps' mean value on `real` and
    `fake` frames and their `difference`. `coverage` is the share of planned fakes that count, `outcomes` say by label
    what became of the others (see OUTCOMES). `clusters` say what the bootstrap draws as one.
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
        lines = [list(HEADS), *([name, str(_count(found)), *_cells(found)] for name, found in groups.items())]
        against = [["control", "energy in mask", "detector less control", "pointing"]]
        for name, found in self.controls.items():
            cells = (found["energy_in_mask"], found["detector_less_control"], found["pointing"])
            against.append([name, shown(cells[0]), shown(cells[1], "+.3f"), shown(cells[2])])
        head = f"## Heat maps of {self.detector} on {self.dataset}, {self.split}\n\n"
        notes = "".join(f"- {line}\n" for line in self._notes())
        return f"{head}{markdown.table(lines)}\n{markdown.table(against)}\n{notes}"

    def _notes(self) -> list[str]:
        real, fake, difference = (self.level[name] for name in LEVELS)
        lines = [
            f"mean map value: {shown(fake)} on {fake.n_fake} fakes, {shown(real)} on {real.n_real} reals, "
            f"difference {shown(difference, '+.3f')}",
            f"coverage {self.coverage:.4g}: {self.metrics['energy_in_mask'].n_fake} of "
            f"{sum(self.outcomes['fake'].values())} fakes count",
        ]
        for label, counts in self.outcomes.items():
            rest = [f"{n} {name}" for name, n in counts.items() if name != "ok"]
            lines += [f"{label} frames that do not count: {', '.join(rest)}"] if rest else []
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


def _count(found: Mapping[str, Score]) -> int:
    return found["energy_in_mask"].n_fake


def _cells(found: Mapping[str, Score]) -> list[str]:
    forms = {"energy_difference": "+.3f", "energy_ratio": ".2f"}
    return [shown(found[name], forms.get(name, ".3f")) for name in FORMULAS]


def summarise(
    rows: Sequence[MappedFrame],
    *,
    dataset: str,
    split: str,
    limit: int | None,
    by: Mapping[str, Any],
    bootstrap: Bootstrap,
) -> Localization:
    """The report of mapped frames; `by` are the signature's fields of the detector (see `signature.detector_fields`).

    Clusters are numbered over all planned frames, as in scoring, whatever became of them.
    """
    judged = from_predictions(_row(one) for one in rows)
    cluster, what = clusters(judged, bootstrap.cluster)
    n_clusters = int(cluster.max()) + 1
    table = _Table(rows, cluster, n_clusters, Resampling(bootstrap.resamples, bootstrap.seed, bootstrap.level))
    methods = sorted({row.frame.method for row in rows if row.frame.label == FAKE})
    shapes = tuple(sorted({row.shape for row in rows if row.shape is not None}))
    measured = {
        "data": dataset,
        "split": split,
        "hash": data_hash(judged),
        "n": len(rows),
        "frames": "all",
        "ci": str(bootstrap),
        "limit": limit if limit is not None else "none",
        "v": __version__,
        **by,
        "map": "+".join(f"{h}x{w}" for h, w in shapes) or "none",
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
        versions=versions(),
        frames=tuple(rows),
    )


def _row(one: MappedFrame) -> Prediction:
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
        """FORMULAS of one maker's maps, of one manipulation where it is named; `against` adds the detector's energy
        less theirs."""
        kept = ~self.real & (self.method == method) if method else ~self.real
        columns = {name: self._column(who, name, kept) for name in MEASURES}
        formulas = dict(FORMULAS)
        if against:
            columns["own"] = self._column("detector", "energy_in_mask", kept)
            formulas["detector_less_control"] = Formula.difference("own", "energy_in_mask")
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
