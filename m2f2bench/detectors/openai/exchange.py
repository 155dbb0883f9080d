"""HTTP exchanges under limits: a bounded answer within a bounded time, only from the given address."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
import weakref
import zlib
from typing import Any

LONGEST_CONNECTING = 30.0
"""Most seconds for connecting; half of `timeout_s` if that is less."""
PATIENCE = 0.2
"""Seconds between two checks whether the run is ending."""
KEPT = (b"retry-after", b"retry-after-ms", b"location")
"""Headers of an answer that are used."""
GZIP_OR_ZLIB = 47
"""`zlib`'s window bits for either format, detected by the first bytes."""


class Unreadable(Exception):
    """An answer that cannot be used: the reason, in one line."""


class TooLarge(Unreadable):
    """An answer with too many bytes, as sent or unpacked."""


class TooSlow(Unreadable):
    """An answer that was not complete in time."""


class Ended(Exception):
    """An exchange that was cancelled because the run is ending."""


class Exchange:
    """Posts chat requests with the client of the package `openai`, from any thread, several at once.

    Redirects are not followed. The client runs in an event loop, in its own thread from the first request on, so that
    an exchange can be cancelled at any point: while the address is looked up, or between two bytes of a header.
    """

    def __init__(self, library: Any, base_url: str | None, key: str, timeout_s: float, max_bytes: int) -> None:
        """`library` is the package. Nothing is sent yet. Raises the package's error for an invalid `base_url`.

        `timeout_s` is for a whole exchange, from looking up the address to the last byte; `max_bytes` for an answer's
        body, both as sent and unpacked.
        """
        self.timeout_s, self.max_bytes = timeout_s, max_bytes
        self._client = library.AsyncOpenAI(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            timeout=library.Timeout(None, connect=min(LONGEST_CONNECTING, timeout_s / 2)),
            default_headers={"Accept-Encoding": "identity"},
            http_client=_gate(library, max_bytes),
        )
        self.url = str(self._client.base_url)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def post(self, request: dict[str, Any], stop: threading.Event) -> str:
        """Return the body of the answer to a chat request, at most `max_bytes`; invalid UTF-8 is replaced by U+FFFD.

        Raises TooLarge, TooSlow or Unreadable, Ended once `stop` is set, and the package's errors for a status other
        than success and for a connection that fails.
        """
        future = asyncio.run_coroutine_threadsafe(self._post(request), self._running())
        while True:
            try:
                return future.result(PATIENCE)
            except concurrent.futures.TimeoutError:
                if stop.is_set():
                    future.cancel()
                    raise Ended from None

    async def _post(self, request: dict[str, Any]) -> str:
        try:
            answer = await asyncio.wait_for(
                self._client.chat.completions.with_raw_response.create(**request), self.timeout_s
            )
        except asyncio.TimeoutError:
            raise TooSlow(f"no answer within {self.timeout_s:g} s") from None
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
