"""Vision-language models that write answers to prompts with a picture, whichever engine computes them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ...core.records import Image

Verdicts = tuple[Set[tuple[int, ...]], Set[tuple[int, ...]]]
"""Token ids of the answers that say real, and of those that say fake."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture, and a prompt's text up to where the answer begins; `seed` is of a drawn answer."""

    image: Image
    text: str
    seed: int = 0


@dataclass(frozen=True)
class Written:
    """Token ids of an answer, its end token included if it has ended, and the number of positions that were read.

    `seconds`: its share of the time; `error`: why there is no answer.
    """

    tokens: list[int]
    read: int
    seconds: float
    error: str = ""


class Chat(abc.ABC):
    """A model that is given prompts with a picture."""

    ends: frozenset[int]
    """Token ids that end an answer."""

    @abc.abstractmethod
    def write(self, asked: Sequence[Asked]) -> list[Written]:
        """Return an answer to each prompt."""

    @abc.abstractmethod
    def odds(self, asked: Sequence[Asked], verdicts: Verdicts) -> list[float]:
        """Return for each prompt p(fake) / (p(real) + p(fake)) of the answers that follow it."""


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Return a prompt's token ids, with a first token of the tokenizer's own unless the text begins with it."""
    found: list[int] = tokenizer(text, add_special_tokens=not begins(tokenizer, text))["input_ids"]
    return found


def begins(tokenizer: Any, text: str) -> bool:
    """Return whether a template has written the first token itself, which the tokenizer would add again."""
    return bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)


def starts_of(verdicts: Verdicts) -> dict[tuple[int, ...], list[int]]:
    """Return the beginnings of answers, each with the tokens that go on from it, both in order."""
    found: dict[tuple[int, ...], set[int]] = {}
    for answer in (*verdicts[0], *verdicts[1]):
        for place, token in enumerate(answer):
            found.setdefault(answer[:place], set()).add(token)
    return {start: sorted(found[start]) for start in sorted(found)}


def fake_odds(verdicts: Verdicts, after: Callable[[tuple[int, ...], int], float]) -> float:
    """Return P(fake), from `after(start, token)`: the log-probability of a token after the beginning of an answer."""
    logs = []
    for answers in verdicts:
        each = [sum(after(ids[:place], token) for place, token in enumerate(ids)) for ids in sorted(answers)]
        logs.append(np.logaddexp.reduce(np.asarray(each, dtype=np.float64)))
    with np.errstate(over="ignore"):  # which is P(fake) 0
        return float(1.0 / (1.0 + np.exp(logs[0] - logs[1])))
