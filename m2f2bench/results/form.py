"""The form of a result file: the types of its values and the ranges of its numbers.

A result file may come from anywhere. `parse_result` is the only way from JSON to a `Result`: a result that passes it
can be shown, ranked, compared and scored without further checks. `unsound` lists numbers that are impossible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError, model_validator

from ..cards.folders import HEATMAPS
from ..cards.models import DetectorCard, problem_of, protocol_model
from ..cards.registry import is_file_reference
from ..core.errors import M2F2BenchError
from ..core.parsing import Refused
from ..core.records import Score
from ..core.text import quoted
from ..metrics.metric import Metric
from .result import Result

M = TypeVar("M", bound=BaseModel)
CLOSE = 1e-9
"""Tolerance for ranges, for intervals and for recomputed numbers: another machine sums in another order."""
Text = Annotated[str, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Whole = Annotated[int, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
Truth = Annotated[bool, Strict()]
Share = Annotated[float, Strict(), Field(ge=0.0, le=1.0)]
Plain = Text | Truth | Whole | Number | None
Interval = tuple[Number, Number]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Open(BaseModel):
    """A form that may have further keys, which are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)


class _Score(_Form):
    value: Number | None
    ci: Interval | None = None
    n_real: Count
    n_fake: Count
    reason: Text | None = None
    deviation: Number | None = None


Scores = dict[Text, _Score]


class _Rate(_Open):
    value: Number
    ci: Interval | None = None
    reason: Text = ""


class _Rates(_Form):
    fpr: Number
    tpr: Number


class _TestRates(_Form):
    fpr: _Rate
    tpr: _Rate


class _Best(_Form):
    threshold: Number | None
    value: Number


class _Regret(_Rate):
    of: Literal["tpr", "accuracy", "balanced_accuracy", "f1"]


class _Wanted(_Form):
    fpr: Number


class _Transfer(_Open):
    """What a threshold from validation rows does on the judged ones."""

    validation: _Rates
    test: _TestRates
    best: _Best
    regret: _Regret
    wanted: _Wanted | None = None
    note: Text = ""


class _Threshold(_Open):
    transfer: _Transfer | None = None
    policy: Text | None = None
    value: Number | None = None
    oracle: Truth | None = None
    origin: dict[Text, Plain] | None = Field(default=None, alias="from")


class _Effective(_Form):
    real: Number
    fake: Number
    methods: dict[Text, Number] = {}


class _Clusters(_Open):
    by: Literal["identity", "people", "video", "frame"]
    n: Count
    independent: Truth | None = None
    note: Text | None = None
    effective: _Effective | None = None


class _Bin(_Form):
    low: Number
    high: Number
    n: Count
    score: Number | None
    fake: Number | None


class _Asked(_Form):
    asked: Count
    answered: Count


class _Remark(_Form):
    answers: Count


class _Used(_Form):
    total: Number
    questions: Count


class _Usage(_Form):
    seconds: _Used | None = None
    tokens_in: _Used | None = None
    tokens_out: _Used | None = None
    cost: _Used | None = None


class _Diversity(_Open):
    n: Count
    distinct: Count
    entropy_bits: Number
    commonest_share: Number
    training_copies: Number | None = None


class _Kept(_Form):
    n: Count
    true: Number | None
    shuffled: Number | None
    kept: Number | None
    ci: Interval | None


class _Dependence(_Open):
    """The share of each metric that another image's answers keep; a `reason` if there is no value."""

    n: Count
    reason: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _each_metric(cls, data: Any) -> Any:
        """Check every other key as a metric's: a type for `__pydantic_extra__` is too much for pydantic 2.6."""
        if isinstance(data, dict):
            others = {name: value for name, value in data.items() if name not in cls.model_fields}
            TypeAdapter(dict[str, _Kept]).validate_python(others)
        return data


class _Trainings(_Open):
    """The trainings whose mean a result is."""

    n: Count
    names: list[Text]
    seeds: list[Text]


class _Details(_Open):
    """Of heat maps: scores of the controls and further ones, levels, outcomes, sizes and curves; then of answers."""

    controls: dict[Text, Scores] = {}
    more: Scores = {}
    level: Scores = {}
    outcomes: dict[Text, dict[Text, Count]] = {}
    shapes: list[tuple[Count, Count]] = []
    faithful: dict[Text, dict[Text, list[Text]]] = {}
    curves: dict[Text, dict[Text, dict[Text, list[Number]]]] = {}
    groups: dict[Text, Count] = {}
    questions: dict[Text, _Asked] = {}
    counted: dict[Text, Text] = {}
    verdicts: dict[Text, dict[Text, Count]] | None = None
    answers_remarked: Count = 0
    remarks: dict[Text, _Remark] = {}
    usage: _Usage = _Usage()
    questions_without_reference: Count = 0
    images_without_score: Count = 0
    region_f1_of_references: Number | None = None
    diversity: _Diversity | None = None
    image_dependence: dict[Text, _Dependence] = {}
    trainings: _Trainings | None = None


class _Result(_Form):
    detector: Text
    dataset: Text
    split: Text
    protocol: Text
    metrics: Annotated[Scores, Field(min_length=1)]
    methods: dict[Text, Scores]
    coverage: Share
    statuses: dict[Text, Count]
    signature: Text
    measured: dict[Text, Plain]
    average: Scores = {}
    threshold: _Threshold = _Threshold()
    clusters: dict[Text, Any] = {}
    predicted: dict[Text, Any] = {}
    reliability: list[_Bin] = []
    labels: dict[Text, Scores] = {}
    regions: dict[Text, Scores] = {}
    details: _Details = _Details()
    training_datasets: tuple[Text, ...] = ()
    warnings: tuple[Text, ...] = ()
    source: Text = ""
    people: tuple[Text, ...] = ()
    predictions: Text = ""
    protocol_card: dict[Text, Any] = {}
    detector_card: dict[Text, Any] = {}
    versions: dict[Text, Plain] = {}
    frame_coverage: Share | None = None


def parse_result(data: Any) -> Result:
    """Return the result that a JSON file holds. Raises Refused in one line: the key, and what is wrong with it.

    Checks types, cards, and that every group has the protocol's metrics. For the numbers see `unsound`.
    """
    _checked(_Result, data, "")
    result = Result.from_json(data)
    if result.clusters:
        _checked(_Clusters, result.clusters, "clusters")
    if result.detector_card:
        _checked(DetectorCard, result.detector_card, "detector_card")
    if result.protocol_card:
        rules = _checked(protocol_model(result.protocol_card), result.protocol_card, "protocol_card")
        if files := [name for name in rules.metrics if is_file_reference(name)]:
            raise Refused(f"protocol_card: {quoted(files[0])} is not a metric's name: a result never loads code")
        # An older version wrote fewer keys: fill in the defaults.
        result = replace(result, protocol_card=rules.model_dump(mode="json"))
    for group, scores in groups(result):
        lacking = set(result.metrics) - set(scores)
        if lacking and (scores or group != "average"):  # one manipulation has no average
            raise Refused(f"{group} lacks the metric '{min(lacking)}', which `metrics` has")
    return result


def _checked(model: type[M], data: Any, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = problem_of(model, error)
        raise Refused(f"{where}: {problem}" if where else problem) from None


def groups(result: Result) -> Iterator[tuple[str, Mapping[str, Score]]]:
    """Yield every group's name in messages, and its scores."""
    yield "metrics", result.metrics
    yield "average", result.average
    for field in ("methods", "labels", "regions"):
        for name, scores in getattr(result, field).items():
            yield f"{field} '{name}'", scores


def unsound(result: Result) -> Iterator[str]:
    """Yield a line for each impossible number: outside its metric's range, or outside its own interval; also if nothing
    was judged."""
    if not _judged(result):
        holes = ", ".join(f"{n:,} {quoted(status)}" for status, n in result.statuses.items())
        yield f"no frame or question in it was judged ({holes or 'no frames'})"
    for group, scores in groups(result):
        for name, score in scores.items():
            metric = known_in(result, name)
            if why := wrong(metric, score) if metric else "":
                yield f"{group}: {name} {why}"


def _judged(result: Result) -> bool:
    """Return whether anything was judged; a heat map that is zero everywhere counts as judged."""
    if result.task == HEATMAPS:
        return any(n for outcome, n in result.statuses.items() if outcome not in ("unreadable", "error"))
    return bool(result.coverage and result.statuses.get("ok"))


def known_in(result: Result, name: str) -> Metric | None:
    """Return a result's metric; None if it is neither known nor described in the result."""
    try:
        return result.about(name)
    except M2F2BenchError:
        return None


def wrong(metric: Metric, score: Score) -> str:
    """Return what is impossible about one metric's value; empty for a sound one."""
    if score.value is None:
        return ""
    low, high = metric.range
    for value in (score.value, *(score.ci or ())):
        if not math.isfinite(value) or not low - CLOSE <= value <= high + CLOSE:
            return f"{value:.6g} is not in [{low:g}, {high:g}]"
    if score.ci and score.ci[0] > score.ci[1]:
        return f"has an interval [{score.ci[0]:.6g}, {score.ci[1]:.6g}] whose ends are swapped"
    if score.ci and not score.ci[0] - CLOSE <= score.value <= score.ci[1] + CLOSE:
        return f"{score.value:.6g} is not in its interval [{score.ci[0]:.6g}, {score.ci[1]:.6g}]"
    return ""
