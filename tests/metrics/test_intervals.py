"""Intervals at their edges: what there is nothing to say of, what must not depend on anything, what must."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_units import make_rows, make_units, outside, score_all

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection import intervals, sample
from m2f2bench.metrics.detection.clusters import members
from m2f2bench.metrics.detection.intervals import Scored, auc_interval, pick_threshold, resample, score_units
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.registry import metric_of
from m2f2bench.results.units import to_units
from m2f2bench.stats import bootstrap
from m2f2bench.stats.bootstrap import boundary

FEW = Bootstrap(resamples=100)
RANKING = ("auc", "pauc", "tpr_at_fpr1", "ap", "eer")


def drawn_units(n: int = 240, clusters: int = 30, seed: int = 0) -> Units:
    """Frames of videos that share what makes them easy, of two methods."""
    rng = np.random.default_rng(seed)
    cluster = np.sort(rng.integers(0, clusters, n))
    label = (np.arange(clusters) % 2)[cluster]
    latent = 1.2 * label - 0.6 + rng.normal(size=clusters)[cluster] + rng.normal(size=n)
    method = np.where(label == 0, "original", np.where(cluster % 4 == 1, "swap", "warp"))
    return make_units(label, 1 / (1 + np.exp(-latent)), method.tolist(), cluster)


def groups_by_hand(units: Units) -> tuple[float, float]:
    """The effective number of all clusters, and that for a metric of both classes, whose clusters are apart."""
    sizes = [np.bincount(units.cluster[kept]) for kept in (units.label >= 0, units.label == 0, units.label == 1)]
    every, real, fake = (own.sum() ** 2 / (own**2).sum() for own in sizes)
    freedom = (1 / real + 1 / fake) ** 2 / (1 / real**2 / (real - 1) + 1 / fake**2 / (fake - 1))
    assert freedom + 1 < every, "else this test would not see it"
    return float(every), float(freedom + 1)


def everything(scored: Scored) -> list[object]:
    return [scored.overall, scored.methods, scored.average, scored.threshold, scored.reliability]


# Nothing to say


def test_one_cluster_has_values_and_no_intervals() -> None:
    units = make_units([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], clusters=[0, 0, 0, 0])
    for name, score in score_all(units, resampling=FEW).overall.items():
        assert score.value is not None and score.ci is None and "no interval" in str(score.reason), name


def test_one_cluster_of_a_class_has_no_interval() -> None:
    units = make_units([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.9, 0.3], clusters=[0, 0, 1, 2, 3])
    score = score_all(units, resampling=FEW).overall["auc"]
    assert score.ci is None and score.reason == "no interval: all real units are in one cluster"


def test_independent_units_one_of_a_class() -> None:
    score = score_all(make_units([0, 1, 1], [0.2, 0.1, 0.9]), resampling=FEW).overall["auc"]
    assert score.value == 0.5 and score.ci is None
    assert score.reason == "no interval: at least two real and two fake units are needed"


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_intervals_of_what_is_defined(label: int) -> None:
    found = score_all(make_units([label] * 20, np.linspace(0.1, 0.8, 20)), resampling=FEW).overall
    for name in ("accuracy", "log_loss", "brier", "ece"):
        assert found[name].ci is not None, name
    assert found["auc"].ci is None and found["auc"].value is None


def test_a_metric_that_most_resamples_leave_undefined_has_no_interval() -> None:
    """One unit of 60 is called fake: precision is defined where it is drawn; in 1 - 1/e of the resamples."""
    score = [0.9] + [0.1] * 59
    units = make_units([1] + [0, 1] * 29 + [0], score)
    found = score_units(units, ["precision"], Cut(), Bootstrap(resamples=400)).overall
    assert found["precision"].value == 1.0 and found["precision"].ci is not None
    both = resample(units, ["precision"], Cut(), Bootstrap(resamples=400))[""]["precision"]
    assert np.isnan(both).mean() == pytest.approx(np.exp(-1), abs=0.08)


def test_too_few_defined_resamples_are_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "FEWEST_DEFINED", 0.9)
    found = score_all(
        make_units([1] + [0, 1] * 29 + [0], [0.9] + [0.1] * 59), resampling=Bootstrap(resamples=400)
    ).overall
    assert found["precision"].ci is None and "defined in" in str(found["precision"].reason)


def test_no_resamples_no_intervals_and_no_complaint() -> None:
    found = score_all(drawn_units(1000)).overall
    assert all(s.ci is None and s.reason is None for name, s in found.items() if name not in ("tpr_at_fpr01", "ece"))
    assert str(found["ece"].reason).startswith("a calibrated detector"), "a remark"


def test_rates_finer_than_the_reals_allow_have_no_interval() -> None:
    """With 99 reals one false positive is more than 1%: what is estimated is the TPR at no false positive."""
    rng = np.random.default_rng(0)
    for reals, there in ((99, False), (100, True)):
        units = make_units([0] * reals + [1] * 50, rng.uniform(size=reals + 50))
        found = score_all(units, resampling=FEW).overall["tpr_at_fpr1"]
        assert (found.ci is not None) == there and ("zero false positives" in str(found.reason)) != there


# The ends of the range


@pytest.mark.parametrize(("value", "high"), [(1.0, True), (0.0, False)])
@pytest.mark.parametrize("clustered", [False, True])
def test_perfect_and_perverse_are_not_certain(value: float, high: bool, clustered: bool) -> None:
    """Five disjoint pairs, all right: the chance p of being right has p^5 = .025 at its bound.

    Of ten clusters, five real and five fake, all are right in accuracy and in the mean of both classes' shares, the
    fakes alone in recall.
    """
    score = [0.1] * 10 + [0.9] * 10 if high else [0.9] * 10 + [0.1] * 10
    clusters = np.repeat(np.arange(10), 2) if clustered else None
    found = score_all(make_units([0] * 10 + [1] * 10, score, clusters=clusters), resampling=FEW).overall
    pairs = 5 if clustered else 10

    def wanted(trials: int) -> tuple[float, float]:
        bound = 0.025 ** (1 / trials)
        return (bound, 1.0) if high else (0.0, 1.0 - bound)

    for name, trials in (("auc", pairs), ("accuracy", 2 * pairs), ("balanced_accuracy", 2 * pairs), ("recall", pairs)):
        assert found[name].value == value
        assert found[name].ci == pytest.approx(wanted(trials)), name
    low, top = wanted(pairs)
    assert found["eer"].ci == pytest.approx((1 - top, 1 - low))
    assert found["mcc"].value == 2 * value - 1 and found["mcc"].ci == pytest.approx((2 * low - 1, 2 * top - 1))
    least = (0.5 * (1 - 0.005 / 0.095)) if not high else 1.0
    assert found["pauc"].value == pytest.approx(least, abs=1e-12)
    assert found["pauc"].ci is not None and found["pauc"].ci[1] - found["pauc"].ci[0] > 0.1


def test_the_boundary_bound_by_hand() -> None:
    assert boundary(1.0, 10, 0.95) == pytest.approx((0.025**0.1, 1.0))
    assert boundary(0.0, 10, 0.9) == pytest.approx((0.0, 1 - 0.05**0.1))
    assert boundary(-1.0, 10, 0.95, low=-1.0) == pytest.approx((-1.0, 1 - 2 * 0.025**0.1))
    assert boundary(1.0, 0, 0.95) is None


def test_constant_scores_tell_nothing_for_certain() -> None:
    found = score_all(make_units([0, 1] * 10, [0.5] * 20), resampling=FEW).overall
    assert found["auc"].value == 0.5 and found["auc"].ci == (0.5, 0.5)
    assert found["accuracy"].ci is not None and found["accuracy"].ci[0] < 0.5 < found["accuracy"].ci[1]


@given(st.integers(0, 2**32 - 1), st.sampled_from([Cut(), Cut("best"), Cut("eer")]))
@settings(deadline=None, max_examples=40)
def test_an_interval_holds_its_value_and_stays_in_range(seed: int, cut: Cut) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    units = make_units(rng.integers(0, 2, n), rng.integers(0, 5, n) / 4, clusters=np.sort(rng.integers(0, n, n)))
    for name, score in score_all(units, cut, Bootstrap(resamples=30, seed=seed % 100)).overall.items():
        if score.ci is not None:
            assert score.value is not None and score.ci[0] <= score.value <= score.ci[1], name
            low, high = metric_of(name).range
            assert low - 1e-12 <= score.ci[0] and score.ci[1] <= high + 1e-12, name


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_intervals_are_percentiles_less_the_bias_of_what_is_biased(level: float) -> None:
    """Resampling adds to the ECE, and to what an oracle maximises, as much again as chance has already added."""
    units, cut, rule = drawn_units(), Cut("best", maximise="accuracy"), Bootstrap(resamples=200, seed=3, level=level)
    names, means = (
        ["ap", "brier", "ece", "accuracy", "accuracy@0.5", "f1"],
        ("brier", "accuracy", "accuracy@0.5"),
    )
    times = {"ece": 2, "accuracy": 2, "f1": 1}
    drawn = resample(units, names, cut, rule)[""]
    clusters, compared = groups_by_hand(units)
    found = score_units(units, ["ap", "brier", "ece", "accuracy", "f1"], cut, rule).overall
    for name in names:
        value, ci = found[name].value, found[name].ci
        assert value is not None and ci is not None
        bias = times.get(name, 0) * (drawn[name].mean() - value)
        tail = outside(level, clusters if name in means else compared)
        low, high = np.quantile(drawn[name], [tail, 1 - tail]) - bias
        assert ci == pytest.approx((min(max(low, 0.0), value), max(min(high, 1.0), value)), abs=1e-12), name
        assert name not in times or abs(bias) > 0.003, "else this test would not see it"


def test_f4_the_interval_of_an_auc_is_that_of_its_units() -> None:
    """The last cluster counts, and no cluster is made up beyond it."""
    units = drawn_units()
    for clusters in (units.cluster, np.arange(len(units.label))):
        value, ci = auc_interval(units.label, units.score, clusters, resamples=60, seed=4, level=0.8)
        same = make_units(units.label, units.score, clusters=clusters)
        found = score_units(same, ["auc"], Cut(), Bootstrap(resamples=60, seed=4, level=0.8)).overall["auc"]
        assert (value, ci) == (found.value, found.ci) and ci is not None
    with pytest.raises(ValueError, match="no AUC: no real unit has a score"):
        auc_interval(np.ones(4, dtype=np.int64), np.linspace(0, 1, 4), np.arange(4))


def test_f4_an_auc_has_an_interval_by_default_and_none_where_none_is_asked() -> None:
    units = drawn_units()
    plain = auc_interval(units.label, units.score, units.cluster)
    asked = auc_interval(units.label, units.score, units.cluster, resamples=1, seed=5, level=0.95)
    assert plain == asked != auc_interval(units.label, units.score, units.cluster, level=0.9)
    for clusters in (units.cluster, np.arange(len(units.label))):
        assert auc_interval(units.label, units.score, clusters, resamples=0)[1] is None


def test_f4_members_by_hand() -> None:
    """Clusters: 0 real, 1 real and fake, 2 fake of m, 3 fakes of m and n."""
    units = make_units([0, 0, 1, 1, 1, 1], [0.5] * 6, ["original", "original", "m", "m", "m", "n"], [0, 1, 1, 2, 3, 3])
    everything = members(units, "")
    assert everything == members(units, "average") == (2, 4, 2, 3, 1)
    assert (everything.clusters, everything.pairs) == (4, 2)
    assert members(units, "n") == (2, 1, 2, 1, 0) and members(units, "n").pairs == 1
    both = make_units([0, 1] * 3, [0.5] * 6, clusters=[0, 0, 1, 1, 2, 2])
    assert (members(both, "").clusters, members(both, "").pairs) == (3, 1), "three people make one disjoint pair"


def test_f4_a_threshold_takes_both_classes() -> None:
    assert pick_threshold(make_units([0, 0], [0.2, 0.7]), Cut("best")) is None
    assert pick_threshold(make_units([1, 1], [0.2, 0.7]), Cut("eer")) is None
    assert pick_threshold(make_units([1, 1], [0.2, 0.7]), Cut(value=0.3)) == 0.3
    assert pick_threshold(make_units([0, 1], [0.2, 0.7]), Cut("best")) == pytest.approx(0.45)


# What changes nothing


def test_the_seed_decides_to_the_last_bit() -> None:
    units = drawn_units()
    assert everything(score_all(units, resampling=FEW)) == everything(score_all(units, resampling=FEW))
    other = score_all(units, resampling=Bootstrap(resamples=100, seed=1))
    assert other.overall["ap"].value == score_all(units).overall["ap"].value
    assert other.overall["ap"].ci != score_all(units, resampling=FEW).overall["ap"].ci
    assert other.overall["auc"] == score_all(units, resampling=FEW).overall["auc"], "it needs no resamples"


@pytest.mark.parametrize(("module", "name", "value"), [(bootstrap, "THREADS", 1), (bootstrap, "THREADS", 5)])
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch, module: object, name: str, value: int) -> None:
    before = everything(score_all(drawn_units(), resampling=FEW))
    monkeypatch.setattr(module, name, value)
    assert everything(score_all(drawn_units(), resampling=FEW)) == before


def test_the_size_of_the_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    units = drawn_units()
    before = resample(units, DETECTION_METRICS, Cut(), FEW)
    for chunk in (1, 700, 10_000_000):
        monkeypatch.setattr(sample, "CHUNK", chunk)
        after = resample(units, DETECTION_METRICS, Cut(), FEW)
        for group, values in before.items():
            for name, drawn in values.items():
                np.testing.assert_allclose(after[group][name], drawn, rtol=0, atol=1e-13, err_msg=name)


def test_two_detectors_get_the_same_draws() -> None:
    """The paired comparison rests on it: what the scores are does not touch the draws."""
    units = drawn_units()
    other = replace(units, score=np.round(units.score, 1))
    shares = [resample(u, ["accuracy"], Cut(value=0.0), FEW)[""]["accuracy"] for u in (units, other)]
    assert (shares[0] == shares[1]).all(), "all called fake: the share of fakes in each resample"
    assert np.ptp(shares[0]) > 0


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = []
    for i in range(300):
        video, score = int(rng.integers(0, 40)), float(rng.uniform())
        fake = video % 2
        method = ("original", ("swap", "warp")[video % 4 // 2])[fake]
        lines.append(f"f{i},{fake},{score!r},v{video},{method},p{video // 3},ok")
    lines[7] = lines[7].removesuffix("ok") + "error"
    results = []
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        path = tmp_path / str(seed) / "rows.csv"
        path.parent.mkdir()
        path.write_text("id,label,score,video,method,identity,status\n" + "\n".join(lines) + "\n")
        results.append([m2f2bench.score(path, protocol=name).to_json() for name in ("frame", "video")])
    assert results[0] == results[1] == results[2]
    found = results[0][0]["clusters"]
    assert (found["by"], found["n"], found["independent"]) == ("identity", 14, False) and found["effective"][
        "real"
    ] < 14
    assert results[0][0]["metrics"]["auc"]["ci"]


def test_repeated_frames_narrow_nothing_that_is_clustered() -> None:
    """Every frame four times: nothing new is known. As independent frames they would halve the interval."""
    units = drawn_units()
    four = make_units(*(np.repeat(a, 4) for a in (units.label, units.score, units.method, units.cluster)))
    once, often = (score_all(u, resampling=FEW) for u in (units, four))
    for name in (n for n in DETECTION_METRICS if n not in ("tpr_at_fpr1", "tpr_at_fpr01", "calibration_debiased")):
        assert often.overall[name].ci == pytest.approx(once.overall[name].ci, abs=1e-12), name

    def naive(u: Units) -> float:
        ci = auc_interval(u.label, u.score, np.arange(len(u.label)))[1]
        assert ci is not None
        return ci[1] - ci[0]

    assert naive(four) == pytest.approx(naive(units) / 2, rel=0.02)


@given(
    st.integers(0, 10_000), st.sampled_from([lambda s: s**3, lambda s: s / 7 + 0.1, lambda s: 1 / (1 + np.exp(-9 * s))])
)
@settings(deadline=None, max_examples=25)
def test_monotone_maps_leave_the_ranking_and_its_intervals(seed: int, stretch) -> None:
    units = drawn_units(80, 12, seed)
    units = replace(units, score=np.round(units.score, 2))
    mapped = replace(units, score=stretch(units.score))
    first, second = (score_units(u, RANKING, Cut(), Bootstrap(resamples=40)) for u in (units, mapped))
    assert first.overall == second.overall and first.methods == second.methods and first.average == second.average


@pytest.mark.parametrize("clustered", [False, True])
def test_swapped_labels_and_scores_mirror_the_auc(clustered: bool) -> None:
    units = drawn_units()
    clusters = units.cluster if clustered else np.arange(len(units.label))
    value, ci = auc_interval(units.label, units.score, clusters)
    flipped, mirrored = auc_interval(1 - units.label, units.score, clusters)
    assert ci is not None and mirrored is not None
    assert flipped == pytest.approx(1 - value, abs=1e-12)
    assert mirrored == pytest.approx((1 - ci[1], 1 - ci[0]), abs=1e-12)
    both, same = auc_interval(1 - units.label, 1 - units.score, clusters)
    assert both == pytest.approx(value, abs=1e-12) and same == pytest.approx(ci, abs=1e-12)


# Units that count as wrong


def test_a_missing_unit_that_counts_as_wrong_is_wrong_at_every_threshold() -> None:
    lines = [(f"r{i}", "original", 0, 0.1) for i in range(9)] + [(f"f{i}", "m", 1, 0.9) for i in range(9)]
    rows = make_rows(*lines, ("r", "original", 0, None), ("f", "m", 1, None))
    card = ProtocolCard.model_validate({"name": "p", "level": "frame", "missing": "wrong"})
    units = to_units(rows, card)
    assert np.isposinf(units.score).sum() == 1 and np.isneginf(units.score).sum() == 1
    for cut in (Cut(), Cut(value=0.0), Cut(value=1.0), Cut("best"), Cut("eer"), Cut("best", maximise="f1")):
        found = score_all(units, cut, FEW)
        assert found.threshold is not None and np.isfinite(found.threshold)
        recall, balanced = found.overall["recall"].value, found.overall["balanced_accuracy"].value
        assert recall is not None and recall <= 0.9 and balanced is not None and balanced <= 0.9
        for name, score in found.overall.items():
            assert score.value is not None and np.isfinite(score.value), name
            assert score.ci is None or np.isfinite(score.ci).all(), name
    hidden = to_units(make_rows(*[(f"r{i}", "original", 0, 0.9) for i in range(9)], ("r", "original", 0, None)), card)
    hidden = make_units([*hidden.label, 1], [*hidden.score, 0.1])
    best = score_all(hidden, Cut("best", maximise="accuracy"))
    assert best.overall["accuracy"].value == pytest.approx(9 / 11), "calling nothing fake does not hide what is missing"
    assert score_all(units).overall["auc"].value == pytest.approx(81 / 100)
    assert score_all(units).overall["brier"].value == pytest.approx((18 * 0.01 + 2) / 20)


def test_no_resamples_are_kept_in_memory_at_once() -> None:
    """Many resamples of many clusters: the weights are made piece by piece."""
    import tracemalloc

    units = make_units([0, 1] * 1000, np.linspace(0, 1, 2000))
    resample(units, ["accuracy"], Cut(), Bootstrap(resamples=10))
    tracemalloc.start()
    resample(units, ["accuracy"], Cut(), Bootstrap(resamples=3000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * 3000 * 2000 * 8, "all weights at once are 48 MB"
