"""Prompts for an LLM: token ids with slots for the image's tokens, their embeddings, and batches of examples."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ...cards.settings import Settings
from ...core.errors import DetectorError, first_line
from ...core.records import JUDGE_QUESTION
from ...training.language import IGNORED

IMAGE, DEEPFAKE, OWN = -1, -2, -3
"""Slots in place of `<image>` and `<deepfake>`, and the first of those of one token each (-3, -4, …), such as
`<mouth>`, for which a prompter has names; all other elements of a prompt are token ids."""
SLOTS = {"<image>": IMAGE, "<deepfake>": DEEPFAKE}
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
RELEASED = (
    "Assistant: A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions."
)
_SLOTS = re.compile("<image>|<deepfake>")

Elements = tuple[int, ...]


class PromptSettings(Settings):
    """Settings of the prompt.

    `vicuna_v1` is M2F2-Det's training prompt, `released` that of its published scripts, `chat` the LLM's own chat
    template.
    """

    style: Literal["vicuna_v1", "released", "chat"] = "vicuna_v1"
    """The prompt around a question."""
    system: str | None = None
    """Text before the conversation, in place of the style's own; for `chat`, the system message."""


class Prompter:
    """Turns questions, and training examples, into elements: token ids and slots.

    The question follows `<image>` and `<deepfake>`, unless it contains one of them itself: then they stay where they
    are, as slots of its own do. Text between slots is tokenized piece by piece, as in LLaVA.
    """

    def __init__(self, tokenizer: Any, settings: PromptSettings, where: str, own: Sequence[str] = ()) -> None:
        """`where` names the LLM in errors, `own` the slots from OWN on.

        Raises DetectorError for a tokenizer that lacks what the style needs.
        """
        self.tokenizer, self.settings, self.where = tokenizer, settings, where
        self.slots = SLOTS | {f"<{name}>": OWN - number for number, name in enumerate(own)}
        self._slots = re.compile(f"({'|'.join(map(re.escape, self.slots))})")
        if settings.style == "chat" and not getattr(tokenizer, "chat_template", None):
            raise DetectorError(
                f"{where} has no chat template: set explainer.prompt.style to vicuna_v1, or give an LLM "
                "that was trained for chats"
            )
        if tokenizer.eos_token_id is None:
            raise DetectorError(f"{where} has no end-of-sequence token: set eos_token in its tokenizer_config.json")
        _, last = self.example("Is it?", "Yes.")
        self.ends: frozenset[int] = frozenset({int(tokenizer.eos_token_id), last[-1]})
        """Token ids that end an answer."""
        self.stops: tuple[str, ...] = {"vicuna_v1": ("USER:",), "released": ("###",), "chat": ()}[settings.style]
        """Texts that end one."""

    def question(self, text: str, said: str = "", begun: str = "") -> Elements:
        """Return the prompt up to where the answer begins.

        `said` is a line before the question, `begun` the first words of the answer, which are given then.
        """
        if begun:
            prompt, answer = self.example(text, begun, said)
            return prompt + answer[:-1]
        return self._elements(self._prompt(text, said))

    def example(self, question: str, answer: str, said: str = "") -> tuple[Elements, Elements]:
        """Return the prompt, and the token ids of an answer including its end token; `said` as in `question`."""
        prompt, whole = self._prompt(question, said), self._prompt(question, said, answer)
        elements = self._elements(prompt)
        rest = whole[len(prompt) :] if whole.startswith(prompt) else f" {answer}{self.tokenizer.eos_token}"
        # After the prompt's last piece, the answer may be tokenized differently (a blank is joined to a word).
        piece = self._slots.split(prompt)[-1]
        together, alone = self._ids(piece + rest), self._ids(piece)
        ids = together[len(alone) :] if together[: len(alone)] == alone else self._ids(rest)
        # It ends with the first special token after it; without one, with an end of sequence.
        special = {*self.tokenizer.all_special_ids, self.tokenizer.eos_token_id}
        end = next((place + 1 for place, token in enumerate(ids) if token in special), None)
        return elements, (*ids, int(self.tokenizer.eos_token_id)) if end is None else tuple(ids[:end])

    def _content(self, question: str, said: str) -> str:
        if said:
            return f"{said}\n{question}" if _SLOTS.search(question) else f"<image>\n<deepfake>\n{said}\n{question}"
        if _SLOTS.search(question):
            return question
        if self.settings.style == "released" and question.strip() == JUDGE_QUESTION:
            return f"<image>\n <deepfake>\n {JUDGE_QUESTION} "  # the published scripts have these blanks
        return f"<image>\n<deepfake>\n{question}"

    def _prompt(self, question: str, said: str, answer: str | None = None) -> str:
        """Return the text of the prompt, slots as `<image>` and `<deepfake>`; with an answer, it and its end too."""
        content, system = self._content(question, said), self.settings.system
        if self.settings.style == "chat":
            return self._chat(content, answer)
        if self.settings.style == "vicuna_v1":
            text = f"{VICUNA if system is None else system} USER: {content} ASSISTANT:"
        else:
            text = f"{RELEASED if system is None else system}###Human: {content}###Assistant:"
        return text if answer is None else f"{text} {answer}{self.tokenizer.eos_token}"

    def _chat(self, content: str, answer: str | None) -> str:
        system = [] if self.settings.system is None else [{"role": "system", "content": self.settings.system}]
        reply = [] if answer is None else [{"role": "assistant", "content": answer}]
        turns = [*system, {"role": "user", "content": content}, *reply]
        try:
            text = str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer is None))
        except Exception as error:  # templates raise errors of any kind, most of them for unknown roles
            raise DetectorError(f"{self.where}: its chat template fails: {first_line(error)}") from None
        if answer is None and len(self._slots.findall(text)) != len(self._slots.findall(content)):
            raise DetectorError(f"{self.where}: its chat template drops <image> or <deepfake>: set prompt.style")
        return text

    def _elements(self, text: str) -> Elements:
        """Return a prompt's text as elements. Except with the tokenizer's own template, it starts with BOS."""
        bos = self.tokenizer.bos_token_id
        found: list[int] = [] if self.settings.style == "chat" or bos is None else [int(bos)]
        for piece in self._slots.split(text):
            found += [self.slots[piece]] if piece in self.slots else self._ids(piece)
        return tuple(found)

    def _ids(self, text: str) -> list[int]:
        return [int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]] if text else []


def spread_length(elements: Elements, counts: Mapping[int, int]) -> int:
    """Return the number of positions that a prompt takes; a slot takes `counts[slot]` of them."""
    return sum(counts[one] if one < 0 else 1 for one in elements)


def embed(model: nn.Module, elements: Elements, slots: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """Return a prompt's embeddings [L, D] for an LLM; `slots` gives those of each slot, [n, D]."""
    table = model.get_input_embeddings()  # type: ignore[operator]
    weight: torch.Tensor = table.weight
    parts: list[torch.Tensor] = []
    for is_slot, run in itertools.groupby(elements, key=lambda element: element < 0):
        if is_slot:
            parts += [slots[slot].to(weight.device, weight.dtype) for slot in run]
        else:
            parts.append(table(torch.tensor(list(run), device=weight.device)))
    return torch.cat(parts)


@dataclass(frozen=True)
class TokenizedExample:
    """A training example: a prompt, and the answer's token ids including the end token."""

    prompt: Elements
    answer: Elements


def fitted(example: TokenizedExample, counts: Mapping[int, int], longest: int) -> TokenizedExample | None:
    """Return the example with its answer cut to at most `longest` positions in all; None if no answer is left."""
    room = longest - spread_length(example.prompt, counts)
    return TokenizedExample(example.prompt, example.answer[:room]) if room > 0 else None


def pad_right(
    examples: Sequence[TokenizedExample], visual: int, forgery: int, multiple: int = 1, longest: int | None = None
) -> dict[str, torch.Tensor]:
    """Return a batch of examples, padded on the right: int64 [B, L], L a multiple of `multiple`, at most `longest`.

    `ids`: token ids, 0 elsewhere. `places`: index of the image's token (H_V, `visual` tokens, then H_F, of which
    `<deepfake>` has the first `forgery` and each slot from OWN on one) at each position, -1 elsewhere. `labels`: the
    answer's token ids, IGNORED elsewhere, so that the loss covers only the answer. An example never attends to the
    padding after it: a causal LLM needs no mask, and every position has a key.
    """
    slots = {IMAGE: [(0, n) for n in range(visual)], DEEPFAKE: [(0, n) for n in range(visual, visual + forgery)]}
    rows = []  # (token id, index of the image token) of each position
    slots |= {OWN - number: [(0, visual + forgery + number)] for number in range(_own(examples))}
    for one in examples:
        rows.append([pair for element in (*one.prompt, *one.answer) for pair in slots.get(element, [(element, -1)])])
    needed = max(len(row) for row in rows)
    length = -(-needed // multiple) * multiple
    shape = (len(rows), length if longest is None else max(needed, min(length, longest)))
    ids, places, labels = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1), torch.full(shape, IGNORED)
    for number, (row, one) in enumerate(zip(rows, examples, strict=True)):
        ids[number, : len(row)], places[number, : len(row)] = torch.tensor(row).T
        labels[number, len(row) - len(one.answer) : len(row)] = torch.tensor(one.answer)
    return {"ids": ids, "places": places, "labels": labels}


def _own(examples: Sequence[TokenizedExample]) -> int:
    """Return the number of slots from OWN on, up to the last one that a prompt has."""
    return max(0, OWN + 1 - min((element for one in examples for element in one.prompt), default=0))


def splice(words: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return embeddings [B, L, D]: words, and image tokens [B, n, D] at `places` (int64 [B, L], -1 for a word)."""
    if tokens.shape[1] == 0:
        return words
    index = places.clamp(min=0)[..., None].expand(-1, -1, tokens.shape[2])
    return torch.where((places >= 0)[..., None], tokens.to(words.dtype).gather(1, index), words)
