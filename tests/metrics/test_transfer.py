"""Thresholds that are chosen on validation rows for a false positive rate: what they do on other rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_units import outside

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import Bootstrap, Threshold
from m2f2bench.core.errors import M2F2BenchError
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection.transfer import transfer
from m2f2bench.metrics.detection.values import Cut


def protocol(rate: float = 0.05, missing: str = "drop", **threshold: object) -> ProtocolCard:
    rule = threshold or {"how": "fpr", "value": rate, "split": "val"}
    rules = {"level": "frame", "threshold": rule, "missing": missing, "bootstrap": {"resamples": 200}}
    return ProtocolCard(name="p", metrics=("auc", "recall"), **rules)  # type: ignore[arg-type]


def rows(real: list[float], fake: list[float]) -> dict[str, list[object]]:
    n = len(real) + len(fake)
    label: list[object] = [0] * len(real) + [1] * len(fake)
    return {"id": [f"f{i}" for i in range(n)], "label": label, "score": [*real, *fake]}


VAL = rows([i / 100 for i in range(100)], [0.9, 0.945, 0.95, 0.99])
TEST = rows([0.1] * 90 + [0.96] * 8 + [0.99] * 2, [0.5, 0.93, 0.97, 0.98])


def test_a_case_by_hand() -> None:
    """Five of 100 reals may be called fake: the sixth has .94 and the lowest score above it, a fake's, is .945."""
    result = m2f2bench.score(TEST, protocol=protocol(), validation=VAL)
    assert result.threshold["value"] == pytest.approx(0.9425) and result.threshold["policy"] == "fpr0.05@val"
    found = result.threshold["transfer"]
    assert found["validation"] == {"fpr": pytest.approx(0.05), "tpr": pytest.approx(0.75)}
    assert found["test"]["fpr"]["value"] == pytest.approx(0.10) and found["test"]["tpr"]["value"] == pytest.approx(0.5)
    # Here an FPR of at most 5% allows the two reals at .99 alone: from .97 on, which finds the same two fakes.
    assert found["best"] == {"threshold": pytest.approx(0.965), "value": pytest.approx(0.5)}
    assert found["regret"]["value"] == pytest.approx(0.0) and found["wanted"] == {"fpr": 0.05}
    assert "thr:fpr0.05@val-" in result.signature
    assert result.metrics["recall"].value == 0.5


def test_the_oracle_of_a_rate_is_marked() -> None:
    result = m2f2bench.score(TEST, protocol=protocol(how="fpr", value=0.05, split="test"))
    assert result.threshold["oracle"] and result.threshold["value"] == pytest.approx(0.965)
    assert "thr:fpr0.05@test-ORACLE" in result.signature and "transfer" not in result.threshold


def drawn(seed: int, videos: int, gap: float = 1.5) -> Units:
    """Videos of four frames, every second one fake."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(videos), 4)
    label = cluster % 2
    score = 1 / (1 + np.exp(-(gap * label + rng.normal(size=videos)[cluster] + rng.normal(size=len(cluster)))))
    names = np.array([f"v{c}" for c in cluster], dtype=object)
    method = np.where(label == 1, "fake", "original").astype(object)
    return Units(label, score, method, names, cluster, videos, 1.0, ("fake",), "video")


def repeated(units: Units, seed: int, times: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Reals' and fakes' scores in each resample, by repeating the units of the videos that are drawn."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(times):
        draws = rng.integers(0, units.n_clusters, units.n_clusters)
        chosen = np.concatenate([np.flatnonzero(units.cluster == c) for c in draws])
        label, score = units.label[chosen], units.score[chosen]
        found.append((score[label == 0], score[label == 1]))
    return found


def lowest(real: np.ndarray, every: np.ndarray, rate: float) -> float:
    """The midpoint below the lowest score that can be called fake with at most that share of the reals."""
    levels = np.unique(every)[::-1]
    called = [t for t in levels if (real >= t).mean() <= rate + 1e-12]
    at = len(called)
    if at == 0:
        return float(np.nextafter(levels[0], np.inf))
    return float((levels[at - 1] + levels[at]) / 2) if at < len(levels) else float(levels[-1])


def test_intervals_are_those_of_a_loop_over_both_draws() -> None:
    """The same draws of validation and judged videos, computed with repeated units and without counts."""
    validation, judged, rate, times = drawn(1, 30), drawn(2, 24), 0.1, 120
    threshold = lowest(validation.score[validation.label == 0], validation.score, rate)
    found = transfer(validation, judged, Cut("fpr", rate), threshold, Bootstrap(resamples=times, seed=7))
    rates: dict[str, list[float]] = {"fpr": [], "tpr": [], "regret": [], "best": []}
    both = zip(repeated(validation, 8, times), repeated(judged, 7, times), strict=True)
    for (real, _), (here_real, here_fake) in both:
        t = lowest(real, validation.score, rate)
        best = max((here_fake >= s).mean() for s in [*judged.score, 2.0] if (here_real >= s).mean() <= rate + 1e-12)
        rates["fpr"].append((here_real >= t).mean())
        rates["tpr"].append((here_fake >= t).mean())
        rates["best"].append(best)
    for name in ("fpr", "tpr"):
        value, ci = found["test"][name]["value"], found["test"][name]["ci"]
        tail = outside(0.95, 12)  # videos of a class
        ends = np.quantile(rates[name], [tail, 1 - tail])
        assert ci == pytest.approx([min(ends[0], value), max(ends[1], value)]), name
    best = found["best"]["value"]
    regret = np.array(rates["best"]) - 2 * (np.mean(rates["best"]) - best) - np.array(rates["tpr"])
    ends = np.quantile(regret, [outside(0.95, 24), 1 - outside(0.95, 24)])
    assert found["regret"]["value"] == pytest.approx(best - found["test"]["tpr"]["value"])
    assert found["regret"]["ci"][0] == pytest.approx(min(ends[0], found["regret"]["value"]))
    assert found["regret"]["ci"][1] == pytest.approx(max(ends[1], found["regret"]["value"]))


def test_an_interval_that_resamples_validation_holds_the_rate_that_the_procedure_has() -> None:
    """With 60 validation reals the threshold is chance too: judged resamples alone would hold the rate too seldom."""
    held = {"both": 0, "judged": 0}
    rng, n, rate, cases = np.random.default_rng(0), 60, 0.1, 150
    expected = np.mean([(np.sort(rng.random(n))[::-1][5:7]).mean() for _ in range(20000)])
    expected = 1 - expected  # of uniform reals: the share above the middle of the 6th and 7th highest
    for _ in range(cases):
        made = []
        for size in (n, 600):
            label = np.repeat([0, 1], [size, size])
            score = np.concatenate([rng.random(size), 1 - 0.5 * rng.random(size)])
            method = np.where(label == 1, "fake", "original").astype(object)
            codes = np.arange(2 * size)
            made.append(Units(label, score, method, codes.astype(object), codes, 2 * size, 1.0, ("fake",)))
        validation, judged = made
        real = np.sort(validation.score[:n])[::-1]
        threshold = float((real[5] + real[6]) / 2)
        found = transfer(validation, judged, Cut("fpr", rate), threshold, Bootstrap(resamples=100))
        low, high = found["test"]["fpr"]["ci"]
        held["both"] += low <= expected <= high
        share = (judged.score[:600] >= threshold).mean()
        reach = 1.96 * np.sqrt(share * (1 - share) / 600)
        held["judged"] += abs(share - expected) <= reach
    assert held["both"] / cases >= 0.88 and held["judged"] / cases <= 0.75, held


@pytest.mark.parametrize("how", ["best", "eer"])
def test_the_regret_of_other_policies_is_against_the_best_here(how: str) -> None:
    rule = {"how": how, "split": "val"} | ({"maximise": "accuracy"} if how == "best" else {})
    rng = np.random.default_rng(4)
    made = [
        rows(list(rng.random(50) * 0.8 + shift), list(rng.random(50) * 0.6 + 0.3 + shift / 2)) for shift in (0.0, 0.15)
    ]
    result = m2f2bench.score(made[1], protocol=protocol(**rule), validation=made[0])
    score, label = np.array(made[1]["score"], dtype=float), np.array(made[1]["label"])
    fractions = [
        ((score >= t)[label == 1].mean(), (score < t)[label == 0].mean()) for t in (*score, result.threshold["value"])
    ]  # of 50 fakes and 50 reals accuracy and balanced accuracy are the same
    reached = [np.mean(both) for both in fractions]
    found = result.threshold["transfer"]["regret"]
    assert found["of"] == ("accuracy" if how == "best" else "balanced_accuracy")
    assert found["value"] == pytest.approx(max(reached) - reached[-1]) and found["value"] > 0


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.5, -0.1, None])
def test_a_rate_out_of_range_is_refused_on_the_card(value: object) -> None:
    with pytest.raises(ValueError, match=r"fpr goes with|less than or equal|greater than or equal"):
        Threshold.model_validate({"how": "fpr", "value": value, "split": "val"})
    with pytest.raises(ValueError, match="how: fpr goes with split and value and nothing else"):
        Threshold.model_validate({"how": "fpr", "value": 0.01})


def test_hostile_validation_rows() -> None:
    """Each is one line that says what is wrong with them."""
    fakes, reals = rows([], [0.2, 0.9]), rows([0.1] * 200, [])
    few = rows([i / 50 for i in range(19)], [0.9])
    lost = rows([0.1] * 80 + [float("nan")] * 20, [0.9])
    cases = [
        (fakes, "drop", "no real unit of the validation rows has a score"),
        (reals, "drop", "no fake unit of the validation rows has a score"),
        (few, "drop", "19 real units are too few for an FPR of 0.05: at least 20 are needed"),
        (lost, "wrong", "20 of 100 real units have no score and count as wrong"),
        (None, "drop", "picks its threshold on validation scores, but none were given"),
    ]
    for validation, missing, said in cases:
        with pytest.raises(M2F2BenchError, match=said) as caught:
            m2f2bench.score(TEST, protocol=protocol(missing=missing), validation=validation)
        assert "\n" not in str(caught.value)


def test_judged_rows_of_one_class_have_no_transfer() -> None:
    result = m2f2bench.score(rows([0.1, 0.2], []), protocol=protocol(), validation=VAL)
    assert "transfer" not in result.threshold and result.threshold["value"] == pytest.approx(0.9425)


def test_groups_of_one_person_have_no_interval() -> None:
    one = {**VAL, "video": ["v"] * 50 + ["w"] * 50 + ["x"] * 2 + ["y"] * 2, "identity": ["a"] * 104}
    found = m2f2bench.score(TEST, protocol=protocol(), validation=one).threshold["transfer"]
    assert found["test"]["fpr"]["ci"] is not None  # too few people: videos are drawn
    one["video"] = ["v"] * 100 + ["x"] * 2 + ["y"] * 2
    found = m2f2bench.score(TEST, protocol=protocol(), validation=one).threshold["transfer"]
    assert found["test"]["fpr"]["ci"] is None
    assert "of the validation units all real" in found["test"]["fpr"]["reason"]


def test_a_stored_result_says_it_and_is_valid(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    people = [f"p{i % 20}" for i in range(104)]
    pd.DataFrame({**VAL, "identity": people}).to_csv(tmp_path / "val.csv", index=False)
    pd.DataFrame({**TEST, "identity": people}).to_csv(tmp_path / "test.csv", index=False)
    words = ["score", tmp_path / "test.csv", "--validation", tmp_path / "val.csv", "-p", "frame-fpr"]
    text = cli(*words, "--out", tmp_path / "o").out
    assert "wanted FPR 0.01; on the validation rows FPR 0.010" in text and "resample the validation rows too" in text
    assert "20 people are in the validation rows too" in text
    (folder,) = [one for one in (tmp_path / "o").iterdir() if (one / "result.json").is_file()]
    assert cli("validate", folder).status == 0
    stored = json.loads((folder / "result.json").read_text())
    stored["threshold"]["transfer"]["regret"]["value"] = "much"
    (folder / "result.json").write_text(json.dumps(stored))
    assert "threshold.transfer.regret.value" in cli("validate", folder).out + cli("validate", folder).err
