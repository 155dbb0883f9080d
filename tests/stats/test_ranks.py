"""Detectors over many datasets: Iman and Davenport's F, signed ranks with Holm, datasets of one source."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from plot_rows import write_result, write_results
from scipy.stats import rankdata, wilcoxon

from m2f2bench.core.errors import ScoreError
from m2f2bench.reporting.figures import plot as plotter
from m2f2bench.stats.ranks import by_source, fewest_for_a_pair, iman_davenport, pairwise, rank, signed_ranks


def test_iman_and_davenport_are_those_of_the_article() -> None:
    """Demsar (2006), section 3.2.2: χ² = 9.28 of 4 classifiers on 14 datasets is F = 3.69; F(3, 39) is 2.85 at 5%."""
    f, degrees, p = iman_davenport(9.28, 4, 14)
    assert f == pytest.approx(3.69, abs=0.005) and degrees == (3, 39) and 0.01 < p < 0.05
    critical = 2.85
    chi2 = critical * 14 * 3 / (13 + critical)  # the same, solved for χ²
    assert iman_davenport(chi2, 4, 14)[2] == pytest.approx(0.05, abs=0.001)


def test_the_f_is_that_of_a_variance_analysis_of_ranks() -> None:
    """Another way: the F of two-way analysis of variance without interaction, on the ranks."""
    rng = np.random.default_rng(0)
    table = rng.random((5, 9)) + 0.1 * np.arange(5)[:, None]
    ranks = rankdata(-table, axis=0)
    k, n = ranks.shape
    between = n * ((ranks.mean(axis=1) - ranks.mean()) ** 2).sum()
    rest = ((ranks - ranks.mean()) ** 2).sum() - between  # every dataset has the same mean rank
    assert rank(table.tolist()).f == pytest.approx((between / (k - 1)) / (rest / ((k - 1) * (n - 1))))


def test_full_agreement_has_the_chance_of_it() -> None:
    table = [[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.7, 0.6, 0.5]]
    found = rank(table)
    assert math.isinf(found.f) and found.p == pytest.approx(1 / 36)
    # Every order of three detectors on each of three datasets: in 6 of 216 all agree.
    orders = list(itertools.product(itertools.permutations(range(3)), repeat=3))
    assert sum(len(set(one)) == 1 for one in orders) / len(orders) == pytest.approx(found.p)


def brute(differences: np.ndarray) -> float:
    """The two-sided p over all signs, each looked at."""
    known = differences[differences != 0]
    ranks = rankdata(np.abs(known))
    got = ranks[known > 0].sum()
    middle = ranks.sum() / 2
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return float(np.mean([abs(one - middle) >= abs(got - middle) - 1e-9 for one in sums]))


@pytest.mark.parametrize("seed", range(6))
def test_signed_ranks_are_those_of_all_signs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain = rng.normal(0.4, 1.0, 9)
    tied = np.round(rng.normal(0.4, 1.0, 10), 0) / 10  # zeros and ties
    for differences in (plain, tied):
        plus, minus, n, p = signed_ranks(differences)
        assert p == pytest.approx(brute(differences)) and n == (differences != 0).sum()
        assert plus + minus == pytest.approx(n * (n + 1) / 2)
    assert signed_ranks(plain)[3] == pytest.approx(float(wilcoxon(plain, method="exact").pvalue))
    many = rng.normal(0.1, 1.0, 45)
    assert signed_ranks(many)[3] == pytest.approx(float(wilcoxon(many, method="exact").pvalue))


def test_no_difference_anywhere_and_holm() -> None:
    assert signed_ranks(np.zeros(5)) == (0.0, 0.0, 0, 1.0)
    rng = np.random.default_rng(2)
    base = rng.random(12)
    table = np.stack([base, base + 0.01 * rng.normal(size=12), base - 0.1 - 0.01 * rng.random(12)])
    found = {(one.first, one.second): one for one in pairwise(table)}
    ps = sorted(one.p for one in found.values())
    assert found[0, 2].p == pytest.approx(2 * 2.0**-12) and found[0, 2].plus == 78
    # Holm's steps: the least p times 3, the next times 2, the largest alone, never falling.
    wanted = np.maximum.accumulate([3 * ps[0], 2 * ps[1], ps[2]])
    assert sorted(one.holm for one in found.values()) == pytest.approx(np.minimum(wanted, 1.0))
    turned = {(one.first, one.second): one for one in pairwise(-table, lower_is_better=True)}
    assert turned == found


def test_a_bar_joins_what_signed_ranks_do_not_tell_apart() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(12)
    table = [(base + gap + 0.02 * rng.normal(size=12)).tolist() for gap in (0.5, 0.495, 0.2, 0.0)]
    found = rank(table)
    assert found.differ and found.alike() == [(0, 1)]
    noise = rank(rng.random((4, 12)).tolist())
    assert not noise.differ and noise.alike() == [(0, 3)]


def test_how_many_datasets_a_pair_needs() -> None:
    """With n datasets the least p is 2 / 2^n."""
    assert fewest_for_a_pair(1) == 6 and 2 / 2**6 <= 0.05 < 2 / 2**5
    assert fewest_for_a_pair(3) == 7 and fewest_for_a_pair(45) == 11


def test_datasets_of_one_source_are_one() -> None:
    values = {"ff-c23": np.array([0.9, 0.8]), "ff-c40": np.array([0.7, 0.8]), "celeb": np.array([0.6, 0.5])}
    found = by_source(values, {"ff-c23": "ff", "ff-c40": "ff", "celeb": ""})
    assert list(found) == ["ff", "celeb"]
    assert found["ff"].tolist() == pytest.approx([0.8, 0.8]) and found["celeb"].tolist() == [0.6, 0.5]


def test_a_figure_counts_compressions_of_the_same_videos_once(tmp_path: Path) -> None:
    """Two compressions of FaceForensics++, by their cards, and two others: three datasets, and a line that says so."""
    table = {"ffpp-videos-c23": 0.9, "ffpp-videos-c40": 0.7, "celebdf-v2": 0.8, "dfdc": 0.6}
    for i, detector in enumerate("abc"):
        for dataset, value in table.items():
            write_result(tmp_path / f"{detector}-{dataset}.json", detector, dataset, value - 0.01 * i)
    drawing = plotter.draw("ranks", tmp_path)
    words = " ".join(text.get_text() for text in drawing.figure.texts).replace("\n", " ")
    assert "over 3 datasets" in words and "one source, one dataset" in words
    (tmp_path / "few").mkdir()
    for name in ("ffpp-videos-c23", "ffpp-videos-c40", "celebdf-v2"):
        for detector in "abc":
            write_result(tmp_path / "few" / f"{detector}-{name}.json", detector, name, 0.5 + 0.1 * ord(detector) / 100)
    with pytest.raises(ScoreError, match="3 detectors have a value on all 2 datasets"):
        plotter.draw("ranks", tmp_path / "few")


def test_few_datasets_are_said(tmp_path: Path) -> None:
    table = {name: [0.9 - 0.1 * i + 0.001 * j for j in range(4)] for i, name in enumerate("abc")}
    drawing = plotter.draw("ranks", write_results(tmp_path / "r", table))  # type: ignore[arg-type]
    words = " ".join(text.get_text() for text in drawing.figure.texts)
    assert "it needs 7 datasets to tell any apart" in words and "Iman and Davenport" in words
