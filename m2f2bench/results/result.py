"""A result: what one detector reached on one dataset under one protocol."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..cards.models import DETECTION
from ..cards.protocols import MetricNote
from ..core.records import Score
from ..metrics.names import AT_HALF
from ..metrics.registry import Metric, from_note, metric_of


@dataclass(frozen=True)
class Result:
    """What one detector reached on one dataset under one protocol.

    `coverage` is the share of planned units (frames or videos) that got a score, `frame_coverage` the share of planned
    frames, None where it is not told (results of older versions, and of answers). `statuses` counts the planned
    frames by status. `signature` is the short form of `measured`, which holds every field that says how the
    numbers came about. `predictions` is the hash of the scored rows. `average` is each metric's mean over the methods.
    `source` is the corpus that the dataset's people and videos come from, empty where that is not known.
    `threshold` has the policy, the value, whether it is an `oracle` (picked on the very scores), and `from` which
    validation scores. `clusters` says what the bootstrap draws as one (`by`) and how many there are (`n`).
    `reliability` has the bins of the expected calibration error. `warnings` say in a line each what makes the numbers
    doubtful: scores that look turned round, or depend on the batch.

    Of answers to questions (a protocol with `task: explanation`): units are questions, `methods` hold each
    manipulation's own questions, `labels` those whose right answer is real or fake apart, `regions` those about each
    region, and `details` what is told beside the metrics (verdicts, diversity, image dependence).
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
    """Device and versions of what made the predictions; empty for somebody else's rows."""
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

    @property
    def task(self) -> str:
        """The task's name: `detection` unless the protocol names another."""
        return str(self.protocol_card.get("task", DETECTION))

    def about(self, metric: str) -> Metric:
        """Return one of its metrics, which may end in `@0.5`; a user's as the result describes it, without its code.

        Raises ScoreError for an unknown one.
        """
        name = metric.removesuffix(AT_HALF)
        note = self.protocol_card.get("described", {}).get(name)
        return metric_of(name) if note is None else from_note(name, MetricNote.model_validate(note))

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready dictionary, in the order of the fields."""
        out = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("metrics", "average"):
            out[name] = {k: s.to_json() for k, s in getattr(self, name).items()}
        for name in ("methods", "labels", "regions"):
            groups = getattr(self, name)
            out[name] = {group: {k: s.to_json() for k, s in scores.items()} for group, scores in groups.items()}
        for name in ("labels", "regions", "details"):  # of answers to questions alone
            if not out[name]:
                del out[name]
        if out["frame_coverage"] is None:
            del out["frame_coverage"]
        out["training_datasets"] = list(self.training_datasets)
        out["warnings"] = list(self.warnings)
        if not self.warnings:
            del out["warnings"]
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Result:
        """The inverse of `to_json`; an unknown or missing field raises TypeError or KeyError."""
        values = dict(data)
        for name in ("metrics", "average"):
            values[name] = {k: Score.from_json(s) for k, s in data.get(name, {}).items()}
        for name in ("methods", "labels", "regions"):
            groups = data["methods"] if name == "methods" else data.get(name, {})
            values[name] = {g: {k: Score.from_json(s) for k, s in scores.items()} for g, scores in groups.items()}
        values["training_datasets"] = tuple(data.get("training_datasets", ()))
        values["warnings"] = tuple(data.get("warnings", ()))
        return cls(**values)
