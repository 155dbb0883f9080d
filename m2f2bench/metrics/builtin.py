"""Metrics of this package: detection; texts, verdicts and regions of answers; heat maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.arrays import Floats
from .detection import curve as curves
from .detection import tally
from .detection.calibration import debiased_calibration_error
from .detection.curve import Curve
from .detection.tally import Tally
from .facts import FACTS
from .metric import DELONG, MCNEMAR, Metric

NO_REFERENCE = "no question that was answered has a reference"


def _metric(name: str, **fields: Any) -> Metric:
    return Metric(name, **FACTS[name]._asdict(), **fields)


def _ranking(name: str, of: Callable[[Curve], Floats], **fields: Any) -> Metric:
    """Return a metric of the ROC curve."""
    return _metric(name, fast=lambda counts: of(counts.curve), trials="pairs", **fields)


def _decision(name: str, of: Callable[[Tally], Floats], trials: Any, **fields: Any) -> Metric:
    """Return a metric of the decisions."""
    return _metric(name, decision=True, fast=of, trials=trials, **fields)


def _calibration(name: str, of: Callable[[Tally], Floats], trials: Any, **fields: Any) -> Metric:
    """Return a metric of the scores as probabilities."""
    return _metric(name, needs="any", headline=False, fast=of, trials=trials, **fields)


def _of_answers(name: str, part: Any, **fields: Any) -> Metric:
    """Return a metric of answers; all metrics of a `part` are computed together (see `answer_metrics`)."""
    return _metric(name, part=part, **fields)


def _text(name: str, **fields: Any) -> Metric:
    return _of_answers(name, "texts", undefined=NO_REFERENCE, **fields)


def _verdict(name: str, **fields: Any) -> Metric:
    return _of_answers(f"verdict_{name}", "verdicts", reader="verdict", **fields)


def _region(name: str, headline: bool = False) -> Metric:
    return _of_answers(f"region_{name}", "regions", reader="region", headline=headline, shuffled=headline)


DETECTION = (
    _ranking("auc", curves.auc, chance=0.5, test=DELONG),
    _ranking("pauc", curves.partial_auc, chance=0.5, headline=False),
    _ranking("tpr_at_fpr1", partial(curves.tpr_at_fpr, most=0.01), headline=False, fewest_reals=100),
    _ranking("tpr_at_fpr01", partial(curves.tpr_at_fpr, most=0.001), headline=False, fewest_reals=1000),
    _ranking("ap", curves.average_precision),
    _ranking("eer", lambda curve: curves.equal_error(curve).rate, chance=0.5),
    _decision("accuracy", tally.accuracy, "clusters", needs="any", test=MCNEMAR),
    _decision("balanced_accuracy", tally.balanced_accuracy, "halves", chance=0.5),
    _decision("f1", tally.f1, "pairs", headline=False),
    _decision("precision", tally.precision, "called", headline=False, undefined="no unit is called fake"),
    _decision("recall", tally.recall, "fakes", needs="fake", headline=False),
    _decision("mcc", tally.mcc, "pairs", chance=0.0, headline=False),
    _calibration("log_loss", partial(tally.mean_loss, "log_loss"), "pairs"),
    _calibration("brier", partial(tally.mean_loss, "brier"), "clusters"),
    _calibration("ece", tally.expected_calibration_error, "pairs", biased=2, calibrated=True),
    _calibration("calibration_debiased", debiased_calibration_error, "", biased=1),
)
TEXTS = (
    *(_text(f"bleu{n}", headline=False) for n in range(1, 5)),
    _text("bleu", shuffled=True),
    _text("rouge_l", shuffled=True),
    _text("cider", shuffled=True, reads=("cider",)),
    _text("meteor"),
    _text("spice", headline=False),
    _text("bertscore_f1", reads=("bert",)),
)
VERDICTS = (
    _verdict("accuracy", shuffled=True),
    _verdict("balanced_accuracy", chance=0.5, headline=False),
    _verdict("f1"),
    _verdict("none_rate", headline=False),
    _of_answers("consistency", "verdicts", undefined="the explainer gives no score of its own"),
)
REGIONS = (_region("precision"), _region("recall"), _region("f1", headline=True))
MAPS = (  # `m2f2bench.heatmaps` computes them
    _metric("energy_in_mask"),
    _metric("energy_difference", chance=0.0, headline=False),
    _metric("energy_ratio", chance=1.0, headline=False),
    _metric("energy_above_area", headline=False),
    _metric("pointing"),
    _metric("iou"),
    _metric("iou_best", headline=False),
    _metric("pixel_auc", chance=0.5),
    _metric("deletion_blur"),
    _metric("deletion_mean"),
    _metric("insertion_blur"),
    _metric("insertion_mean"),
    _metric("drop", chance=0.0),
)
"""Metrics of heat maps against true masks, and of the score when pixels are removed or added in the maps' order."""
BUILTIN = (*DETECTION, *TEXTS, *VERDICTS, *REGIONS, *MAPS)
