"""Progress where standard error is no terminal: a line now and then, and none for short work."""

from __future__ import annotations

import logging

import pytest

from m2f2bench.core import progress


@pytest.fixture()
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_with_the_time_left(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "m2f2bench")
    with progress.progress_bar("training", 110, 10) as advance:
        for _ in range(100):
            clock[0] += 0.4
            advance(1)
    assert caplog.messages == [
        "training: 35 of 110, about 30 s left",
        "training: 60 of 110, about 20 s left",
        "training: 85 of 110, about 10 s left",
    ]


def test_short_work_and_none_say_nothing(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "m2f2bench")
    for total in (0, 3):
        with progress.progress_bar("reading", total) as advance:
            for _ in range(3):
                clock[0] += 3
                advance()
    assert not caplog.messages


def test_a_bar_within_another_is_a_line_of_its_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.progress_bar("videos", 2) as advance:
        outer = progress._shown
        with progress.progress_bar("judging", 5) as step:
            step(3)
            assert outer is not None and progress._shown is outer
            assert [(task.description, task.completed) for task in outer.tasks] == [("videos", 0), ("judging", 3)]
        advance()
        assert [(task.description, task.completed) for task in outer.tasks] == [("videos", 1)]
    assert progress._shown is None
    with progress.progress_bar("next", 1):
        assert progress._shown is not outer


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (7200, "2.0 h")])
def test_durations(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said
