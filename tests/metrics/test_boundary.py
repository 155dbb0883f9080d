"""What is refused by interval and test alike, copies that are not ranked, and values at the end of their range."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plot_rows import write_result
from toy_pairs import FEW, judged, rows, videos
from toy_units import make_units

import m2f2bench
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.metrics.detection.intervals import sample_of, score_units
from m2f2bench.metrics.detection.paired import AGREE, Paired
from m2f2bench.metrics.detection.tails import differences
from m2f2bench.metrics.detection.values import Cut


@pytest.mark.parametrize(("reals", "there"), [(99, False), (100, True)])
def test_a16_no_test_of_a_rate_finer_than_the_reals_allow(reals: int, there: bool) -> None:
    """What `score` gives no interval for, `compare` gives no interval and no p for, with the same words."""
    rng = np.random.default_rng(0)
    units = [make_units([0] * reals + [1] * 60, rng.uniform(size=reals + 60), clusters=None) for _ in range(2)]
    (d,) = differences([Paired(*(judged(u, ["tpr_at_fpr1"]) for u in units))], [("", "tpr_at_fpr1")])[0]
    score = score_units(units[0], ["tpr_at_fpr1"], Cut(), FEW).overall["tpr_at_fpr1"]
    assert d.difference is not None and (d.p is not None) == (d.ci is not None) == (score.ci is not None) == there
    assert d.reason == (score.reason or "") and ("are too few for this rate" in d.reason) != there


def test_a16_compare_tells_why_there_is_no_test(cli, tmp_path: Path) -> None:
    paths = [rows(tmp_path / f"{i}.csv", videos(60, 2, np.random.default_rng(i), 1.0)) for i in range(2)]
    text = cli("compare", *paths, "-m", "tpr_at_fpr1").out
    assert (
        "TPR at 1% FPR: no interval: 60 real units are too few for this rate; measured at zero false positives" in text
    )
    found = json.loads(cli("compare", *paths, "-m", "tpr_at_fpr1", "--json").out)["differences"][0]
    assert found["p"] is None and found["ci"] is None and "are too few for this rate" in found["reason"]


@pytest.mark.parametrize("with_rows", [True, False])
def test_a16_check_does_not_test_what_cannot_be_told(cli, tmp_path: Path, with_rows: bool) -> None:
    for name, gap in (("then", 2.0), ("now", 1.9)):
        folder = tmp_path / name
        folder.mkdir()
        path = rows(tmp_path / f"{name}.csv", videos(60, 2, np.random.default_rng(9), gap))
        pd.read_csv(path, float_precision="round_trip").to_parquet(folder / "predictions.parquet")
        (folder / "result.json").write_text(json.dumps(m2f2bench.score(folder / "predictions.parquet").to_json()))
    then, now = (
        json.loads((tmp_path / n / "result.json").read_text())["metrics"]["tpr_at_fpr1"] for n in ("then", "now")
    )
    assert then["value"] > now["value"] + 0.01 and then["ci"] is None
    if not with_rows:
        (tmp_path / "then" / "predictions.parquet").unlink()
    words = ["check", tmp_path / "then", "--run", tmp_path / "now", "-m", "tpr_at_fpr1"]
    outcome = cli(*words, "-m", "auc", "--tolerance", "0.01")
    assert outcome.status == 0 and "60 real units are too few for this rate" in outcome.out, outcome
    assert "  ?    tpr_at_fpr1" in outcome.out and "  ok   auc" in outcome.out
    alone = cli(*words)
    assert alone.status == 1 and "none of tpr_at_fpr1 can be tested: no interval: 60 real units" in alone.err


def test_a16_one_cluster_of_a_class_is_refused_by_both() -> None:
    units = [make_units([0, 0, 1, 1, 1], s, clusters=[0, 0, 1, 2, 3]) for s in ([0.1, 0.6, 0.4, 0.9, 0.3], [0.2] * 5)]
    (d,) = differences([Paired(*(judged(u, ["ap"]) for u in units))], [("", "ap")])[0]
    score = score_units(units[0], ["ap"], Cut(), FEW).overall["ap"]
    assert d.p is None and d.ci is None and d.reason == score.reason == "no interval: all real units are in one cluster"


def test_a16_copies_under_many_names_are_not_ranked(cli, one_line, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = []
    for i, j in itertools.product(range(4), range(3)):
        path = tmp_path / f"{i}-{j}.json"
        write_result(path, f"copy{i}", f"d{j}", float(rng.random()))
        data = json.loads(path.read_text())
        data["predictions"] = f"{j if i > 1 else 10 * (i + 1) + j:064d}"
        path.write_text(json.dumps(data))
        files.append(path)
    line = one_line(cli("plot", "ranks", *files, "--out", tmp_path / "r.svg"))
    assert "'copy2' and 'copy3' have the same predictions on 'd0'" in line and "leave one of them out" in line
    assert cli("plot", "ranks", *files[:9], "--out", tmp_path / "r.svg").status == 0, "three that are not copies"


def test_a16_accuracy_at_one_rests_on_clusters() -> None:
    """40 videos of 4 frames, each video all right with .91: .91^40 = .023 of samples have accuracy 1, and there the
    95% interval just misses the truth. Over pairs of videos it never would, over frames almost always."""
    rng = np.random.default_rng(20261126)
    cases, n, frames = 4000, 40, 4
    whole = missed = 0
    label = np.repeat(np.arange(n) % 2, frames)
    cluster = np.repeat(np.arange(n), frames)
    right = rng.random((cases, n)) < 0.91
    whole = int(right.all(axis=1).sum())
    score = np.where(label == 1, 0.9, 0.1)
    found = score_units(make_units(label, score, clusters=cluster), ["accuracy"], Cut(), FEW).overall["accuracy"]
    assert found.value == 1.0 and found.ci == (pytest.approx(0.025 ** (1 / n), abs=1e-12), 1.0)
    assert found.ci is not None
    missed = whole if found.ci[0] > 0.91 else 0
    assert 0.015 * cases < missed <= 0.025 * cases + 3 * math.sqrt(0.025 * cases), (missed, cases)
    assert 0.025 ** (2 / n) < 0.91, "over pairs it would hold the truth even there"


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("accuracy", 16),
        ("brier", 16),
        ("recall", 10),
        ("precision", 10),
        ("balanced_accuracy", 12),
        ("f1", 6),
        ("auc", 6),
    ],
)
def test_a16_what_stands_behind_a_value_at_the_end(name: str, trials: int) -> None:
    """6 videos of reals, 10 of fakes: all count in accuracy, the fakes in recall, those called fake in precision."""
    cluster = np.repeat(np.arange(16), 2)
    label = (cluster >= 6).astype(int)
    units = make_units(label, label.astype(float), clusters=cluster)
    found = score_units(units, [name], Cut(), FEW).overall[name]
    end = 0.0 if name == "brier" else 1.0
    bound = 0.025 ** (1 / trials)
    assert found.value == end
    assert found.ci == pytest.approx((0.0, 1 - bound) if name == "brier" else (bound, 1.0), abs=1e-9)


def test_a16_people_in_both_classes_count_once() -> None:
    """10 people with a real and a fake video each: in balanced accuracy each person is one trial."""
    label, cluster = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    found = score_units(make_units(label, label.astype(float), clusters=cluster), ["balanced_accuracy"], Cut(), FEW)
    assert found.overall["balanced_accuracy"].ci == pytest.approx((0.025 ** (1 / 10), 1.0))


def test_a16_precision_of_one_call_is_hardly_known() -> None:
    """One of 60 units is called fake, and is one: 1 trial, not 30 pairs."""
    score = [0.9] + [0.1] * 59
    units = make_units([1] + [0, 1] * 29 + [0], score)
    found = score_units(units, ["precision"], Cut(), Bootstrap(resamples=400)).overall
    assert found["precision"].value == 1.0 and found["precision"].ci == pytest.approx((0.025, 1.0))


def test_a16_the_methods_mean_rests_on_the_smallest() -> None:
    label = np.array([0] * 40 + [1] * 43)
    method = ["original"] * 40 + ["big"] * 40 + ["small"] * 3
    found = score_units(make_units(label, label.astype(float), method, np.arange(83)), ["recall"], Cut(), FEW)
    assert found.average["recall"].ci == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert found.methods["big"]["recall"].ci == pytest.approx((0.025 ** (1 / 40), 1.0))


def test_where_all_resamples_agree_there_is_no_interval() -> None:
    """A perfect detector against a constant one: zero width would be certainty. 5 + 5 units: p = 2 × .5^5."""
    label = np.array([0, 1] * 5)
    perfect, constant, other = (make_units(label, s) for s in (label.astype(float), [0.5] * 10, 0.2 + 0.6 * label))
    (d,) = differences([Paired(judged(perfect, ["auc"]), judged(constant, ["auc"]))], [("", "auc")])[0]
    assert (d.difference, d.ci, d.bound, d.reason) == (0.5, None, True, AGREE) and d.p == pytest.approx(2 * 0.5**5)
    (d,) = differences([Paired(judged(perfect, ["auc"]), judged(other, ["auc"]))], [("", "auc")])[0]
    assert (d.difference, d.ci, d.p, d.bound, d.reason) == (0.0, None, 1.0, False, AGREE)
    (d,) = differences([Paired(judged(perfect, ["auc"]), judged(perfect, ["auc"]))], [("", "auc")])[0]
    assert (d.difference, d.ci, d.p, d.bound, d.reason) == (0.0, (0.0, 0.0), 1.0, False, "")


def test_a16_precision_at_zero_rests_on_the_reals_that_are_called() -> None:
    """Three clusters of reals are called fake, no fake is; of a method's own too."""
    score = [0.9] * 6 + [0.1] * 10
    units = make_units([0] * 8 + [1] * 8, score, ["original"] * 8 + ["m"] * 4 + ["n"] * 4, np.repeat(np.arange(8), 2))
    found = score_units(units, ["precision"], Cut(), FEW)
    for one in (found.overall, found.methods["m"]):
        assert one["precision"].value == 0.0 and one["precision"].ci == pytest.approx((0.0, 1 - 0.025 ** (1 / 3)))


def test_f4_two_clusters_can_be_drawn_and_methods_without_reals_have_a_mean() -> None:
    units = make_units([0, 1, 0, 1], [0.2, 0.4, 0.6, 0.9], clusters=[0, 0, 1, 1])
    assert score_units(units, ["ap"], Cut(), FEW).overall["ap"].ci is not None
    fakes = make_units([1] * 6, [0.2, 0.9, 0.8, 0.7, 0.1, 0.3], ["a", "b"] * 3)
    assert score_units(fakes, ["recall"], Cut(), FEW).average["recall"].value == pytest.approx(0.5)


@pytest.mark.parametrize("cut", [Cut(), Cut(value=0.3), Cut(value=0.3, picked=True)])
def test_f4_joined_scores_keep_to_their_side_of_a_threshold(cut: Cut) -> None:
    rng = np.random.default_rng(0)
    units = make_units(rng.integers(0, 2, 300), rng.uniform(size=300))
    joined = sample_of(units, cut, 0, most=4)
    assert len(joined.levels) < 40
    for threshold in {0.5, cut.value}:
        real, fakes = joined.counts(np.ones((joined.n_clusters, 1)))
        called = joined.levels.called(threshold)
        assert real[:called].sum() == (units.score[units.label == 0] >= threshold).sum()
        assert fakes[0][:called].sum() == (units.score[units.label == 1] >= threshold).sum()


def test_a16_precision_at_one_rests_on_the_methods_own_calls() -> None:
    """Of m one cluster is called fake, of n two."""
    score = [0.1] * 8 + [0.9, 0.9, 0.1, 0.1] + [0.9] * 4
    method = ["original"] * 8 + ["m"] * 4 + ["n"] * 4
    found = score_units(
        make_units([0] * 8 + [1] * 8, score, method, np.repeat(np.arange(8), 2)), ["precision"], Cut(), FEW
    )
    trials = {"m": 1, "n": 2}
    for name, n in trials.items():
        assert found.methods[name]["precision"].ci == pytest.approx((0.025 ** (1 / n), 1.0)), name
    assert found.overall["precision"].ci == pytest.approx((0.025 ** (1 / 3), 1.0))
    assert found.average["precision"].ci == pytest.approx((0.025, 1.0))
    one = score_units(
        make_units([0] * 8 + [1] * 8, score, clusters=np.repeat(np.arange(8), 2)), ["precision"], Cut(), FEW
    )
    assert one.average["precision"] == one.overall["precision"] == one.methods["m"]["precision"]
