"""A model behind an OpenAI-compatible HTTP endpoint as an explainer: hosted, or on a local server."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...cards.models import DetectorCard, validate
from ...cards.settings import SLOT
from ...core.errors import DetectorError
from ...core.memo import Memo, cache_folder
from ...core.records import Reply
from ..base import Detector, Explainer, text_fingerprint
from .caller import MESSAGE, Caller, Failed
from .endpoint import Completion, OpenAIOptions, data_url, two_way

if TYPE_CHECKING:
    from ...core.records import Floats, Image

log = logging.getLogger("m2f2bench")
T = TypeVar("T")
U = TypeVar("U")
CACHED = "from the cache"
"""Message of a reply for which this run sent no request."""
FIRST_TOKENS = 20
"""Number of most probable first tokens requested to compute P(fake): the most that endpoints give."""


@dataclass(frozen=True)
class _Answered:
    """The result of one request; `completion` is None if it failed, and `failure` says why."""

    completion: Completion | None
    seconds: float = 0.0
    cached: bool = False
    failure: str = ""


class OpenAIEndpoint(Detector, Explainer):
    """Explainer that sends `/v1/chat/completions` one question about one picture per request, several at once.

    It has no P(fake), unless `judge` is set: then it is p(fake) / (p(real) + p(fake)) of the first token of the answer
    to `judge_question`. If a request fails, one question has no answer. Answers are cached on disk under all that
    decides them; a cached one keeps the seconds, tokens and cost of its request, and its message says so: the run did
    not pay for it.
    """

    precision = "unknown"
    scores_with_answers = True
    errors_pass = True

    def __init__(self, options: OpenAIOptions, name: str = "openai") -> None:
        """`name` is used in messages. Nothing is sent yet. Raises DetectorError without the package or the key."""
        self.options, self.name = options, name
        self.caller = Caller(options, name)
        self.preprocessing, self.seed = str(options.image), options.seed
        self.scores_with_answers = not options.judge
        self.questions_at_once = 4 * options.concurrency
        place = text_fingerprint(self.caller.url, options.model)
        self._memo = Memo(cache_folder() / "openai" / f"{place}.jsonl") if options.cache else None
        self._served_by = ""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> OpenAIEndpoint:
        """Return the endpoint that a card describes; `device` is ignored."""
        return cls(validate(OpenAIOptions, card.options, f"options of detector '{card.name}'"), card.name)

    def fingerprint(self) -> str:
        """Return a hash of the endpoint's address and of the options that decide an answer.

        The model behind an address can still change.
        """
        return text_fingerprint(self.caller.url, json.dumps(self.options.deciding(), sort_keys=True))

    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[Reply]:
        """Return a reply for each pair, in order. Raises DetectorError if the endpoint as a whole does not answer."""
        urls = self._urls(images)
        sampling = self._sampling(self.options.max_tokens)
        asked = [
            self._request(url, self.options.question.replace(SLOT, question), sampling)
            for url, question in zip(urls, questions, strict=True)
        ]
        return [self._reply(one) for one in self._answers(asked, lambda found: not self._trouble(found))]

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B]; NaN if a request failed or its answer begins with neither word, which is logged.

        Raises DetectorError if the card does not ask for P(fake), or if the server gives no log-probabilities.
        """
        if not self.options.judge:
            raise DetectorError(
                f"detector '{self.name}' gives no P(fake): take an explanation protocol (such as explain-blind), or "
                f"set `judge: true` on the card if the endpoint gives log-probabilities"
            )
        sampling = {**self._sampling(1), "logprobs": True, "top_logprobs": FIRST_TOKENS}
        asked = [self._request(url, self.options.judge_question, sampling) for url in self._urls(batch)]
        found = self._answers(asked, lambda completion: completion.first is not None)
        return np.array([self._score(one, id_) for one, id_ in zip(found, ids, strict=True)], dtype=np.float64)

    def _score(self, answered: _Answered, id_: str) -> float:
        if answered.completion is None:
            log.warning("%s: no P(fake) for '%s': %s", self.name, id_, answered.failure)
            return math.nan
        first = answered.completion.first
        if first is None:
            raise DetectorError(
                f"detector '{self.name}': {self.caller.url} gives no log-probabilities: set `judge: false` on the card"
            )
        score = two_way(first, ("real",), ("fake",))
        if math.isnan(score):
            log.warning("%s: no P(fake) for '%s': the answer begins with neither real nor fake", self.name, id_)
        return score

    def _urls(self, images: Sequence[Any]) -> list[str]:
        """Return the pictures as data URLs; the same object is encoded once."""
        pictures = {id(image): image for image in images}
        urls = {key: data_url(image, self.options.image) for key, image in pictures.items()}
        return [urls[id(image)] for image in images]

    def _sampling(self, tokens: int) -> dict[str, Any]:
        """Return the request's keys other than model and messages."""
        options = self.options
        keys = {"temperature": options.temperature, "top_p": options.top_p, "seed": options.seed}
        found: dict[str, Any] = {key: value for key, value in keys.items() if value is not None}
        extra = {"extra_body": options.extra} if options.extra else {}
        return {options.max_tokens_key: tokens, **found, **extra}

    def _request(self, url: str, text: str, sampling: dict[str, Any]) -> dict[str, Any]:
        detail = {"detail": self.options.image.detail} if self.options.image.detail else {}
        content = [{"type": "image_url", "image_url": {"url": url, **detail}}, {"type": "text", "text": text}]
        system = [{"role": "system", "content": self.options.system}] if self.options.system else []
        messages = [*system, {"role": "user", "content": content}]
        return {"model": self.options.model, "messages": messages, **sampling}

    def _answers(self, requests: Sequence[dict[str, Any]], worth: Callable[[Completion], bool]) -> list[_Answered]:
        """Return the result of each request, in order; with a cache, repeated requests are sent once.

        `worth` says whether an answer is kept.
        """
        keys = [_digest(self.caller.url, request) for request in requests]
        if self._memo is None:
            return self._together(lambda pair: self._ask(*pair, worth), list(zip(requests, keys, strict=True)))
        alone = dict(zip(keys, requests, strict=True))
        found = self._together(lambda key: self._ask(alone[key], key, worth), list(alone))
        known = dict(zip(alone, found, strict=True))
        return [replace(known[key], cached=known[key].cached or key in keys[:i]) for i, key in enumerate(keys)]

    def _together(self, work: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Run `work` on each item, `concurrency` at once; an error or an interrupt stops the waiting of all."""
        self.caller.stop.clear()
        with ThreadPoolExecutor(self.options.concurrency, thread_name_prefix="openai") as pool:
            try:
                return list(pool.map(work, items))
            except BaseException:
                self.caller.stop.set()
                raise

    def _ask(self, request: dict[str, Any], key: str, worth: Callable[[Completion], bool]) -> _Answered:
        kept = self._memo.get(key, "") if self._memo is not None else None
        if kept is not None:
            return _Answered(Completion(**kept["completion"]), kept["seconds"], cached=True)
        try:
            completion, seconds = self.caller.ask(request, key)
        except Failed as error:
            return _Answered(None, failure=str(error))
        if self._memo is not None and worth(completion):
            self._memo.put(key, "", {"completion": asdict(completion), "seconds": round(seconds, 4)})
        model = self.caller.clean(completion.model)[:MESSAGE]
        if model not in ("", self._served_by):
            if self._served_by:
                log.warning("%s: answered by '%s', previously by '%s'", self.name, model, self._served_by)
            self._served_by = model
        return _Answered(completion, seconds)

    def _trouble(self, completion: Completion) -> str:
        """Return why a completion is not an answer; "" if it is one."""
        if completion.refusal:
            return self.caller.clean(f"the model refused: {completion.refusal}")
        if completion.finish == "content_filter":
            return "held back by the server's content filter"
        if completion.text:
            return ""
        if completion.finish == "length":
            return f"no text: all {self._written(completion)} tokens were spent before it; raise `max_tokens`"
        return "the server answered without a text"

    def _written(self, completion: Completion) -> int:
        return completion.tokens_out if completion.tokens_out is not None else self.options.max_tokens

    def _reply(self, answered: _Answered) -> Reply:
        completion = answered.completion
        if completion is None:
            return Reply("", error=answered.failure)
        trouble = self._trouble(completion)
        cut = f"cut off after {self._written(completion)} tokens" if completion.finish == "length" else ""
        return Reply(
            "" if trouble else completion.text,
            message="; ".join(part for part in (cut, CACHED if answered.cached else "") if part),
            seconds=answered.seconds,
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            cost=self._cost(completion),
            error=trouble,
        )

    def _cost(self, completion: Completion) -> float | None:
        """Return the cost in US dollars, if prices and tokens are known."""
        prices = (self.options.price_in, self.options.price_out)
        counts = (completion.tokens_in, completion.tokens_out)
        parts = [p * n for p, n in zip(prices, counts, strict=True) if p is not None and n is not None]
        return sum(parts) / 1e6 if len(parts) == 2 else None


def _digest(url: str, request: dict[str, Any]) -> str:
    """Return a hash of all that decides an answer: address, model, messages with their pictures, sampling."""
    return hashlib.sha256(json.dumps([url, request], sort_keys=True).encode()).hexdigest()
