"""The `openai` backend against a real HTTP server on this machine."""

from __future__ import annotations

import base64
import io
import logging
import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from toy_endpoint import KEY, Endpoint, Script, asked, chat, client, in_turn, slow
from toy_questions import FACES

import m2f2bench
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.openai.endpoint import Pace

FACE = np.random.default_rng(3).integers(0, 256, (24, 40, 3)).astype(np.uint8)
OK = (200, chat(), {})


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY_KEY", KEY)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def start(*answers: Any) -> Endpoint:
        script: Script = answers[0] if callable(answers[0]) else in_turn(*answers)
        made.append(Endpoint(script))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_what_is_sent_and_what_comes_back(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(chat(" It is real.\n", tokens=7))
    detector = client(
        endpoint, price_in=2.0, price_out=10.0, system="Be short.", question="Say: {question} Why?", max_tokens=31,
        extra={"think": False},
    )  # fmt: skip
    (reply,) = detector.explain([FACE], ["Real {x}?"])
    assert (reply.text, reply.message, reply.error) == ("It is real.", "", "")
    assert (reply.tokens_in, reply.tokens_out) == (100, 7)
    assert reply.cost == pytest.approx((100 * 2 + 7 * 10) / 1e6)
    assert reply.seconds is not None and 0 < reply.seconds < 30
    (body,) = endpoint.bodies
    assert body["path"] == "/v1/chat/completions"
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == ("toy", 31, 0.0, 0)
    assert body["think"] is False
    assert body["messages"][0] == {"role": "system", "content": "Be short."}
    picture, text = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "Say: Real {x}? Why?"}
    head, data = picture["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), FACE)
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_local_server_is_sent_no_key_of_openai(
    serve: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = serve(OK)
    client(endpoint, api_key_env=None).explain([FACE], ["Real?"])
    assert KEY not in str(endpoint.headers)


def test_without_prices_or_usage_the_cost_is_not_known(serve: Callable[..., Endpoint]) -> None:
    bare = {key: value for key, value in chat().items() if key != "usage"}
    half, nothing = client(serve(OK), price_in=1.0), client(serve(bare), price_in=1.0, price_out=1.0)
    assert half.explain([FACE], ["Real?"])[0].cost is None
    (reply,) = nothing.explain([FACE], ["Real?"])
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.cost) == ("It looks real.", None, None, None)


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}),
        (500, {"error": {"message": "oops"}}, {}),
        (503, "<html>down</html>", {"Content-Type": "text/html"}),
        (200, "{half", {}),
        (200, "<html>proxy</html>", {"Content-Type": "text/html"}),
        (200, {"choices": []}, {}),
        (200, {"choices": [{"message": {"content": 5}}]}, {}),
    ],
)
def test_what_may_pass_is_tried_again(serve: Callable[..., Endpoint], trouble: tuple[int, Any, dict[str, str]]) -> None:
    endpoint = serve(trouble, trouble, OK)
    assert client(endpoint).explain([FACE], ["Real?"])[0].text == "It looks real."
    assert len(endpoint.bodies) == 3


def test_one_failure_is_one_question_without_an_answer(serve: Callable[..., Endpoint]) -> None:
    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        return (500, {"error": {"message": "bad\nluck"}}, {}) if asked(body) == "2" else (200, chat(asked(body)), {})

    replies = client(serve(script), retries=2).explain([FACE] * 4, list("0123"))
    assert [reply.text for reply in replies] == ["0", "1", "", "3"]
    assert [reply.error for reply in replies] == ["", "", "status 500: bad luck (3 times)", ""]


def test_a_server_that_takes_too_long(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(slow(0.6))
    (reply,) = client(endpoint, timeout_s=0.1, retries=1).explain([FACE], ["Real?"])
    assert reply.error == "no answer within 0.1 s (2 times)"
    assert len(endpoint.bodies) == 2


def test_a_server_that_asks_for_too_long_a_wait(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve((429, {"error": {"message": "later"}}, {"Retry-After": "3600"}))
    (reply,) = client(endpoint).explain([FACE], ["Real?"])
    assert reply.error == "status 429: later; the server asks to wait 3600 s"
    assert len(endpoint.bodies) == 1


def test_no_server(serve: Callable[..., Endpoint]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(DetectorError, match=r"no connection to .* start the server, or check") as caught:
        client(url).explain([FACE] * 3, list("abc"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (401, "set the environment variable TOY_KEY to a key"),
        (403, "set the environment variable TOY_KEY to a key"),
        (404, "check `model` or `base_url`"),
        (400, "check the options"),
    ],
)
def test_a_first_request_that_is_refused_ends_the_run(
    serve: Callable[..., Endpoint], status: int, mend: str, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = serve((status, {"error": {"message": f"no: {KEY}"}}, {}))
    with caplog.at_level(logging.DEBUG), pytest.raises(DetectorError, match=mend) as caught:
        client(endpoint, concurrency=1).explain([FACE] * 9, list("123456789"))
    assert f"status {status}: no: [key]" in str(caught.value)
    assert KEY not in caplog.text
    assert len(endpoint.bodies) == 1


def test_later_refusals_are_questions_without_answers(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(OK, (400, {"error": {"message": "bad picture"}}, {}), OK)
    replies = client(endpoint, concurrency=1).explain([FACE] * 3, list("abc"))
    assert [reply.error for reply in replies] == ["", "status 400: bad picture", ""]


def test_no_credit_ends_the_run_at_once(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(OK, (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {}))
    with pytest.raises(DetectorError, match="no credit left"):
        client(endpoint, concurrency=1).explain([FACE] * 5, list("abcde"))
    assert len(endpoint.bodies) == 2


def test_twenty_failures_in_a_row_end_the_run_and_what_was_answered_is_kept(serve: Callable[..., Endpoint]) -> None:
    down = threading.Event()

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        return (500, {"error": {"message": "down"}}, {}) if down.is_set() else (200, chat(), {})

    endpoint = serve(script)
    detector = client(endpoint, retries=0, concurrency=1)
    first = [str(i) for i in range(3)]
    detector.explain([FACE] * 3, first)
    down.set()
    nineteen = detector.explain([FACE] * 19, [f"a{i}" for i in range(19)])
    assert all(reply.error == "status 500: down" for reply in nineteen)
    with pytest.raises(DetectorError, match="20 questions in a row"):
        detector.explain([FACE] * 30, [f"b{i}" for i in range(30)])
    assert len(endpoint.bodies) == 3 + 19 + 1
    down.clear()
    again = client(endpoint).explain([FACE] * 4, [*first, "b0"])
    assert [reply.message for reply in again] == ["from the cache"] * 3 + [""]


def test_refusals_and_texts_cut_off(serve: Callable[..., Endpoint]) -> None:
    bodies = {
        "cut": chat("The mouth", "length", tokens=31),
        "thought": chat("", "length", tokens=31),
        "empty": chat(None),
        "refused": chat(None, refusal="I cannot\nhelp."),
        "filtered": chat("Half", "content_filter"),
        "parts": chat([{"type": "text", "text": "It is "}, {"type": "text", "text": "fake."}]),  # type: ignore[arg-type]
    }
    withheld = {"error": {"message": "policy", "code": "content_filter"}}

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        return (200, bodies[asked(body)], {}) if asked(body) in bodies else (400, withheld, {})

    endpoint = serve(script)
    names = ["held", *bodies]
    found = dict(zip(names, client(endpoint).explain([FACE] * 7, names), strict=True))
    assert (found["cut"].text, found["cut"].message) == ("The mouth", "cut off after 31 tokens")
    assert found["parts"].text == "It is fake."
    assert {name: reply.error for name, reply in found.items() if reply.error} == {
        "held": "held back by the server: status 400: policy",
        "thought": "no text: all 31 tokens were spent before it; raise `max_tokens`",
        "empty": "the server answered without a text",
        "refused": "the model refused: I cannot help.",
        "filtered": "held back by the server's content filter",
    }
    assert not any(reply.text for reply in found.values() if reply.error)
    before = len(endpoint.bodies)
    client(endpoint).explain([FACE] * 7, names)
    assert len(endpoint.bodies) - before == 5  # the answers are from the cache, what is none is asked for again


def test_the_cache_knows_all_that_decides_an_answer(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(OK)

    def sent(image: np.ndarray = FACE, question: str = "Real?", **options: Any) -> int:
        before = len(endpoint.bodies)
        client(endpoint, **options).explain([image], [question])
        return len(endpoint.bodies) - before

    other = FACE.copy()
    other[0, 0, 0] ^= 1
    assert [sent(), sent()] == [1, 0]
    assert sent(timeout_s=9.0, retries=1, price_in=1.0, concurrency=1, api_key_env=None) == 0
    for changed in (
        {"image": other}, {"question": "Fake?"}, {"model": "b"}, {"temperature": 0.5}, {"seed": 1}, {"system": "s"},
        {"max_tokens": 9}, {"top_p": 0.5}, {"extra": {"a": 1}},
    ):  # fmt: skip
        assert [sent(**changed), sent(**changed)] == [1, 0], changed  # type: ignore[arg-type]
    assert [sent(cache=False), sent(cache=False)] == [1, 1]


def test_a_cached_reply_tells_what_it_cost_at_first_and_that_it_is_cached(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve(chat("Cut", "length"))
    prices = {"price_in": 1.0, "price_out": 1.0}
    first, twin = client(endpoint, **prices).explain([FACE, FACE], ["Real?", "Real?"])
    (again,) = client(endpoint, **prices).explain([FACE], ["Real?"])
    assert len(endpoint.bodies) == 1
    assert first.message == "cut off after 7 tokens"
    assert twin.message == again.message == "cut off after 7 tokens; from the cache"
    assert again.text == first.text and again.cost == first.cost == pytest.approx(107e-6)
    assert again.seconds == pytest.approx(first.seconds, abs=1e-3)


def test_a_half_written_cache_line_is_asked_for_again(serve: Callable[..., Endpoint], tmp_path: Path) -> None:
    endpoint = serve(OK)
    client(endpoint).explain([FACE], ["Real?"])
    (file,) = (tmp_path / "cache" / "openai").glob("*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    assert client(endpoint).explain([FACE], ["Real?"])[0].message == ""
    assert client(endpoint).explain([FACE], ["Real?"])[0].message == "from the cache"


def test_requests_at_once_and_answers_in_order(serve: Callable[..., Endpoint]) -> None:
    barrier = threading.Barrier(3)

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        barrier.wait(20)  # breaks, and with it the test, unless three are there at once
        return 200, chat(asked(body)), {}

    endpoint = serve(script)
    questions = [str(i) for i in range(12)]
    replies = client(endpoint, concurrency=3, retries=0).explain([FACE] * 12, questions)
    assert [reply.text for reply in replies] == questions
    assert endpoint.most == 3


def test_the_key_is_nowhere(serve: Callable[..., Endpoint], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = serve(chat(f"I was given {KEY}."), (500, {"error": {"message": KEY}}, {}))
    detector = client(endpoint, concurrency=1, retries=0)
    with caplog.at_level(logging.DEBUG):
        replies = detector.explain([FACE] * 2, ["a", "b"])
    assert [reply.text for reply in replies] == ["I was given [key].", ""]
    assert replies[1].error == "status 500: [key]"
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and not any(KEY.encode() in path.read_bytes() for path in kept)
    assert KEY not in caplog.text + repr(replies) + detector.fingerprint() + detector.card.model_dump_json()


def test_a_judge_reads_the_first_token(serve: Callable[..., Endpoint]) -> None:
    likely = [("Fake", 0.6), (" fake", 0.1), ("real", 0.2), ("The", 0.05)]
    body = chat("Fake")
    tops = [{"token": token, "logprob": math.log(p)} for token, p in likely]
    body["choices"][0]["logprobs"] = {"content": [{"token": "Fake", "logprob": -0.5, "top_logprobs": tops}]}
    other = chat("The")
    other["choices"][0]["logprobs"] = {"content": [{"token": "The", "logprob": 0.0, "top_logprobs": tops[-1:]}]}
    endpoint = serve(body, other)
    detector = client(endpoint, judge=True, concurrency=1)
    assert not detector.scores_with_answers
    scores = detector.predict([FACE, FACE[::-1].copy()])
    assert scores[0] == pytest.approx(0.7 / 0.9)
    assert math.isnan(scores[1])
    assert (endpoint.bodies[0]["logprobs"], endpoint.bodies[0]["top_logprobs"]) == (True, 20)
    assert client(endpoint, judge=True).predict([FACE])[0] == scores[0]
    assert len(endpoint.bodies) == 2


def test_a_judge_without_logprobs(serve: Callable[..., Endpoint]) -> None:
    with pytest.raises(DetectorError, match="gives no log-probabilities"):
        client(serve(OK), judge=True).predict([FACE])


def test_the_rate_holds_for_retries_and_threads(serve: Callable[..., Endpoint]) -> None:
    endpoint = serve((500, {}, {}), OK)
    detector = client(endpoint, requests_per_minute=60 * 200, concurrency=4)
    now = [0.0]
    detector.caller.pace = Pace(60, clock=lambda: now[0])
    waits: list[float] = []
    reserve = detector.caller.pace.reserve

    def noted() -> float:
        waits.append(reserve())
        return 0.0

    detector.caller.pace.reserve = noted  # type: ignore[method-assign]
    detector.explain([FACE] * 5, list("abcde"))
    assert len(endpoint.bodies) == 6
    assert sorted(waits) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.slow
def test_a_run_under_an_explanation_protocol(
    serve: Callable[..., Endpoint], tmp_path: Path, rules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that looks: it decodes the picture, and answers as the references do; one question fails, and is asked
    again when the run is repeated."""
    mended = threading.Event()

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        value = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))).mean()
        question = asked(body)
        if value == 50 and "eyes" in question and not mended.is_set():
            return 500, {"error": {"message": "bad luck"}}, {}
        region = next(one for one in ("image", "eyes", "mouth") if one in question)
        return 200, chat(f"The {region} looks {'fake' if value > 150 else 'real'}."), {}

    endpoint = serve(script)
    path = tmp_path / "toyserver.yaml"
    options = {
        "model": "toy", "base_url": endpoint.url, "api_key_env": "TOY_KEY", "retries": 0, "price_in": 1.0,
        "price_out": 1.0,
    }  # fmt: skip
    path.write_text(yaml.safe_dump({"name": "toyserver", "backend": "openai", "options": options}))
    out = tmp_path / "out"
    found = m2f2bench.run(detectors=str(path), datasets=FACES, protocols=str(rules), out=out)
    (result,) = [one for one in found if one.detector == "toyserver"]
    assert result.metrics["verdict_accuracy"].value == pytest.approx(71 / 72)
    assert "1 of 72 questions have no answer" in caplog.text
    # Grey pictures of fakes are all alike, so that their 12 times 3 requests are 3.
    assert len(endpoint.bodies) == 12 * 3 + 3
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(KEY.encode() in file.read_bytes() for file in kept)
    mended.set()
    again = m2f2bench.run(detectors=str(path), datasets=FACES, protocols=str(rules), out=out)
    assert next(one for one in again if one.detector == "toyserver").metrics["verdict_accuracy"].value == 1.0
    assert len(endpoint.bodies) == 12 * 3 + 3 + 1
