"""Fakes that show two people, who are in other fakes too: people are resampled, and no longer videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from few_people import crossed, gap_of

import m2f2bench
from m2f2bench.core.rows import Rows
from m2f2bench.metrics.detection.clusters import effective_counts, few_clusters
from m2f2bench.results.units import clusters, people_of


def rows_of(count: int) -> tuple[Rows, list[str]]:
    """Rows as of Celeb-DF: two people in each fake, all joined; each person's first real video has two frames."""
    case = crossed(count, reals=3, partners=4, frames=1)(np.random.default_rng(0), gap_of(0.8), 1, 0.0)
    assert case.people is not None
    of: dict[int, list[str]] = {}
    for cluster, person in zip(case.people.cluster.tolist(), case.people.person.tolist(), strict=True):
        of.setdefault(cluster, []).append(f"id{person}")
    n = len(case.label)
    who = ["+".join(of[cluster]) for cluster in case.cluster.tolist()]
    names = np.array([f"v{i}" for i in range(n)], dtype=object)
    score = 1 / (1 + np.exp(-case.scores[0]))
    method = np.where(case.label == 1, "swap", "original").astype(object)
    empty = np.array([""] * n, dtype=object)
    ok = np.array(["ok"] * n, dtype=object)
    identity = np.array(who, dtype=object)
    return Rows(names, names, method, identity, ok, case.label, score, empty, names), who


def test_sets_of_people_are_clusters_and_people_are_resampled() -> None:
    rows, who = rows_of(20)
    codes, by = clusters(rows, "identity", crossed=True)
    assert by == "people" and len(set(codes.tolist())) == len(set(who))
    people = people_of(rows, codes)
    assert people.n == 20 and len(people.cluster) == sum(len(text.split("+")) for text in set(who))
    assert clusters(rows, "identity")[1] == "video", "answers and heat maps draw videos as before"
    assert clusters(rows_of(9)[0], "identity", crossed=True)[1] == "video", "too few people"
    everywhere = replace(rows, identity=np.array([f"{text}+star" for text in who], dtype=object))
    assert clusters(everywhere, "identity", crossed=True)[1] == "video", "one is in all rows"


def test_from_rows_to_intervals_and_the_signature(cli, tmp_path: Path) -> None:
    rows, who = rows_of(20)
    lines = zip(rows.frame.tolist(), rows.label.tolist(), rows.score.tolist(), who, strict=True)
    path = tmp_path / "rows.csv"
    path.write_text("id,label,score,identity\n" + "".join(f"{a},{b},{c!r},{d}\n" for a, b, c, d in lines))
    result = m2f2bench.score(path)
    assert result.clusters["by"] == "people" and result.clusters["people"] == 20
    assert result.clusters["effective"]["real"] == pytest.approx(20) and "ci:95%-people@" in result.signature
    auc, ap = result.metrics["auc"], result.metrics["ap"]
    assert auc.ci is not None and ap.ci is not None and auc.ci[1] - auc.ci[0] > 0.03
    text = cli("score", path).out
    assert "1,000 resamples of 20 people, seed 0; AUC: DeLong, clustered" in text
    assert "few people, counted by their units (effective number:" in text
    assert cli("score", path, "--out", tmp_path / "out").status == 0
    (folder,) = [one.parent for one in (tmp_path / "out").rglob("result.json")]
    assert cli("validate", folder / "result.json").status == 0
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace(",0.5", ",0.9"))
    assert "DeLong, clustered" in cli("compare", path, other, "-m", "auc").out
    check = cli("check", folder, "--run", folder)
    assert check.status == 0 and "note: few people" in check.out


def test_a_warning_names_the_smallest_groups() -> None:
    few = {"by": "video", "n": 90, "effective": {"real": 60.0, "fake": 50.0, "methods": {"a": 44.0, "b": 6.0}}}
    assert few_clusters(few) == [
        "few videos, counted by their units (effective number: 6 of fakes of b; 40 are enough): resampled "
        "intervals are probably too narrow"
    ]
    assert few_clusters({**few, "effective": {"real": 60.0, "fake": 50.0}}) == []
    assert few_clusters({"by": "video", "n": 12}) == ["only 12 clusters: the intervals are probably too narrow"]
    assert few_clusters({"by": "video", "n": 40}) == few_clusters({}) == []


def test_effective_numbers_of_rows_by_hand() -> None:
    from toy_units import make_units

    label = [0] * 6 + [1] * 6
    units = make_units(label, [0.5] * 12, clusters=[0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3])
    assert effective_counts(units, "") == pytest.approx((2.0, 36 / 26))
