"""Metrics of weighted units, as resampling takes them: each weighting equals the units repeated, or is undefined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from toy_units import make_units

from m2f2bench.rules import DETECTION_METRICS
from m2f2bench.scoring import curve as curves
from m2f2bench.scoring.detection import CALIBRATION, DECISION, OVERALL, RANKING, Cut, evaluate
from m2f2bench.scoring.sample import plain, resampled

TIED = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 1), TIED, st.integers(0, 4)), min_size=1, max_size=25), st.data())
def test_a_weighting_is_its_units_repeated(drawn: list, data: st.DataObject) -> None:
    """Against scikit-learn on the repeated units; a class without weight leaves only what needs none of it."""
    label, score, cluster = (np.array(column) for column in zip(*drawn, strict=True))
    units = make_units(label, score, clusters=cluster)
    n = units.n_clusters
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=3 * n, max_size=3 * n)), float).reshape(n, 3)
    found = evaluate(resampled(units, (0.5,), 0), weights, DETECTION_METRICS, Cut())[OVERALL]
    for column in range(3):
        times = weights[cluster, column].astype(int)
        y, s = np.repeat(label, times), np.repeat(score.astype(float), times)
        own = {name: float(values[column]) for name, values in found.items()}
        both = set(y.tolist()) == {0, 1}
        for name in (*RANKING, "balanced_accuracy", "mcc"):
            assert np.isnan(own[name]) == (not both), name
        if len(y) == 0:
            assert all(np.isnan(own[name]) for name in DETECTION_METRICS)
            continue
        called = s >= 0.5
        expected = {"accuracy": sk.accuracy_score(y, called), "brier": float(np.mean((s - y) ** 2))}
        expected["log_loss"] = sk.log_loss(y, s, labels=[0, 1])
        if y.any():
            expected["f1"], expected["recall"] = sk.f1_score(y, called), sk.recall_score(y, called)
        else:
            assert np.isnan(own["f1"]) and np.isnan(own["recall"])
        if called.any():
            expected["precision"] = sk.precision_score(y, called)
        else:
            assert np.isnan(own["precision"])
        if both:
            fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False)
            expected |= {"auc": sk.roc_auc_score(y, s), "ap": sk.average_precision_score(y, s)}
            expected["pauc"] = sk.roc_auc_score(y, s, max_fpr=0.1)
            expected["tpr_at_fpr1"] = tpr[fpr <= 0.01].max()
            expected["balanced_accuracy"] = sk.balanced_accuracy_score(y, called)
            expected["mcc"] = sk.matthews_corrcoef(y, called)
        for name, value in expected.items():
            assert own[name] == pytest.approx(value, abs=1e-9), name


def test_a_class_without_units_has_no_curve() -> None:
    some, none = np.array([[1.0], [2.0]]), np.zeros((2, 1))
    for real, fake in ((some, none), (none, some), (none, none)):
        c = curves.curve(real, fake)
        for name, of in RANKING.items():
            assert np.isnan(of(c)).all(), name
    assert set(RANKING) | set(DECISION) | set(CALIBRATION) == set(DETECTION_METRICS)


def test_one_column_of_many_is_that_alone() -> None:
    rng = np.random.default_rng(2)
    units = make_units(rng.integers(0, 2, 60), np.round(rng.random(60), 1), clusters=rng.integers(0, 9, 60))
    weights = rng.integers(0, 3, (9, 5)).astype(float)
    for cut in (Cut(), Cut(value=0.3), Cut("eer"), Cut("best", maximise="accuracy"), Cut("best", maximise="f1")):
        sample = resampled(units, (0.5,), 0)
        many = evaluate(sample, weights, DETECTION_METRICS, cut)[OVERALL]
        for i in range(5):
            alone = evaluate(sample, weights[:, [i]], DETECTION_METRICS, cut)[OVERALL]
            same(alone, {name: values[[i]] for name, values in many.items()})
    whole = evaluate(plain(units), np.ones((1, 1)), DETECTION_METRICS, Cut())[OVERALL]
    same(whole, evaluate(resampled(units, (), 0), np.ones((9, 1)), DETECTION_METRICS, Cut())[OVERALL])


def same(found: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in DETECTION_METRICS:
        np.testing.assert_allclose(found[name], other[name], atol=1e-12, err_msg=name)
