"""Any vision-language model of transformers, zero-shot: an explainer, and a detector by the odds of two answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ...cards.models import DetectorCard, validate
from ...cards.settings import SLOT, QuestionTemplate, Settings
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from ...core.records import Reply
from ...training.device import pick_device
from ..base import Detector, Explainer, text_fingerprint
from ..llm.sampling import EngineSettings, answer_seed
from ..llm.vllm import import_vllm
from .chat import Asked, Chat, Written
from .local import LocalChat
from .served import ServedChat
from .source import Opened, VisionLanguageSource, open_vlm

if TYPE_CHECKING:
    from ...core.records import Floats, Image


class JudgeSettings(Settings):
    """The question from which P(fake) is computed, and the answers whose probabilities are compared."""

    question: str = "Is this image real or fake? Answer with one word, Real or Fake."
    """The question, whole."""
    real: tuple[str, ...] = Field(default=("Real",), min_length=1)
    """Beginnings of an answer, exactly as they follow the prompt (some models put a blank before the word); the
    probabilities of several are added up."""
    fake: tuple[str, ...] = Field(default=("Fake",), min_length=1)
    """The same for fake."""


class VLMOptions(VisionLanguageSource):
    """Options of the `vlm` backend."""

    system: str | None = None
    """The system message; None: the chat template's own."""
    question: QuestionTemplate = SLOT
    """The prompt's text; `{question}` stands for the dataset's question. An instruction can follow it."""
    generation: EngineSettings = EngineSettings()
    """The model's own generation config is not used."""
    judge: JudgeSettings = JudgeSettings()
    batch_size: int = Field(default=8, ge=1)
    """Most pairs of picture and question that go through the model together."""


class VisionLanguageModel(Detector, Explainer):
    """A chat model that reads a picture and a question (LLaVA, SmolVLM, Qwen-VL, …), not trained for the task.

    P(fake) = p(fake) / (p(real) + p(fake)), where p of an answer is the product of its tokens' probabilities after the
    prompt with `judge.question`.
    """

    def __init__(self, opened: Opened, options: VLMOptions, name: str = "vlm") -> None:
        """`name` is used in messages. Raises DetectorError if the chat template does not accept such a prompt, or if
        the answers to the judge question cannot be told apart."""
        self.options, self.name, self.opened = options, name, opened
        self.processor, self.tokenizer = opened.processor, opened.processor.tokenizer
        self.batch_size, self.questions_at_once = options.batch_size, 4 * options.batch_size
        self.precision, self.preprocessing = opened.precision, opened.preprocessing
        self.seed = options.generation.seed if options.generation.temperature else None
        self._prompt(options.judge.question)
        self.verdicts = self._token_ids(options.judge.real), self._token_ids(options.judge.fake)
        if shared := self.verdicts[0] & self.verdicts[1]:
            answers = ", ".join(repr(self.tokenizer.decode(list(ids))) for ids in sorted(shared))
            raise DetectorError(
                f"detector '{name}': judge.real and judge.fake share the answer {answers}: choose different answers"
            )
        if options.generation.engine == "vllm":
            self.precision += "-vllm"
            self.chat: Chat = ServedChat(opened, options, options.generation, options.batch_size, name)
        else:
            self.chat = LocalChat(opened, options.generation, options.batch_size, name)

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> VisionLanguageModel:
        """Load the model a card names; a local folder is relative to the card. Raises DetectorError in one line."""
        options = validate(VLMOptions, card.options, f"options of detector '{card.name}'")
        here = options.generation.engine != "vllm"
        if not here:
            import_vllm(f"detector '{card.name}'")  # before all else, which takes longer
        return cls(open_vlm(options, card.folder, pick_device(device), weights=here), options, card.name)

    def fingerprint(self) -> str:
        """Return a hash of the weights and of all options except `batch_size`, without a local folder's path."""
        apart = {"batch_size": True, "model": True, "dtype": True, "revision": True}
        content = self.options.model_dump(
            mode="json", exclude={**apart, "generation": self.options.generation.undecided()}
        )
        return text_fingerprint(self.opened.fingerprint, json.dumps(content, sort_keys=True))

    @exact_fp32()
    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[Reply]:
        """Return a reply for each pair.

        `seconds` is a pair's share of its batch's time; the message of a text that reached `max_new_tokens` says so. A
        question that contains the model's own image token gets an error.
        """
        settings, sign = self.options.generation, self.opened.image_token
        texts = [self.options.question.replace(SLOT, question) for question in questions]
        fits = [not sign or sign not in text for text in texts]
        asked = [
            Asked(image, self._prompt(text), answer_seed(settings.seed, image, text) if settings.temperature else 0)
            for image, text, fit in zip(images, texts, fits, strict=True)
            if fit
        ]
        replies = iter(map(self._reply, self.chat.write(asked)))
        error = f"the question holds '{sign}', which stands for a picture in this model's prompts"
        return [next(replies) if fit else Reply("", error=error) for fit in fits]

    @exact_fp32()
    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B], from the odds of the two answers to the judge question."""
        prompt = self._prompt(self.options.judge.question)
        return np.asarray(self.chat.odds([Asked(image, prompt) for image in batch], self.verdicts), dtype=np.float64)

    def _prompt(self, question: str) -> str:
        """Return the chat template's text up to where the answer begins."""
        system = [{"role": "system", "content": [{"type": "text", "text": self.options.system}]}]
        user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        messages = [*(system if self.options.system else []), user]
        try:
            text: str = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        except Exception as error:
            raise DetectorError(
                f"detector '{self.name}': the chat template of '{self.options.model}' accepts no "
                f"{'system prompt' if self.options.system else 'question with a picture'} "
                f"({' '.join(str(error).split())[:160]})"
            ) from None
        return text

    def _reply(self, written: Written) -> Reply:
        """Return an answer's tokens as a reply."""
        tokens, count = written.tokens, len(written.tokens)
        ended = bool(tokens) and tokens[-1] in self.chat.ends
        text = self.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True).strip()
        message = "" if ended or written.error else f"cut off after {count} new tokens"
        how = {"seconds": written.seconds, "tokens_in": written.read, "tokens_out": count, "error": written.error}
        return Reply(text, message, **how)  # type: ignore[arg-type]

    def _token_ids(self, answers: Sequence[str]) -> set[tuple[int, ...]]:
        """Return the answers as token ids; equal ids count once. Raises DetectorError for an empty answer."""
        found = {tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in answers}
        if () in found:
            raise DetectorError(f"detector '{self.name}': an answer of `judge` is empty: give its first word")
        return found
