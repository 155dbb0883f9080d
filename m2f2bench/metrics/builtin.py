"""Metrics of this package: detection; texts, verdicts and regions of answers; heat maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from ..core.arrays import Floats
from .detection import curve as curves
from .detection import tally
from .detection.curve import Curve
from .detection.tally import Tally
from .metric import DELONG, MCNEMAR, Metric

NO_REFERENCE = "no question that was answered has a reference"


def _ranking(name: str, title: str, of: Callable[[Curve], Floats], better: Any = "higher", **fields: Any) -> Metric:
    """Return a metric of the ROC curve."""
    return Metric(name, title=title, better=better, fast=lambda counts: of(counts.curve), trials="pairs", **fields)


def _decision(name: str, title: str, of: Callable[[Tally], Floats], trials: Any, **fields: Any) -> Metric:
    """Return a metric of the decisions."""
    return Metric(name, title=title, better="higher", decision=True, fast=of, trials=trials, **fields)


def _calibration(name: str, title: str, of: Callable[[Tally], Floats], trials: Any, **fields: Any) -> Metric:
    """Return a metric of the scores as probabilities."""
    return Metric(name, title=title, better="lower", needs="any", headline=False, fast=of, trials=trials, **fields)


def _of_answers(name: str, title: str, part: Any, **fields: Any) -> Metric:
    """Return a metric of answers; all metrics of a `part` are computed together (see `answer_metrics`)."""
    return Metric(name, title=title, of="answers", part=part, **{"better": "higher", **fields})


def _text(name: str, title: str, **fields: Any) -> Metric:
    return _of_answers(name, title, "texts", undefined=NO_REFERENCE, **fields)


def _verdict(name: str, title: str, **fields: Any) -> Metric:
    return _of_answers(f"verdict_{name}", title, "verdicts", reader="verdict", **fields)


def _region(name: str, title: str, headline: bool = False) -> Metric:
    fields = {"reader": "region", "headline": headline, "shuffled": headline}
    return _of_answers(f"region_{name}", f"region {title}", "regions", **fields)


def _map(name: str, title: str, better: Any = "higher", **fields: Any) -> Metric:
    """Return a metric of heat maps, which `m2f2bench.heatmaps` computes."""
    return Metric(name, title=title, better=better, of="maps", **fields)


DETECTION = (
    _ranking("auc", "AUC", curves.auc, chance=0.5, test=DELONG),
    _ranking(
        "pauc",
        f"partial AUC (FPR ≤ {curves.PAUC_MAX_FPR:g})",
        curves.partial_auc,
        range=(curves.PAUC_LEAST, 1.0),
        chance=0.5,
        headline=False,
    ),
    _ranking("tpr_at_fpr1", "TPR at 1% FPR", partial(curves.tpr_at_fpr, most=0.01), headline=False, fewest_reals=100),
    _ranking(
        "tpr_at_fpr01", "TPR at 0.1% FPR", partial(curves.tpr_at_fpr, most=0.001), headline=False, fewest_reals=1000
    ),
    _ranking("ap", "AP", curves.average_precision),
    _ranking("eer", "EER", lambda curve: curves.equal_error(curve).rate, "lower", chance=0.5),
    _decision("accuracy", "accuracy", tally.accuracy, "clusters", needs="any", test=MCNEMAR),
    _decision("balanced_accuracy", "balanced accuracy", tally.balanced_accuracy, "halves", chance=0.5),
    _decision("f1", "F1", tally.f1, "pairs", headline=False),
    _decision("precision", "precision", tally.precision, "called", headline=False, undefined="no unit is called fake"),
    _decision("recall", "recall", tally.recall, "fakes", needs="fake", headline=False),
    _decision("mcc", "MCC", tally.mcc, "pairs", range=(-1.0, 1.0), chance=0.0, headline=False),
    _calibration("log_loss", "log-loss", partial(tally.mean_loss, "log_loss"), "pairs", range=(0.0, inf)),
    _calibration("brier", "Brier score", partial(tally.mean_loss, "brier"), "clusters"),
    _calibration("ece", "ECE", tally.expected_calibration_error, "pairs", biased=True),
)
TEXTS = (
    *(_text(f"bleu{n}", f"BLEU-{n}", headline=False) for n in range(1, 5)),
    _text("bleu", "BLEU, mean of 1–4", shuffled=True),
    _text("rouge_l", "ROUGE-L", shuffled=True),
    _text("cider", "CIDEr", range=(0.0, 10.0), shuffled=True),
    _text("meteor", "METEOR"),
    _text("spice", "SPICE", headline=False),
    _text("bertscore_f1", "BERTScore F1", range=(-inf, 1.0)),
)
VERDICTS = (
    _verdict("accuracy", "verdict accuracy", shuffled=True),
    _verdict("balanced_accuracy", "verdict balanced accuracy", chance=0.5, headline=False),
    _verdict("f1", "verdict F1"),
    _verdict("none_rate", "no verdict", better="lower", headline=False),
    _of_answers("consistency", "consistency", "verdicts", undefined="the explainer gives no score of its own"),
)
REGIONS = (_region("precision", "precision"), _region("recall", "recall"), _region("f1", "F1", headline=True))
MAPS = (
    _map("energy_in_mask", "energy in mask"),
    _map("energy_difference", "energy less area", range=(-1.0, 1.0), chance=0.0, headline=False),
    _map("energy_ratio", "energy over area", range=(0.0, inf), chance=1.0, headline=False),
    _map("energy_above_area", "energy above area", headline=False),
    _map("pointing", "pointing"),
    _map("iou", "IoU at half"),
    _map("iou_best", "best IoU (oracle)", headline=False),
    _map("pixel_auc", "pixel AUC", chance=0.5),
    _map("deletion_blur", "deletion, blur", "lower"),
    _map("deletion_mean", "deletion, mean", "lower"),
    _map("insertion_blur", "insertion, blur"),
    _map("insertion_mean", "insertion, mean"),
    _map("drop", "drop", range=(-1.0, 1.0), chance=0.0),
)
"""Metrics of heat maps against true masks, and of the score when pixels are removed or added in the maps' order."""
BUILTIN = (*DETECTION, *TEXTS, *VERDICTS, *REGIONS, *MAPS)
