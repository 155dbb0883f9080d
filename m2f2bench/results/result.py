"""Results: the numbers of one detector on one dataset under one protocol."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ..cards.folders import DETECTION
from ..cards.models import AnyProtocol, protocol_model
from ..cards.protocols import MetricNote
from ..core.errors import M2F2BenchError
from ..core.notebook import bar, chart, columns_of, data_frame, heading, lines, page, shown_score, table
from ..core.records import Score
from ..metrics.metric import Metric, from_note
from ..metrics.names import AT_HALF
from ..metrics.registry import metric_of, title

if TYPE_CHECKING:
    import pandas as pd

OMITTED = ("labels", "regions", "details", "frame_coverage", "warnings", "people")
"""Fields that a result file leaves out if they are empty."""


@dataclass(frozen=True)
class Result:
    """The numbers of one detector on one dataset under one protocol, with everything that says how they were measured.

    `coverage` is the share of planned units (frames or videos) that have a score, `frame_coverage` the share of planned
    frames, None if it is not known (results of older versions, and of answers). `statuses` counts the planned frames
    by status. `signature` is the short form of `measured`, whose fields say how the numbers were measured.
    `predictions` is the hash of the scored rows. `average` is each metric's mean over the methods. `source` is the
    corpus that the dataset's people and videos come from, empty if unknown; `people` are other corpora whose people are
    in it. `threshold` has the policy, the value,
    whether it is an `oracle` (picked on the same scores), and in `from` the validation scores it was picked on.
    `clusters` has the unit that the bootstrap resamples (`by`) and the number of them (`n`). `reliability` has the
    bins of the expected calibration error. `warnings` are lines about what makes the numbers doubtful: scores that
    look inverted, or that depend on the batch.

    For answers to questions (a protocol with `task: explanation`) units are questions. `methods` has each
    manipulation's own questions, `labels` the questions whose right answer is real and those whose right answer is
    fake, `regions` the questions about each region, and `details` further findings (verdicts, diversity, image
    dependence).

    For heat maps (`task: heatmaps`) `statuses` counts the planned frames by outcome. Against masks units are fakes, and
    `methods` has each manipulation's; against scores `labels` has fakes and reals, and those called so, apart.
    `details` has the scores of the controls and further findings (see `scoring.heatmaps.score_maps`).
    """

    detector: str
    dataset: str
    split: str
    protocol: str
    metrics: dict[str, Score]
    methods: dict[str, dict[str, Score]]
    coverage: float
    statuses: dict[str, int]
    signature: str
    measured: dict[str, Any]
    average: dict[str, Score] = field(default_factory=dict)
    threshold: dict[str, Any] = field(default_factory=dict)
    clusters: dict[str, Any] = field(default_factory=dict)
    predicted: dict[str, Any] = field(default_factory=dict)
    """Device and versions that made the predictions; empty for rows from elsewhere."""
    reliability: list[Any] = field(default_factory=list)
    labels: dict[str, dict[str, Score]] = field(default_factory=dict)
    regions: dict[str, dict[str, Score]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    training_datasets: tuple[str, ...] = ()
    source: str = ""
    predictions: str = ""
    protocol_card: dict[str, Any] = field(default_factory=dict)
    detector_card: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    frame_coverage: float | None = None
    warnings: tuple[str, ...] = ()
    people: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """The task's name: `detection` unless the protocol names another."""
        return str(self.protocol_card.get("task", DETECTION))

    @property
    def rules(self) -> AnyProtocol:
        """The protocol, from `protocol_card`. Raises ValidationError."""
        return protocol_model(self.protocol_card).model_validate(self.protocol_card)

    @property
    def limit(self) -> int | None:
        """The limit on frames or images that the run was given; None without one."""
        limit = self.measured.get("limit")
        return limit if isinstance(limit, int) else None

    @property
    def kept(self) -> Any:
        """Where the rows of this result are, as `keep` was told; None if it is not known. Not part of its values."""
        return self.__dict__.get("_kept")

    def keep(self, rows: Any) -> Result:
        """Remember where its rows are, so that `compare` and `plot` take the result itself; return the result."""
        object.__setattr__(self, "_kept", rows)
        return self

    def about(self, metric: str) -> Metric:
        """Return one of its metrics, which may end in `@0.5`; a user's as the result describes it, without its code.

        Raises ScoreError for an unknown one.
        """
        name = metric.removesuffix(AT_HALF)
        note = self.protocol_card.get("described", {}).get(name)
        return metric_of(name) if note is None else from_note(name, MetricNote.model_validate(note))

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each group and metric.

        Columns: detector, dataset, split, protocol, group (`all`, `average`, a method, label or region), metric, value,
        ci_low, ci_high (float64, NaN without a value), n_real, n_fake (units), reason.
        """
        return data_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of `to_pandas`."""
        what = {"detector": self.detector, "dataset": self.dataset, "split": self.split, "protocol": self.protocol}
        groups = {"all": self.metrics, **({"average": self.average} if self.average else {})}
        groups |= {**self.methods, **self.labels, **self.regions}
        return [
            {**what, "group": group, "metric": name, **columns_of(score)}
            for group, scores in groups.items()
            for name, score in scores.items()
        ]

    def _repr_html_(self) -> str:
        """Return a table of all metrics, and a chart of the first one by group."""
        groups = {"all": self.metrics, **(self.methods if len(self.methods) > 1 else {}), **self.labels}
        cells = [["metric", *groups]]
        cells += [
            [self._title(name), *(shown_score(found.get(name)) for found in groups.values())] for name in self.metrics
        ]
        first = next(iter(self.metrics))
        bars = [bar(group, found[first]) for group, found in groups.items() if first in found]
        return page(
            heading(f"{self.detector} on {self.dataset}, {self.protocol}"),
            table(cells),
            chart(self._title(first), bars),
            lines([*self.warnings, f"coverage {self.coverage:.4g}", self.signature]),
        )

    def _title(self, metric: str) -> str:
        try:
            return title(metric, self.about(metric))
        except M2F2BenchError:  # a metric of another program
            return metric

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON-ready dictionary, in the order of the fields."""
        out = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return {name: value for name, value in out.items() if value or name not in OMITTED}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """Return the inverse of `to_json`. Raises TypeError or KeyError for an unknown or missing field."""
        values = dict(data)
        for name in ("metrics", "average"):
            values[name] = {k: Score.from_json(s) for k, s in data.get(name, {}).items()}
        for name in ("methods", "labels", "regions"):
            groups = data["methods"] if name == "methods" else data.get(name, {})
            values[name] = {g: {k: Score.from_json(s) for k, s in scores.items()} for g, scores in groups.items()}
        values["training_datasets"] = tuple(data.get("training_datasets", ()))
        values["warnings"] = tuple(data.get("warnings", ()))
        values["people"] = tuple(data.get("people", ()))
        return cls(**values)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: scores as objects, tuples as lists."""
    if isinstance(value, Score):
        return value.to_json()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple) else value
