"""Mapped frames, and the common part of their reports: localization and faithfulness, as JSON and Markdown."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..cards.protocols import Bootstrap
from ..core import markdown
from ..core.arrays import Bools, Codes
from ..core.errors import NothingJudged
from ..core.notebook import bar, chart, columns_of, data_frame, heading, lines, page
from ..core.notebook import table as html_table
from ..core.records import FAKE, REAL, Frame, Prediction, Score
from ..core.rows import from_predictions
from ..metrics.detection.clusters import FEW_CLUSTERS
from ..metrics.registry import title as metric_title
from ..results.result import plain
from ..results.signature import bootstrap_field, data_hash, drawn_field, short, versions
from ..results.units import clusters
from ..stats.statistic import Estimate, G, Statistic, estimate
from ..version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from ..core.records import Floats

OUTCOMES = ("ok", "unreadable", "error", "no_mask", "empty_mask", "unseen_mask", "zero_map")
"""Outcomes of a frame. Any frame: it cannot be read, or it has no map (`error`; for faithfulness also no scores).
A fake that is compared with its mask: the dataset has no mask for it, the mask is empty, or it lies outside the region
that the detector sees. `zero_map`: the map is zero everywhere. For how a frame that is not `ok` counts, see
`metrics.heatmaps.SILENT` and `faithfulness_report.REFERENCE`."""
WITHOUT_MAP = ("unreadable", "error")
CONTROLS = ("constant", "centre", "random")
"""Maps that do not depend on the picture: one value, a Gaussian around the centre, uniform noise from the seed."""
MAKERS = ("detector", *CONTROLS)
LABELS = (("fake", FAKE), ("real", REAL))
DRAWN = {"identity": "groups of people", "video": "videos", "frame": "frames"}


@dataclass(eq=False)
class MappedFrame:
    """One planned frame: its outcome (see OUTCOMES), a message, and the measures of its map and of the controls.

    `level` is the map's mean value in [0, 1], `shape` its height and width, `score` P(fake) where it was computed.
    `values` hold the measures by who made the map (MAKERS) and measure. `curves` by maker: the IoU with the mask at
    each threshold, float64 [GRID]; or the scores along each curve of pixels replaced, float64 [curves, steps + 1].
    `digest` identifies the pixels, `stamp` is the adapter's of the frame, `mask_digest` identifies the true mask.
    """

    frame: Frame
    outcome: str = "ok"
    message: str = ""
    digest: str = ""
    stamp: str = ""
    mask_digest: str = ""
    level: float | None = None
    shape: tuple[int, int] | None = None
    score: float | None = None
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    curves: dict[str, Floats] = field(default_factory=dict)
    passes: int = field(default=0, compare=False)
    """Pictures that were judged for it in this run."""

    @property
    def status(self) -> str:
        """Return the outcome, under the name that it has in other rows."""
        return self.outcome


def count_outcomes(rows: Iterable[MappedFrame]) -> dict[str, int]:
    """Return how many frames have each outcome that occurs, in the order of OUTCOMES."""
    counts = Counter(row.outcome for row in rows)
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def listed(rows: Iterable[MappedFrame]) -> str:
    """Return how many frames have each outcome, as text."""
    return ", ".join(f"{n} {name}" for name, n in count_outcomes(rows).items())


def as_prediction(one: MappedFrame) -> Prediction:
    """Return the frame as the row that a detection run would write for it, so that both have one data hash."""
    frame, people = one.frame, "+".join(one.frame.identities)
    status = one.outcome if one.outcome in WITHOUT_MAP else "ok"
    score = 0.0 if status == "ok" else None  # no detector's score; it is not in the hash
    return Prediction(frame.id, frame.video, frame.method, people, frame.label, status, score, one.digest)


def refuse_nothing(who: str, rows: Sequence[MappedFrame]) -> None:
    """Raise NothingJudged where no frame has a heat map."""
    if all(row.outcome in WITHOUT_MAP for row in rows):
        first = rows[0]
        raise NothingJudged.of(f"{who}, heat maps", "frames", len(rows), first.frame.id, first.outcome, first.message)


@dataclass(frozen=True)
class Measured:
    """Origin of mapped frames: a detector's maps of a dataset's split.

    `by` are the signature's fields of the detector (see `signature.detector_fields`), `how` is the method and layer of
    --cam, empty if the maps are the detector's own.
    """

    dataset: str
    split: str
    limit: int | None
    by: Mapping[str, Any]
    bootstrap: Bootstrap
    how: str = ""
    frames: str = "all"
    """The frames of a video that are mapped, as written in the signature."""


class MappedFrames:
    """Mapped frames ready for statistics. Clusters are numbered over all planned frames, whatever their outcome."""

    def __init__(self, rows: Sequence[MappedFrame], origin: Measured) -> None:
        """`rows` are in the order of the plan, in which clusters are numbered."""
        self.rows, self.origin = rows, origin
        self.judged = from_predictions(as_prediction(one) for one in rows)
        self.cluster, self.drawn_by = clusters(self.judged, origin.bootstrap.cluster)
        self.n_clusters = int(self.cluster.max()) + 1
        self.label: Codes = np.array([row.frame.label for row in rows], dtype=np.int64)
        self.shapes = tuple(sorted({row.shape for row in rows if row.shape is not None}))
        """The sizes of maps that occur."""

    def column(self, who: str, name: str) -> Floats:
        """Return one measure of one maker's maps, float64 [N]; NaN for a frame without it."""
        return np.array([row.values.get(who, {}).get(name, np.nan) for row in self.rows], dtype=np.float64)

    def estimate(self, statistics: Mapping[str, Statistic], groups: Mapping[G, Bools]) -> Estimate[G]:
        """Return every statistic of every group of frames, bool [N]; all use the same resamples."""
        return estimate(
            statistics, groups, self.label, self.cluster, self.n_clusters, self.origin.bootstrap, "no frame has a value"
        )

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Return the signature's fields of the data and the protocol, without the detector's."""
        origin, ordered = self.origin, self.judged.ordered()
        codes, by = clusters(ordered, origin.bootstrap.cluster)
        return {
            "data": origin.dataset,
            "split": origin.split,
            "hash": data_hash(ordered),
            "n": len(ordered),
            "frames": origin.frames,
            "ci": bootstrap_field(origin.bootstrap, drawn_field(by, codes.tolist())),
            "limit": origin.limit if origin.limit is not None else "none",
            "v": __version__,
        }

    @property
    def map_field(self) -> str:
        """Return the signature's `map`: the sizes of the maps, then method and layer of --cam if they are used."""
        how = self.origin.how
        return ("+".join(f"{h}x{w}" for h, w in self.shapes) or "none") + (f"-{how}" if how else "")

    def common(self, measured: Mapping[str, Any], signed: Sequence[str]) -> dict[str, Any]:
        """Return the fields of MapReport for these frames, except `coverage` and `clusters`."""
        package = {"grad-cam": metadata.version("grad-cam")} if self.origin.how else {}
        return {
            "detector": str(self.origin.by["det"]),
            "dataset": self.origin.dataset,
            "split": self.origin.split,
            "outcomes": {
                name: count_outcomes(row for row in self.rows if row.frame.label == one) for name, one in LABELS
            },
            "shapes": self.shapes,
            "signature": short(measured, signed),
            "measured": dict(measured),
            "versions": versions() | package,
            "frames": tuple(self.rows),
        }


@dataclass(frozen=True)
class MapReport(abc.ABC):
    """Measures of one detector's heat maps over one dataset.

    `coverage` is a share of planned frames in [0, 1], `outcomes` count the frames by label and outcome (see
    `OUTCOMES`), `shapes` are the maps' sizes, `clusters` the unit that the bootstrap draws, and its number.
    """

    detector: str
    dataset: str
    split: str
    coverage: float
    outcomes: dict[str, dict[str, int]]
    shapes: tuple[tuple[int, int], ...]
    clusters: dict[str, Any]
    signature: str
    measured: dict[str, Any]
    versions: dict[str, str]
    frames: tuple[MappedFrame, ...]

    KEYS: ClassVar[tuple[str, ...]]
    """The keys of the JSON object, in order."""
    TITLE: ClassVar[str]
    SILENT_AS: ClassVar[str]
    """In words, as what a frame without a map counts."""
    LACKING: ClassVar[str]
    """What a frame with a message does not have."""

    def to_json(self, frames: bool = False) -> dict[str, Any]:
        """Return a JSON-ready dictionary; with `frames`, also every frame's outcome and values."""
        out = {key: plain(getattr(self, key)) for key in self.KEYS}
        return out | ({"frames": [self._frame(row) for row in self.frames]} if frames else {})

    def markdown(self, signatures: bool = True) -> str:
        """Return the tables with notes below them, of which the signature is the last."""
        head = f"## {self.TITLE} of {self.detector} on {self.dataset}, {self.split}\n\n"
        notes = "".join(f"- {line}\n" for line in self._notes(signatures))
        return head + "\n".join([*(markdown.table(lines) for lines in self._tables()), notes])

    @abc.abstractmethod
    def _tables(self) -> list[list[list[str]]]:
        """Return the cells of the tables; the first line of each is its heading."""

    @abc.abstractmethod
    def _first_notes(self) -> list[str]:
        """Return the notes that only this kind of report has."""

    @abc.abstractmethod
    def _values(self, row: MappedFrame) -> dict[str, Any]:
        """Return a frame's values, ready for JSON."""

    @abc.abstractmethod
    def _groups(self) -> Mapping[str, Mapping[str, Score]]:
        """Return the groups whose reasons are listed, with their scores."""

    def _frame(self, row: MappedFrame) -> dict[str, Any]:
        frame = row.frame
        out = {"frame": frame.id, "video": frame.video, "method": frame.method, "label": frame.label}
        out |= {"outcome": row.outcome, **self._values(row)}
        return out | ({"message": row.message} if row.message else {})

    def _notes(self, signatures: bool = True) -> list[str]:
        lines = self._first_notes()
        silent = [row for row in self.frames if row.values and row.outcome != "ok"]
        lines += [f"{listed(silent)}: they count as {self.SILENT_AS}"] if silent else []
        for label, number in LABELS:
            rest = [r for r in self.frames if r.frame.label == number and r.outcome != "ok" and not r.values]
            lines += [f"{label} frames that do not count: {listed(rest)}"] if rest else []
        failed = next((row for row in self.frames if row.message), None)
        lines += [f"first without a {self.LACKING}: {failed.frame.id} ({failed.message})"] if failed else []
        n, what = self.clusters["n"], DRAWN[self.clusters["by"]]
        by = f"{self.measured['ci']}; " if signatures else ""
        lines.append(f"intervals: {by}resampled by {what} ({n:,}), with the same resamples for all that is compared")
        lines += [f"only {n} {what}: the intervals are probably too narrow"] if 1 < n < FEW_CLUSTERS else []
        return [*lines, *self._reasons(), *([f"`{self.signature}`"] if signatures else [])]

    def _reasons(self) -> list[str]:
        """Return why values or intervals are missing: each reason once, with its groups."""
        places: dict[str, list[str]] = {}
        for group, found in self._groups().items():
            for reason in dict.fromkeys(score.reason for score in found.values() if score.reason):
                places.setdefault(reason, []).append(group)
        return [f"{', '.join(names)}: {reason}" for reason, names in places.items()]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each group and measure.

        Columns: detector, dataset, split, group (`all`, a method, a label, or a control), metric, value, ci_low,
        ci_high (float64, NaN without a value), n_real, n_fake (frames), reason.
        """
        what = {"detector": self.detector, "dataset": self.dataset, "split": self.split}
        return data_frame(
            {**what, "group": group, "metric": name, **columns_of(score)}
            for group, found in self._all_groups().items()
            for name, score in found.items()
        )

    def _all_groups(self) -> Mapping[str, Mapping[str, Score]]:
        """Return every group of measures, those of the controls included."""
        return self._groups()

    def _repr_html_(self) -> str:
        """Return the tables, a chart of the first measure with a value in several groups, and the notes."""
        title = f"{self.TITLE} of {self.detector} on {self.dataset}, {self.split}"
        groups = self._all_groups()
        first = next(iter(next(iter(groups.values()))), "")
        bars = [bar(group, found[first]) for group, found in groups.items() if first in found]
        return page(
            heading(title), *map(html_table, self._tables()), chart(metric_title(first), bars), lines(self._notes())
        )

    def _repr_markdown_(self) -> str:
        return self.markdown()


def shown(score: Score, form: str = ".3f") -> str:
    """Return `value [low, high]`, or a dash if there is no value."""
    if score.value is None:
        return "–"
    return f"{score.value:{form}}" + (f" [{score.ci[0]:{form}}, {score.ci[1]:{form}}]" if score.ci else "")
