"""Detection metrics over units (frames or videos): overall, and each method's fakes against all reals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..records import FAKE, REAL, Score
from .rows import Units

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def auc(labels: Labels, scores: Scores) -> float:
    """Area under the ROC curve: P(a fake scores above a real), ties counting half. Needs both classes."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def average_precision(labels: Labels, scores: Scores) -> float:
    """Average precision with fake as the positive class, in [0, 1]; independent of the order of tied scores."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def eer(labels: Labels, scores: Scores) -> float:
    """Equal error rate in [0, 1]: where the ROC curve, joined by straight lines, has FPR = FNR.

    The nearest ROC point instead of the crossing can be far off with few scores (0.40 for 0.333 in a small case).
    """
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    gap = 1.0 - tpr - fpr  # FNR - FPR, falling from 1 to -1
    after = int(np.argmax(gap <= 0.0))
    before = after - 1
    share = gap[before] / (gap[before] - gap[after])
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def accuracy(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of right decisions in [0, 1], a score of at least `threshold` being called fake."""
    return float(((scores >= threshold) == (labels == FAKE)).mean())


def balanced_accuracy(labels: Labels, scores: Scores, threshold: float) -> float:
    """Mean of the two classes' shares of right decisions, in [0, 1]."""
    right = (scores >= threshold) == (labels == FAKE)
    return float((right[labels == REAL].mean() + right[labels == FAKE].mean()) / 2.0)


def auc_or_none(labels: Sequence[int], scores: Sequence[float]) -> float | None:
    """AUC of plain sequences; None where a class is missing or a score is not a number."""
    y, s = np.asarray(labels, dtype=np.int64), np.asarray(scores, dtype=np.float64)
    return auc(y, s) if len(set(y.tolist())) == 2 and bool(np.isfinite(s).all()) else None


RANKING: dict[str, Callable[[Labels, Scores], float]] = {"auc": auc, "ap": average_precision, "eer": eer}
DECISION: dict[str, Callable[[Labels, Scores, float], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}
ONE_CLASS_IS_ENOUGH = frozenset({"accuracy"})


def score_units(units: Units, metrics: Sequence[str], threshold: float) -> dict[str, Score]:
    """Every named metric over all units. One that is not defined has value None and the reason."""
    labels, scores = units.label, units.score
    n_real, n_fake = int((labels == REAL).sum()), int((labels == FAKE).sum())
    missing = [name for name, n in (("real", n_real), ("fake", n_fake)) if n == 0]
    out = {}
    for name in metrics:
        needed = missing if name not in ONE_CLASS_IS_ENOUGH or len(missing) == 2 else []
        if needed:
            reason = f"no {' and no '.join(needed)} unit has a score"
            out[name] = Score(None, n_real, n_fake, reason=reason)
        elif name in RANKING:
            out[name] = Score(RANKING[name](labels, scores), n_real, n_fake)
        else:
            out[name] = Score(DECISION[name](labels, scores, threshold), n_real, n_fake)
    return out


def score_methods(units: Units, metrics: Sequence[str], threshold: float) -> dict[str, dict[str, Score]]:
    """The same for each manipulation: its fakes against all reals. Methods in alphabetical order."""
    real = units.label == REAL
    out = {}
    for method in units.methods:
        kept = real | (units.method == method)
        part = replace(units, label=units.label[kept], score=units.score[kept])
        out[method] = score_units(part, metrics, threshold)
    return out
