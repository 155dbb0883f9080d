"""Requests to an OpenAI-compatible endpoint through the package `openai`, from several threads, with retries."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

from ...core.errors import DetectorError, Unanswered, first_line
from .endpoint import LONGEST_WAIT, Completion, Pace, backoff, read_completion, read_error, retry_after
from .exchange import Ended, Exchange, TooLarge, Unreadable

IN_A_ROW = 20
"""Number of consecutive failures that stops a run."""
PASSING = (408, 409, 425, 429)
"""Statuses that may be temporary, in addition to all from 500 on."""
WITHHELD = ("content_filter", "content_policy_violation", "moderation_blocked")
"""Error codes that concern the question, not the endpoint."""
KEY_VARIABLE = "OPENAI_API_KEY"
MESSAGE = 200
"""Most characters of a server's message that are passed on."""
STOPPED = "not asked: the run was stopped"
UNREACHED = ("ConnectError", "ConnectTimeout", "ProxyError")
"""Names of httpx's errors for a connection that was never established."""


class Failed(Exception):
    """A request without an answer: the reason, in one line."""


class Withheld(Failed):
    """A request that the server understood but refused to answer; the endpoint works."""


class Stopped(Failed):
    """A request that was cancelled because the run is ending."""


class Caller:
    """Sends requests, waits and retries, and distinguishes a failure of one question from one of the endpoint.

    Retried are time-outs, failed and broken connections, statuses 408, 409, 425, 429 and from 500 on, and bodies that
    are not chat completions. If no connection can be made after all tries, the run ends, since no question is at fault.
    Thread-safe. No message contains the key: `[key]` replaces it wherever a server repeats it.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None,
        key: str | None,
        key_variable: str | None,
        timeout_s: float,
        max_bytes: int,
        retries: int,
        backoff_s: float,
        per_minute: float | None,
    ) -> None:
        """`name` is the detector's, `key` the secret and `key_variable` its source, for messages.

        Raises DetectorError if `openai` is not installed or rejects `base_url`.
        """
        self._library = _library()
        self.name, self._key, self._key_variable = name, key, key_variable
        self.retries, self.backoff_s = retries, backoff_s
        try:
            # The client requires a key even if the server does not.
            self._exchange = Exchange(self._library, base_url, key or "none", timeout_s, max_bytes)
        except Exception as error:
            raise DetectorError(self.clean(f"detector '{name}': base_url '{base_url}': {first_line(error)}")) from None
        self.url = self._exchange.url
        self.pace = Pace(per_minute)
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
        except (Withheld, Stopped):
            raise
        except DetectorError:
            self.stop.set()
            raise
        except Failed as error:
            self._count_failure(str(error))
            raise
        with self._lock:
            self._served, self._failures = True, 0
        return found

    def clean(self, text: str) -> str:
        """Return a text in one line, without the key."""
        return self._masked(" ".join(text.split()))

    def _masked(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _patiently(self, request: dict[str, Any], key: str) -> tuple[Completion, float]:
        reason = ""
        connected = True
        for attempt in range(self.retries + 1):
            self._wait(self.pace.reserve())
            asked: float | None = None
            started = time.perf_counter()
            try:
                body = self._exchange.post(request, self.stop)
                self._reached = connected = True
                return read_completion(self._masked(body)), time.perf_counter() - started
            except self._library.APIStatusError as error:
                self._reached = connected = True
                reason = self._status(error)
                asked = retry_after(error.response.headers, time.time())
            except self._library.APIConnectionError as error:
                connected = not _unreached(error)
                self._reached = self._reached or connected
                reason = self._broken(error, connected)
            except TooLarge as error:
                raise Failed(self.clean(str(error))) from None
            except (Unreadable, ValueError) as error:
                connected, reason = True, self.clean(str(error))
            except Ended:
                raise Stopped(STOPPED) from None
            if asked is not None and asked > LONGEST_WAIT:
                raise Failed(f"{reason}; the server asks to wait {asked:.0f} s")
            if attempt < self.retries:
                self._wait(backoff(key, attempt, self.backoff_s) if asked is None else asked)
        tries = f" ({self.retries + 1} times)" if self.retries else ""
        if not connected:
            raise Unanswered(f"detector '{self.name}': {reason}{tries}")
        raise Failed(f"{reason}{tries}")

    def _status(self, error: Any) -> str:
        """Return why a status may be temporary. Raises Withheld, Failed or DetectorError otherwise."""
        status, code = error.status_code, str(error.code or "")
        place = self.clean(error.response.headers.get("location", ""))[:MESSAGE] if 300 <= status < 400 else ""
        message = f"it redirects to '{place}', which is not followed" if place else self._server_message(error)
        reason = f"status {status}: {message}"
        if code == "insufficient_quota":
            raise Unanswered(f"detector '{self.name}': {self.url} has no credit left for this key ({reason})")
        if code in WITHHELD:
            raise Withheld(f"held back by the server: {reason}")
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

    def _server_message(self, error: Any) -> str:
        """Return what the server says about an error, in one line."""
        return self.clean(read_error(error.response.text) or error.response.reason_phrase)[:MESSAGE]

    def _count_failure(self, reason: str) -> None:
        """Count a failure. Raises DetectorError at the last of IN_A_ROW."""
        with self._lock:
            self._failures += 1
            if self._failures < IN_A_ROW:
                return
            self._failures = 0  # a caller that catches this and continues gets the same number again
        self.stop.set()
        raise Unanswered(
            f"detector '{self.name}': {IN_A_ROW} questions in a row without an answer from {self.url}, the last with "
            f"{reason}"
        )

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds) if seconds > 0.0 else self.stop.is_set():
            raise Stopped(STOPPED)


def _unreached(error: Any) -> bool:
    """Return whether a connection was never established: a fault of the machine, the network or the whole endpoint."""
    return any(cls.__name__ in UNREACHED for cls in type(error.__cause__).__mro__)


def _library() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise DetectorError(
            f"backend openai needs the package openai ({first_line(error)}): run `pip install 'm2f2bench[openai]'`"
        ) from None
