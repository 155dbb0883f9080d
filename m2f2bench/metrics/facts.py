"""Facts about this package's metrics that need no computation: title, direction, range, and the data that is measured.

`builtin` takes them from here; `m2f2bench list` reads them without the packages that compute the metrics.
"""

from __future__ import annotations

from math import inf
from typing import Literal, NamedTuple

PAUC_MAX_FPR = 0.1
"""Highest false positive rate of the partial AUC, which starts at 0."""
PAUC_LEAST = 0.5 * (1.0 - PAUC_MAX_FPR / (2.0 - PAUC_MAX_FPR))
"""Standardised partial AUC of a curve that detects no fake up to this rate; 0.5 is chance and 1 is perfect."""


class Fact(NamedTuple):
    """Fields of a `Metric`, which has the same names for them."""

    title: str
    better: Literal["higher", "lower"] = "higher"
    range: tuple[float, float] = (0.0, 1.0)
    of: Literal["scores", "answers", "maps"] = "scores"

    def __str__(self) -> str:
        """Return it in one line, as `list` prints it."""
        low, high = (f"{end:g}".replace("inf", "∞") for end in self.range)
        return f"{self.title} ({self.of}, {self.better} is better, {low} to {high})"


FACTS: dict[str, Fact] = {
    "auc": Fact("AUC"),
    "pauc": Fact(f"partial AUC (FPR ≤ {PAUC_MAX_FPR:g})", range=(PAUC_LEAST, 1.0)),
    "tpr_at_fpr1": Fact("TPR at 1% FPR"),
    "tpr_at_fpr01": Fact("TPR at 0.1% FPR"),
    "ap": Fact("AP"),
    "eer": Fact("EER", "lower"),
    "accuracy": Fact("accuracy"),
    "balanced_accuracy": Fact("balanced accuracy"),
    "f1": Fact("F1"),
    "precision": Fact("precision"),
    "recall": Fact("recall"),
    "mcc": Fact("MCC", range=(-1.0, 1.0)),
    "log_loss": Fact("log-loss", "lower", range=(0.0, inf)),
    "brier": Fact("Brier score", "lower"),
    "ece": Fact("ECE", "lower"),
    "calibration_debiased": Fact("squared calibration error, debiased", "lower", range=(-1.0, 1.0)),
    "bleu1": Fact("BLEU-1", of="answers"),
    "bleu2": Fact("BLEU-2", of="answers"),
    "bleu3": Fact("BLEU-3", of="answers"),
    "bleu4": Fact("BLEU-4", of="answers"),
    "bleu": Fact("BLEU, mean of 1–4", of="answers"),
    "rouge_l": Fact("ROUGE-L", of="answers"),
    "cider": Fact("CIDEr", range=(0.0, 10.0), of="answers"),
    "meteor": Fact("METEOR", of="answers"),
    "spice": Fact("SPICE", of="answers"),
    "bertscore_f1": Fact("BERTScore F1", range=(-inf, 1.0), of="answers"),
    "verdict_accuracy": Fact("verdict accuracy", of="answers"),
    "verdict_balanced_accuracy": Fact("verdict balanced accuracy", of="answers"),
    "verdict_f1": Fact("verdict F1", of="answers"),
    "verdict_none_rate": Fact("no verdict", "lower", of="answers"),
    "consistency": Fact("consistency", of="answers"),
    "region_precision": Fact("region precision", of="answers"),
    "region_recall": Fact("region recall", of="answers"),
    "region_f1": Fact("region F1", of="answers"),
    "energy_in_mask": Fact("energy in mask", of="maps"),
    "energy_difference": Fact("energy less area", range=(-1.0, 1.0), of="maps"),
    "energy_ratio": Fact("energy over area", range=(0.0, inf), of="maps"),
    "energy_above_area": Fact("energy above area", of="maps"),
    "pointing": Fact("pointing", of="maps"),
    "iou": Fact("IoU at half", of="maps"),
    "iou_best": Fact("best IoU (oracle)", of="maps"),
    "pixel_auc": Fact("pixel AUC", of="maps"),
    "deletion_blur": Fact("deletion, blur", "lower", of="maps"),
    "deletion_mean": Fact("deletion, mean", "lower", of="maps"),
    "insertion_blur": Fact("insertion, blur", of="maps"),
    "insertion_mean": Fact("insertion, mean", of="maps"),
    "drop": Fact("drop", range=(-1.0, 1.0), of="maps"),
}
"""By name, in the order of the tables."""
