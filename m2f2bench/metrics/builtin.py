"""Metrics of this package: detection; texts, verdicts and regions of answers; heat maps."""

from __future__ import annotations

from typing import Any

from .detection import curve as curves
from .detection import tally
from .metric import DELONG, MCNEMAR, Metric

NO_REFERENCE = "no question that was answered has a reference"

DETECTION = (
    Metric(
        "auc", title="AUC", better="higher", chance=0.5, fast=lambda t: curves.auc(t.curve), trials="pairs", test=DELONG
    ),
    Metric(
        "pauc",
        title=f"partial AUC (FPR ≤ {curves.PAUC_MAX_FPR:g})",
        better="higher",
        range=(curves.PAUC_LEAST, 1.0),
        chance=0.5,
        headline=False,
        fast=lambda t: curves.partial_auc(t.curve),
        trials="pairs",
    ),
    Metric(
        "tpr_at_fpr1",
        title="TPR at 1% FPR",
        better="higher",
        headline=False,
        fast=lambda t: curves.tpr_at_fpr(t.curve, 0.01),
        fewest_reals=100,
        trials="pairs",
    ),
    Metric(
        "tpr_at_fpr01",
        title="TPR at 0.1% FPR",
        better="higher",
        headline=False,
        fast=lambda t: curves.tpr_at_fpr(t.curve, 0.001),
        fewest_reals=1000,
        trials="pairs",
    ),
    Metric("ap", title="AP", better="higher", fast=lambda t: curves.average_precision(t.curve), trials="pairs"),
    Metric(
        "eer", title="EER", better="lower", chance=0.5, fast=lambda t: curves.equal_error(t.curve).rate, trials="pairs"
    ),
    Metric(
        "accuracy", better="higher", needs="any", decision=True, fast=tally.accuracy, trials="clusters", test=MCNEMAR
    ),
    Metric(
        "balanced_accuracy",
        title="balanced accuracy",
        better="higher",
        chance=0.5,
        decision=True,
        fast=tally.balanced_accuracy,
        trials="halves",
    ),
    Metric("f1", title="F1", better="higher", headline=False, decision=True, fast=tally.f1, trials="pairs"),
    Metric(
        "precision",
        better="higher",
        headline=False,
        decision=True,
        fast=tally.precision,
        trials="called",
        undefined="no unit is called fake",
    ),
    Metric("recall", better="higher", needs="fake", headline=False, decision=True, fast=tally.recall, trials="fakes"),
    Metric(
        "mcc",
        title="MCC",
        better="higher",
        range=(-1.0, 1.0),
        chance=0.0,
        headline=False,
        decision=True,
        fast=tally.mcc,
        trials="pairs",
    ),
    Metric(
        "log_loss",
        title="log-loss",
        better="lower",
        range=(0.0, float("inf")),
        needs="any",
        headline=False,
        fast=lambda t: tally.mean_loss("log_loss", t),
        trials="pairs",
    ),
    Metric(
        "brier",
        title="Brier score",
        better="lower",
        needs="any",
        headline=False,
        fast=lambda t: tally.mean_loss("brier", t),
        trials="clusters",
    ),
    Metric(
        "ece",
        title="ECE",
        better="lower",
        needs="any",
        headline=False,
        fast=tally.expected_calibration_error,
        biased=True,
        trials="pairs",
    ),
)


def _text(name: str, title: str, **fields: Any) -> Metric:
    """Return a metric of texts against references; `text.metrics` computes all of them together."""
    return Metric(name, title=title, better="higher", of="answers", undefined=NO_REFERENCE, **fields)


TEXTS = (
    *(_text(f"bleu{n}", f"BLEU-{n}", headline=False) for n in range(1, 5)),
    _text("bleu", "BLEU, mean of 1–4", shuffled=True),
    _text("rouge_l", "ROUGE-L", shuffled=True),
    _text("cider", "CIDEr", range=(0.0, 10.0), shuffled=True),
    _text("meteor", "METEOR"),
    _text("spice", "SPICE", headline=False),
    _text("bertscore_f1", "BERTScore F1", range=(float("-inf"), 1.0)),
)
VERDICTS = (
    Metric(
        "verdict_accuracy",
        title="verdict accuracy",
        better="higher",
        of="answers",
        part="verdicts",
        reader="verdict",
        shuffled=True,
    ),
    Metric(
        "verdict_balanced_accuracy",
        title="verdict balanced accuracy",
        better="higher",
        chance=0.5,
        of="answers",
        headline=False,
        part="verdicts",
        reader="verdict",
    ),
    Metric("verdict_f1", title="verdict F1", better="higher", of="answers", part="verdicts", reader="verdict"),
    Metric(
        "verdict_none_rate",
        title="no verdict",
        better="lower",
        of="answers",
        headline=False,
        part="verdicts",
        reader="verdict",
    ),
    Metric(
        "consistency",
        better="higher",
        of="answers",
        part="verdicts",
        undefined="the explainer gives no score of its own",
    ),
)
REGIONS = tuple(
    Metric(
        f"region_{name}",
        title=f"region {title}",
        better="higher",
        of="answers",
        headline=name == "f1",
        part="regions",
        reader="region",
        shuffled=name == "f1",
    )
    for name, title in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
)
MAPS = (
    Metric("energy_in_mask", better="higher", of="maps", title="energy in mask"),
    Metric(
        "energy_difference",
        better="higher",
        of="maps",
        range=(-1.0, 1.0),
        chance=0.0,
        title="energy less area",
        headline=False,
    ),
    Metric(
        "energy_ratio",
        better="higher",
        of="maps",
        range=(0.0, float("inf")),
        chance=1.0,
        title="energy over area",
        headline=False,
    ),
    Metric("energy_above_area", better="higher", of="maps", title="energy above area", headline=False),
    Metric("pointing", better="higher", of="maps"),
    Metric("iou", better="higher", of="maps", title="IoU at half"),
    Metric("iou_best", better="higher", of="maps", title="best IoU (oracle)", headline=False),
    Metric("pixel_auc", better="higher", of="maps", chance=0.5, title="pixel AUC"),
    Metric("deletion_blur", better="lower", of="maps", title="deletion, blur"),
    Metric("deletion_mean", better="lower", of="maps", title="deletion, mean"),
    Metric("insertion_blur", better="higher", of="maps", title="insertion, blur"),
    Metric("insertion_mean", better="higher", of="maps", title="insertion, mean"),
    Metric("drop", better="higher", of="maps", range=(-1.0, 1.0), chance=0.0),
)
"""Metrics of heat maps against true masks, and of the score when pixels are removed or added in the maps' order."""
BUILTIN = (*DETECTION, *TEXTS, *VERDICTS, *REGIONS, *MAPS)
