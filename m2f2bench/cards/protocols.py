"""Keys of protocol cards.

Detection: which frames, how they become a video's score, thresholds, missing scores. Explanation: which questions and
references, how texts are compared and verdicts read. Heat maps: what they are measured against. All: resampling.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..core.errors import M2F2BenchError
from .registry import is_file_reference

DETECTION_METRICS = (
    *("auc", "pauc", "tpr_at_fpr1", "tpr_at_fpr01", "ap", "eer"),
    *("accuracy", "balanced_accuracy", "f1", "precision", "recall", "mcc"),
    *("log_loss", "brier", "ece", "calibration_debiased"),
)
"""The metrics of a protocol that is made in code and names none. A metric that is registered never joins them."""
MASK_METRICS = (
    *("energy_in_mask", "energy_difference", "energy_ratio", "energy_above_area"),
    *("pointing", "iou", "iou_best", "pixel_auc"),
)
FAITHFULNESS_METRICS = ("deletion_blur", "deletion_mean", "insertion_blur", "insertion_mean", "drop")
"""The metrics of heat maps, against masks and against the detector's own scores."""
Fill = Literal["blur", "mean"]
FILLS: tuple[Fill, ...] = ("blur", "mean")
METRIC_NAME = r"[A-Za-z][A-Za-z0-9_]{0,59}"
METRIC_TITLE = r"[\w .,%()/+≤≥–-]{1,60}"
MissingRule = Literal["drop", "half", "wrong"]
QuestionKind = Literal["blind", "released", "judge"]


class Rules(BaseModel):
    """Base of the parts of a protocol: unknown keys are refused."""

    # Built when a protocol is first read: commands that read none start faster.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class MetricNote(Rules):
    """What a protocol's card in a result says of a user's metric, so that its numbers can be ranked and shown without
    its code. `low` and `high` are the ends of its range, None where there is none; `code` is its identity."""

    title: str = Field(pattern=f"^{METRIC_TITLE}$")
    better: Literal["higher", "lower"]
    low: float | None = Field(default=None, allow_inf_nan=False)
    high: float | None = Field(default=None, allow_inf_nan=False)
    chance: float | None = Field(default=None, allow_inf_nan=False)
    decision: bool = False
    headline: bool = True
    code: str = Field(pattern="^[0-9a-f]{16}$")


class MetricRules(Rules):
    """What all protocols share: metrics by name. `described` is filled in, for metrics that are not this package's."""

    described: dict[Annotated[str, Field(pattern=f"^{METRIC_NAME}$")], MetricNote] = {}
    """Filled in by `run`: what your own metrics are. Leave it out."""
    primary: str | None = None
    """The one metric that a comparison decides by; all others are exploratory. None: the first of `metrics`."""

    @property
    def main_metric(self) -> str:
        """The primary metric: the one that is declared, else the first."""
        names: tuple[str, ...] = getattr(self, "metrics", ())
        return self.primary or names[0]

    @model_validator(mode="before")
    @classmethod
    def _describe(cls, data: Any) -> Any:
        """A user's metric that is registered here gets its description, unless the card (of a result) has one."""
        names = data.get("metrics") if isinstance(data, dict) else None
        given = data.get("described", {}) if isinstance(data, dict) else {}
        if not isinstance(names, (list, tuple)) or not isinstance(given, dict):
            return data
        own = [one for one in names if isinstance(one, str) and one not in given]
        try:
            found = {name: note for table in _TABLES for name, note in table.notes(own).items()}
        except M2F2BenchError as error:
            raise ValueError(str(error)) from None
        return {**data, "described": {**found, **given}} if found else data

    @model_validator(mode="after")
    def _described_are_the_users(self) -> MetricRules:
        for name in self.described:
            if any(name in table.builtin() for table in _TABLES) or name not in getattr(self, "metrics", ()):
                raise ValueError(f"described: '{name}' is no metric of the user's among the protocol's metrics")
        return self

    @model_validator(mode="after")
    def _primary_is_one_of_them(self) -> MetricRules:
        names = getattr(self, "metrics", ())
        if self.primary is not None and self.primary not in names:
            raise ValueError(f"primary: '{self.primary}' is none of the metrics: take one of {', '.join(names)}")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        out: dict[str, Any] = handler(self)
        if not out.get("described"):
            out.pop("described", None)
        if out.get("primary") is None:
            out.pop("primary", None)
        return out


_TABLES: list[ModuleType] = []
"""The registry of metrics, `metrics.registry`, once it is imported."""


def check_metrics_with(table: ModuleType) -> None:
    """Let cards check their metrics with the registry, which stands above them: it calls this when it is imported.

    Cards that are made before that are checked where they are used (`loading.any_protocol`).
    """
    _TABLES[:] = [table]


def _known(name: str, info: ValidationInfo, of: str) -> str:
    """A metric's name on a card. `file.py:NAME` passes: it is loaded where the protocol is used (see `loading`)."""
    if is_file_reference(name) or name in info.data.get("described", {}) or not _TABLES:
        return name
    try:
        found = _TABLES[0].metric_of(name)
    except M2F2BenchError as error:
        raise PydanticCustomError("unknown_metric", "{why}", {"why": str(error)}) from None
    if found.of != of or found.name != name:
        raise PydanticCustomError("unknown_metric", "'{name}' is no metric of {of}", {"name": name, "of": of})
    return name


ScoreMetric = Annotated[str, AfterValidator(partial(_known, of="scores"))]
AnswerMetric = Annotated[str, AfterValidator(partial(_known, of="answers"))]
MapMetric = Annotated[str, AfterValidator(partial(_known, of="maps"))]


class FrameSelection(Rules):
    """Which frames of a video are judged: `count` of them (None: all), `which` from where."""

    which: Literal["all", "uniform", "first"] = "all"
    """All frames, `count` evenly spread ones, or the first `count`."""
    count: int | None = Field(default=None, ge=1)
    """Frames of each video; for `all` leave it out."""

    @model_validator(mode="after")
    def _count_goes_with_which(self) -> FrameSelection:
        if (self.which == "all") != (self.count is None):
            raise ValueError(f"which: {self.which} goes with {'no count' if self.which == 'all' else 'a count'}")
        return self

    def __str__(self) -> str:
        return f"{self.which}{self.count or ''}"


class Aggregation(Rules):
    """From the scores of a video's frames to the video's score. On a card a bare word stands for `how`.

    `trimmed` leaves out the `trim` highest and the `trim` lowest, but fewer where less than `floor` frames would be
    left, and means the rest: a video with few frames has a score all the same.
    """

    how: Literal["mean", "median", "max", "trimmed"] = "mean"
    """Mean, median or highest score, or the mean without extremes."""
    trim: int = Field(default=0, ge=0)
    """How many are left out at each end, for `trimmed`."""
    floor: int = Field(default=1, ge=1)
    """Frames that `trimmed` keeps at least."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"how": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _trim_goes_with_trimmed(self) -> Aggregation:
        if (self.how == "trimmed") != (self.trim > 0):
            raise ValueError(f"how: {self.how} goes with {'a trim of 1 or more' if self.trim == 0 else 'no trim'}")
        return self

    def __str__(self) -> str:
        return f"trimmed{self.trim}floor{self.floor}" if self.how == "trimmed" else self.how


class Threshold(Rules):
    """The lowest score that is called fake. On a card a bare number means a fixed threshold.

    `fixed`: `value`. `eer`: where FPR = FNR. `best`: where `maximise` is highest. `fpr`: the lowest with a false
    positive rate of at most `value`. The last three are chosen on the scores of the validation split (`split: val`; of
    `dataset`, by default the judged one), or on the judged scores themselves (`split: test`): an oracle, and marked as
    one wherever its numbers are printed.
    """

    how: Literal["fixed", "eer", "best", "fpr"] = "fixed"
    """A fixed `value`, the one where FPR = FNR, the one where `maximise` is highest, or the lowest with an FPR of at
    most `value`."""
    value: float | None = Field(default=None, ge=0.0, le=1.0)
    """The threshold, for `fixed`; the false positive rate, for `fpr`."""
    split: Literal["val", "test"] | None = None
    """Whose scores it is chosen on; `test` is an oracle."""
    maximise: Literal["accuracy", "balanced_accuracy", "f1"] | None = None
    """What is maximised, for `best`."""
    dataset: str | None = None
    """Whose split `val` is used. Default: the judged dataset's."""

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        return {"value": value} if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _keys_go_together(self) -> Threshold:
        keys = {"fixed": {"value"}, "eer": {"split"}, "best": {"split", "maximise"}, "fpr": {"split", "value"}}
        wanted = keys[self.how]
        given = {key for key in ("value", "split", "maximise") if getattr(self, key) is not None}
        if given != wanted:
            raise ValueError(f"how: {self.how} goes with {' and '.join(sorted(wanted))} and nothing else")
        if self.how == "fpr" and not 0.0 < (self.value or 0.0) < 1.0:
            raise ValueError("how: fpr goes with a value above 0 and below 1, the false positive rate")
        if self.dataset is not None and self.split != "val":
            raise ValueError("dataset says whose validation split is used: it goes with split: val")
        return self

    @property
    def oracle(self) -> bool:
        """Whether the labels of the judged units decide the threshold."""
        return self.split == "test"

    def __str__(self) -> str:
        if self.how == "fixed":
            return f"{self.value:g}"
        what = self.how if self.maximise is None else f"best-{self.maximise}"
        if self.how == "fpr":
            what = f"fpr{self.value:g}"
        return f"{what}@{'test-ORACLE' if self.oracle else 'val'}"


class Missing(Rules):
    """Units without a score: left out (`drop`), 0.5 (`half`), or on the wrong side of every threshold (`wrong`).

    `frames` is for a frame (at video level: of a video with other scores), `videos` for a video without any score. On a
    card a bare word means both. The coverage is reported in every case.
    """

    frames: MissingRule = "drop"
    """For a frame without a score."""
    videos: MissingRule = "drop"
    """For a video without any score."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"frames": value, "videos": value} if isinstance(value, str) else value

    def __str__(self) -> str:
        return self.frames if self.frames == self.videos else f"frames-{self.frames}+videos-{self.videos}"


class Bootstrap(Rules):
    """How intervals are computed: number of resamples (0: no intervals), seed, level, and the unit that is drawn.

    `cluster: identity` draws all frames of people who are joined through shared frames or videos; if identities
    are unknown, or join almost everything, whole videos are drawn. `video` draws videos, `frame` single units.
    """

    resamples: int = Field(default=1000, ge=0, le=1_000_000)
    """Their number; 0: no intervals."""
    seed: int = Field(default=0, ge=0)
    """Of the resamples: the same for all detectors."""
    level: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Coverage of the intervals."""
    cluster: Literal["identity", "video", "frame"] = "identity"
    """What is drawn: groups of people, videos or frames."""

    def __str__(self) -> str:
        if self.resamples == 0:
            return "none"
        return f"{100 * self.level:g}%-{self.cluster}-{self.resamples}-seed{self.seed}"


class ProtocolRules(MetricRules):
    """All settings that decide a number, given the predictions."""

    level: Literal["frame", "video"]
    """What has a score in the end: a frame, or a video."""
    frames: FrameSelection = FrameSelection()
    """Which frames of a video are judged."""
    faces: Literal["apart", "max", "mean"] = "apart"
    """Several faces of one picture: each a frame of its own, or the picture has their highest or mean score."""
    aggregation: Aggregation = Aggregation()
    """From a video's frame scores to its score; not used at frame level."""
    threshold: Threshold = Threshold(value=0.5)
    """The lowest score that is called fake."""
    missing: Missing = Missing()
    """What a unit without a score counts as."""
    metrics: tuple[ScoreMetric, ...] = Field(default=DETECTION_METRICS, min_length=1)
    """Names, or `file.py:NAME`. A card in a file must name them."""
    bootstrap: Bootstrap = Bootstrap()
    """How intervals are computed."""


class BertScoreRules(Rules):
    """BERTScore's network: a hub name, a folder, or `offline` (the MiniLM that comes as a package); the layer whose
    output is used (None: bert-score's own choice for that name); and whether its baseline is subtracted."""

    model: str = "offline"
    """A name on the Hugging Face hub, a folder, or `offline`."""
    layer: int | None = Field(default=6, ge=0)
    """Whose output is used; None: bert-score's own choice."""
    rescale: bool = False
    """Whether the network's baseline is subtracted."""


class ExplanationRules(MetricRules):
    """All settings that decide a number about answers to questions, given the answers.

    Texts are compared with references for all questions except those of kind `judge`, which ask only for the verdict;
    verdicts are read from the answers to all questions except those of kind `released`, which state the label.
    """

    task: Literal["explanation"]
    """Says that the protocol is about answers."""
    questions: tuple[QuestionKind, ...] = Field(min_length=1)
    """Which sets: `blind` (neutral), `released` (the label is in the question), `judge` ("real or fake?" per image)."""
    references: Literal["all", "first"] = "all"
    """An answer is compared with all references, or with the first alone."""
    tokenizer: Literal["ptb", "none"] = "ptb"
    """The Penn Treebank's as captioning uses it (lower case, no punctuation), or white space only."""
    cider_df: Literal["fixed", "recomputed"] = "fixed"
    """CIDEr's document frequencies: of all questions' references, or of those in the group and resample at hand."""
    bertscore: BertScoreRules = BertScoreRules()
    """BERTScore's network."""
    verdict: Literal["words", "substring"] = "words"
    """How a verdict is read: by words and negation, or as M2F2-Det's evaluation does (real if "real" occurs at all)."""
    missing: Literal["wrong", "drop"] = "wrong"
    """A question without an answer counts as an empty answer, or is left out. The coverage is always reported."""
    metrics: tuple[AnswerMetric, ...] = Field(min_length=1)
    """Names, or `file.py:NAME`."""
    bootstrap: Bootstrap = Bootstrap()
    """How intervals are computed."""


class HeatMapRules(MetricRules):
    """All that decides a number about a detector's heat maps, given the maps.

    `measure: masks` holds them against the dataset's true masks, fakes alone. `measure: faithfulness` replaces pixels
    in the order of each map and follows the score: in `steps` equal steps by each of `fills` (the picture blurred, its
    mean colour), and the top `area`, a share, at once for `drop`; these three keys go with it alone.
    """

    task: Literal["heatmaps"]
    """Says that the protocol is about heat maps."""
    measure: Literal["masks", "faithfulness"]
    """Against true masks, or against the detector's own score."""
    frames: FrameSelection = FrameSelection()
    """Which frames of a video are judged."""
    steps: int | None = Field(default=None, ge=2)
    """Steps in which pixels are replaced."""
    area: float | None = Field(default=None, gt=0.0, lt=1.0)
    """The share of pixels that is replaced at once for `drop`."""
    fills: tuple[Fill, ...] | None = Field(default=None, min_length=1)
    """What replaces pixels: the blurred picture, its mean colour."""
    metrics: tuple[MapMetric, ...] = Field(min_length=1)
    """Names, or `file.py:NAME`."""
    bootstrap: Bootstrap = Bootstrap()
    """How intervals are computed."""

    @model_validator(mode="after")
    def _keys_go_with_measure(self) -> HeatMapRules:
        given = [key for key in ("steps", "area", "fills") if getattr(self, key) is not None]
        if self.measure == "masks" and given:
            raise ValueError(f"{given[0]} goes with measure: faithfulness alone")
        if self.measure == "faithfulness" and len(given) < 3:
            raise ValueError("measure: faithfulness goes with steps, area and fills")
        if self.fills is not None and len(set(self.fills)) < len(self.fills):
            raise ValueError("fills: each is named once")
        known = MASK_METRICS if self.measure == "masks" else self.faithfulness_metrics
        for metric in self.metrics:
            if metric not in known:
                raise ValueError(f"metric {metric} is not measured here: take from {', '.join(known)}")
        return self

    @property
    def faithfulness_metrics(self) -> tuple[str, ...]:
        """The areas under curves that the fills have, and the drop."""
        return tuple(name for name in FAITHFULNESS_METRICS if name == "drop" or name.endswith(self.fills or ()))
