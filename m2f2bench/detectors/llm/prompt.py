"""Prompts for an LLM: token ids, with slots for the image's tokens."""

from __future__ import annotations

import re
from typing import Any, Literal

from ...cards.settings import Settings
from ...core.errors import DetectorError, first_line
from ...core.records import JUDGE_QUESTION

IMAGE, DEEPFAKE = -1, -2
"""Slots in place of `<image>` and `<deepfake>`; all other elements of a prompt are token ids."""
SLOTS = {"<image>": IMAGE, "<deepfake>": DEEPFAKE}
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
RELEASED = (
    "Assistant: A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and polite answers to the human's questions."
)
_SLOTS = re.compile("(<image>|<deepfake>)")

Elements = tuple[int, ...]


class PromptSettings(Settings):
    """Settings of the prompt.

    `vicuna_v1` is M2F2-Det's training prompt, `released` that of its published scripts, `chat` the LLM's own chat
    template.
    """

    style: Literal["vicuna_v1", "released", "chat"] = "vicuna_v1"
    system: str | None = None
    """Text before the conversation, in place of the style's own; for `chat`, the system message."""


class Prompter:
    """Turns questions, and training examples, into elements: token ids and slots.

    The question follows `<image>` and `<deepfake>`, unless it contains one of them itself: then they stay where they
    are. Text between slots is tokenized piece by piece, as in LLaVA.
    """

    def __init__(self, tokenizer: Any, settings: PromptSettings, where: str) -> None:
        """`where` names the LLM in errors. Raises DetectorError for a tokenizer that lacks what the style needs."""
        self.tokenizer, self.settings, self.where = tokenizer, settings, where
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

    def question(self, text: str) -> Elements:
        """Return the prompt up to where the answer begins."""
        return self._elements(self._prompt(text))

    def example(self, question: str, answer: str) -> tuple[Elements, Elements]:
        """Return the prompt, and the token ids of an answer including its end token."""
        prompt, whole = self._prompt(question), self._whole(question, answer)
        elements = self._elements(prompt)
        rest = whole[len(prompt) :] if whole.startswith(prompt) else f" {answer}{self.tokenizer.eos_token}"
        # After the prompt's last piece, the answer may be tokenized differently (a blank is joined to a word).
        piece = _SLOTS.split(prompt)[-1]
        together, alone = self._ids(piece + rest), self._ids(piece)
        ids = together[len(alone) :] if together[: len(alone)] == alone else self._ids(rest)
        return elements, self._ended(ids)

    def _ended(self, ids: list[int]) -> Elements:
        """Return the answer's ids up to and including the first special token after it, else with an end of
        sequence."""
        special = {*self.tokenizer.all_special_ids, self.tokenizer.eos_token_id}
        end = next((place + 1 for place, token in enumerate(ids) if token in special), None)
        return (*ids, int(self.tokenizer.eos_token_id)) if end is None else tuple(ids[:end])

    def _content(self, question: str) -> str:
        if _SLOTS.search(question):
            return question
        if self.settings.style == "released" and question.strip() == JUDGE_QUESTION:
            return f"<image>\n <deepfake>\n {JUDGE_QUESTION} "  # the published scripts have these blanks
        return f"<image>\n<deepfake>\n{question}"

    def _prompt(self, question: str) -> str:
        """Return the text of the prompt, with slots as `<image>` and `<deepfake>`."""
        content, system = self._content(question), self.settings.system
        if self.settings.style == "vicuna_v1":
            return f"{VICUNA if system is None else system} USER: {content} ASSISTANT:"
        if self.settings.style == "released":
            return f"{RELEASED if system is None else system}###Human: {content}###Assistant:"
        text = self._chat(self._messages(content), add_generation_prompt=True)
        if len(_SLOTS.findall(text)) != len(_SLOTS.findall(content)):
            raise DetectorError(f"{self.where}: its chat template drops <image> or <deepfake>: set prompt.style")
        return text

    def _whole(self, question: str, answer: str) -> str:
        """Return the prompt with its answer and the end."""
        if self.settings.style == "chat":
            turns = [*self._messages(self._content(question)), {"role": "assistant", "content": answer}]
            return self._chat(turns, add_generation_prompt=False)
        return f"{self._prompt(question)} {answer}{self.tokenizer.eos_token}"

    def _messages(self, content: str) -> list[dict[str, str]]:
        system = [] if self.settings.system is None else [{"role": "system", "content": self.settings.system}]
        return [*system, {"role": "user", "content": content}]

    def _chat(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except Exception as error:  # templates raise errors of any kind, most of them for unknown roles
            raise DetectorError(f"{self.where}: its chat template fails: {first_line(error)}") from None
        return str(text)

    def _elements(self, text: str) -> Elements:
        """Return a prompt's text as elements. Except with the tokenizer's own template, it starts with BOS."""
        bos = self.tokenizer.bos_token_id
        found: list[int] = [] if self.settings.style == "chat" or bos is None else [int(bos)]
        for piece in _SLOTS.split(text):
            found += [SLOTS[piece]] if piece in SLOTS else self._ids(piece)
        return tuple(found)

    def _ids(self, text: str) -> list[int]:
        return [int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]] if text else []
