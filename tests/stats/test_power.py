"""Power: the smallest difference that a formula gives, against simulated tests, and against the test's own error."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from few_people import Case, Design, crossed, gap_of, influences, people, powered, structure_of_case, videos

import m2f2bench
from m2f2bench.core.errors import M2F2BenchError
from m2f2bench.core.records import FAKE, REAL
from m2f2bench.scoring.detection import load_rows
from m2f2bench.scoring.power import structure_of
from m2f2bench.stats.clustered import auc_difference
from m2f2bench.stats.power import (
    Model,
    Structure,
    from_placements,
    quantiles,
    smallest_difference,
    smallest_from,
    times_needed,
    variance,
)

DESIGNS: dict[str, tuple[Design, int, Model]] = {
    "40 videos of 10 frames": (videos(40), 0, Model(0.8, 0.0, 0.6)),
    "40 people of 5 videos": (people(40), 5, Model(0.8, 0.4, 0.3)),
    "30 people in pairs": (crossed(30), 0, Model(0.8, 0.4, 0.3, crossed=True)),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_the_smallest_difference_is_that_of_a_simulation_within_a_tenth(name: str) -> None:
    """At 90% of it a test finds less than 80% of 500 simulated differences, at 110% more."""
    design, frames, model = DESIGNS[name]
    of = structure_of_case(design(np.random.default_rng(0), 1.0, 2, 0.8), frames)
    smallest, _ = smallest_from(of, 0.9, model)
    below, above = (powered(design, (0.9, 0.9 - factor * smallest), 0.8, 500) for factor in (0.9, 1.1))
    assert below < 0.8 < above, (smallest, below, above)


def test_the_variance_of_pairs_is_a_sum_over_all_of_them() -> None:
    """Counted pair by pair: two groups of people, unequal videos."""
    of = Structure(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 1]), np.array([2, 3, 1, 2, 4]), 2)
    components = Model(0.5, 0.3, 0.2).components((0.9, 0.8))
    video = np.repeat(np.arange(5), of.units)
    total, n = 0.0, {label: of.counts(label) for label in (REAL, FAKE)}
    for i, a in enumerate(video):
        for j, b in enumerate(video):
            first, second = int(of.label[a]), int(of.label[b])
            own = components.fake if first == FAKE else components.real
            if first == second:
                found = own.unit if i == j else own.video if a == b else own.group
            else:
                found = components.mixed
            same = of.cluster[a] == of.cluster[b]
            total += found / (n[first] * n[second]) if same else 0.0
    assert variance(of, components) == pytest.approx(total)


def test_normal_scores_have_the_covariances_of_a_simulation() -> None:
    rng, n, model = np.random.default_rng(3), 400_000, Model(0.6, 0.4, 0.3)
    h = [gap_of(auc) / math.sqrt(2) for auc in (0.9, 0.8)]
    slopes = [0.5 / math.sqrt(auc * (1 - auc)) for auc in (0.9, 0.8)]

    def placed(shared: float) -> list[np.ndarray]:
        """Two units that share a part of their variance; differences of placements of two detectors, less the mean."""
        found = [np.zeros(n), np.zeros(n)]
        common = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n)
        for unit in range(2):
            own = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n)
            for k, (mean, slope, sign) in enumerate(zip(h, slopes, (1, -1), strict=True)):
                x = mean * math.sqrt(2) + math.sqrt(shared) * common[:, k] + math.sqrt(1 - shared) * own[:, k]
                found[unit] += sign * slope * np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
        return found

    got = model.components((0.9, 0.8)).fake
    for shared, wanted in ((0.7, got.video), (0.4, got.group), (1.0, got.unit)):
        a, b = placed(shared)
        assert np.cov(a, b)[0, 1] == pytest.approx(wanted, rel=0.05), shared


def test_what_rows_give_is_the_error_of_their_test() -> None:
    """On the rows themselves the components give back the clustered variance, up to its corrections of few percent."""
    case: Case = people(60)(np.random.default_rng(1), gap_of(0.85), 2, 0.7)
    first, second = influences(case)
    video = np.arange(len(case.label)) // 5
    values = []
    for own in case.scores:
        fake, real = own[case.label == 1], own[case.label == 0]
        values.append(((fake[:, None] > real).mean(axis=1), (fake > real[:, None]).mean(axis=1)))
    kept = case.label == 1
    components = from_placements(
        values[0][0] - values[1][0],
        values[0][1] - values[1][1],
        (video[kept], case.cluster[kept]),
        (video[~kept], case.cluster[~kept]),
        60,
    )
    of = structure_of_case(case, 5)
    fakes, reals = first.fake - second.fake, first.real - second.real
    assert variance(of, components) == pytest.approx(float(((fakes + reals) ** 2).sum()))
    tested = auc_difference(first, second, 0.95)
    assert tested is not None and tested.error == pytest.approx(math.sqrt(variance(of, components)), rel=0.05)


def test_quantiles_are_2_8_standard_errors_with_many_groups() -> None:
    assert quantiles(1e6) == pytest.approx(1.95996 + 0.84162, abs=1e-4)
    assert quantiles(5) == pytest.approx(2.57058 + 0.91954, abs=1e-4)  # of printed tables of t


def test_four_times_as_many_people_halve_the_difference() -> None:
    model = Model(0.6, 0.4, 0.3).components((0.9, 0.88))
    one = Structure(np.repeat(np.arange(500), 2), np.tile([0, 1], 500), np.full(1000, 10), 500)
    four = Structure(np.repeat(np.arange(2000), 2), np.tile([0, 1], 2000), np.full(4000, 10), 2000)
    assert smallest_difference(four, model) == pytest.approx(smallest_difference(one, model) / 2, rel=2e-3)
    wanted = smallest_difference(four, model)
    assert times_needed(one, model, wanted) == pytest.approx(4.0, rel=1e-3)
    assert times_needed(four, model, wanted) == pytest.approx(1.0, rel=1e-6)
    shorter = one.with_frames(2)
    assert shorter.counts(REAL) == 1000 and variance(shorter, model) > variance(one, model)


def rows(path: Path, seed: int = 0, people_: int = 60, skill: float = 2.5) -> Path:
    rng = np.random.default_rng(seed)
    table = []
    for person in range(people_):
        for video in range(3):
            ease, label = rng.normal(), int(video > 0)
            for frame in range(4):
                logit = skill * label + ease + rng.normal()
                name = f"p{person}v{video}"
                one = {"id": f"{name}/{frame}", "label": label, "score": 1 / (1 + np.exp(-logit)), "video": name}
                table.append({**one, "identity": f"p{person}", "method": ("original", "a", "b")[video]})
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def apart(found: m2f2bench.Power) -> float:
    """The smallest difference on the scale of the test."""
    assert found.smallest is not None
    return math.asin(math.sqrt(found.auc)) - math.asin(math.sqrt(found.auc - found.smallest))


def test_the_report_of_rows(tmp_path: Path) -> None:
    one, other = rows(tmp_path / "one.csv"), rows(tmp_path / "other.csv", 1)
    found = m2f2bench.power(one, other, differences=[0.03])
    assert (found.groups, found.videos, found.n_real, found.n_fake, found.by) == (60, 180, 240, 480, "identity")
    assert [at.most for at in found.frames] == [1, 2, None] and [at.n for at in found.frames] == [180, 360, 720]
    smallest = [at.smallest for at in found.frames]
    assert smallest[0] > smallest[1] > smallest[2] == found.smallest  # type: ignore[operator]
    assert set(found.methods) == {"a", "b"} and found.methods["a"] > found.smallest  # type: ignore[operator]
    again = m2f2bench.compare(one, other, metrics=["auc"])
    (overall,) = [d for d in again.pairs[0].differences if not d.group]
    # The error of the test itself has a prior, and large clusters weigh more in it: a few percent.
    assert found.smallest <= overall.smallest < 1.08 * found.smallest  # type: ignore[operator]
    assert not found.assumed and found.measured == ("one", "other")
    alone = m2f2bench.power(one, alike=0.0)
    assert alone.assumed == {"alike": 0.0} and alone.smallest == pytest.approx(found.smallest, rel=0.3)
    half = m2f2bench.power(one, alike=0.75)
    assert apart(half) == pytest.approx(apart(alone) / 2, rel=1e-3)


def test_a_dataset_with_rows_of_another(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    """The structure is the dataset's: three drawn frames of a video; the variances those of the rows."""
    path = rows(tmp_path / "one.csv")
    text = cli("power", "-s", "synthetic", "--rows", path, "--difference", "0.02").out
    assert "variances measured on the rows of one" in text and "12 people, 144 videos and 432 frames" in text
    plain = m2f2bench.power(dataset="synthetic")
    assert plain.by == "people" and plain.assumed == {"alike": 0.6, "person": 0.4, "video": 0.3}
    frames = m2f2bench.load_dataset("synthetic").frames()
    assert plain.n_real == sum(frame.label == 0 for frame in frames)


def test_rows_without_people_count_videos_once(tmp_path: Path) -> None:
    table = pd.read_csv(rows(tmp_path / "a.csv", people_=4)).drop(columns="identity")
    table.to_csv(tmp_path / "b.csv", index=False)
    text = m2f2bench.power(tmp_path / "b.csv").markdown()
    assert "With 12 videos and 48 frames a test" in text and "fewer than 10 videos of a class" in text


def test_the_structure_of_rows(tmp_path: Path) -> None:
    of, by, methods = structure_of(load_rows(rows(tmp_path / "a.csv")).rows)
    assert by == "identity" and of.n_clusters == 60 and of.units.tolist() == [4] * 180
    assert sorted(zip(of.label.tolist(), methods.tolist(), strict=True)) == sorted(
        [(0, "original"), (1, "a"), (1, "b")] * 60
    )


def test_hostile(tmp_path: Path) -> None:
    """Each is one line that says what is wrong."""
    one, shorter = rows(tmp_path / "one.csv"), rows(tmp_path / "short.csv", people_=20)
    table = pd.read_csv(one)
    fakes = tmp_path / "fakes.csv"
    table[table.label == 1].to_csv(fakes, index=False)
    single = tmp_path / "single.csv"
    table.assign(identity="p", video=np.where(table.label == 0, "v", "w")).to_csv(single, index=False)
    copy, sure = tmp_path / "copy.csv", tmp_path / "sure.csv"
    table.to_csv(copy, index=False)
    table.assign(score=table.label).to_csv(sure, index=False)
    cases: list[tuple[str, tuple[Path, ...], dict[str, object]]] = [
        ("give --dataset, --rows, or both", (), {}),
        ("'fakes' has no real frame with a score", (fakes,), {}),
        ("all real frames of 'rows' are in one group of people or one video", (single,), {}),
        ("have the same scores", (one, copy), {}),
        ("cannot be compared: they differ in data", (one, shorter), {}),
        ("have an AUC of 1: from scores without any error", (sure,), {}),
        ("alike is measured on the rows of two", (one, rows(tmp_path / "b.csv", 3)), {"alike": 0.5}),
        ("difference is 0: a number above 0", (one,), {"differences": [0]}),
        ("difference is 0.6", (one,), {"differences": [0.6]}),
        ("differences is empty", (one,), {"differences": []}),
        ("auc is 1: a number above 0.5 and below 1", (one,), {"auc": 1}),
        ("alike is 1: a number at least 0 and below 1", (one,), {"alike": 1}),
        ("their sum must be below 1", (), {"dataset": "synthetic", "person": 0.7, "video": 0.4}),
        ("auc is nan", (), {"dataset": "synthetic", "auc": float("nan")}),
    ]
    for said, places, options in cases:
        with pytest.raises(M2F2BenchError, match=said) as caught:
            m2f2bench.power(*places, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value), said
