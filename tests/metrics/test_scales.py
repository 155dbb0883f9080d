"""Scales of metrics: every metric says which direction is better, and none can be ranked without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_units import make_units, score_all

from m2f2bench.cards.columns import Column
from m2f2bench.cards.models import LeaderboardCard
from m2f2bench.cards.protocols import DETECTION_METRICS
from m2f2bench.core.errors import ScoreError
from m2f2bench.core.records import Score
from m2f2bench.heatmaps import faithfulness_report as perturbation
from m2f2bench.heatmaps import localization_report as localization
from m2f2bench.leaderboards.table import build_table
from m2f2bench.metrics.names import AT_HALF
from m2f2bench.metrics.registry import builtin, metric_of
from m2f2bench.results.result import Result

LOWER = {"eer", "log_loss", "brier", "ece", "calibration_debiased", "verdict_none_rate"}
LOWER |= {"deletion_blur", "deletion_mean"}


def test_a9_every_metric_of_this_package_is_described_once() -> None:
    """Those of detection are the fixed list of a protocol that names none; of heat maps there are those reported."""
    by = {of: [name for name, metric in builtin().items() if metric.of == of] for of in ("scores", "answers", "maps")}
    assert tuple(by["scores"]) == DETECTION_METRICS and len(by["answers"]) == 18
    assert {name for name, metric in builtin().items() if metric.lower_is_better} == LOWER
    reported = set(localization.REPORTED) | {"iou_best"} | set(perturbation.MEASURES)
    assert set(by["maps"]) == reported - {"mask_area"}, "a mask's area is the data's: nothing of it is better"
    assert all(metric.fast for metric in builtin().values() if metric.of == "scores")


def test_a9_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(ScoreError, match=r"unknown metric 'log_los'; did you mean 'log_loss'"):
        metric_of("log_los")
    metric_of("log_loss" + AT_HALF)
    assert metric_of("eer").worse == 1.0 and metric_of("auc").worse == -1.0 == metric_of("accuracy" + AT_HALF).worse


@pytest.mark.parametrize("metric", ["eer", "auc", "log_loss", "mcc", "brier" + AT_HALF])
def test_a9_tables_rank_the_better_one_first(metric: str) -> None:
    results = [with_metric(name, metric, value) for name, value in (("low", 0.1), ("high", 0.9), ("middle", 0.5))]
    card = LeaderboardCard(name="b", columns=(Column(dataset="d", metric=metric),))
    first = build_table(results, card).rows[0].detector
    assert first == ("low" if metric.split("@")[0] in LOWER else "high")
    with pytest.raises(ScoreError, match="unknown metric 'quality'"):
        build_table(
            [with_metric("a", "quality", 0.1)],
            LeaderboardCard(name="b", columns=(Column(dataset="d", metric="quality"),)),
        )


def with_metric(name: str, metric: str, value: float) -> Result:
    measured = {"data": "d", "split": "test", "hash": "h", "det": name}
    return Result(name, "d", "test", "frame", {metric: Score(value, 9, 9)}, {}, 1.0, {"ok": 18}, name, measured)


scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0.0, 1.0), min_size=4, max_size=30)


@settings(max_examples=100)
@given(scores, st.data())
def test_a9_values_lie_in_their_range(drawn: list[float], data: st.DataObject) -> None:
    labels = [0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=len(drawn) - 2, max_size=len(drawn) - 2))]
    for name, score in score_all(make_units(labels, drawn)).overall.items():
        low, high = metric_of(name).range
        assert score.value is None or low - 1e-12 <= score.value <= high + 1e-12, name


@pytest.mark.parametrize("name", DETECTION_METRICS)
def test_a9_the_direction_is_that_of_the_metric(name: str) -> None:
    """A detector that is always right reaches the better end, its opposite the other, and one score for all chance."""
    labels, n = np.repeat([0, 1], 1000), 2000
    right, wrong = (score_all(make_units(labels, s)).overall[name].value for s in (labels * 1.0, 1.0 - labels))
    scale = metric_of(name)
    best = 0.0 if name == "calibration_debiased" else scale.best  # below 0 is chance alone
    assert right == pytest.approx(best, abs=1e-9) and wrong is not None
    assert (wrong > right) == scale.lower_is_better
    if not math.isinf(scale.range[1]) and name != "ap":  # the worst order of half fakes has an AP of .307
        assert wrong == pytest.approx(scale.range[1] if scale.lower_is_better else scale.range[0], abs=1e-9)
    if scale.chance is not None:
        same = score_all(make_units(labels, np.full(n, 0.5))).overall[name].value
        assert same == pytest.approx(scale.chance)
