"""Requests to an OpenAI-compatible endpoint through the package `openai`, from several threads, with retries."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import time
import weakref
import zlib
from typing import Any

from ...core.errors import DetectorError, Unanswered, first_line
from ..base import optional
from .endpoint import LONGEST_WAIT, Completion, OpenAIOptions, Pace, backoff, read_completion, read_error, retry_after

IN_A_ROW = 20
"""Number of consecutive failures that stops a run."""
PASSING = (408, 409, 425, 429)
"""Statuses that may be temporary, in addition to all from 500 on."""
WITHHELD = ("content_filter", "content_policy_violation", "moderation_blocked")
"""Error codes that concern the question, not the endpoint."""
MESSAGE = 200
"""Most characters of a server's message that are passed on."""
STOPPED = "not asked: the run was stopped"
UNREACHED = ("ConnectError", "ConnectTimeout", "ProxyError")
"""Names of httpx's errors for a connection that was never established: a fault of the machine, the network or the whole
endpoint."""
LONGEST_CONNECTING = 30.0
"""Most seconds for connecting; half of `timeout_s` if that is less."""
PATIENCE = 0.2
"""Seconds between two checks whether the run is ending."""
KEPT = (b"retry-after", b"retry-after-ms", b"location")
"""Headers of an answer that are used."""
GZIP_OR_ZLIB = 47
"""`zlib`'s window bits for either format, detected by the first bytes."""


class Failed(Exception):
    """A request without an answer: the reason, in one line."""


class Uncounted(Failed):
    """A request that the server understood but refused to answer, or that was cancelled because the run is ending."""


class Unreadable(Exception):
    """An answer that cannot be used: the reason, in one line."""


class TooLarge(Unreadable):
    """An answer with too many bytes, as sent or unpacked."""


class Caller:
    """Sends requests, waits and retries, and distinguishes a failure of one question from one of the endpoint.

    Retried are time-outs, failed and broken connections, statuses 408, 409, 425, 429 and from 500 on, and bodies that
    are not chat completions. If no connection can be made after all tries, the run ends, since no question is at fault.
    Thread-safe. No message contains the key: `[key]` replaces it wherever a server repeats it. Redirects are not
    followed. The client runs in an event loop, in its own thread from the first request on, so that a request can be
    cancelled at any point: while the address is looked up, or between two bytes of a header.
    """

    def __init__(self, options: OpenAIOptions, name: str) -> None:
        """`name` is the detector's, for messages. Nothing is sent yet.

        Raises DetectorError without the key, and if `openai` is not installed or rejects `base_url`.
        """
        self.options, self.name = options, name
        self._key, self._key_variable = options.key(name)
        self._library = optional("openai", "openai", "openai", "backend openai")
        try:
            self._client = self._library.AsyncOpenAI(
                api_key=self._key or "none",  # the client requires one even if the server does not
                base_url=options.base_url,
                max_retries=0,
                timeout=self._library.Timeout(None, connect=min(LONGEST_CONNECTING, options.timeout_s / 2)),
                default_headers={"Accept-Encoding": "identity"},
                http_client=_gate(self._library, options.max_answer_bytes),
            )
        except Exception as error:
            reason = self.clean(f"detector '{name}': base_url '{options.base_url}': {first_line(error)}")
            raise DetectorError(reason) from None
        self.url = str(self._client.base_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pace = Pace(options.requests_per_minute)
        self.stop = threading.Event()
        self._lock = threading.Lock()
        self._reached = self._served = False
        self._failures = 0

    def ask(self, request: dict[str, Any], key: str) -> tuple[Completion, float]:
        """Return the answer to a request and the seconds that sending it took. `key` seeds the waiting.

        Raises Failed if this request gets no answer, and DetectorError if no other would either: a first request that
        is refused or finds no server, no credit, and IN_A_ROW failures without an answer between them.
        """
        try:
            found = self._patiently(request, key)
        except Uncounted:  # the endpoint works
            raise
        except DetectorError:
            self.stop.set()
            raise
        except Failed as error:
            with self._lock:
                self._failures += 1
                too_many = self._failures % IN_A_ROW == 0  # one that catches this and continues gets as many again
            if not too_many:
                raise
            self.stop.set()
            raise Unanswered(
                f"detector '{self.name}': {IN_A_ROW} questions in a row without an answer from {self.url}, the last "
                f"with {error}"
            ) from error
        with self._lock:
            self._served, self._failures = True, 0
        return found

    def clean(self, text: str) -> str:
        """Return a text in one line, without the key."""
        return self._masked(" ".join(text.split()))

    def _masked(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _patiently(self, request: dict[str, Any], key: str) -> tuple[Completion, float]:
        reason, connected, retries = "", True, self.options.retries
        for attempt in range(retries + 1):
            self._wait(self.pace.reserve())
            asked: float | None = None
            started = time.perf_counter()
            try:
                body = self._post(request)
                self._reached = True
                return read_completion(self._masked(body)), time.perf_counter() - started
            except self._library.APIStatusError as error:
                self._reached = connected = True
                reason = self._status(error)
                asked = retry_after(error.response.headers, time.time())
            except self._library.APIConnectionError as error:
                connected = not any(cls.__name__ in UNREACHED for cls in type(error.__cause__).__mro__)
                self._reached = self._reached or connected
                reason = self._broken(error, connected)
            except TooLarge as error:
                raise Failed(self.clean(str(error))) from None
            except (Unreadable, ValueError) as error:
                connected, reason = True, self.clean(str(error))
            if asked is not None and asked > LONGEST_WAIT:
                raise Failed(f"{reason}; the server asks to wait {asked:.0f} s")
            if attempt < retries:
                self._wait(backoff(key, attempt, self.options.backoff_s) if asked is None else asked)
        tries = f" ({retries + 1} times)" if retries else ""
        if not connected:
            raise Unanswered(f"detector '{self.name}': {reason}{tries}")
        raise Failed(f"{reason}{tries}")

    def _status(self, error: Any) -> str:
        """Return why a status may be temporary. Raises Failed or DetectorError otherwise."""
        status, code = error.status_code, str(error.code or "")
        place = self.clean(error.response.headers.get("location", ""))[:MESSAGE] if 300 <= status < 400 else ""
        said = self.clean(read_error(error.response.text) or error.response.reason_phrase)[:MESSAGE]
        message = f"it redirects to '{place}', which is not followed" if place else said
        reason = f"status {status}: {message}"
        if code == "insufficient_quota":
            raise Unanswered(f"detector '{self.name}': {self.url} has no credit left for this key ({reason})")
        if code in WITHHELD:
            raise Uncounted(f"held back by the server: {reason}")
        if status >= 500 or status in PASSING:
            return reason
        if self._served:
            raise Failed(reason)
        raise DetectorError(f"detector '{self.name}': {self.url} refuses: {reason}; {self._remedy(status)}")

    def _remedy(self, status: int) -> str:
        if 300 <= status < 400:
            return "if that address is right, set it as `base_url` on the card"
        if status in (401, 403):
            if self._key_variable is None:
                return "set `api_key_env` on the card to the name of the environment variable that holds a key"
            return f"set the environment variable {self._key_variable} to a key that may use this model"
        if status == 404:
            return "check `model` or `base_url` (most end in /v1) on the card"
        return "check the options on the card"

    def _broken(self, error: Any, connected: bool) -> str:
        """Return why a connection failed. Raises DetectorError if there has never been one."""
        cause = error.__cause__ or error
        what = f"the connection to {self.url} broke" if connected else f"no connection to {self.url}"
        reason = self.clean(f"{what} ({first_line(cause)})")
        if not self._reached:
            raise DetectorError(
                f"detector '{self.name}': {reason}: start the server, or check `base_url` on the card"
            ) from None
        return reason

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds) if seconds > 0.0 else self.stop.is_set():
            raise Uncounted(STOPPED)

    def _post(self, request: dict[str, Any]) -> str:
        """Return the body of the answer to a chat request; invalid UTF-8 is replaced by U+FFFD.

        Raises TooLarge or Unreadable, Uncounted once `stop` is set, and the package's errors for a status other than
        success and for a connection that fails.
        """
        future = asyncio.run_coroutine_threadsafe(self._exchange(request), self._running())
        while True:
            try:
                return future.result(PATIENCE)
            except concurrent.futures.TimeoutError:
                if self.stop.is_set():
                    future.cancel()
                    raise Uncounted(STOPPED) from None

    async def _exchange(self, request: dict[str, Any]) -> str:
        try:
            create = self._client.chat.completions.with_raw_response.create
            answer = await asyncio.wait_for(create(**request), self.options.timeout_s)
        except asyncio.TimeoutError:
            raise Unreadable(f"no answer within {self.options.timeout_s:g} s") from None
        except Exception as error:
            if isinstance(error.__cause__, Unreadable):  # wrapped by some versions of the package
                raise error.__cause__ from None
            raise
        return str(answer.http_response.content.decode("utf-8-sig", "replace"))

    def _running(self) -> asyncio.AbstractEventLoop:
        """Return the event loop, started if necessary; it ends with this object."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_turn, args=(self._loop,), name="endpoint", daemon=True).start()
                ending = weakref.finalize(self, _end, self._loop, self._client)
                ending.atexit = False  # the thread ends with the process
            return self._loop


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, client: Any) -> None:
    async def close() -> None:
        await client.close()
        loop.stop()

    asyncio.run_coroutine_threadsafe(close(), loop)


def _gate(library: Any, max_bytes: int) -> Any:
    """Return a client of httpx that reads answers completely, within `max_bytes`, before anything else sees them."""
    base: Any = library.DefaultAsyncHttpxClient

    class Gate(base):  # type: ignore[misc]
        async def send(self, request: Any, **how: Any) -> Any:
            """Return the server's answer, unpacked, with the headers in KEPT. Raises TooLarge or Unreadable."""
            response = await super().send(request, **{**how, "stream": True, "follow_redirects": False})
            headers = [(name, value) for name, value in response.headers.raw if name.lower() in KEPT]
            try:
                body = await _body(response, max_bytes)
            except Unreadable as error:
                if response.status_code < 300:
                    raise
                body = json.dumps({"error": str(error)}).encode()  # the status matters more than the body
            finally:
                await response.aclose()
            return type(response)(response.status_code, headers=headers, content=body, request=request)

    return Gate(follow_redirects=False)


async def _body(response: Any, max_bytes: int) -> bytes:
    sent = bytearray()
    async for part in response.aiter_raw():
        sent += part
        if len(sent) > max_bytes:
            raise TooLarge(f"the answer is longer than `max_answer_bytes` ({max_bytes:,})")
    return unpack(bytes(sent), response.headers.get("content-encoding", ""), max_bytes)


def unpack(sent: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return a body without its content encoding: `identity`, `gzip` or `deflate`.

    No more than `max_bytes` + 1 are unpacked. Raises TooLarge for more than `max_bytes`, and Unreadable.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return sent
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Unreadable(f"the answer has the content encoding {encoding[:40]!r}, which was not requested")
    raw = name == "deflate" and not (len(sent) > 1 and sent[0] & 15 == 8 and (sent[0] << 8 | sent[1]) % 31 == 0)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if raw else GZIP_OR_ZLIB)
    try:
        body = unpacking.decompress(sent, max_bytes + 1)
    except zlib.error as error:
        raise Unreadable(f"the answer cannot be read in its content encoding {name} ({error})") from None
    if len(body) > max_bytes:
        raise TooLarge(f"the answer unpacks to more than `max_answer_bytes` ({max_bytes:,})")
    if not unpacking.eof:
        raise Unreadable(f"the answer in the content encoding {name} is incomplete")
    return body
