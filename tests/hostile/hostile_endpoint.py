"""Hostile endpoints: servers that answer without end, with bombs, with nonsense, or send the picture elsewhere.

The server is in the process that asks. Its card allows one second a request and one repetition.
"""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostile import CANARY, Case, Check, Outcome, either, refused
from hostile_images import bomb
from hostile_materials import saved

CARD = """name: card
backend: openai
options: {{model: toy, base_url: "http://127.0.0.1:{port}/v1", timeout_s: 1, retries: 1, backoff_s: 0.01, cache: false,
          {options}}}
"""
Serve = Callable[[socket.socket], object]
"""Answers one request that has been read."""


def head(status: str = "200 OK", *lines: str, length: int | None = None) -> bytes:
    told = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *lines]
    told += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join(told).encode("latin-1") + b"\r\n\r\n"


def chat(text: Any = "It looks real.", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"model": "toy-1", "choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, **more}


def body(content: Any, status: str = "200 OK", *lines: str) -> Serve:
    """A whole answer."""

    def serve(client: socket.socket) -> None:
        made = content() if callable(content) else content
        data = made if isinstance(made, bytes) else (made if isinstance(made, str) else json.dumps(made)).encode()
        client.sendall(head(status, *lines, length=len(data)) + data)

    return serve


def raw(data: bytes) -> Serve:
    return lambda client: client.sendall(data)


def choice(**more: Any) -> dict[str, Any]:
    return chat(choices=[more])


def dripping(client: socket.socket) -> None:
    """A byte of the body in each tenth of a second, for ever."""
    client.sendall(head())
    while True:
        client.sendall(b" ")
        time.sleep(0.1)


def dripping_head(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    for i in range(10_000):
        client.sendall(f"X-{i}: 1\r\n".encode())
        time.sleep(0.1)


def dripping_status(client: socket.socket) -> None:
    for letter in b"HTTP/1.1 200 OK\r\n" * 1000:
        client.sendall(bytes([letter]))
        time.sleep(0.2)


def silent(client: socket.socket) -> None:
    time.sleep(60)


def endless(client: socket.socket) -> None:
    client.sendall(head() + b'{"x": "')
    while True:
        client.sendall(b"x" * 65536)


def endless_head(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        client.sendall(b"x" * 65536)


def endless_chunks(client: socket.socket) -> None:
    client.sendall(head("200 OK", "Transfer-Encoding: chunked"))
    while True:
        client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def endless_continue(client: socket.socket) -> None:
    while True:
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def many_lines(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(f"X-{i}: {i}\r\n".encode() for i in range(200_000)) + b"\r\n{}")


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(client: socket.socket) -> None:
    client.sendall(head(length=1000) + json.dumps(chat()).encode()[:50])


def compressed(kind: str, data: Callable[[], bytes]) -> Serve:
    return body(data, "200 OK", f"Content-Encoding: {kind}")


def big_answer() -> str:
    return json.dumps(chat("real " * 10_000_000))


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(1024)), packer.flush()])


SERVERS: list[tuple[str, Serve]] = [
    ("no-bytes", raw(b"")),
    ("no-http", raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
    ("zeros", raw(bytes(10_000))),
    ("status-of-letters", raw(b"HTTP/1.1 abc OK\r\n\r\n")),
    ("status-of-99999", raw(b"HTTP/1.1 99999 OK\r\n\r\n")),
    ("http-9", raw(b"HTTP/9.9 200 OK\r\n\r\n{}")),
    ("silent", silent),
    ("dripping-body", dripping),
    ("dripping-head", dripping_head),
    ("dripping-status", dripping_status),
    ("endless-body", endless),
    ("endless-head", endless_head),
    ("endless-chunks", endless_chunks),
    ("endless-continue", endless_continue),
    ("200000-lines-of-head", many_lines),
    ("reset", reset),
    ("cut", cut),
    ("length-negative", raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}")),
    ("length-of-letters", raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}")),
    ("length-of-a-terabyte", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\nConnection: close\r\n\r\n{}")),
    ("two-lengths", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}")),
    ("chunk-of-letters", raw(head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n")),
    ("chunk-of-2-to-64", raw(head("200 OK", "Transfer-Encoding: chunked") + b"ffffffffffffffff\r\n{}")),
    ("empty-body", body(b"")),
    ("html", body(b"<html><body>502 Bad Gateway</body></html>")),
    ("not-utf-8", body(b'{"choices": "\xff\xfe"}')),
    ("cut-json", body(json.dumps(chat())[:60])),
    ("null", body(b"null")),
    ("list", body([])),
    ("number", body(b"7")),
    ("nested-deep", body(b"[" * 1_000_000)),
    ("nested-deep-in-a-choice", body('{"choices": ' + "[" * 200_000 + "]" * 200_000 + "}")),
    ("huge-number", body('{"choices": [], "usage": {"prompt_tokens": ' + "9" * 100_000 + "}}")),
    ("no-choices", body({})),
    ("choices-null", body(chat(choices=None))),
    ("choices-empty", body(chat(choices=[]))),
    ("choices-text", body(chat(choices="abc"))),
    ("choice-null", body(chat(choices=[None]))),
    ("message-missing", body(choice(index=0))),
    ("message-null", body(choice(message=None))),
    ("message-text", body(choice(message="real"))),
    ("content-number", body(chat(7))),
    ("content-object", body(chat({"a": 1}))),
    ("content-list-of-numbers", body(chat([1, 2]))),
    ("tokens-negative", body(chat(usage={"prompt_tokens": -5}))),
    ("tokens-text", body(chat(usage={"prompt_tokens": "many"}))),
    ("usage-list", body(chat(usage=[1]))),
    ("model-object", body(chat(model={"a": 1}))),
    ("50-megabytes-of-answer", body(big_answer)),
    ("gzip-bomb", compressed("gzip", gzip_bomb)),
    ("deflate-bomb", compressed("deflate", bomb)),
    ("gzip-of-gzip-bomb", compressed("gzip, gzip", lambda: gzip.compress(gzip_bomb()))),
    ("gzip-damaged", compressed("gzip", lambda: gzip.compress(b"{}")[:-9])),
    ("gzip-not", compressed("gzip", lambda: b"{}")),
    ("100-encodings", body(b"{}", "200 OK", "Content-Encoding: " + ", ".join(["gzip"] * 100))),
    ("unknown-encoding", compressed("zip9", lambda: b"\x01\x02")),
    ("error-in-the-body", body({"error": {"message": "no\nmodel", "code": 7}})),
    ("status-400", body({"error": {"message": "x" * 100_000}}, "400 Bad Request")),
    ("status-401", body({"error": "no key"}, "401 Unauthorized")),
    ("status-403-html", body("<html>denied</html>", "403 Forbidden")),
    ("status-404", body({"detail": "Not Found"}, "404 Not Found")),
    ("status-418", body(b"", "418 I'm a teapot")),
    ("status-429-for-ever", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: 1e99")),
    ("status-429-nan", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: nan")),
    ("status-429-negative", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: -5")),
    ("status-429-of-a-year", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT")),
    ("status-429-no-date", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: soon")),
    ("status-429-far-date", body({"error": "slow"}, "429 Too Many Requests", "Retry-After: Fri, 31 Dec 99999 23:59:59 GMT")),
    ("status-500", body(b"\xff\xfe", "500 Internal Server Error")),
    ("status-500-nested-deep", body(b"[" * 1_000_000, "500 Internal Server Error")),
    ("status-204", raw(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")),
    ("status-304", raw(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n")),
    ("status-101", raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")),
    ("error-with-an-escape", body({"error": {"message": "\x1b[2J\x07"}}, "400 Bad Request")),
    ("error-with-a-surrogate", body('{"error": {"message": "\\ud800"}}', "400 Bad Request")),
    ("error-that-is-a-list", body([1, 2], "400 Bad Request")),
]  # fmt: skip


def answered(outcome: Outcome) -> str:
    if outcome.status != 0:
        return f"a good answer is refused: {outcome.err!r}"
    told = outcome.json()[0]["answers"]
    return "" if told and told[0]["text"] else f"{told}"


def unharmed(outcome: Outcome) -> str:
    """An answer or none, but nothing that a terminal obeys in what is printed."""
    return f"{outcome.err!r}" if any(c in outcome.err for c in "\x1b\x07") else ""


GOOD: list[tuple[str, Serve, Check]] = [
    ("plain", body(chat()), answered),
    ("parts", body(chat([{"type": "text", "text": "It is "}, {"type": "text", "text": "real."}])), answered),
    ("more-keys", body(chat(x={"deep": [[[1]]]}, choices=[{**chat()["choices"][0], "x": None}])), answered),
    ("gzip", compressed("gzip", lambda: gzip.compress(json.dumps(chat()).encode())), answered),
    ("chunks", raw(head("200 OK", "Transfer-Encoding: chunked") + b"%x\r\n" % len(json.dumps(chat())) + json.dumps(chat()).encode() + b"\r\n0\r\n\r\n"), answered),
    ("two-choices", body(chat(choices=chat()["choices"] * 2)), answered),
    ("mark", body("\ufeff" + json.dumps(chat())), either),
    ("no-usage", body(chat(usage=None)), answered),
    ("key-twice", body('{"choices": [], ' + json.dumps(chat())[1:]), answered),
    ("escape-in-an-answer", body(chat("\x1b[2J real")), unharmed),
    ("null-byte-in-an-answer", body(chat("re\0al")), either),
    ("surrogate-in-an-answer", body('{"choices": [{"message": {"content": "\\ud800"}}]}'), either),
    ("formula-in-an-answer", body(chat("=1+1")), answered),
    ("empty-answer", body(chat("")), either),
    ("refusal", body(choice(message={"content": None, "refusal": "no"})), either),
]  # fmt: skip


class Elsewhere:
    """Another server, which must not be asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = listen(self.answer)

    def answer(self, client: socket.socket) -> None:
        (self.folder / CANARY).write_text("the picture came here")
        body(chat())(client)


def listen(serve: Serve) -> int:
    """A server's port on this machine."""
    own = socket.create_server(("127.0.0.1", 0))

    def one(client: socket.socket) -> None:
        with client, suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                part = client.recv(65536)
                if not part:
                    break
                data += part
            start, _, rest = data.partition(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in start.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            while len(rest) < length:
                rest += client.recv(1 << 20) or b" " * length
            serve(client)

    def loop() -> None:
        while True:
            threading.Thread(target=one, args=(own.accept()[0],), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return int(own.getsockname()[1])


def served(
    name: str,
    serve: Serve,
    check: Check = refused,
    options: str = "max_tokens: 9",
    words: tuple[str, ...] = ("-q", "Real?"),
) -> Case:
    def draw(folder: Path) -> None:
        (folder / "card.yaml").write_text(CARD.format(port=listen(serve), options=options))
        (folder / "x.png").write_bytes(saved("PNG"))

    return Case(name, draw, ("predict", "--no-faces", "x.png", "-d", "./card.yaml", *words, "--json"), check)


def redirected(status: str, place: str = "http://localhost:{port}/v1/chat/completions") -> Case:
    def draw(folder: Path) -> None:
        where = place.format(port=Elsewhere(folder).port)
        port = listen(body(b"", status, f"Location: {where}"))
        (folder / "card.yaml").write_text(CARD.format(port=port, options="max_tokens: 9"))
        (folder / "x.png").write_bytes(saved("PNG"))

    return Case(
        f"redirect-{status[:3]}-{place[:9]}",
        draw,
        ("predict", "--no-faces", "x.png", "-d", "./card.yaml", "-q", "Real?", "--json"),
        refused,
    )


def judge(logprobs: Any) -> Serve:
    told = chat("real")
    told["choices"][0]["logprobs"] = logprobs
    return body(json.dumps(told))


def likely(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"content": [{"token": "x", "top_logprobs": [{"token": t, "logprob": v} for t, v in pairs]}]}


def fake_of(share: float) -> Check:
    def check(outcome: Outcome) -> str:
        if outcome.status != 0:
            return f"{outcome.err!r}"
        found = outcome.json()[0]["score"]
        return "" if abs(found - share) < 1e-9 else f"{found}"

    return check


JUDGES: list[tuple[str, Any, Check]] = [
    ("plain", likely(("real", -1.0), ("fake", -1.0)), fake_of(0.5)),
    ("missing", None, refused),
    ("text", "many", refused),
    ("empty", {"content": []}, refused),
    ("neither", likely(("yes", -1.0)), refused),
    ("nan", likely(("real", float("nan"))), refused),
    ("infinite", likely(("fake", float("inf"))), refused),
    ("huge", likely(("fake", 1e6), ("real", 1e6)), refused),
    ("positive", likely(("fake", 5.0), ("real", 5.0)), either),
    ("texts", likely(("fake", "high")), refused),
    ("tokens-of-numbers", likely((7, -1.0)), refused),
]


def silent_tls(folder: Path) -> None:
    """The card says https, the server speaks http."""
    text = CARD.format(port=listen(body(chat())), options="max_tokens: 9").replace("http:", "https:")
    (folder / "card.yaml").write_text(text)
    (folder / "x.png").write_bytes(saved("PNG"))


def nobody(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        (folder / "card.yaml").write_text(CARD.format(port=own.getsockname()[1], options="max_tokens: 9"))
    (folder / "x.png").write_bytes(saved("PNG"))


ASK = ("predict", "--no-faces", "x.png", "-d", "./card.yaml", "-q", "Real?", "--json")
CASES = [
    *[served(name, serve) for name, serve in SERVERS],
    *[served(f"good-{name}", serve, check) for name, serve, check in GOOD],
    *[served(f"judge-{name}", judge(told), check, "judge: true", ()) for name, told, check in JUDGES],
    *[redirected(status) for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")],
    redirected("307 Temporary", "/v1/chat/completions"),
    redirected("302 Found", "file:///etc/passwd"),
    redirected("302 Found", "http://[::1"),
    Case("https-of-a-plain-server", silent_tls, ASK, refused),
    Case("nobody-there", nobody, ASK, refused),
]
