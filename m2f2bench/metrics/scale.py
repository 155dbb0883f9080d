"""Scales of all metrics: which direction is better, from where to where they go, and what guessing reaches.

Every metric stands in `SCALES`, and one that does not has no direction: to ask for it is an error, never a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..core.errors import ScoreError, near
from .detection.curve import PAUC_LEAST
from .names import AT_HALF


@dataclass(frozen=True)
class Scale:
    """One metric's direction, its range [low, high], and what guessing reaches where that does not depend on data."""

    lower_is_better: bool
    low: float = 0.0
    high: float = 1.0
    chance: float | None = None

    @property
    def best(self) -> float:
        """The better end of the range; infinite where there is none."""
        return self.low if self.lower_is_better else self.high


def _higher(low: float = 0.0, high: float = 1.0, chance: float | None = None) -> Scale:
    return Scale(False, low, high, chance)


def _lower(high: float = 1.0, chance: float | None = None) -> Scale:
    return Scale(True, 0.0, high, chance)


SCALES: dict[str, Scale] = {
    # detection
    "auc": _higher(chance=0.5),
    "pauc": _higher(low=PAUC_LEAST, chance=0.5),
    "tpr_at_fpr1": _higher(),
    "tpr_at_fpr01": _higher(),
    "ap": _higher(),
    "eer": _lower(chance=0.5),
    "accuracy": _higher(),
    "balanced_accuracy": _higher(chance=0.5),
    "f1": _higher(),
    "precision": _higher(),
    "recall": _higher(),
    "mcc": _higher(low=-1.0, chance=0.0),
    "log_loss": _lower(high=math.inf),
    "brier": _lower(),
    "ece": _lower(),
    # texts of answers
    "bleu1": _higher(),
    "bleu2": _higher(),
    "bleu3": _higher(),
    "bleu4": _higher(),
    "bleu": _higher(),
    "rouge_l": _higher(),
    "cider": _higher(high=10.0),
    "meteor": _higher(),
    "spice": _higher(),
    "bertscore_f1": _higher(low=-math.inf),
    # verdicts and regions of answers
    "verdict_accuracy": _higher(),
    "verdict_balanced_accuracy": _higher(chance=0.5),
    "verdict_f1": _higher(),
    "verdict_none_rate": _lower(),
    "consistency": _higher(),
    "region_precision": _higher(),
    "region_recall": _higher(),
    "region_f1": _higher(),
    # heat maps against masks
    "energy_in_mask": _higher(),
    "energy_difference": _higher(low=-1.0, chance=0.0),
    "energy_ratio": _higher(high=math.inf, chance=1.0),
    "energy_above_area": _higher(),
    "pointing": _higher(),
    "iou": _higher(),
    "iou_best": _higher(),
    "pixel_auc": _higher(chance=0.5),
    # heat maps by what taking pixels away does to the score
    "deletion_blur": _lower(),
    "deletion_mean": _lower(),
    "insertion_blur": _higher(),
    "insertion_mean": _higher(),
    "drop": _higher(low=-1.0, chance=0.0),
}
RANGES = {name: (scale.low, scale.high) for name, scale in SCALES.items()}
"""Each metric's range."""


def scale_of(metric: str) -> Scale:
    """A metric's scale; of one that ends in `@0.5` the metric's own. Raises ScoreError for an unknown metric."""
    name = metric.removesuffix(AT_HALF)
    if name not in SCALES:
        raise ScoreError(f"nothing says which direction of '{metric}' is better: it is no metric{near(name, SCALES)}")
    return SCALES[name]


def lower_is_better(metric: str) -> bool:
    """Whether the lower of two values of a metric is the better one. Raises ScoreError for an unknown metric."""
    return scale_of(metric).lower_is_better


def worse(metric: str) -> float:
    """The sign of a difference that is for the worse: 1 where lower is better, else -1. Raises ScoreError."""
    return 1.0 if lower_is_better(metric) else -1.0
