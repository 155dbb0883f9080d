"""The primary metric of a protocol, what is exploratory beside it, and margins: in Python, JSON, tables, notebooks."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import m2f2bench
from m2f2bench.cards.protocols import ExplanationRules, HeatMapRules, ProtocolRules
from m2f2bench.core.errors import CardError
from m2f2bench.loading import any_protocol
from m2f2bench.scoring.finding import finding
from m2f2bench.stats.multiplicity import benjamini_hochberg, holm


def rows(path: Path, skill: float, seed: int, n: int = 300, shared: float = 0.98) -> Path:
    """Scores of a detector that has most of its noise in common with the others."""
    common, own = np.random.default_rng(0).normal(size=n), np.random.default_rng(300 + seed).normal(size=n)
    label = np.arange(n) % 2
    score = skill * label + shared * common + np.sqrt(1 - shared**2) * own
    table = {"id": [f"f{i}" for i in range(n)], "label": label, "score": 1 / (1 + np.exp(-score))}
    pd.DataFrame(
        table | {"method": np.where(label == 1, np.where(np.arange(n) % 4 == 1, "a", "b"), "original")}
    ).to_csv(path, index=False)
    return path


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [
        rows(tmp_path / f"{name}.csv", skill, i)
        for i, (name, skill) in enumerate((("a", 1.6), ("b", 1.58), ("c", 0.6)))
    ]


def by(tmp_path: Path, **more: str) -> str:
    card = tmp_path / "mine.yaml"
    lines = {"name": "mine", "level": "frame", "metrics": "[auc, eer, ap]", "bootstrap": "{resamples: 200}"} | more
    card.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
    return str(card)


def test_holm_is_over_the_primary_metric_and_the_rest_is_exploratory(three: list[Path], tmp_path: Path) -> None:
    found = m2f2bench.compare(*three, protocol=by(tmp_path, primary="ap"))
    assert found.metrics == ("ap", "auc", "eer") and found.primary == "ap"
    flat = found.to_json()["differences"]
    assert next(iter(found.to_json())) == "finding"
    main = [d for d in flat if d["primary"]]
    assert [(d["metric"], d["group"]) for d in main] == [("ap", None)] * 3
    assert [d["p_holm"] for d in main] == pytest.approx(holm([d["p"] for d in main]))
    rest = [d for d in flat if not d["primary"]]
    assert {d["group"] for d in rest} == {None, "average", "a", "b"}
    assert all(d["p_holm"] is None for d in rest) and all(d["p_bh"] is None for d in main)
    assert [d["p_bh"] for d in rest] == pytest.approx(benjamini_hochberg([d["p"] for d in rest]))
    table = found.to_pandas()
    assert table.role.value_counts().to_dict() == {"exploratory": len(rest), "primary": 3}
    assert table[table.role == "primary"].p_bh.isna().all()


def test_it_begins_with_what_was_found(three: list[Path], tmp_path: Path, cli) -> None:
    found = m2f2bench.compare(*three)
    assert found.finding == finding(found) and found.finding.startswith(
        "The data tell apart 2 of 3 pairs in AUC (p ≤ .05"
    )
    assert escape(found.finding) in found._repr_html_()
    text = cli("compare", *three[:2], "-p", by(tmp_path, primary="eer")).out
    assert text.split("\n")[2].startswith("The data cannot tell a and b apart in EER")
    first = next(line for line in text.split("\n") if line.startswith("| EER"))
    assert "primary" in first and text.index("| EER") < text.index("| AUC")
    assert "exploratory: Benjamini and Hochberg's correction over all 11 such tests" in text


def test_what_would_have_been_found_stands_beside_each_that_is_not_told_apart(three: list[Path]) -> None:
    found = m2f2bench.compare(*three)
    flat = [d for d in found.to_json()["differences"] if d["metric"] == "auc" and d["group"] is None]
    assert ["smallest_found" in d for d in flat] == [d["p_holm"] > 0.05 for d in flat] == [True, False, False]
    alone = m2f2bench.compare(*three[:2]).pairs[0].differences[0].smallest
    assert alone is not None and alone < flat[0]["smallest_found"] < 1.4 * alone, "Holm's correction asks for more"
    assert f"{flat[0]['smallest_found']:.3f}</td>" in found._repr_html_()


def test_without_the_primary_metric_all_is_exploratory(three: list[Path], cli) -> None:
    said = cli("compare", *three[:2], "-m", "eer", "-m", "brier").out
    assert "all of this is exploratory: the protocol's primary metric is AUC, which is left out." in said.split("\n")[2]
    found = json.loads(cli("compare", *three, "-m", "eer", "--json").out)
    assert found["primary"] == "auc" and not any(d["primary"] for d in found["differences"])
    assert all(d["p_holm"] is None for d in found["differences"])


def test_a_margin(three: list[Path], cli) -> None:
    found = m2f2bench.compare(*three[:2], metrics=["auc", "eer"], margin=0.05)
    assert "within ±0.05 they are equivalent (90% interval" in found.finding
    one = found.pairs[0].differences[0].margin
    assert one is not None and one.outcome == "equivalent" and -0.05 < one.ci[0] < one.ci[1] < 0.05
    flat = found.to_json()["differences"][0]["margin"]
    assert flat["outcome"] == "equivalent" and flat["p_equivalent"] == max(one.first, one.second)
    table = found.to_pandas()
    assert set(table[table.group == "all"].outcome) <= {"equivalent", "first no worse", "second no worse", "undecided"}
    assert "within ±0.05" in found._repr_html_()
    narrow = m2f2bench.compare(*three[:2], metrics=["auc"], margin=0.001)
    assert "whether they are within ±0.001 of each other is undecided (90% interval" in narrow.finding
    better = m2f2bench.compare(three[0], three[2], metrics=["auc"], margin=0.05)
    assert (
        "a is no worse than c by 0.05 or more (p < 0.0001), but they are not shown to be equivalent" in better.finding
    )
    other = m2f2bench.compare(three[2], three[0], metrics=["eer"], margin=0.05)
    assert "a is no worse than c by 0.05" in other.finding, "of errors the lower is better"
    text = cli("compare", *three, "--margin", 0.05).out
    assert "within ±0.05 1 of 3 pairs are equivalent, in 2 more one is no worse than the other" in text
    assert text.count("first no worse, p ") == 2 and text.count("equivalent, p ") == 1


def test_the_same_scores_are_equivalent(three: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "twin.csv"
    twin.write_bytes(three[0].read_bytes())
    found = m2f2bench.compare(three[0], twin, metrics=["auc"], margin=0.001)
    assert found.pairs[0].differences[0].margin.outcome == "equivalent"  # type: ignore[union-attr]


@pytest.mark.parametrize("margin", [0, -0.01, float("nan"), 1, 1.5, float("inf")])
def test_a_margin_that_is_none(margin: float, three: list[Path], one_line, cli) -> None:
    line = one_line(cli("compare", *three[:2], "--margin", margin))
    assert line.startswith("m2f2bench: margin is") and "number" in line


def test_over_datasets_holm_is_over_all_of_them(tmp_path: Path) -> None:
    found = []
    for i in range(3):
        pair = [
            rows(tmp_path / f"{name}.csv", skill, 10 * i + len(name), 120 + 20 * i)
            for name, skill in (("good", 1.6), ("bad", 1.2))
        ]
        found += [m2f2bench.score(path, detector=path.stem) for path in pair]
    together = m2f2bench.compare(found)
    main = [d for one in together for pair in one.pairs for d in pair.differences if one.is_primary(d)]
    assert len(together) == 3 and [d.holm for d in main] == pytest.approx(holm([d.p for d in main]))
    assert together[0].family["tests"] == 3
    rest = [d for one in together for pair in one.pairs for d in pair.differences if not one.is_primary(d)]
    assert [d.bh for d in rest] == pytest.approx(benjamini_hochberg([d.p for d in rest]))


def test_a_primary_metric_that_is_none_of_the_protocols(tmp_path: Path, cli, one_line) -> None:
    path = by(tmp_path, primary="acuracy")
    with pytest.raises(CardError, match="primary: 'acuracy' is none of the metrics: take one of auc, eer, ap"):
        any_protocol(path)
    answers = {"task": "explanation", "questions": ["blind"], "metrics": ["bleu", "cider"], "primary": "rouge_l"}
    maps = {"task": "heatmaps", "measure": "masks", "metrics": ["iou"], "primary": "pointing"}
    for rules, values in ((ExplanationRules, answers), (HeatMapRules, maps)):
        with pytest.raises(ValueError, match="is none of the metrics"):
            rules.model_validate(values)


def test_cards_say_it_and_results_without_it_stay_the_same(tmp_path: Path) -> None:
    assert (
        ProtocolRules(level="frame").main_metric == "auc" and "primary" not in ProtocolRules(level="frame").model_dump()
    )
    assert any_protocol("explain-blind").main_metric == "cider" and any_protocol("frame-fpr").main_metric != "auc"
    result = m2f2bench.score(rows(tmp_path / "a.csv", 1.0, 0), protocol=by(tmp_path, primary="eer"))
    assert (
        result.protocol_card["primary"] == "eer"
        and m2f2bench.score(tmp_path / "a.csv").protocol_card.get("primary") is None
    )


def test_a_users_metric_may_be_the_primary_one(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import m2f2bench\n\n"
        "@m2f2bench.register_metric('own_gap', better='higher', title='gap', range=(-1, 1), chance=0)\n"
        "def gap(label, score):\n    return float(score[label == 1].mean() - score[label == 0].mean())\n"
    )
    assert any_protocol(by(tmp_path, metrics="[auc, own.py:gap]", primary="own.py:gap")).main_metric == "own_gap"
