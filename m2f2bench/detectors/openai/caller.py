"""Requests to an OpenAI-compatible endpoint through the package `openai`, from several threads, with patience."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

from ...core.errors import DetectorError, Unanswered, first_line
from .endpoint import LONGEST_WAIT, Completion, Pace, backoff, read_completion, read_error, retry_after
from .exchange import Ended, Exchange, TooLarge, Unreadable

IN_A_ROW = 20
"""Requests that fail one after the other before a run is stopped."""
PASSING = (408, 409, 425, 429)
"""Statuses that may pass, beside all from 500 on."""
WITHHELD = ("content_filter", "content_policy_violation", "moderation_blocked")
"""Error codes that concern what was asked, not the endpoint."""
KEY_VARIABLE = "OPENAI_API_KEY"
MESSAGE = 200
"""Characters of a server's message that are passed on."""
STOPPED = "not asked: the run was stopped"
UNREACHED = ("ConnectError", "ConnectTimeout", "ProxyError")
"""Names of httpx's errors for a connection that never stood."""


class Failed(Exception):
    """One request that got no answer: why, in one line."""


class Withheld(Failed):
    """A request that the server understood and would not answer: no fault of the endpoint's."""


class Stopped(Failed):
    """A request given up because the run is being ended."""


class Caller:
    """Sends requests, waits and tries again, and tells one question's failure from the endpoint's.

    Retried are time-outs, failed and broken connections, statuses 408, 409, 425, 429 and from 500 on, and bodies that
    are no chat completion. No connection after all tries is nobody's question: it ends the run. Thread-safe. The key is
    in no message: wherever a server repeats it, `[key]` stands.
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
        """`name` is the detector's, `key` the secret and `key_variable` where it came from, for messages. Raises
        DetectorError where `openai` is not installed or takes no such `base_url`."""
        self._library = _library()
        self.name, self._key, self._key_variable = name, key, key_variable
        self.retries, self.backoff_s = retries, backoff_s
        try:
            # The client wants some key even where the server wants none.
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
        """The answer to a request and the seconds that its own sending took. `key` seeds the waiting.

        Raises Failed where this request gets none, and DetectorError where no other would either: a first request that
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
        """A text in one line, without the key."""
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
        """Why a status may pass. Raises Withheld, Failed or DetectorError for one that does not."""
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
            return "if that address is meant, make it the `base_url` on its card"
        if status in (401, 403):
            if self._key_variable is None:
                return "set `api_key_env` on the card to the name of the environment variable that holds a key"
            return f"set the environment variable {self._key_variable} to a key that may use this model"
        if status == 404:
            return "mend `model` or `base_url` (most end in /v1) on its card"
        return "mend the options on its card"

    def _broken(self, error: Any, connected: bool) -> str:
        """Why a connection failed. Raises DetectorError where there has never been one."""
        cause = error.__cause__ or error
        what = f"the connection to {self.url} broke" if connected else f"no connection to {self.url}"
        reason = self.clean(f"{what} ({first_line(cause)})")
        if not self._reached:
            raise DetectorError(
                f"detector '{self.name}': {reason}: start the server, or mend `base_url` on its card"
            ) from None
        return reason

    def _server_message(self, error: Any) -> str:
        """What the server says of an error, in one line."""
        return self.clean(read_error(error.response.text) or error.response.reason_phrase)[:MESSAGE]

    def _count_failure(self, reason: str) -> None:
        """Count a failure. Raises DetectorError at the last of IN_A_ROW."""
        with self._lock:
            self._failures += 1
            if self._failures < IN_A_ROW:
                return
            self._failures = 0  # whoever catches this and goes on gets as many again
        self.stop.set()
        raise Unanswered(
            f"detector '{self.name}': {IN_A_ROW} questions in a row without an answer from {self.url}, the last with "
            f"{reason}"
        )

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds) if seconds > 0.0 else self.stop.is_set():
            raise Stopped(STOPPED)


def _unreached(error: Any) -> bool:
    """Whether a connection never stood: the machine's, the net's or the whole endpoint's matter."""
    return any(cls.__name__ in UNREACHED for cls in type(error.__cause__).__mro__)


def _library() -> Any:
    try:
        return importlib.import_module("openai")
    except ImportError as error:
        raise DetectorError(
            f"backend openai needs the package openai ({first_line(error)}): run `pip install 'm2f2bench[openai]'`"
        ) from None
