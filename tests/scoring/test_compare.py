"""Paired tests: against independent computations, by simulation, and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2
from scipy.stats import t as student

import m2f2bench
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.errors import ScoreError
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection.paired import Difference, Judged, Paired
from m2f2bench.metrics.detection.tails import differences
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.results.signature import MEASURE
from m2f2bench.scoring.comparison import FIELDS, refuse_differing
from m2f2bench.stats.multiplicity import holm


def make_units(label: np.ndarray, score: np.ndarray, cluster: np.ndarray | None = None) -> Units:
    n = len(label)
    cluster = np.arange(n) if cluster is None else cluster
    method = np.where(label == 1, "swap", "original").astype(object)
    names = np.array([str(i) for i in range(n)], dtype=object)
    return Units(label, score, method, names, cluster, int(cluster.max()) + 1, 1.0, ("swap",))


def judged(units: Units, metrics: list[str], resamples: int = 300) -> Judged:
    return Judged(units, Cut(), metrics, Bootstrap(resamples=resamples, seed=0, level=0.95))


def pair_of(first: Judged, second: Judged) -> list[Difference]:
    return differences([Paired(first, second)])[0]


def rows_file(path: Path, label: np.ndarray, score: np.ndarray, **columns: object) -> Path:
    table = pd.DataFrame({"id": [f"f{i:05d}" for i in range(len(label))], "label": label, "score": score, **columns})
    table.to_csv(path, index=False)
    return path


def simulate(rng: np.random.Generator, n: int, shift: tuple[float, float]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw labels and the scores of two detectors that share half of their variance."""
    label = np.arange(n) % 2
    shared = rng.normal(size=n)
    return label, [1 / (1 + np.exp(-(s * label + shared + rng.normal(size=n)))) for s in shift]


def test_delong_difference_from_the_definition() -> None:
    rng = np.random.default_rng(3)
    label, (a, b) = simulate(rng, 60, (1.2, 0.6))
    a, b = a.round(1), b.round(1)  # ties
    found = {d.metric: d for d in pair_of(*(judged(make_units(label, s), ["auc"]) for s in (a, b))) if not d.group}

    def psi(score: np.ndarray) -> np.ndarray:
        fake, real = score[label == 1][:, None], score[label == 0][None, :]
        return (fake > real) + 0.5 * (fake == real)

    kernels = [psi(a), psi(b)]
    theta = np.array([k.mean() for k in kernels])
    s10 = np.cov([k.mean(axis=1) for k in kernels])
    s01 = np.cov([k.mean(axis=0) for k in kernels])
    cov = s10 / kernels[0].shape[0] + s01 / kernels[0].shape[1]
    m, n = kernels[0].shape
    prior = 0.4 * (1 / m**2 + 1 / n**2) / 2 / 4
    slope = 1 / (2 * np.sqrt(theta * (1 - theta)))  # of asin(sqrt(A))
    cov = cov * np.outer(slope, slope)
    r = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
    v, w = np.diag(cov) + prior
    error, apart = np.sqrt(v + w - 2 * r * np.sqrt(v * w)), -np.diff(np.arcsin(np.sqrt(theta)))[0]
    parts = np.array([slope @ (c * [[1, -1], [-1, 1]]) @ slope for c in (s10 / m, s01 / n)])
    freedom = parts.sum() ** 2 / (parts**2 / [m - 1, n - 1]).sum()
    d = found["auc"]
    assert d.difference == pytest.approx(theta[0] - theta[1], abs=1e-12)
    assert d.p == pytest.approx(2 * student.sf(abs(apart) / error, freedom), rel=1e-9) and d.test == "DeLong"
    reach = student.ppf(0.975, freedom) * error * (theta[0] - theta[1]) / apart
    assert d.ci == pytest.approx((theta[0] - theta[1] - reach, theta[0] - theta[1] + reach), abs=1e-12)


def test_mcnemar_exact_and_clustered() -> None:
    # A is right on the first eight, B on the last three and on the first: b = 7, c = 2
    label = np.array([1] * 10)
    a = np.array([0.9] * 8 + [0.1] * 2)
    b = np.array([0.9] + [0.1] * 7 + [0.9] * 2)
    label, a, b = np.append(label, [0, 0]), np.append(a, [0.1, 0.2]), np.append(b, [0.1, 0.2])
    found = {d.metric: d for d in pair_of(*(judged(make_units(label, s), ["accuracy"]) for s in (a, b))) if not d.group}
    assert found["accuracy"].counts == {"only_first_right": 7, "only_second_right": 2}
    assert found["accuracy"].p == pytest.approx(binomtest(2, 9).pvalue, rel=1e-12)
    clusters = np.arange(12) // 2  # the discordant pairs by cluster: +1, +2, +2, +2, -2
    found = {
        d.metric: d
        for d in pair_of(*(judged(make_units(label, s, clusters), ["accuracy"]) for s in (a, b)))
        if not d.group
    }
    assert found["accuracy"].p == pytest.approx(chi2.sf((1 + 2 + 2 + 2 - 2) ** 2 / (1 + 4 + 4 + 4 + 4), 1), rel=1e-12)
    assert found["accuracy"].test == "McNemar, clustered"


def test_holm_by_hand() -> None:
    # ordered .01 .02 .03 .04 times 4 3 2 1, never falling
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_raises_every_p_and_keeps_their_order(ps: list[float | None]) -> None:
    adjusted = holm(ps)
    assert [p is None for p in ps] == [q is None for q in adjusted]
    pairs = sorted((p, q) for p, q in zip(ps, adjusted, strict=True) if p is not None and q is not None)
    assert all(p <= q <= 1.0 for p, q in pairs)
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)
    if pairs:
        assert pairs[0][1] == min(1.0, len(pairs) * pairs[0][0]), "the least one has Bonferroni's"


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_two_equal_detectors_differ_in_five_of_a_hundred(clustered: bool) -> None:
    """The type I error at 5%, 400 simulated pairs of equally good detectors: 6 to 34 (99.9% of chance)."""
    rng = np.random.default_rng(11)
    hits = {"auc": 0, "accuracy": 0, "brier": 0}
    frames = 4 if clustered else 1
    for _ in range(400):
        n = 80
        label = np.repeat(np.arange(n) % 2, frames)
        cluster = np.repeat(np.arange(n), frames)
        scores = []
        shared = rng.normal(size=n)[cluster] if clustered else rng.normal(size=n)
        for _ in range(2):
            own = rng.normal(size=n)[cluster] if clustered else 0.0
            scores.append(1 / (1 + np.exp(-(label - 0.5 + shared + own + rng.normal(size=n * frames)))))
        pair = [judged(make_units(label, s, cluster), list(hits), 200) for s in scores]
        for d in pair_of(*pair):
            if not d.group:
                hits[d.metric] += d.p is not None and d.p < 0.05
    for metric, count in hits.items():
        # The exact test of few discordant pairs is on the safe side.
        least = 1 if metric == "accuracy" and not clustered else 6
        assert least <= count <= 34, hits


def test_a_difference_is_found_and_tied_detectors_are_not_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    label, (good, bad) = simulate(rng, 400, (2.0, 0.3))
    paths = [rows_file(tmp_path / f"{name}.csv", label, s) for name, s in (("good", good), ("bad", bad))]
    found = m2f2bench.compare(*paths)
    by = {d.metric: d for d in found.pairs[0].differences if not d.group}
    for metric in ("auc", "ap", "accuracy"):
        assert by[metric].p is not None and by[metric].p < 0.01, metric
        assert by[metric].ci is not None and by[metric].ci[0] > 0
    assert by["auc"].test == "DeLong" and by["accuracy"].test == "McNemar, exact"
    same = m2f2bench.compare(paths[0], rows_file(tmp_path / "again.csv", label, good))
    for d in same.pairs[0].differences:
        if d.metric == "tpr_at_fpr01":  # 200 reals: neither `score` nor `compare` say how sure it is
            assert (d.difference, d.p, d.ci) == (0.0, None, None) and "are too few for this rate" in d.reason
        else:
            assert (d.difference, d.p) == (0.0, 1.0) and d.ci == (0.0, 0.0), d


def test_swapping_the_two_mirrors_everything(tmp_path: Path) -> None:
    label, scores = simulate(np.random.default_rng(2), 120, (1.0, 0.7))
    paths = [
        rows_file(tmp_path / f"{i}.csv", label, s, video=[f"v{k // 4}x{k % 2}" for k in range(120)])
        for i, s in enumerate(scores)
    ]
    one, other = m2f2bench.compare(*paths), m2f2bench.compare(*reversed(paths))
    for a, b in zip(one.pairs[0].differences, other.pairs[0].differences, strict=True):
        assert a.p == pytest.approx(b.p) and a.difference == pytest.approx(-b.difference)
        assert (a.ci is None) == (b.ci is None) == a.metric.startswith("tpr_at_fpr")
        assert a.ci is None or a.ci == pytest.approx((-b.ci[1], -b.ci[0]), abs=1e-12)


def test_many_detectors_with_holm(cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    label, scores = simulate(rng, 100, (1.5, 1.4))
    paths = [rows_file(tmp_path / f"d{i}.csv", label, s) for i, s in enumerate([*scores, rng.random(100)])]
    found = json.loads(cli("compare", *paths, "--json").out)
    aucs = [d for d in found["differences"] if d["metric"] == "auc" and d["group"] is None]
    assert [(d["first"], d["second"]) for d in aucs] == [("d0", "d1"), ("d0", "d2"), ("d1", "d2")]
    assert [d["p_holm"] for d in aucs] == pytest.approx(holm([d["p"] for d in aucs]))
    text = cli("compare", *paths).out
    assert "3 detectors" in text and "Holm's correction over 3 tests" in text and text.count("| AUC ") == 3
    assert cli("compare", *paths, "--metric", "brier").out.count("| Brier score ") == 3


def test_refusals(cli, one_line, tmp_path: Path) -> None:
    label, (a, b) = simulate(np.random.default_rng(5), 40, (1.0, 0.5))
    first = rows_file(tmp_path / "a.csv", label, a)
    fewer = rows_file(tmp_path / "b.csv", label[:-1], b[:-1])
    line = one_line(cli("compare", first, fewer))
    assert "'a' and 'b' cannot be compared: they differ in data (frames, labels or pixels) (hash:" in line
    assert "number of frames (n: 40 / 39)" in line
    other_labels = rows_file(tmp_path / "c.csv", 1 - label, b)
    assert "hash:" in one_line(cli("compare", first, other_labels))
    second = rows_file(tmp_path / "e.csv", label, b)
    holes = rows_file(tmp_path / "d.csv", label, b, status=["no_face"] * 3 + ["ok"] * 37)
    line = one_line(cli("compare", first, holes))
    assert "their coverage differs (1 / 0.925)" in line and "'a' alone has a score for 3 frames" in line
    assert "first 'f00000'" in line and "missing: half or wrong" in line
    assert "is given twice" in one_line(cli("compare", first, first))
    assert "not one of the protocol's" in one_line(cli("compare", first, second, "--metric", "acuracy"))
    with pytest.raises(ScoreError, match="two runs or files"):
        m2f2bench.compare(first)
    card = tmp_path / "wrong.yaml"
    card.write_text("name: wrong\nlevel: frame\nmissing: wrong\nmetrics: [auc, accuracy]\n")
    found = m2f2bench.compare(first, holes, protocol=str(card))
    assert found.pairs[0].differences[0].p is not None, "with a rule for holes all frames count"


def test_runs_of_different_protocols_and_folders_of_runs(cli, one_line, squares: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    words = ["run", "-s", squares, "-p", "frame", "-p", "frame-oracle", "--out", out]
    assert cli(*words, "-d", "constant", "-d", "random").status == 0
    line = one_line(cli("compare", out / "constant--squares--frame", out / "random--squares--frame-oracle"))
    assert "threshold (thr: 0.5 / best-accuracy@test-ORACLE)" in line
    found = json.loads(cli("compare", out, "--json").out)["comparisons"]
    assert [c["protocol"] for c in found] == ["frame", "frame-oracle"]
    assert found[1]["oracle"] and "oracle threshold" in cli("compare", out).out
    alone = tmp_path / "alone"
    shutil.copytree(out / "constant--squares--frame", alone / "constant--squares--frame")
    assert "no two runs in" in one_line(cli("compare", alone))
    (alone / "empty").mkdir()
    assert "has no result.json" in one_line(cli("compare", alone / "empty"))


def test_rows_that_were_changed_after_scoring_are_refused(cli, one_line, squares: Path, tmp_path: Path) -> None:
    cli("run", "-d", "random", "-s", squares, "--out", tmp_path)
    rows = tmp_path / "random--squares--frame" / "predictions.parquet"
    table = pd.read_parquet(rows)
    table.loc[3, "score"] = 1.0
    table.to_parquet(rows)
    assert "does not hold the rows that" in one_line(cli("score", rows.parent))


def test_every_field_that_may_differ_has_words() -> None:
    assert set(MEASURE) <= set(FIELDS)
    with pytest.raises(ScoreError, match=r"they differ in manipulated regions \(altered: a / b\); judge both"):
        refuse_differing("one", {"altered": "a"}, "other", {"altered": "b"})
