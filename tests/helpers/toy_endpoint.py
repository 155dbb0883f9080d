"""A real HTTP server that speaks /v1/chat/completions, as a script tells it."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from m2f2bench.cards.models import DetectorCard
from m2f2bench.detectors.openai.detector import OpenAIEndpoint
from m2f2bench.loading import load_detector

KEY = "sk-very-secret-0123456789"
Script = Callable[[int, dict[str, Any]], tuple[int, Any, dict[str, str]]]
"""From the request's number (from 0) and its body to a status, a body (JSON or text) and headers."""


def chat(text: str | None = "It looks real.", finish: str = "stop", tokens: int = 7, **message: Any) -> dict[str, Any]:
    """A body as servers write it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 100, "completion_tokens": tokens, "total_tokens": 100 + tokens}
    return {"id": "x", "object": "chat.completion", "model": "toy-1", "choices": [choice], "usage": usage}


def asked(body: dict[str, Any]) -> str:
    """The text of the request's question."""
    content = body["messages"][-1]["content"]
    return next(part["text"] for part in content if part["type"] == "text")


class Endpoint:
    """The server on a free port; `bodies` and `headers` are what came, `most` how many were there at once."""

    def __init__(self, script: Script) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most = self.now = 0
        lock = threading.Lock()
        own = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(own.bodies)
                    own.bodies.append({**body, "path": self.path})
                    own.headers.append({key.lower(): value for key, value in self.headers.items()})
                    own.now += 1
                    own.most = max(own.most, own.now)
                try:
                    status, answer, headers = script(number, body)
                finally:
                    with lock:
                        own.now -= 1
                data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # whoever asked has gone
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def in_turn(*answers: tuple[int, Any, dict[str, str]] | dict[str, Any]) -> Script:
    """One answer after the other, the last for all further ones."""

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        one = answers[min(number, len(answers) - 1)]
        return one if isinstance(one, tuple) else (200, one, {})

    return script


def slow(seconds: float) -> Script:
    """Answers after a while."""

    def script(number: int, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        time.sleep(seconds)
        return 200, chat(), {}

    return script


class Raw:
    """A server on a free port that writes bytes of its own: `speak` gets each connection once a request was read.

    `heads` holds the requests' first lines and headers.
    """

    def __init__(self, speak: Callable[[socket.socket], None]) -> None:
        self.heads: list[str] = []
        own = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = b""
                while b"\r\n\r\n" not in head:
                    part = self.request.recv(65536)
                    if not part:
                        return
                    head += part
                head, _, rest = head.partition(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
                while len(rest) < length:
                    rest += self.request.recv(65536)
                own.heads.append(head.decode())
                with contextlib.suppress(OSError):  # whoever asked has gone
                    speak(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP answer with its right length."""
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def client(endpoint: Endpoint | Raw | str, **options: Any) -> OpenAIEndpoint:
    """The backend on a server, or on an address; its key is to be in TOY_KEY."""
    url = endpoint if isinstance(endpoint, str) else endpoint.url
    told = {"model": "toy", "base_url": url, "api_key_env": "TOY_KEY", "backoff_s": 0.001, "retries": 3, **options}
    detector = load_detector(DetectorCard(name="toy", backend="openai", options=told))
    assert isinstance(detector, OpenAIEndpoint)
    return detector
