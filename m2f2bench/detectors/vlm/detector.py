"""Any vision-language model of transformers, zero-shot: an explainer, and a detector by the odds of two answers."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from pydantic import Field

from ...cards.models import DetectorCard, validate
from ...cards.settings import SLOT, QuestionTemplate, Settings
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from ...core.records import Reply
from ...training.device import pick_device
from ..base import Detector, Explainer, text_fingerprint
from ..llm.sampling import SamplingSettings, answer_seed
from .source import Opened, VisionLanguageSource, open_vlm

if TYPE_CHECKING:
    from ...core.records import Floats, Image

log = logging.getLogger("m2f2bench")
T = TypeVar("T")


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
    generation: SamplingSettings = SamplingSettings()
    """The model's own generation config is not used."""
    judge: JudgeSettings = JudgeSettings()
    batch_size: int = Field(default=8, ge=1)
    """Most pairs of picture and question that go through the model together."""


class VisionLanguageModel(Detector, Explainer):
    """A chat model that reads a picture and a question (LLaVA, SmolVLM, Qwen-VL, …), not trained for the task.

    P(fake) = p(fake) / (p(real) + p(fake)), where p of an answer is the product of its tokens' probabilities after the
    prompt with `judge.question`. Prompts are padded on the left. In fp32 neither answers nor scores depend on the
    batch, up to rounding; in bf16 and fp16, rounding can change the most probable token.
    """

    def __init__(self, opened: Opened, options: VLMOptions, name: str = "vlm") -> None:
        """`name` is used in messages. Raises DetectorError if the chat template does not accept such a prompt, or if
        the answers to the judge question cannot be told apart."""
        self.options, self.name, self.opened = options, name, opened
        self.model, self.processor = opened.model, opened.processor
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.batch_size = self.questions_at_once = options.batch_size
        self.precision, self.preprocessing = opened.precision, opened.preprocessing
        self.seed = options.generation.seed if options.generation.temperature else None
        self.ends = _ends(self.model, self.tokenizer)
        self.model.generation_config = self._greedy()
        self._prompt(options.judge.question)
        self.verdicts = [self._token_ids(answers) for answers in (options.judge.real, options.judge.fake)]
        if shared := self.verdicts[0] & self.verdicts[1]:
            answers = ", ".join(repr(self.tokenizer.decode(list(ids))) for ids in sorted(shared))
            raise DetectorError(
                f"detector '{name}': judge.real and judge.fake share the answer {answers}: choose different answers"
            )

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> VisionLanguageModel:
        """Load the model a card names; a local folder is relative to the card. Raises DetectorError in one line."""
        options = validate(VLMOptions, card.options, f"options of detector '{card.name}'")
        return cls(open_vlm(options, card.folder, pick_device(device)), options, card.name)

    def fingerprint(self) -> str:
        """Return a hash of the weights and of all options except `batch_size`, without a local folder's path."""
        content = self.options.model_dump(mode="json", exclude={"batch_size", "model", "dtype", "revision"})
        return text_fingerprint(self.opened.fingerprint, json.dumps(content, sort_keys=True))

    @exact_fp32()
    def explain(self, images: Sequence[Image], questions: Sequence[str]) -> list[Reply]:
        """Return a reply for each pair.

        `seconds` is a pair's share of its batch's time; the message of a text that reached `max_new_tokens` says so. A
        question that contains the model's own image token gets an error.
        """
        pairs = list(zip(images, (self.options.question.replace(SLOT, q) for q in questions), strict=True))
        sign = self.opened.image_token
        fits = [not sign or sign not in text for _, text in pairs]
        asked = list(itertools.compress(pairs, fits))
        sampled = self.options.generation.temperature > 0.0
        found = [self._sampled(*pair) for pair in asked] if sampled else self._batched(self._answers, asked)
        error = f"the question holds '{sign}', which stands for a picture in this model's prompts"
        replies = iter(found)
        return [next(replies) if fit else Reply("", error=error) for fit in fits]

    @exact_fp32()
    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return P(fake), float64 [B], from the odds of the two answers to the judge question."""
        pairs = [(image, self.options.judge.question) for image in batch]
        return np.asarray(self._batched(self._odds, pairs), dtype=np.float64)

    def _batched(self, work: Callable[[list[tuple[Any, str]]], list[T]], pairs: Sequence[tuple[Any, str]]) -> list[T]:
        """Run `work` on batches. If the GPU's memory is too small, batches are halved from then on."""
        found: list[T] = []
        while len(found) < len(pairs):
            some = list(pairs[len(found) : len(found) + self.batch_size])
            try:
                found += work(some)
                continue
            except torch.cuda.OutOfMemoryError:
                if len(some) == 1:
                    raise
            self.batch_size = max(1, len(some) // 2)  # outside `except`, which holds the failed batch's tensors
            torch.cuda.empty_cache()
            log.warning(
                "%s: out of GPU memory with %d pairs, continuing with %d", self.name, len(some), self.batch_size
            )
        return found

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

    def _inputs(self, pairs: Sequence[tuple[Any, str]]) -> dict[str, torch.Tensor]:
        """Return the model's inputs: token ids [B, L], padded on the left, their mask, and the pictures' tensors."""
        from PIL import Image as PillowImage

        texts = [self._prompt(question) for _, question in pairs]
        pictures = [[PillowImage.fromarray(image)] for image, _ in pairs]
        bos = self.tokenizer.bos_token
        # Some templates write the first token themselves; the tokenizer would add it again.
        more = {"add_special_tokens": False} if bos and texts[0].startswith(bos) else {}
        inputs = self.processor(text=texts, images=pictures, padding=True, return_tensors="pt", **more)
        inputs = inputs.to(self.model.device, self.model.dtype)  # the dtype is for pictures alone
        return {key: value for key, value in inputs.items() if torch.is_tensor(value)}

    def _greedy(self) -> Any:
        """Return generation settings that replace the model's own, which would be mixed into those of a call."""
        from transformers import GenerationConfig

        pad = self.tokenizer.pad_token_id
        return GenerationConfig(
            eos_token_id=sorted(self.ends) or None,
            pad_token_id=pad if pad is not None else min(self.ends, default=0),
            bos_token_id=self.tokenizer.bos_token_id,
            do_sample=False,
        )

    def _answers(self, pairs: list[tuple[Any, str]]) -> list[Reply]:
        started, settings = time.perf_counter(), self.options.generation
        sampling: dict[str, Any] = {}
        if settings.temperature:
            sampling = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        with torch.inference_mode():
            inputs = self._inputs(pairs)
            whole = self.model.generate(**inputs, max_new_tokens=settings.max_new_tokens, **sampling)
        tokens = whole[:, inputs["input_ids"].shape[1] :].tolist()
        read = inputs["attention_mask"].sum(dim=1).tolist()
        seconds = (time.perf_counter() - started) / len(pairs)
        return [self._reply(row, n, seconds) for row, n in zip(tokens, read, strict=True)]

    def _reply(self, tokens: list[int], read: int, seconds: float) -> Reply:
        """Return one row of new tokens, possibly followed by the end token and padding, as a reply."""
        end = next((i for i, token in enumerate(tokens) if token in self.ends), None)
        written = len(tokens) if end is None else end + 1
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True).strip()
        message = f"cut off after {written} new tokens" if end is None else ""
        return Reply(text, message, seconds=seconds, tokens_in=read, tokens_out=written)

    def _sampled(self, image: Image, question: str) -> Reply:
        """Return one sampled answer; its seed comes from the card's seed, the picture and the question."""
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(answer_seed(self.options.generation.seed, image, question))
            return self._answers([(image, question)])[0]

    def _odds(self, pairs: list[tuple[Any, str]]) -> list[float]:
        """Return P(fake) of each pair's picture."""
        starts = sorted({ids[:i] for answers in self.verdicts for ids in answers for i in range(len(ids))})
        with torch.inference_mode():
            inputs = self._inputs(pairs)
            after = {start: self._next(inputs, start) for start in starts}
        logs = []
        for answers in self.verdicts:
            each = [sum(after[ids[:i]][:, token] for i, token in enumerate(ids)) for ids in sorted(answers)]
            logs.append(torch.stack(each).logsumexp(dim=0))  # type: ignore[arg-type]
        scores: list[float] = torch.sigmoid(logs[1] - logs[0]).tolist()
        return scores

    def _next(self, inputs: dict[str, torch.Tensor], start: tuple[int, ...]) -> torch.Tensor:
        """Return log-probabilities of the token after the prompts and the beginning of an answer, float64 [B, V]."""
        shape = inputs["input_ids"].shape
        longer = dict(inputs)
        for key, value in inputs.items():
            # The mask and other inputs per token: the last token's value holds for the new ones.
            if start and value.shape[:2] == shape and not value.is_floating_point():
                longer[key] = torch.cat([value, *[value[:, -1:]] * len(start)], dim=1)
        if start:
            longer["input_ids"][:, shape[1] :] = torch.tensor(start, device=self.model.device)
        out = self.model.generate(**longer, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
        logits: torch.Tensor = out.logits[0]
        return logits.double().log_softmax(dim=-1)

    def _token_ids(self, answers: Sequence[str]) -> set[tuple[int, ...]]:
        """Return the answers as token ids; equal ids count once. Raises DetectorError for an empty answer."""
        found = {tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in answers}
        if () in found:
            raise DetectorError(f"detector '{self.name}': an answer of `judge` is empty: give its first word")
        return found


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of the model's own generation settings, and the tokenizer's."""
    named = getattr(model.generation_config, "eos_token_id", None)
    listed = named if isinstance(named, (list, tuple)) else [named]
    return frozenset(int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None)
