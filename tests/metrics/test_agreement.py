"""Every metric against an independent implementation, over random data with ties, plain and weighted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import bootstrap, mannwhitneyu
from sklearn import metrics as sk
from toy_units import make_units, plain_values, score_all

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.metrics.detection import curve as curves
from m2f2bench.metrics.detection import sample as samples
from m2f2bench.metrics.detection.intervals import resample, score_units
from m2f2bench.metrics.detection.sample import plain
from m2f2bench.metrics.detection.values import Cut

CLOSE = {"rel": 1e-12, "abs": 1e-12}
Draw = tuple[np.ndarray, np.ndarray]


@st.composite
def tied(draw: st.DrawFn) -> Draw:
    """Labels and scores of 2 to 300 units, both classes, on a grid of a few values or of many, ends included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, steps = draw(st.integers(2, 300)), draw(st.sampled_from([1, 3, 10, 30, 1000, 10**9]))
    label = rng.permutation(np.concatenate([[0, 1], rng.integers(0, 2, n - 2)]))
    score = np.clip(np.round((0.35 * label + rng.uniform(0, 0.75, n)) * steps) / steps, 0, 1)
    return label, score


def eer_by_root(label: np.ndarray, score: np.ndarray) -> float:
    fpr, tpr, _ = sk.roc_curve(label, score, drop_intermediate=False)
    # Where the curve rises straight up, FPR is no function of the way along it: so walk along the corners.
    corner = np.arange(len(fpr))
    where = brentq(lambda t: 1 - np.interp(t, corner, tpr) - np.interp(t, corner, fpr), 0, len(fpr) - 1, xtol=1e-15)
    return float(np.interp(where, corner, fpr))


def ece_by_hand(label: np.ndarray, score: np.ndarray) -> float:
    """Fifteen bins, each with its upper edge, the first with 0 as well."""
    total = 0.0
    for low, high in zip(samples.EDGES[:-1], samples.EDGES[1:], strict=True):
        inside = (score > low) & (score <= high) if low else score <= high
        if inside.any():
            total += abs(score[inside].mean() - label[inside].mean()) * inside.mean()
    return total


@given(tied())
@settings(deadline=None)
def test_ranking_metrics(data: Draw) -> None:
    label, score = data
    found = plain_values(*data)
    fpr, tpr, _ = sk.roc_curve(label, score, drop_intermediate=False)
    assert found["auc"] == pytest.approx(sk.roc_auc_score(label, score), **CLOSE)
    u = mannwhitneyu(score[label == 1], score[label == 0]).statistic
    assert found["auc"] == pytest.approx(u / ((label == 1).sum() * (label == 0).sum()), **CLOSE)
    assert found["pauc"] == pytest.approx(sk.roc_auc_score(label, score, max_fpr=0.1), **CLOSE)
    assert found["ap"] == pytest.approx(sk.average_precision_score(label, score), **CLOSE)
    assert found["tpr_at_fpr1"] == pytest.approx(tpr[fpr <= 0.01].max(), **CLOSE)
    assert found["tpr_at_fpr01"] == pytest.approx(tpr[fpr <= 0.001].max(), **CLOSE)
    assert found["eer"] == pytest.approx(eer_by_root(label, score), abs=1e-9)


@given(tied(), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_decision_metrics(data: Draw, threshold: float) -> None:
    label, score = data
    found = plain_values(*data, Cut(value=threshold))
    called = (score >= threshold).astype(int)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(label, called), **CLOSE)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(label, called), **CLOSE)
    assert found["f1"] == pytest.approx(sk.f1_score(label, called, zero_division=0), **CLOSE)
    assert found["recall"] == pytest.approx(sk.recall_score(label, called), **CLOSE)
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(label, called), **CLOSE)
    if called.any():
        assert found["precision"] == pytest.approx(sk.precision_score(label, called), **CLOSE)
    else:
        assert found["precision"] is None


@given(tied())
@settings(deadline=None)
def test_calibration_metrics(data: Draw) -> None:
    label, score = data
    found = plain_values(*data)
    assert found["log_loss"] == pytest.approx(sk.log_loss(label, score), **CLOSE)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(label, score), **CLOSE)
    assert found["ece"] == pytest.approx(ece_by_hand(label, score), abs=1e-12)
    bins = score_all(make_units(*data)).reliability
    assert sum(int(b["n"] or 0) for b in bins) == len(label)
    assert sum(b["n"] * b["fake"] for b in bins if b["n"]) == pytest.approx(label.sum())  # type: ignore[operator]


@pytest.mark.slow
@given(tied(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_resamples_are_weights(data: Draw, seed: int) -> None:
    """Counts of many resamples at once give what scikit-learn gives for each with `sample_weight`."""
    label, score = data
    rng = np.random.default_rng(seed)
    weights = np.stack([rng.multinomial(len(label), np.full(len(label), 1 / len(label))) for _ in range(4)], axis=1)
    values, level = np.unique(-score, return_inverse=True)
    counts = np.zeros((2, len(values), 4))
    for unit in range(len(label)):
        counts[label[unit], level[unit]] += weights[unit]
    c = curves.curve(counts[0], counts[1])
    for i, weight in enumerate(weights.T):
        both = len(set(label[weight > 0].tolist())) == 2
        found = [f(c)[i] for f in (curves.auc, curves.partial_auc, curves.average_precision)]
        if not both:
            assert np.isnan(found).all() and math.isnan(curves.equal_error(c).rate[i])
            continue
        wanted = (
            sk.roc_auc_score(label, score, sample_weight=weight),
            sk.roc_auc_score(label, score, sample_weight=weight, max_fpr=0.1),
            sk.average_precision_score(label, score, sample_weight=weight),
        )
        assert found == pytest.approx(wanted, **CLOSE)
        fpr, tpr, _ = sk.roc_curve(label, score, sample_weight=weight, drop_intermediate=False)
        assert curves.tpr_at_fpr(c, 0.1)[i] == pytest.approx(tpr[fpr <= 0.1 * (1 + 1e-12)].max(), **CLOSE)
        repeated = np.repeat(np.arange(len(label)), weight)
        assert curves.equal_error(c).rate[i] == pytest.approx(eer_by_root(label[repeated], score[repeated]), abs=1e-9)


def world(n: int, seed: int, clusters: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with ties and clusters of n units."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) if clusters is None else rng.integers(0, clusters, n)
    label = rng.integers(0, 2, n)
    shift = rng.normal(size=n)[cluster] * (clusters is not None)
    score = 1 / (1 + np.exp(-(1.5 * label - 0.75 + rng.normal(size=n) + shift)))
    return label, np.round(score, 3), cluster


def test_each_resample_is_the_metric_of_the_drawn_units() -> None:
    """Draw the clusters again by hand: every metric of every resample is that of the units of the drawn clusters."""
    label, score, cluster = world(120, 3, clusters=15)
    units = make_units(label, score, clusters=cluster)
    names = ["auc", "ap", "eer", "accuracy", "f1", "mcc", "brier", "log_loss", "ece", "pauc"]
    found = resample(units, names, Cut(), Bootstrap(resamples=5, seed=11))[""]
    rng = np.random.default_rng(11)
    for i in range(5):
        drawn = np.concatenate([np.flatnonzero(cluster == c) for c in rng.integers(0, 15, 15)])
        wanted = plain_values(label[drawn], score[drawn])
        for name in names:
            assert found[name][i] == pytest.approx(wanted[name], abs=1e-12), name


def test_a_resample_picks_its_own_oracle_threshold() -> None:
    label, score, cluster = world(120, 5, clusters=15)
    cut = Cut("best", maximise="accuracy")
    found = resample(make_units(label, score, clusters=cluster), ["accuracy"], cut, Bootstrap(resamples=5, seed=2))[""]
    rng = np.random.default_rng(2)
    for value in found["accuracy"]:
        drawn = np.concatenate([np.flatnonzero(cluster == c) for c in rng.integers(0, 15, 15)])
        assert value == pytest.approx(plain_values(label[drawn], score[drawn], cut)["accuracy"], abs=1e-12)


@pytest.mark.slow
def test_percentile_intervals_against_scipy() -> None:
    """The same method by scipy with its own draws: ends agree within the noise of 4,000 resamples."""
    label, score, _ = world(300, 8)
    units = make_units(label, score)
    found = score_units(units, ["accuracy", "ap"], Cut(), Bootstrap(resamples=4000, seed=1)).overall

    def accuracy(y: np.ndarray, s: np.ndarray) -> float:
        return float(((s >= 0.5) == y).mean())

    for name, statistic in (("accuracy", accuracy), ("ap", sk.average_precision_score)):
        other = bootstrap(
            (label, score),
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=4000,
            method="percentile",
            random_state=np.random.default_rng(4),
        ).confidence_interval
        width = other.high - other.low
        assert found[name].ci == pytest.approx((other.low, other.high), abs=0.06 * width)


def test_delong_against_the_bootstrap() -> None:
    """Two ways to the standard error of one AUC."""
    label, score, _ = world(400, 9)
    units = make_units(label, score)
    drawn = resample(units, ["auc"], Cut(), Bootstrap(resamples=3000))[""]["auc"]
    ci = score_units(units, ["auc"], Cut(), Bootstrap()).overall["auc"].ci
    assert ci is not None and (ci[1] - ci[0]) / (2 * 1.96) == pytest.approx(drawn.std(), rel=0.06)


def test_joined_levels_change_intervals_by_less_than_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above MAX_LEVELS distinct scores resampling counts in fewer levels; the plain values never do."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 60, 40_000)
    label = rng.integers(0, 2, 40_000)
    score = 1 / (1 + np.exp(-(1.5 * label - 0.75 + rng.normal(size=40_000) + rng.normal(size=60)[cluster])))
    units = make_units(label, score, clusters=cluster)
    whole = score_all(units, resampling=Bootstrap(resamples=100)).overall
    monkeypatch.setattr(samples, "MAX_LEVELS", 10_000)
    monkeypatch.setattr(samples, "JOINED_LEVELS", 4_096)
    assert len(samples.resampled(units, (0.5,), 0).levels) < 4_200 < len(plain(units).levels)
    joined = score_all(units, resampling=Bootstrap(resamples=100)).overall
    for name, score_ in whole.items():
        assert joined[name].value == score_.value
        assert joined[name].ci == pytest.approx(score_.ci, abs=1e-3), name
    for name in ("accuracy", "f1", "mcc"):
        assert joined[name].ci == pytest.approx(whole[name].ci, abs=1e-12), "nothing is joined across a threshold"


def test_joined_clusters_keep_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """More clusters than MAX_CLUSTERS are joined at random: the interval stays as wide, within the resamples' noise."""
    label, score, cluster = world(3000, 4)
    units = make_units(label, score, clusters=cluster)
    wide = score_units(units, ["accuracy", "ap"], Cut(), Bootstrap(resamples=2000)).overall
    monkeypatch.setattr(samples, "MAX_CLUSTERS", 400)
    joined = score_units(units, ["accuracy", "ap"], Cut(), Bootstrap(resamples=2000)).overall
    for name in wide:
        (a, b), (c, d) = wide[name].ci or (0, 0), joined[name].ci or (0, 0)
        assert d - c == pytest.approx(b - a, rel=0.15)
