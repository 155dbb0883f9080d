"""Parts of chat requests over HTTP other than the client: options, pictures in a request, waiting, and replies.

The format is that of `/v1/chat/completions`, which many servers support.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
from pydantic import BaseModel, Field, ValidationError, field_validator

from ...cards.settings import SLOT, Probability, QuestionTemplate, Settings
from ...core.errors import DetectorError

if TYPE_CHECKING:
    from ...core.records import Image

KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_WAIT = 300.0
"""Most seconds that a server may ask to wait; if it asks for more, the request has failed."""
LONGEST_BACKOFF = 60.0
DEPTH = 50
"""Deepest nesting of an answer's JSON."""
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
"""Strings of JSON, in which brackets do not count."""
OPENING, CLOSING = list(b"[{"), list(b"]}")
MOST = 10_000
"""Most parts of a text, and most first tokens, that are read."""


class PictureSettings(Settings):
    """Format of a picture in a request."""

    format: Literal["png", "jpeg"] = "png"
    """PNG keeps every pixel; JPEG is smaller and destroys fine traces."""
    quality: int = Field(default=95, ge=1, le=100)
    """Quality of JPEG; its colours are not subsampled."""
    longest: int | None = Field(default=None, ge=16)
    """A picture with a longer edge than this many pixels is shrunk to it (Lanczos)."""
    detail: Literal["auto", "low", "high"] | None = None
    """Level of detail requested from the server; None: not sent."""

    def __str__(self) -> str:
        how = "png" if self.format == "png" else f"jpeg{self.quality}"
        edge = f"-longest{self.longest}" if self.longest else ""
        return f"{how}{edge}" + (f"-{self.detail}" if self.detail else "")


class OpenAIOptions(Settings):
    """Options of the `openai` backend."""

    model: str = Field(min_length=1)
    """The model's name at the endpoint."""
    base_url: str | None = None
    """Such as `http://localhost:8000/v1`; None: the client's own (OPENAI_BASE_URL, else OpenAI's)."""
    api_key_env: str | None = None
    """Name of the environment variable with the key; None: OPENAI_API_KEY without a `base_url`, else no key."""
    system: str | None = None
    """The system message; None: none is sent."""
    question: QuestionTemplate = SLOT
    """The prompt's text; `{question}` stands for the dataset's question. An instruction can follow it."""
    max_tokens: int = Field(default=256, ge=1)
    max_tokens_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """The endpoint's name of that limit; newer models of OpenAI accept only the second."""
    temperature: float | None = Field(default=0.0, ge=0.0, le=2.0)
    """None: not sent, for models that do not accept it."""
    top_p: Probability | None = None
    """Nucleus sampling; None: it is not sent."""
    seed: int | None = 0
    """Sent with each request; few servers promise the same answer for the same seed."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the request's body that a particular server supports."""
    image: PictureSettings = PictureSettings()
    judge: bool = False
    """P(fake) from the log-probabilities of the first token of the answer to `judge_question`."""
    judge_question: str = "Is this image real or fake? Answer with one word: real or fake."
    """The question whose answer gives P(fake)."""
    timeout_s: float = Field(default=60.0, gt=0.0, le=86_400.0)
    """Seconds for one whole try, from looking up the address to the last byte of the answer."""
    max_answer_bytes: int = Field(default=4_000_000, ge=1_000, le=1_000_000_000)
    """Most bytes of an answer's body, as sent and unpacked; reading of a longer one stops, and the question has no
    answer."""
    retries: int = Field(default=5, ge=0, le=20)
    backoff_s: float = Field(default=1.0, ge=0.0, le=60.0)
    """Seconds before the first retry, doubled for each further one, up to a minute, ± 50%."""
    requests_per_minute: float | None = Field(default=None, gt=0.0)
    concurrency: int = Field(default=4, ge=1, le=256)
    """Most requests in progress at once."""
    price_in: float | None = Field(default=None, ge=0.0)
    """US dollars per million tokens read; if it or `price_out` is None, the cost is unknown."""
    price_out: float | None = Field(default=None, ge=0.0)
    cache: bool = True
    """Keep answers on disk, and do not request them again."""

    @field_validator("base_url")
    @classmethod
    def _without_secret(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://-")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http:// or https:// and a host")
        if parts.username or parts.password:
            raise ValueError("must hold no password (cards are published with results): use `api_key_env`")
        return value

    def key(self, name: str) -> tuple[str | None, str | None]:
        """Return the secret, only ever from the environment, and its variable there; `name` is the detector's."""
        variable = self.api_key_env or (None if self.base_url else KEY_VARIABLE)
        if variable is None:
            return None, None
        key = os.environ.get(variable, "").strip()
        if not key:
            raise DetectorError(
                f"detector '{name}' needs a key: set the environment variable {variable}, or name another as "
                f"`api_key_env` (a local server needs none: set its address as `base_url`)"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise DetectorError(
                f"detector '{name}': {variable} is not a key: it has blanks, line breaks or non-ASCII letters"
            )
        return key, variable

    def deciding(self) -> dict[str, Any]:
        """Return the options that decide an answer or a score."""
        how = {"api_key_env", "timeout_s", "max_answer_bytes", "retries", "backoff_s", "requests_per_minute"}
        return self.model_dump(mode="json", exclude={*how, "concurrency", "cache", "price_in", "price_out"})


def data_url(image: Image, settings: PictureSettings) -> str:
    """Return an RGB uint8 image [H, W, 3] as `data:image/png;base64,…`."""
    from PIL import Image as PillowImage

    picture = PillowImage.fromarray(image)
    if settings.longest and max(picture.size) > settings.longest:
        share = settings.longest / max(picture.size)
        width, height = (max(1, round(edge * share)) for edge in picture.size)
        picture = picture.resize((width, height), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, settings.format, quality=settings.quality, subsampling=0)  # PNG has neither
    return f"data:image/{settings.format};base64,{base64.b64encode(buffer.getvalue()).decode()}"


class Pace:
    """Rate limit for requests from all threads: evenly spaced, and unused time is not saved up."""

    def __init__(self, per_minute: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` None: no limit. `clock` gives seconds."""
        self.space = 60.0 / per_minute if per_minute else 0.0
        self._clock, self._lock = clock, threading.Lock()
        self._free = -math.inf

    def reserve(self) -> float:
        """Reserve the next time slot; return the seconds until it."""
        with self._lock:
            now = self._clock()
            start = max(now, self._free)
            self._free = start + self.space
            return start - now


def backoff(key: str, attempt: int, base: float) -> float:
    """Return seconds before attempt `attempt` + 1: `base` · 2^attempt, at most a minute, times a factor in [0.5, 1.5).

    The factor is drawn from `key` and the attempt, so that requests do not return all at once and a repeated run waits
    equally long.
    """
    factor = 0.5 + random.Random(f"{key}:{attempt}").random()
    return min(LONGEST_BACKOFF, base * 2.0 ** min(attempt, 30)) * factor


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a server asks to wait; None if there is no readable request.

    It is in `retry-after-ms`, or in `Retry-After` as seconds or a date (RFC 9110). `now` is in seconds since 1970.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(0.0, wait) if math.isfinite(wait) else None
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - now)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(default=None, ge=0, lt=2**63)
    completion_tokens: int | None = Field(default=None, ge=0, lt=2**63)


class _Likely(BaseModel):
    token: str
    logprob: float


class _Token(BaseModel):
    top_logprobs: list[_Likely] = Field(default=[], max_length=MOST)


class _Logprobs(BaseModel):
    content: list[Any] | None = None
    """Only the first token is read."""


class _Part(BaseModel):
    type: str
    text: Any = None


class _Message(BaseModel):
    content: str | Annotated[list[_Part], Field(max_length=MOST)] | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Body(BaseModel):
    choices: list[Any] = Field(min_length=1)
    """Only the first is read."""
    usage: _Usage | None = None
    model: str | None = None


@dataclass(frozen=True)
class Completion:
    """A server's answer.

    `finish` is why it stopped (`stop`, `length`, `content_filter`, …), `model` the server's name of the model. `first`
    holds the log-probabilities of the most probable first tokens, None if the server gave none.
    """

    text: str
    finish: str = ""
    refusal: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str = ""
    first: Mapping[str, float] | None = None


def read_completion(body: str) -> Completion:
    """Return a response as a Completion. Raises ValueError, in one line, if it is not a chat completion."""
    try:
        data = _Body.model_validate(_json(body))
        choice = _Choice.model_validate(data.choices[0])
        tokens = choice.logprobs.content if choice.logprobs else None
        likely = _Token.model_validate(tokens[0]).top_logprobs if tokens else []
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"not a chat completion: {where or 'body'}: {problem['msg']}") from None
    content, usage = choice.message.content, data.usage or _Usage()
    if isinstance(content, list):
        texts = [part.text for part in content if part.type == "text"]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("not a chat completion: choices.0.message.content: a part of type 'text' without a text")
        content = "".join(texts)
    first: dict[str, float] | None = {} if likely else None
    for one in likely:
        if first is not None and math.isfinite(one.logprob):
            first[one.token] = max(one.logprob, first.get(one.token, -math.inf))
    return Completion(
        (content or "").strip(),
        choice.finish_reason or "",
        choice.message.refusal or "",
        usage.prompt_tokens,
        usage.completion_tokens,
        data.model or "",
        first,
    )


def read_error(body: str) -> str:
    """Return the message in an error's body; the whole body if it has none."""
    try:
        found = _json(body)
    except ValueError:
        return body
    for key in ("error", "message"):
        found = found.get(key) or found if isinstance(found, dict) else found
    return str(found) if found else ""


def _json(body: str) -> Any:
    """Return the value of a JSON text that is nested at most DEPTH deep. Raises ValueError in one line."""
    letters = np.frombuffer(STRINGS.sub("", body).encode("utf-8", "replace"), dtype=np.uint8)
    steps = np.isin(letters, OPENING).astype(np.int32) - np.isin(letters, CLOSING)
    deepest = int(steps.cumsum().max(initial=0))
    if deepest > DEPTH:
        raise ValueError(f"the answer's JSON is nested {deepest} deep, more than {DEPTH}")
    try:
        return json.loads(body)
    except ValueError:  # a page of a proxy, or half of an answer
        raise ValueError(f"not JSON but {body.strip()[:60]!r}") from None


def two_way(first: Mapping[str, float], real: Sequence[str], fake: Sequence[str]) -> float:
    """Return P(fake) = p(fake) / (p(real) + p(fake)) from log-probabilities of tokens; NaN if neither is among them.

    Tokens are compared with the words without blanks and in lower case; the probabilities of matching tokens are added
    up. A token that begins the words of only one side counts too: many tokenizers split Fake into F and ake.
    """

    def begun(words: Sequence[str]) -> set[str]:
        return {word[:end] for word in (one.strip().lower() for one in words) for end in range(1, len(word) + 1)}

    def total(words: Sequence[str], others: Sequence[str]) -> float:
        wanted = begun(words) - begun(others)
        return sum(math.exp(value) for token, value in first.items() if token.strip().lower() in wanted)

    p_real, p_fake = total(real, fake), total(fake, real)
    return p_fake / (p_real + p_fake) if p_real + p_fake > 0.0 else math.nan
