"""Standardised logistic regression on features, regularised by cross-validation over identities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arrays import Codes
from ..core.cores import one_blas_thread
from ..core.errors import FrameError
from ..core.records import FAKE, REAL, Frame
from .frames import check_classes, check_unreadable, components
from .job import WEIGHTS, FitReport, Rehearsed, TrainingJob

if TYPE_CHECKING:
    from ..core.records import Floats

STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
"""Candidate values of C (inverse regularisation), the most regularised first."""
FOLDS = 5


@dataclass(frozen=True)
class LinearModel:
    """P(fake) = sigmoid(((x - mean) / scale) · coef + intercept); arrays are float64 [features], intercept a number."""

    mean: Floats
    scale: Floats
    coef: Floats
    intercept: float

    def logits(self, features: Floats) -> Floats:
        """Return the log odds of fake, float64 [B], for features [B, F]; they do not depend on the batch."""
        return np.asarray((((features - self.mean) / self.scale) * self.coef).sum(axis=1) + self.intercept)

    def scores(self, features: Floats) -> Floats:
        """Return P(fake), float64 [B], for features [B, F]."""
        from scipy.special import expit

        return np.asarray(expit(self.logits(features)), dtype=np.float64)


def fit_linear(
    features: Floats, labels: Codes, groups: Codes, seed: int
) -> tuple[LinearModel, float, list[dict[str, float]]]:
    """Fit on features [N, F], labels [N] (1 = fake) and groups [N]; both classes have the same weight.

    C is the value with the best mean AUC over stratified folds that share no group, the smaller on ties; 0.01 if there
    are too few groups for folds. Returns the model, C, and (C, AUC) of every candidate.
    """
    with one_blas_thread():
        tried = _cross_validate(features, labels, groups, seed)
        best = max(tried, key=lambda row: (row["cv_auc"], -row["c"]))["c"] if tried else 0.01
        scaler, regression = _pipeline(best).fit(features, labels)
    learned = (scaler.mean_, scaler.scale_, regression.coef_[0])
    mean, scale, coef = (np.asarray(one, dtype=np.float64) for one in learned)
    return LinearModel(mean, scale, coef, float(regression.intercept_[0])), best, tried


def _pipeline(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=5000, tol=1e-6)
    )


def _cross_validate(features: Floats, labels: Codes, groups: Codes, seed: int) -> list[dict[str, float]]:
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

    per_class = [len(set(groups[labels == label].tolist())) for label in (REAL, FAKE)]
    folds = min(FOLDS, *per_class)
    if folds < 2:
        return []
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed % 2**32)
    parts = [
        (train, test)
        for train, test in splitter.split(features, labels, groups)
        if len(set(labels[train].tolist())) == 2 and len(set(labels[test].tolist())) == 2
    ]
    tried = []
    for strength in STRENGTHS if parts else ():
        model = _pipeline(strength)
        aucs = cross_val_score(model, features, labels, scoring="roc_auc", cv=parts, error_score="raise")
        tried.append({"c": strength, "cv_auc": float(np.mean(aucs))})
    return tried


def fit_on_features(
    job: TrainingJob, extract: Callable[[list[Frame]], tuple[list[Frame], Floats]]
) -> tuple[LinearModel, FitReport]:
    """Fit a linear detector for a job, on features that `extract` computes.

    `extract` returns the readable frames and their features [N, F]. The caller must write the weights to the path in
    the report. Raises DataError if a class is missing or too many frames are unreadable.
    """
    if job.rehearsal is not None:
        raise Rehearsed
    frames, features = extract(job.train)
    val_frames, val_features = extract(job.val)
    lost = len(job.train) + len(job.val) - len(frames) - len(val_frames)
    labels = np.array([frame.label for frame in frames], dtype=np.int64)
    check_classes(labels.tolist())
    model, strength, tried = fit_linear(features, labels, identity_groups(frames), job.settings.seed)
    val_auc = None
    if val_frames:
        val_auc = job.auc([frame.label for frame in val_frames], model.scores(val_features).tolist())
    notes = [
        f"logistic regression, C = {strength:g} by cross-validation over identities",
        "of the training settings only the seed is used",
    ]
    if lost:
        notes.append(f"{lost} unreadable frames left out of training")
    return model, FitReport(job.out / WEIGHTS, val_auc, curves=tried, notes=notes)


def readable(frames: Sequence[Frame], compute: Callable[[Frame], Floats]) -> tuple[list[Frame], Floats]:
    """Return the readable frames and their features [N, F]; `compute` returns those of one [F], or raises FrameError.

    Raises DataError if too many frames are unreadable.
    """
    kept: list[Frame] = []
    rows: list[Floats] = []
    unreadable: dict[str, str] = {}
    for frame in frames:
        try:
            rows.append(compute(frame))
            kept.append(frame)
        except FrameError as error:
            unreadable[frame.id] = error.reason
            check_unreadable(unreadable, len(frames))
    return kept, np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 0)


def identity_groups(frames: Sequence[Frame]) -> Codes:
    """Return for each frame the number of its component of shared identities and videos, int64 [N]."""
    group = {frame.id: number for number, part in enumerate(components(frames)) for frame in part.frames}
    return np.array([group[frame.id] for frame in frames], dtype=np.int64)
