"""Differences of two: only of what is one and the same units, drawn as one and the same clusters."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_pairs import FEW, judged, rows, videos
from toy_units import make_units, outside, widened

import m2f2bench
from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap
from m2f2bench.core.errors import ScoreError
from m2f2bench.leaderboards.board import build_board
from m2f2bench.metrics.detection.paired import Paired, bootstrap_difference, sides, unlike
from m2f2bench.metrics.detection.tails import differences
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.names import AVERAGE
from m2f2bench.results.stored import read_stored
from m2f2bench.scoring.comparison import Comparison, Pair, distinct_names, pairs_of


@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([Cut(), Cut("eer"), Cut("best")]))
@settings(deadline=None, max_examples=30)
def test_a2_identical_scores_have_no_difference(seed: int, clustered: bool, cut: Cut) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 40))
    clusters = np.sort(rng.integers(0, n, n)) if clustered else None
    method = rng.choice(["a", "b"], n)
    label = rng.integers(0, 2, n)
    units = make_units(label, rng.integers(0, 6, n) / 5, np.where(label == 0, "original", method).tolist(), clusters)
    pair = Paired(*(judged(units, list(DETECTION_METRICS), Bootstrap(resamples=30), cut) for _ in range(2)))
    for d in differences([pair], tests=50)[0]:
        assert d.difference in (0.0, None)
        assert (d.p, d.ci) in ((1.0, (0.0, 0.0)), (None, None), (1.0, None)) and not d.bound, d


@pytest.mark.slow
@given(st.integers(0, 2**31), st.permutations(range(3)))
@settings(deadline=None, max_examples=15)
def test_order_of_detectors_and_of_rows_changes_nothing(tmp_path_factory, seed: int, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("order")
    rng = np.random.default_rng(seed)
    tables = []
    for i, gap in enumerate((2.5, 1.0, 0.2)):
        units = videos(24, 3, np.random.default_rng(seed % 1000 + i), gap)
        rows(folder / f"{i}.csv", units, identity=[f"p{c // 2}" for c in units.cluster])
        tables.append(pd.read_csv(folder / f"{i}.csv", float_precision="round_trip"))
        tables[-1].sample(frac=1, random_state=int(rng.integers(1000))).to_csv(folder / f"s{i}.csv", index=False)
    card = folder / "few.yaml"
    card.write_text("name: few\nlevel: frame\nmetrics: [auc, ap, eer, accuracy]\nbootstrap: {resamples: 100}\n")
    first = m2f2bench.compare(*(folder / f"{i}.csv" for i in range(3)), protocol=str(card))
    other = m2f2bench.compare(*(folder / f"s{i}.csv" for i in order), protocol=str(card))
    known = {(pair.first, pair.second): pair.differences for pair in first.pairs}
    for pair in other.pairs:
        names = (pair.first[1:], pair.second[1:])
        sign = 1.0 if names in known else -1.0
        for a, b in zip(known.get(names) or known[names[::-1]], pair.differences, strict=True):
            assert (a.group, a.metric, a.p, a.holm, a.bound, a.draws) == (
                b.group,
                b.metric,
                b.p,
                b.holm,
                b.bound,
                b.draws,
            )
            assert a.difference == sign * b.difference
            assert a.ci == pytest.approx(b.ci if sign > 0 else tuple(-e for e in b.ci[::-1]), abs=1e-12)


def test_a2_identities_in_one_file_only(cli, one_line, tmp_path: Path) -> None:
    units = videos(40, 2, np.random.default_rng(0), 1.0)
    known = rows(tmp_path / "known.csv", units, identity=[f"p{c // 2}" for c in units.cluster])
    bare = rows(tmp_path / "bare.csv", videos(40, 2, np.random.default_rng(1), 1.0))
    line = one_line(cli("compare", known, bare))
    assert "'known' and 'bare' cannot be compared" in line, line
    assert "column identity differs in 80 of 80 frames, first 'f00000' ('p0' / '')" in line, line
    assert "give the same identity in both, or in neither" in line
    both = rows(
        tmp_path / "both.csv",
        videos(40, 2, np.random.default_rng(1), 1.0),
        identity=[f"p{c // 2}" for c in units.cluster],
    )
    assert cli("compare", known, both).status == 0


def test_a2_other_pictures(cli, one_line, tmp_path: Path) -> None:
    """Two faces of each picture in one file, each face a picture of its own in the other."""
    first, second = (videos(40, 2, np.random.default_rng(i), 1.0) for i in range(2))
    paired = rows(tmp_path / "paired.csv", first, picture=[f"c{i // 2}" for i in range(80)])
    apart = rows(tmp_path / "apart.csv", second, picture=[f"c{i}" for i in range(80)])
    card = tmp_path / "faces.yaml"
    card.write_text("name: faces\nlevel: frame\nfaces: max\nmetrics: [auc]\n")
    line = one_line(cli("compare", paired, apart, "-p", card))
    assert "cannot be compared" in line, line
    assert "column picture differs in 79 of 80 frames, first 'f00001' ('c0' / 'c1')" in line, line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cluster": np.arange(8) % 2}, "the clusters of units (4 / 4 clusters)"),
        ({"n_clusters": 5}, "the clusters of units (4 / 5 clusters)"),
        ({"clustered_by": "identity"}, "the resampled unit (frame / identity)"),
        ({"label": np.array([1, 0] * 4)}, "the units' labels"),
        ({"method": np.array(["original", "x"] * 4, dtype=object)}, "the units' methods"),
        ({"video": np.array(["w"] * 8, dtype=object)}, "the units' videos"),
        ({"methods": ("m", "n")}, "the planned methods"),
    ],
)
def test_a2_a_pair_of_other_units_cannot_be_made(change: dict[str, object], words: str) -> None:
    units = make_units([0, 1] * 4, np.linspace(0, 1, 8), clusters=np.arange(8) // 2)
    assert unlike(units, units) == ""
    other = replace(units, **change)
    assert unlike(units, other) == words
    with pytest.raises(ScoreError, match="cannot compare: they differ in"):
        Paired(judged(units, ["auc"]), judged(other, ["auc"]))
    shorter = make_units([0, 1] * 3, np.linspace(0, 1, 6))
    assert unlike(units, shorter) == "the number of units that have a score (8 / 6)"


@pytest.mark.parametrize("change", [{"resamples": 201}, {"seed": 1}, {"level": 0.9}])
def test_a2_resamples_of_other_rules_are_not_subtracted(change: dict[str, float]) -> None:
    units = make_units([0, 1] * 4, np.linspace(0, 1, 8))
    with pytest.raises(ScoreError, match="how intervals are computed"):
        Paired(judged(units, ["auc"]), judged(units, ["auc"], FEW.model_copy(update=change)))


def test_a2_pairs_of_other_units_do_not_go_together() -> None:
    units = [make_units([0, 1] * n, np.linspace(0, 1, 2 * n)) for n in (4, 5)]
    with pytest.raises(ScoreError, match="the number of units"):
        differences([Paired(judged(u, ["auc"]), judged(u, ["auc"])) for u in units])


def stored(folder: Path, name: str, path: Path) -> None:
    """A result with its rows, as on a board; the signature says nothing of identities."""
    for part in ("results", "predictions"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    result = m2f2bench.score(path, detector=name)
    (folder / "results" / f"{name}.json").write_text(json.dumps(result.to_json()))
    pd.read_csv(path, float_precision="round_trip").to_parquet(folder / "predictions" / f"{name}.parquet")


def test_a2_boards_and_checks_do_not_pair_other_clusters(cli, tmp_path: Path) -> None:
    """The same scores with and without identities had an interval of [-.076, .083] of their difference."""
    units = videos(60, 2, np.random.default_rng(0), 1.5)
    bare = rows(tmp_path / "bare.csv", units)
    known = rows(tmp_path / "known.csv", units, identity=[f"p{c // 4}" for c in units.cluster])
    weak = rows(tmp_path / "weak.csv", videos(60, 2, np.random.default_rng(1), -3.0))
    stored(tmp_path / "board", "known", known)
    stored(tmp_path / "board", "weak", weak)
    board = build_board(read_stored([tmp_path / "board" / "results"]))
    assert not any(cell.best for row in board.table.rows for cell in row.cells if cell), "nobody knows"
    stored(tmp_path / "board2", "bare", bare)
    stored(tmp_path / "board2", "weak", weak)
    board = build_board(read_stored([tmp_path / "board2" / "results"]))
    assert any(cell.best for row in board.table.rows for cell in row.cells if cell), "with the same clusters it is told"
    for name, path in (("then", known), ("now", bare)):
        folder = tmp_path / name
        folder.mkdir()
        pd.read_csv(path, float_precision="round_trip").to_parquet(folder / "predictions.parquet")
        (folder / "result.json").write_text(json.dumps(m2f2bench.score(folder / "predictions.parquet").to_json()))
    outcome = cli("check", tmp_path / "then", "--run", tmp_path / "now")
    assert outcome.status == 1 and "identity" in outcome.err and len(outcome.err.splitlines()) == 1, outcome


# The arithmetic of one difference, by hand


def test_the_bootstraps_p_by_hand() -> None:
    drawn = np.array([-0.1, 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, np.nan])
    found = bootstrap_difference(drawn, 0.3, 0.5, 9)
    assert found["p"] == pytest.approx(widened(2 * (1 + 2) / (1 + 8), 9)) and found["draws"] == 8 and not found["bound"]
    assert found["ci"] == pytest.approx(tuple(np.quantile(drawn[:8], [outside(0.5, 9), 1 - outside(0.5, 9)])))
    assert bootstrap_difference(drawn, 0.3, 0.5, 1e9)["ci"] == pytest.approx(
        tuple(np.quantile(drawn[:8], [0.25, 0.75]))
    )
    assert sides(drawn) == (2, 7, 8)
    assert bootstrap_difference(-drawn, -0.3, 0.5, 9)["p"] == found["p"]
    assert bootstrap_difference(np.abs(drawn[2:]), 0.3, 0.5, 9) | {"ci": 0, "test": 0} == {
        "ci": 0,
        "test": 0,
        "p": pytest.approx(widened(2 / 7, 9)),
        "bound": True,
        "draws": 6,
    }
    assert bootstrap_difference(np.array([np.nan]), 0.3, 0.5, 9) == {
        "reason": "no interval: defined in none of the resamples"
    }
    centred = bootstrap_difference(np.array([-1.0, 1.0]), 0.0, 0.95, 9)
    assert centred["p"] == 1.0
    beyond = bootstrap_difference(np.array([0.1, 0.2, 0.3]), 0.9, 0.95, 9)
    assert beyond["ci"][1] == 0.9, "the difference itself lies in its interval"


def test_average_of_methods_has_the_same_test_as_each_method() -> None:
    units = [videos(40, 1, np.random.default_rng(i), 1.0, methods=2) for i in range(2)]
    found = {(d.group, d.metric): d for d in differences([Paired(*(judged(u, ["auc"]) for u in units))])[0]}
    assert found["", "auc"].test == found["m0", "auc"].test == found[AVERAGE, "auc"].test == "DeLong"


def test_f4_decisions_at_half_and_at_a_picked_threshold() -> None:
    """At .5 itself a unit is called fake; `accuracy` is at the threshold that is picked, `accuracy@0.5` is not."""
    label = np.array([0, 0, 0, 1, 1, 1])
    units = make_units(label, [0.1, 0.5, 0.55, 0.6, 0.58, 0.9])
    cut = Cut("best", maximise="accuracy")
    one = judged(units, ["accuracy"], cut=cut)
    assert one.threshold is not None and 0.55 < one.threshold < 0.58
    assert one.right("accuracy").tolist() == [True] * 6
    assert one.right("accuracy@0.5").tolist() == [True, False, False, True, True, True]
    assert judged(units, ["accuracy"]).right("accuracy").tolist() == one.right("accuracy@0.5").tolist()


def test_f4_what_one_lacks_is_none_on_its_own_side() -> None:
    """The first calls nothing fake: its precision is not defined, the second's is."""
    label = [0, 1] * 6
    silent, calls = make_units(label, [0.1] * 12), make_units(label, [0.9] * 12)
    (d,) = differences([Paired(judged(silent, ["precision"]), judged(calls, ["precision"]))], [("", "precision")])[0]
    assert (d.first, d.second, d.difference, d.p, d.ci) == (None, 0.5, None, None, None)
    (d,) = differences([Paired(judged(calls, ["precision"]), judged(silent, ["precision"]))], [("", "precision")])[0]
    assert (d.first, d.second, d.difference, d.p, d.ci) == (0.5, None, None, None, None)


def test_mcnemar_by_hand_at_its_edges() -> None:
    label = np.array([1] * 8)
    one, other = make_units(label, [0.9] * 8), make_units(label, [0.9] * 6 + [0.1] * 2)
    (d,) = differences([Paired(judged(one, ["accuracy"]), judged(other, ["accuracy"]))], [("", "accuracy")])[0]
    assert d.counts == {"only_first_right": 2, "only_second_right": 0} and d.p == pytest.approx(0.5) and not d.bound
    clusters = np.repeat([0, 1], 4)
    balanced = [make_units(label, s, clusters=clusters) for s in ([0.9] * 7 + [0.1], [0.9] * 6 + [0.1, 0.9])]
    (d,) = differences([Paired(*(judged(u, ["accuracy"]) for u in balanced))], [("", "accuracy")])[0]
    assert d.p == 1.0 and d.counts == {"only_first_right": 1, "only_second_right": 1}, "within a cluster they cancel"
    alone = [replace(u, cluster=np.zeros(8, dtype=np.int64), n_clusters=1) for u in balanced]
    (d,) = differences([Paired(*(judged(u, ["accuracy"]) for u in alone))], [("", "accuracy")])[0]
    assert d.p is None and "in one cluster" in d.reason, "one cluster has no spread"


def test_f4_the_ends_of_a_difference() -> None:
    """DeLong's interval is cut off at -1 and 1; where all resamples agree, p rests on trials: here 2 × .75^3."""
    label = [0, 1] * 3
    good, bad = (make_units(label, s) for s in ([0.1, 0.9, 0.2, 0.8, 0.85, 0.7], [0.9, 0.1, 0.8, 0.2, 0.3, 0.85]))
    (d,) = differences([Paired(judged(good, ["auc"]), judged(bad, ["auc"]))], [("", "auc")])[0]
    assert d.test == "DeLong" and d.ci is not None and d.ci[1] == 1.0 and -1.0 < d.ci[0] < d.difference
    (d,) = differences([Paired(judged(bad, ["auc"]), judged(good, ["auc"]))], [("", "auc")])[0]
    assert d.ci is not None and d.ci[0] == -1.0
    agreed = bootstrap_difference(np.full(10, 0.25), 0.25, 0.95, 9, n_trials=3)
    assert agreed["p"] == pytest.approx(2 * 0.75**3) and agreed["bound"] and "ci" not in agreed
    assert bootstrap_difference(np.full(10, 0.75), 0.75, 0.95, 9, n_trials=3)["p"] == pytest.approx(2 * 0.5**3)
    assert bootstrap_difference(np.full(10, 0.75), 0.75, 0.95, 9, n_trials=1)["p"] == 1.0
    assert bootstrap_difference(np.full(10, 0.75), 0.75, 0.95, 9)["p"] == pytest.approx(widened(2 / 11, 9))


def test_f4_the_best_of_a_column_is_not_the_first_row(tmp_path: Path) -> None:
    """Rows by manipulation stand in the order of their files; the best is found by its value."""
    for name, gap in (("a-poor", 0.0), ("m-fair", 0.8), ("z-good", 6.0)):
        units = videos(80, 2, np.random.default_rng(len(name) + ord(name[0])), gap, methods=2)
        stored(tmp_path / "board", name, rows(tmp_path / f"{name}.csv", units, method=units.method))
    (table,) = build_board(read_stored([tmp_path / "board" / "results"])).methods
    best = [[row.detector for row in table.rows if row.cells[i].best] for i in range(len(table.columns))]
    assert table.rows[0].detector == "a-poor" and best == [["z-good"]] * 3, "the mean of two methods, and each"


def test_f4_what_is_written_of_a_difference() -> None:
    """A difference without a test is told as such in JSON, and names of two runs are told apart or refused."""
    units = videos(20, 2, np.random.default_rng(0), 1.0)
    pair = Paired(*(judged(units, ["tpr_at_fpr1", "auc"]) for _ in range(2)))
    found = Comparison(
        "d", "test", "p", "s", {}, ("auc",), 0.95, False, {}, (Pair("a", "b", tuple(differences([pair])[0])),)
    )
    told = {(d["metric"], d["group"]): d for d in found.to_json()["differences"]}
    assert told["tpr_at_fpr1", None]["test"] is None and "resamples" not in told["tpr_at_fpr1", None]
    assert told["auc", None]["test"] == "cluster bootstrap" and told["auc", None]["resamples"] == 200
    assert (
        told["auc", None]["first"] == "a" and told["auc", "m0"]["second"] == "b" and "reason" not in told["auc", "m0"]
    )
    assert distinct_names(["x", "x", "y"], ["r/1", "r/2", "r/3"]) == ["r/1", "r/2", "y"]
    with pytest.raises(ScoreError, match="'r/1' is given twice"):
        distinct_names(["x", "x"], ["r/1", "r/1"])
    assert pairs_of(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs_of(["a", "b", "c"], "b") == [("b", "a"), ("b", "c")]
