"""The sentence that a comparison begins with, and tables that a wide file of scores gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import m2f2bench
from m2f2bench.core.errors import ScoreError
from m2f2bench.leaderboards.report import describe_comparison
from m2f2bench.metrics.detection.paired import Difference
from m2f2bench.scoring.comparison import Comparison, Pair
from m2f2bench.scoring.correction import corrected
from m2f2bench.scoring.finding import finding
from m2f2bench.stats.margin import Scaled


def compared(*differences: tuple[str, str, Difference], oracle: bool = False) -> Comparison:
    pairs = tuple(Pair(a, b, (d,)) for a, b, d in differences)
    names = dict.fromkeys(name for a, b, _ in differences for name in (a, b))
    clusters = {"by": "frame", "n": 9, "independent": True}
    metric = differences[0][2].metric
    found = Comparison(
        "d", "test", "frame", "s", dict.fromkeys(names, "x"), (metric, "ap"), 0.95, oracle, clusters, pairs
    )
    return corrected([found])[0]


def difference(by: float, p: float | None, metric: str = "auc", **more: object) -> Difference:
    ends = (by - 0.02, by + 0.02)
    known = Difference("", metric, 0.8, 0.8 - by, by, ends, p, p, "DeLong", scaled=Scaled(by, 0.02 / 1.96))
    return replace(known, **more)


def test_two_that_are_told_apart() -> None:
    text = finding(compared(("a", "b", difference(0.1, 0.004))))
    assert text == "a is better than b in AUC by 0.100 (95% interval 0.080 to 0.120), p = 0.0040."
    assert finding(compared(("a", "b", difference(-0.1, 0.00001)))).startswith(
        "b is better than a in AUC by 0.100 (95% interval 0.080 to 0.120), p < 0.0001."
    )


def test_lower_is_better_turns_the_order() -> None:
    text = finding(compared(("a", "b", difference(-0.1, 0.01, "eer"))))
    assert text.startswith("a is better than b in EER by 0.100 (95% interval 0.080 to 0.120)")
    assert finding(compared(("a", "b", difference(0.1, 0.01, "eer")))).startswith("b is better than a")


def test_two_that_cannot_be_told_apart() -> None:
    text = finding(compared(("a", "b", difference(-0.01, 0.3))))
    assert text == (
        "The data cannot tell a and b apart in AUC: the difference is -0.010 (95% interval -0.030 to +0.010), "
        "p = 0.3000; a true difference of 0.029 would be found in 80% of such tests, a smaller one less often."
    )


def test_of_several_pairs() -> None:
    one, none = difference(0.1, 0.01), difference(0.2, 0.06)
    text = finding(compared(("a", "b", one), ("a", "c", none), ("b", "c", difference(-0.3, 0.01))))
    assert text == (
        "The data tell apart 2 of 3 pairs in AUC (p ≤ .05 after Holm's correction): c is better than b by 0.300 "
        "(95% interval 0.280 to 0.320, p = 0.0300); a is better than b by 0.100 (95% interval 0.080 to 0.120, "
        "p = 0.0300)."
    )
    text = finding(compared(("a", "b", none), ("a", "c", difference(0.1, 0.2))))
    assert (
        text.startswith("The data tell apart no pair of 2 in AUC") and "largest difference: a is better than b" in text
    )
    many = [("a", f"n{i}", difference(0.1 + i / 100, 0.001)) for i in range(5)]
    text = finding(compared(*many))
    assert text.startswith("The data tell apart all 5 pairs") and text.endswith("; and 2 more.")


def test_it_is_holms_p_that_counts() -> None:
    text = finding(compared(*(("a", x, difference(0.1, 0.03, holm=0.06)) for x in "bc")))
    assert text.startswith("The data tell apart no pair of 2")


def test_without_a_test_it_says_why() -> None:
    d = Difference("", "auc", None, None, reason="no fake")
    assert finding(compared(("a", "b", d))) == "No test of AUC was possible (no fake)."


def test_a_name_cannot_break_the_page() -> None:
    text = describe_comparison(compared(("a|b<script>", "**b**", difference(0.1, 0.01)))).split("\n\n")[1]
    assert "<script" not in text and "**" not in text and "a\\|b&lt;script>" in text


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    label = np.arange(200) % 2
    table = pd.DataFrame({"id": [f"f{i}" for i in range(200)], "label": label, "method": ["real", "swap"] * 100})
    for name, skill in (("weak", 0.1), ("strong", 0.6)):
        table[name] = np.clip(rng.random(200) * 0.4 + skill * label, 0, 1).round(4)
        table[["id", "label", "method", name]].rename(columns={name: "score"}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    table["note"] = "x"
    table.to_csv(tmp_path / "wide.csv", index=False)
    return tmp_path / "wide.csv"


def test_a_wide_file_is_compared_as_its_columns_alone(wide: Path, cli) -> None:
    apart = m2f2bench.compare(wide.with_name("weak.csv"), wide.with_name("strong.csv"))
    together = m2f2bench.compare(wide)
    assert together.to_json() == apart.to_json()
    assert "strong is better than weak in AUC" in describe_comparison(together)
    assert cli("compare", wide).out == cli("compare", wide.with_name("weak.csv"), wide.with_name("strong.csv")).out


def test_a_wide_file_beside_another_and_renamed(wide: Path) -> None:
    found = m2f2bench.compare(wide, wide.with_name("weak.csv"), metrics=["auc"])
    assert list(found.detectors) == [f"{wide}:weak", "strong", str(wide.with_name("weak.csv"))]
    renamed = wide.with_name("renamed.csv")
    renamed.write_text(wide.read_text().replace("id,label", "image,truth", 1))
    names = {"renamed.csv": {"id": "image", "label": "truth"}}
    assert m2f2bench.compare(renamed, columns=names).to_json() == m2f2bench.compare(wide).to_json()


def test_what_is_no_wide_file(wide: Path, tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="give another beside"):
        m2f2bench.compare(wide.with_name("weak.csv"))
    only = tmp_path / "only.csv"
    only.write_text("id,label,a\nx,0,0.1\ny,1,0.2\n")
    with pytest.raises(ScoreError, match="has only 'a'"):
        m2f2bench.compare(only)
    only.write_text("id,label,a,b\nx,0,0.1,0.3\ny,1,7,0.2\n")
    with pytest.raises(ScoreError, match="7"):
        m2f2bench.compare(only)
    with pytest.raises(ScoreError, match="at least two runs"):
        m2f2bench.compare()
