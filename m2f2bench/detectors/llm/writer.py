"""Writers of an LLM's answers: what they share, whichever engine computes the LLM."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from .cache import Request, Row
from .prompt import spread_length
from .sampling import GenerationSettings
from .sentences import MARKS, without_repeats
from .source import Language

Slots = Callable[[Sequence[int]], Mapping[int, torch.Tensor]]


@dataclass(frozen=True)
class Generated:
    """An answer.

    `tokens_in` counts the prompt's positions, including each of an image's tokens; `tokens_out` the generated tokens,
    including the end token. `cut`: the answer did not end; `message` then says why, or why there is no answer.
    """

    text: str
    tokens_in: int
    tokens_out: int
    cut: bool = False
    message: str = ""


class Writer(abc.ABC):
    """Writes an LLM's answers to prompts with image tokens."""

    def __init__(
        self, language: Language, settings: GenerationSettings, ends: frozenset[int], stops: tuple[str, ...] = ()
    ) -> None:
        """`ends` are token ids that end an answer, `stops` texts that do, in addition to the settings' own."""
        self.language, self.settings, self.ends = language, settings, ends
        self.stops = tuple(dict.fromkeys((*stops, *settings.stop)))
        self._stop = re.compile("|".join(map(re.escape, self.stops)) or "(?!)")  # without stops, it matches nothing
        self.where = f"LLM '{language.name}'"

    @abc.abstractmethod
    def answer(self, requests: Sequence[Request], slots: Slots) -> list[Generated]:
        """Return an answer to each request.

        `slots(numbers)` gives for each slot the tokens of these images [m, n, D]; n is the same for all images and may
        be 0. A prompt that does not fit in the LLM's context gets an empty text with a message, and 0 tokens out.
        Raises DetectorError if the device's memory is too small for one answer, and for logits that are not finite.
        """

    def _new_row(self, request: Request, counts: Mapping[int, int]) -> Row:
        """Return an answer that has not begun; its limit is 0 if the prompt is empty or too long."""
        length = spread_length(request.prompt, counts)
        limit = min(self.settings.max_new_tokens, self.language.context - length) if length else 0
        draws = torch.Generator().manual_seed(request.seed) if self.settings.temperature else None
        return Row(request, length, max(0, limit), draws)

    def _words(self, row: Row) -> str:
        """Return the text of a row so far, without its end token, what follows a stop text, and a repetition."""
        words = row.tokens[:-1] if row.tokens[-1] in self.ends else row.tokens
        text = self._stop.split(self._text(words), maxsplit=1)[0]
        return (text if self.settings.may_repeat else without_repeats(text)).strip()

    def _repeats(self, tokens: list[int]) -> bool:
        """Return whether the last token has completed a sentence that has been said, where that ends an answer."""
        last = "" if self.settings.may_repeat else self._text(tokens[-4:])  # a character has up to four tokens
        if not any(mark in last for mark in MARKS):
            return False
        text = self._text(tokens)
        return without_repeats(text) != text

    def _text(self, tokens: list[int]) -> str:
        text: str = self.language.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _finished(self, row: Row) -> Generated:
        """Return a row as an answer."""
        context = self.language.context
        if row.limit == 0:
            why = f"the prompt's {row.length} positions leave no room in the LLM's context of {context}"
            return Generated("", row.length, 0, False, why if row.length else "the prompt is empty")
        text, tokens = self._words(row), len(row.tokens)
        if row.stopped:
            return Generated(text, row.length, tokens)
        full = row.limit < self.settings.max_new_tokens
        why = f": the LLM's context of {context} positions is full" if full else f" after {tokens} new tokens"
        return Generated(text, row.length, tokens, True, f"cut off{why}")
