"""Several detectors over several datasets, from the comparisons of a folder of runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wilcoxon

from m2f2bench.core.errors import ScoreError
from m2f2bench.metrics.detection.paired import Difference
from m2f2bench.scoring.across import across, possible
from m2f2bench.scoring.comparison import Comparison, Pair


def compared(dataset: str, values: dict[str, float], protocol: str = "frame", metric: str = "auc") -> Comparison:
    names = list(values)
    pairs = tuple(
        Pair(a, b, (Difference("", metric, values[a], values[b], values[a] - values[b]),))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    )
    clusters = {"by": "frame", "n": 100}
    details = dict.fromkeys(names, "")
    return Comparison(dataset, "test", protocol, "", details, (metric,), 0.95, False, clusters, pairs)


def table(n: int, seed: int = 0) -> list[Comparison]:
    rng = np.random.default_rng(seed)
    return [
        compared(f"d{i}", {"a": 0.9 + 0.01 * rng.random(), "b": 0.8 + 0.01 * rng.random(), "c": 0.805})
        for i in range(n)
    ]


def test_pairs_over_datasets() -> None:
    found = across(table(8))
    pairs = {(found.detectors[one.first], found.detectors[one.second]): one for one in found.pairs}
    gaps = found.values[1] - found.values[2]
    assert pairs["b", "c"].p == pytest.approx(float(wilcoxon(gaps, method="exact").pvalue))
    assert pairs["a", "b"].p == pytest.approx(2 / 2**8) and pairs["a", "b"].holm == pytest.approx(6 / 2**8)
    assert found.ranking is not None and found.ranking.ranks[0] == 1.0
    text = found.markdown()
    assert "Over 8 datasets, frame" in text and "8 of 8" in text and "Iman and Davenport" in text
    data = json.loads(json.dumps(found.to_json()))
    assert data["test"]["degrees"] == [2, 14] and data["pairs"][0]["first"] == "a"


def test_compressions_of_the_same_videos_are_one() -> None:
    ours = [
        compared("ffpp-videos-c23", {"a": 0.9, "b": 0.8}),
        compared("ffpp-videos-c40", {"a": 0.7, "b": 0.6}),
        compared("celebdf-v2", {"a": 0.8, "b": 0.9}),
    ]
    with pytest.raises(ScoreError, match="3 datasets are of 2 sources: at least 3 are needed"):
        across(ours)
    found = across([*ours, compared("dfdc", {"a": 0.6, "b": 0.7})])
    assert len(found.sources) == 3 and found.values[0].tolist() == pytest.approx([0.8, 0.8, 0.6])
    assert found.ranking is None and found.pairs[0].n == 3
    assert "one source, one dataset: ffpp-videos-c23, ffpp-videos-c40" in found.markdown()
    assert "6 datasets are needed before any can be told apart" in found.markdown()


def test_a_lower_metric_is_ranked_the_other_way() -> None:
    found = across([compared(f"d{i}", {"a": 0.1, "b": 0.2 + i / 100, "c": 0.3}, metric="eer") for i in range(4)])
    assert found.ranking is not None and found.ranking.ranks.tolist() == [1, 2, 3]
    assert found.pairs[0].plus == 10 and "4 of 4" in found.markdown()


def test_hostile() -> None:
    """Each is one line; a command goes on without the table."""
    four = table(4)
    cases = [
        ("there are no comparisons", []),
        ("several protocols, frame, video", [*four, compared("d9", {"a": 0.5, "b": 0.6}, "video")]),
        ("'d0' is compared twice", [*four, four[0]]),
        ("2 datasets are of 2 sources", four[:2]),
        ("fewer than two detectors", [replace(four[0], pairs=()), *four[1:]]),
    ]
    for said, given in cases:
        with pytest.raises(ScoreError, match=said):
            across(given)
    assert possible(four[:2]) == [] and len(possible(four)) == 1
