"""The chart of an explainer against the controls: where its dots lie."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_report import toy_page

from m2f2bench.core.records import Score
from m2f2bench.reporting.pages.chart import LEFT, RIGHT, TOP, dot_chart, nice


def test_dots_lie_where_their_values_are() -> None:
    entries = [
        ("own", "", Score(0.9, 1, 1, (0.8, 1.0))),
        ("low", "a note", Score(0.5, 1, 1)),
        ("high", "", Score(0.95, 1, 1)),
        ("none", "", Score(None, 1, 1)),
    ]
    chart = dot_chart("ROUGE-L", entries, -1.0)
    assert chart is not None and chart.ci
    assert [dot.label for dot in chart.dots] == ["own", "high", "low", "none"], (
        "the explainer first, the best control next"
    )
    assert [tick.label for tick in chart.ticks] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    own = chart.dots[0]
    assert own.own and not any(dot.own for dot in chart.dots[1:])
    assert own.x == chart.own == round(LEFT + 0.8 * (RIGHT - LEFT), 1)
    assert (own.low, own.high) == (round(LEFT + 0.6 * (RIGHT - LEFT), 1), RIGHT)
    assert chart.dots[2].x == LEFT and chart.dots[2].low is None and chart.dots[2].note == "a note"
    assert chart.dots[3].x is None and chart.dots[3].text == "no value"
    heights = [dot.y for dot in chart.dots]
    assert heights[0] > TOP and heights == sorted(heights) and heights[-1] < chart.height


def test_of_errors_the_lowest_control_is_first() -> None:
    chart = dot_chart(
        "errors", [("own", "", Score(0.5, 1, 1)), *((n, "", Score(v, 1, 1)) for n, v in (("a", 0.9), ("b", 0.1)))], 1.0
    )
    assert chart is not None and [dot.label for dot in chart.dots] == ["own", "b", "a"] and not chart.ci


def test_without_the_explainers_value_there_is_no_chart() -> None:
    assert dot_chart("x", [("own", "", Score(None, 1, 1)), ("a", "", Score(0.5, 1, 1))], -1.0) is None
    assert dot_chart("x", [("own", "", None)], -1.0) is None


def test_the_page_has_one_chart_before_its_tables() -> None:
    page = toy_page()
    assert page.count('role="img"') == 1
    assert page.index('id="cards"') < page.index('role="img"') < page.index("<table")
    label = page[page.index('role="img"') :].partition(">")[0]
    assert "frequent-hidden 0.600 [0.500, 0.700]" in label, "a screen reader gets the numbers"


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_axes_are_round_and_hold_all_values(values: list[float]) -> None:
    steps = nice(values)
    assert steps[0] <= min(values) + 1e-6 and steps[-1] >= max(values) - 1e-6
    assert 2 <= len(steps) <= 8
    width = steps[1] - steps[0]
    assert width > 0 and all(b - a == pytest.approx(width) for a, b in pairwise(steps))
