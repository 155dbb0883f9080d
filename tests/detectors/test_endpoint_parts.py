"""What asking an endpoint needs beside the client: waiting, bodies, pictures."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from m2f2bench.detectors.openai.endpoint import (
    Pace,
    PictureSettings,
    backoff,
    data_url,
    read_completion,
    retry_after,
    two_way,
)

FACE = np.random.default_rng(3).integers(0, 256, (24, 40, 3)).astype(np.uint8)


def test_the_pace_is_even_whoever_asks() -> None:
    now = [100.0]
    pace = Pace(30, clock=lambda: now[0])
    assert [pace.reserve() for _ in range(3)] == [0.0, 2.0, 4.0]
    now[0] += 3.0
    assert pace.reserve() == 3.0
    now[0] += 1000.0
    assert [pace.reserve() for _ in range(2)] == [0.0, 2.0]  # nothing was saved up
    assert Pace(None).reserve() == 0.0


def test_backoff_doubles_with_jitter() -> None:
    for attempt in range(12):
        middle = min(60.0, 2.0**attempt)
        assert 0.5 * middle <= backoff("key", attempt, 1.0) < 1.5 * middle
    assert backoff("a", 0, 1.0) == backoff("a", 0, 1.0) != backoff("b", 0, 1.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=100.0) == seconds


@given(st.text(max_size=80))
def test_any_body_is_a_completion_or_one_line(body: str) -> None:
    try:
        read_completion(body)
    except ValueError as error:
        assert "\n" not in str(error)


def test_two_words() -> None:
    first = {"Real": math.log(0.3), "REAL ": math.log(0.1), "fake": math.log(0.1), "unreal": math.log(0.5)}
    assert two_way(first, ("real",), ("fake",)) == pytest.approx(0.2)
    assert math.isnan(two_way({"unreal": 0.0}, ("real",), ("fake",)))
    # A tokenizer that writes "Fake" as "F", "ake"; "" is the beginning of both.
    halves = {"Real": math.log(0.3), " F": math.log(0.6), "": math.log(0.1)}
    assert two_way(halves, ("real",), ("fake",)) == pytest.approx(0.6 / 0.9)
    assert math.isnan(two_way({"f": 0.0}, ("fair",), ("fake",)))


def test_a_picture_is_shrunk_to_its_longest_edge() -> None:
    def sent(**settings: Any) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(data_url(FACE, PictureSettings(**settings)).split(",")[1])))

    assert sent(longest=20).size == (20, 12)
    assert sent(longest=64).size == (40, 24)
    jpeg = sent(format="jpeg", quality=100)
    assert jpeg.format == "JPEG"
    assert np.abs(np.asarray(jpeg).astype(int) - FACE).mean() < 3
