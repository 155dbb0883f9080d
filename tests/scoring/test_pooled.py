"""Results of several trainings as one, from stored rows: means, intervals, tests, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from few_people import influences, people, trained
from toy_pairs import rows, videos

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.scoring.pooled import count_text
from m2f2bench.scoring.trainings import Training, refuse_unlike
from m2f2bench.stats.clustered import Influence, trainings_difference, trainings_interval


@pytest.fixture()
def six(tmp_path: Path) -> list[Path]:
    """Three trainings of each of two detectors, on the same 40 videos."""
    made = []
    for k, method in enumerate(("good", "poor")):
        for seed in range(3):
            units = videos(40, 2, np.random.default_rng(10 * k + seed), 3.0 - 2.4 * k)
            made.append(rows(tmp_path / f"{method}-seed{seed}.csv", units))
    return made


def test_score_gives_mean_deviation_and_interval(six: list[Path], cli) -> None:
    alone = [m2f2bench.score(path) for path in six[:3]]
    whole = m2f2bench.score(f"{six[0].parent}/good-seed*")
    assert whole.detector == "good" and whole.details["trainings"]["seeds"] == ["0", "1", "2"]
    for name, score in whole.metrics.items():
        values = [one.metrics[name].value for one in alone]
        assert score.value == pytest.approx(np.mean(values)), name
        assert score.deviation == pytest.approx(np.std(values, ddof=1)), name
        if score.ci is None:
            assert score.reason, name
        else:
            assert score.ci[0] <= score.value <= score.ci[1], name
    text = cli("score", "--seeds", *six[:3]).out
    auc = whole.metrics["auc"]
    assert f"{auc.value:.3f} ± {auc.deviation:.3f} [{auc.ci[0]:.3f}, {auc.ci[1]:.3f}]" in text
    assert "3 trainings (seeds 0, 1, 2); ±: standard deviation between trainings" in text
    assert json.loads(cli("score", f"{six[0].parent}/good-seed*", "--json").out) == whole.to_json()
    assert m2f2bench.score(list(map(str, six[:3])), seeds=True).metrics == whole.metrics


def test_trainings_that_agree_have_the_interval_of_their_people(six: list[Path], tmp_path: Path) -> None:
    """Scores with other values in the same order: nothing varies between trainings, and resamples say the rest."""
    import pandas as pd

    frame = pd.read_csv(six[3])
    for seed in range(3):
        frame.assign(score=frame.score ** (1.0 + 1e-9 * seed)).to_csv(tmp_path / f"same-seed{seed}.csv", index=False)
    (tmp_path / "c").mkdir()
    one = m2f2bench.score(tmp_path / "same-seed0.csv").metrics["ap"]
    ap = m2f2bench.score(f"{tmp_path}/same-seed*").metrics["ap"]
    assert ap.deviation == 0.0 and ap.value == one.value
    # Percentiles of 1,000 resamples, and ± t times their standard deviation, agree within a fifth of the width.
    assert ap.ci == pytest.approx(one.ci, abs=(one.ci[1] - one.ci[0]) / 5)


def test_a_board_tests_means_over_people_and_trainings(six: list[Path]) -> None:
    board = m2f2bench.leaderboard(*map(str, six), seeds=True)
    assert [(row.detector, row.trained) for row in board.table.rows] == [
        ("good", "3 trainings"),
        ("poor", "3 trainings"),
    ]
    assert board.table.rows[0].cells[0].best
    assert "good is better than poor" in board.lead[0] and "over people and trainings" in board.lead[0]
    pair = m2f2bench.compare(*six, seeds=True).pairs[0].differences
    auc = next(d for d in pair if d.metric == "auc" and not d.group)
    assert auc.difference == pytest.approx(board.table.rows[0].values[0] - board.table.rows[1].values[0])
    apart = m2f2bench.leaderboard(*map(str, six))
    assert len(apart.table.rows) == 6 and {row.trained for row in apart.table.rows} == {"one training"}


def test_patterns_are_detectors_in_compare(six: list[Path], cli, one_line) -> None:
    place = six[0].parent
    text = cli("compare", f"{place}/good-seed*", f"{place}/poor-seed*").out
    assert "good is better than poor in AUC by" in text and "good: 3 trainings" in text
    assert text == cli("compare", "--seeds", *six).out
    named = m2f2bench.compare({"A": f"{place}/good-seed*", "B": f"{place}/poor-seed[01].csv"})
    assert {name: one["n"] for name, one in named.trainings.items()} == {"A": 3, "B": 2}
    assert "matches nothing" in one_line(cli("compare", f"{place}/none*", six[0]))
    assert "matches 2 detectors ('good', 'poor')" in one_line(cli("compare", f"{place}/*", six[0]))
    assert "give those of another method too" in one_line(cli("compare", f"{place}/good-seed*"))
    with pytest.raises(ScoreError, match=r"give a mapping \{name: pattern\}"):
        m2f2bench.compare(f"{place}/good-seed*", six[3], names=["a", "b"])


def test_what_a_board_refuses(six: list[Path], tmp_path: Path, cli, one_line) -> None:
    out = tmp_path / "out"
    assert cli("score", *six[:2], "--out", out).status == 0
    for seed in (7, 8):  # one training given three times, as three seeds
        six[0].with_name(f"good-seed{seed}.csv").write_bytes(six[0].read_bytes())
        assert cli("score", six[0].with_name(f"good-seed{seed}.csv"), "--out", out).status == 0
    assert "same scores in two of its 4 trainings: give each" in one_line(cli("leaderboard", out, "--seeds"))
    assert "same scores in two of its" in one_line(cli("score", f"{tmp_path}/good-seed*"))
    assert cli("leaderboard", out).status == 0
    other = rows(tmp_path / "poor-seed8.csv", videos(30, 2, np.random.default_rng(0), 1.0))
    line = one_line(cli("score", "--seeds", six[3], other))
    assert "were judged differently: 'poor-seed0' and 'poor-seed8' differ in data" in line
    assert "matches nothing" in one_line(cli("leaderboard", f"{tmp_path}/none*"))
    assert "matches 2 detectors" in one_line(cli("score", f"{tmp_path}/*.csv"))
    assert "are not for several trainings" in one_line(cli("score", "--seeds", *six, "--name", "x"))
    assert "validation rows are of one training" in one_line(cli("score", "--seeds", *six, "--validation", six[0]))
    (tmp_path / "d").mkdir()
    twin = rows(tmp_path / "d" / "good-seed0.csv", videos(40, 2, np.random.default_rng(99), 1.0))
    assert "two trainings of seed 0" in one_line(cli("score", "--seeds", six[0], twin))


def test_a_pattern_of_results_pools_on_a_board(six: list[Path], tmp_path: Path, cli) -> None:
    assert cli("score", *six, "--out", tmp_path / "out").status == 0
    text = cli("leaderboard", f"{tmp_path}/out/good-seed*").out
    assert "3 trainings" in text and "poor" not in text
    for path in (tmp_path / "out").rglob("predictions.parquet"):
        path.unlink()
    board = m2f2bench.leaderboard(str(tmp_path / "out"), seeds=True)
    score = board.table.rows[0].cells[0].score
    assert score.deviation is not None and score.ci is None and "rows of each training" in score.reason


def test_trainings_must_differ_in_the_seed_alone() -> None:
    one = Training("x-seed0", "0", "a", {"training.lr": 0.1})
    refuse_unlike("x", [one, Training("x-seed1", "1", "b", {"training.lr": 0.1})])
    refuse_unlike("x", [one, Training("x-seed1", "1", "b", {})])  # nothing is known of a file's
    with pytest.raises(ScoreError, match=r"differ in training\.lr \(0\.1 / 0\.2\)"):
        refuse_unlike("x", [one, Training("x-seed1", "1", "b", {"training.lr": 0.2})])
    with pytest.raises(ScoreError, match="two trainings of seed 0"):
        refuse_unlike("x", [one, one._replace(name="y", scores="b")])


def test_counts_in_words() -> None:
    assert [count_text(one) for one in ((), (1,), (3,), (2, 3))] == [
        "",
        "one training",
        "3 trainings",
        "2 to 3 trainings",
    ]


def test_intervals_of_means_hold_the_truth() -> None:
    """200 cases of three trainings on 30 people: a share of 95% is known to ±3 points."""
    rng, held = np.random.default_rng(5), {0.0: 0, 0.04: 0}
    for deviation in held:
        for _ in range(200):
            low, high = trainings_interval(influences(trained(people(30), rng, 0.8, deviation))[:3], 0.95)
            held[deviation] += low <= 0.8 <= high
    assert all(0.91 <= count / 200 <= 0.995 for count in held.values()), held


def test_a_detector_that_is_no_training_adds_no_variance() -> None:
    """400 equal clusters that hardly differ: all variance is that between trainings, (1/3 + 1) or 1/3 of it."""
    rng, n = np.random.default_rng(0), 400

    def judged(value: float) -> Influence:
        shares = np.full(n, 1.0 / n)
        return Influence(value, 1e-5 * rng.normal(size=n), 1e-5 * rng.normal(size=n), shares, shares)

    own, still = [judged(value) for value in (0.7, 0.8, 0.9)], judged(0.5)
    taken, fixed = (trainings_difference(own, [still], 0.95, (False, one)) for one in (False, True))
    assert taken is not None and fixed is not None
    assert taken.error / fixed.error == pytest.approx(2.0, rel=0.01)
