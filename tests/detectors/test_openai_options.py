"""The `openai` backend's options, where nothing is sent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from toy_endpoint import KEY, client

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.detectors.openai.detector import OpenAIEndpoint
from m2f2bench.loading import load_detector

FACE = np.zeros((24, 40, 3), np.uint8)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY_KEY", KEY)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_options_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    for options, problem in [
        ({"base_url": "http://me:pw@host/v1"}, "must hold no password"),
        ({"base_url": "localhost:8000"}, "http:// or https://"),
        ({"question": "Why?"}, "must contain {question}"),
        ({"modle": "x"}, "did you mean 'model'"),
    ]:
        with pytest.raises(CardError, match=problem):
            client("http://localhost:1/v1", **options)
    with pytest.raises(DetectorError, match="environment variable OPENAI_API_KEY"):
        client("http://localhost:1/v1", base_url=None, api_key_env=None)
    with pytest.raises(DetectorError, match="environment variable NO_SUCH"):
        client("http://localhost:1/v1", api_key_env="NO_SUCH")


def test_the_fingerprint_is_of_what_decides() -> None:
    url = "http://localhost:1/v1"
    base = client(url).fingerprint()
    assert client(url, concurrency=9, price_in=1.0, cache=False, timeout_s=1.0).fingerprint() == base
    assert len({base, client(url, seed=1).fingerprint(), client("http://localhost:2/v1").fingerprint()}) == 3
    shrunk = client(url, image={"format": "jpeg", "quality": 90, "longest": 512, "detail": "low"})
    assert shrunk.preprocessing == "jpeg90-longest512-low"
    assert shrunk.fingerprint() != base


def test_no_score_unless_asked_for() -> None:
    detector = client("http://localhost:1/v1")
    assert detector.scores_with_answers
    with pytest.raises(DetectorError, match="gives no P\\(fake\\): take an explanation protocol"):
        detector.predict([FACE])


def test_a_detection_protocol_is_refused_in_one_line(
    cli: Callable[..., Any], one_line: Callable[..., str], squares: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mute.yaml"
    options = {"model": "toy", "base_url": "http://localhost:1/v1"}
    path.write_text(yaml.safe_dump({"name": "mute", "backend": "openai", "options": options}))
    words = ("run", "--detector", path, "--dataset", squares, "--protocol", "frame", "--out", tmp_path / "out")
    assert "detector 'mute' gives no P(fake): take an explanation protocol" in one_line(cli(*words))


def test_the_card_is_a_template(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nbase: openai-compatible\noptions: {model: m, base_url: 'http://localhost:9/v1'}\n")
    card = read_card("detectors", path)
    assert isinstance(card, DetectorCard)
    detector = load_detector(card)
    assert isinstance(detector, OpenAIEndpoint) and detector.options.model == "m"
    assert detector.options.question.startswith("{question}")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(DetectorError, match=r"run `pip install 'm2f2bench\[openai\]'`"):
        client("http://localhost:1/v1")
