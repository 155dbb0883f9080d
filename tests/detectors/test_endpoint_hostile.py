"""E2: an endpoint that answers too much, too slowly, elsewhere, or rubbish: each ends within the card's limits.

Each is one line, and the servers are real ones on this machine.
"""

from __future__ import annotations

import gzip
import json
import resource
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_endpoint import KEY, Endpoint, Raw, answer, chat, client, in_turn
from toy_questions import FACES

import m2f2bench
from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.openai.caller import TooLarge, Unreadable, unpack
from m2f2bench.detectors.openai.endpoint import DEPTH, read_completion, read_error
from m2f2bench.results.row_files import read_answers, read_parquet

FACE = np.random.default_rng(3).integers(0, 256, (24, 40, 3)).astype(np.uint8)
GOOD = json.dumps(chat()).encode()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY_KEY", KEY)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., Raw]]:
    made: list[Raw] = []

    def start(speak: Callable[[socket.socket], None] | bytes) -> Raw:
        made.append(Raw((lambda to: to.sendall(speak)) if isinstance(speak, bytes) else speak))
        return made[-1]

    yield start
    for one in made:
        one.close()


def _ask(server: Raw | Endpoint, **options: Any) -> tuple[str, str, float]:
    """Text, error and seconds of one question."""
    started = time.monotonic()
    (reply,) = client(server, **{"retries": 0, "timeout_s": 5.0, **options}).explain([FACE], ["Real?"])
    assert "\n" not in reply.error and KEY not in reply.error
    return reply.text, reply.error, time.monotonic() - started


def _memory() -> int:
    """The most bytes that this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


BOMB = gzip.compress(b" " * 60_000_000, 6)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b" " * 50_000_000 + GOOD, ()),
        (BOMB, ("Content-Encoding: gzip",)),
        (zlib.compress(b" " * 60_000_000), ("Content-Encoding: deflate",)),
        (zlib.compress(b" " * 60_000_000)[2:-4], ("Content-Encoding: deflate",)),
    ],
    ids=["50 MB", "gzip", "deflate", "raw deflate"],
)
def test_e2_an_answer_that_is_too_large_is_not_read_on(
    serve: Callable[..., Raw], body: bytes, headers: tuple[str, ...]
) -> None:
    server = serve(answer(body, *headers))
    before = _memory()
    text, error, seconds = _ask(server, retries=3)
    assert text == "" and "more than `max_answer_bytes` (4,000,000)" in error.replace("longer", "more")
    assert seconds < 5 and _memory() - before < 60_000_000
    assert len(server.heads) == 1  # it is not asked for again


def test_e2_the_card_names_the_bytes(serve: Callable[..., Raw]) -> None:
    body = json.dumps(chat("x" * 5000)).encode()
    assert _ask(serve(answer(body)), max_answer_bytes=len(body))[0] == "x" * 5000
    assert "longer than `max_answer_bytes`" in _ask(serve(answer(body)), max_answer_bytes=len(body) - 1)[1]


def test_e2_an_answer_is_asked_for_as_it_is_and_unpacked_all_the_same(serve: Callable[..., Raw]) -> None:
    server = serve(answer(gzip.compress(GOOD), "Content-Encoding: gzip"))
    assert _ask(server)[0] == "It looks real."
    assert "accept-encoding: identity" in server.heads[0].lower()


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "rubbish"])
def test_e2_what_is_packed_otherwise_is_named(serve: Callable[..., Raw], name: str) -> None:
    assert "content encoding" in _ask(serve(answer(b"\xff\x00" * 50, f"Content-Encoding: {name}")))[1]


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "", "br"]))
@settings(max_examples=200, deadline=None)
def test_e2_any_packed_bytes_are_unpacked_or_named(data: bytes, name: str) -> None:
    assert unpack(gzip.compress(data), "gzip", 300) == data
    assert unpack(zlib.compress(data), "deflate", 300) == data
    if len(data) > 1:
        with pytest.raises(TooLarge):
            unpack(gzip.compress(data), "gzip", len(data) - 1)
        with pytest.raises(Unreadable, match="incomplete"):
            unpack(gzip.compress(data)[:-9], "gzip", 300)
    try:
        assert len(unpack(data, name, 300)) <= 300
    except Unreadable as error:
        assert "\n" not in str(error)


def _dripping(start: bytes, drop: bytes) -> Callable[[socket.socket], None]:
    def speak(to: socket.socket) -> None:
        to.sendall(start)
        for _ in range(200):
            time.sleep(0.05)
            to.sendall(drop)

    return speak


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200 O", b"K"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 9999\r\n\r\n", b" "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "rubbish", "status", "headers", "one header", "body", "chunks", "one chunk", "error", "continue"],
)
def test_e2_a_dripping_server_has_no_more_than_the_time(serve: Callable[..., Raw], start: bytes, drop: bytes) -> None:
    server = serve(_dripping(start, drop))
    text, error, seconds = _ask(server, timeout_s=0.2, retries=1)
    assert text == "" and seconds < 3
    assert error == "no answer within 0.2 s (2 times)" or "broke" in error  # a first line of rubbish is refused before


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_e2_a_redirect_is_not_followed_with_the_picture_and_the_key(serve: Callable[..., Raw], status: int) -> None:
    other = serve(answer(GOOD))
    server = serve(answer(b"", f"Location: {other.url}/chat/completions", status=f"{status} Moved"))
    with pytest.raises(DetectorError, match=f"status {status}: it redirects to '{other.url}.* set it as `base_url`"):
        _ask(server)
    assert len(server.heads) == 1 and not other.heads


def test_e2_a_redirect_to_itself_ends(serve: Callable[..., Raw]) -> None:
    server = serve(answer(b"", "Location: /v1/chat/completions", status="307 Again"))
    with pytest.raises(DetectorError, match="redirects to '/v1/chat"):
        _ask(server, retries=3)
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", "broke"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}", "broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nrubbish", "broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFF\r\nrubbish", "broke"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "broke"),
        (b"\x00" * 4000, "broke"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 2_000_000 + b"\r\n\r\n", "broke"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 400_000 + b"\r\n", "broke"),
        (answer(b"<html>Sign in</html>", "Content-Type: text/html"), "not JSON but '<html>"),
        (answer(b"<html/>", "Content-Type: text/html; charset=zlib_codec", status="500 No"), "status 500: <html/>"),
        (answer(b"\xff\xfe{\x00}\x00"), "not JSON"),
        (answer(b"\x00" * 100), "not JSON"),
        (answer(b""), "not JSON"),
        (answer(b"9" * 10_000), "not JSON"),
        (answer(b"NaN"), "not a chat completion"),
        (answer(b"[" * 100_000), "nested 100000 deep"),
        (answer(b'{"a":' * 2_000 + b"1" + b"}" * 2_000), f"nested 2000 deep, more than {DEPTH}"),
        (answer(b'{"error":' + b"[" * 900 + b"]" * 900 + b"}", status="500 No"), "status 500: {"),
        (answer(b'{"choices":[' + b"{}," * 1_000_000 + b"{}]}"), "not a chat completion"),
        (answer(GOOD, "Retry-After: 1000000000", status="429 Slow"), "the server asks to wait 1000000000 s"),
        (answer(b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", status="503 Slow"), "the server asks to wait"),
        (answer(b"", "Retry-After: \xff\xfe99", status="503 Slow"), "status 503: Service Unavailable"),
        (answer(b" " * 9_000_000, status="500 No"), "status 500: the answer is longer"),
    ],
)  # fmt: skip
def test_e2_rubbish_is_one_line(serve: Callable[..., Raw], sent: bytes, told: str) -> None:
    text, error, seconds = _ask(serve(sent))
    assert (text, seconds < 5) == ("", True)
    assert told in error and len(error) < 400


def test_e2_a_reset_in_the_middle_is_tried_again(serve: Callable[..., Raw]) -> None:
    def speak(to: socket.socket) -> None:
        if len(server.heads) < 3:
            to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            to.sendall(answer(GOOD)[:-9])
            to.close()
        else:
            to.sendall(answer(GOOD))

    server = serve(speak)
    assert _ask(server, retries=3)[0] == "It looks real."
    assert len(server.heads) == 3


def _wrong() -> Iterator[Any]:
    """A good answer with a value of another type in every position, one at a time."""
    good = chat("Fake")
    good["choices"][0]["logprobs"] = {
        "content": [{"token": "F", "logprob": -0.5, "top_logprobs": [{"token": "F", "logprob": -0.1}]}]
    }

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield path
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in inner:
            yield from places(one, (*path, key))

    for path in places(good):
        for wrong in (None, True, -1, 1e999, 2**70, "x", "\ud800", "\x00", [], {}, [[]], [None], {"a": []}):
            made = json.loads(json.dumps(good))
            at = made
            for key in path[:-1]:
                at = at[key]
            if path:
                at[path[-1]] = wrong
            yield made if path else wrong


def test_e2_every_position_may_hold_anything() -> None:
    found = {"read": 0, "refused": 0}
    for body in _wrong():
        try:
            read_completion(json.dumps(body))
            found["read"] += 1
        except ValueError as error:
            assert "\n" not in str(error)
            found["refused"] += 1
        assert isinstance(read_error(json.dumps(body)), str)
    assert found["read"] > 100 and found["refused"] > 150


@pytest.mark.parametrize("text", ["\ud800half", "a\x00b", "\u202egnp.exe", "é" * 100_000])
def test_e2_any_text_is_an_answer_that_can_be_kept(text: str) -> None:
    server = Endpoint(in_turn(chat(text)))
    try:
        replies = [client(server).explain([FACE], ["Real?"])[0] for _ in range(2)]
    finally:
        server.close()
    assert replies[0].text == replies[1].text == text
    assert len(server.bodies) == 1


@pytest.mark.slow
def test_e2_a_run_keeps_and_shows_whatever_was_answered(tmp_path: Path, rules: Path) -> None:
    odd = ["a\x00b fake", "\ud800 real", "<script>alert(1)</script> fake", "=1+1 real\r\n\r\n", "fake " * 300]

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        return 200, chat(odd[number % len(odd)]), {}

    server = Endpoint(script)
    try:
        detector = client(server, cache=False)
        found = m2f2bench.run(detectors=[detector], datasets=FACES, protocols=str(rules), out=tmp_path / "o")
    finally:
        server.close()
    (place,) = [place for one, place in zip(found, found.folders, strict=True) if one.detector == "toy"]
    rows = read_answers(place / "answers.parquet")
    assert {row.status for row in rows} == {"ok"} and {row.text for row in rows} == {
        text.strip().replace("\ud800", "?") for text in odd
    }
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page


def test_e2_a_lost_connection_ends_the_run_and_is_no_questions_fault(serve: Callable[..., Raw]) -> None:
    server = serve(answer(GOOD, "Connection: close"))
    detector = client(server, retries=1, concurrency=1)
    assert detector.explain([FACE], ["first"])[0].text == "It looks real."
    server.close()
    with pytest.raises(DetectorError, match=r"no connection to .* \(2 times\)"):
        detector.explain([FACE] * 3, ["second", "third", "fourth"])


def test_e2_a_score_that_an_endpoint_failed_to_give_is_asked_for_again(tmp_path: Path, squares: Path) -> None:
    mended = threading.Event()

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        if number == 1 and not mended.is_set():
            return 500, {"error": {"message": "bad luck"}}, {}
        told = chat("Fake")
        tops = [{"token": "Fake", "logprob": -0.1 - 0.001 * number}]
        told["choices"][0]["logprobs"] = {"content": [{"token": "Fake", "logprob": -0.1, "top_logprobs": tops}]}
        return 200, told, {}

    server = Endpoint(script)
    try:
        rows = []
        for _ in range(2):
            detector = client(server, judge=True, retries=0, concurrency=1, cache=False)
            detector.card = DetectorCard(name="toyjudge", backend="openai")
            found = m2f2bench.run(detectors=[detector], datasets=str(squares), limit=3, out=tmp_path / "o")
            rows.append(read_parquet(found.folders[0] / "predictions.parquet"))
            mended.set()
    finally:
        server.close()
    assert [row.status for row in rows[0]].count("error") == 1
    assert {row.status for row in rows[1]} == {"ok"}
    assert len(server.bodies) == len(rows[0]) + 1


def test_e2_an_interrupt_does_not_wait_for_the_answer(serve: Callable[..., Raw]) -> None:
    detector = client(serve(_dripping(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n")), timeout_s=60.0, concurrency=2)
    threading.Timer(0.5, detector.caller.stop.set).start()
    started = time.monotonic()
    replies = detector.explain([FACE] * 2, ["a", "b"])
    assert time.monotonic() - started < 3
    assert {reply.error for reply in replies} == {"not asked: the run was stopped"}


@pytest.mark.parametrize("key", ["sk two", "sk\nX-Evil: 1", "schlüssel"])
def test_e2_a_key_that_no_header_can_hold_is_named_without_it(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TOY_KEY", key)
    with pytest.raises(DetectorError, match="TOY_KEY is not a key") as caught:
        client("http://localhost:1/v1")
    assert key not in str(caught.value)
