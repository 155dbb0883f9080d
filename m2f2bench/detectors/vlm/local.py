"""Vision-language models of transformers in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from ..llm.sampling import SamplingSettings
from .beginnings import Beginnings, Group
from .chat import Asked, Chat, Verdicts, Written, begins, fake_odds, starts_of
from .source import Opened

log = logging.getLogger("m2f2bench")
T = TypeVar("T")


class LocalChat(Chat):
    """A model of transformers. Prompts are padded on the left; a picture is encoded once for all questions about it.

    In fp32 neither answers nor odds depend on the batch, up to rounding; in bf16 and fp16, rounding can change the most
    probable token.
    """

    def __init__(self, opened: Opened, settings: SamplingSettings, batch_size: int, name: str) -> None:
        """`batch_size` is the most prompts that go through the model together; `name` is used in messages."""
        self.model, self.processor, self.settings, self.name = opened.model, opened.processor, settings, name
        self.tokenizer, self.ends = opened.processor.tokenizer, opened.ends
        self.tokenizer.padding_side = "left"
        self.batch_size = batch_size
        self.model.generation_config = self._greedy()
        self.beginnings = Beginnings(
            self.model, self.tokenizer, opened.image_token, settings.max_new_tokens, self.inputs
        )

    def write(self, asked: Sequence[Asked]) -> list[Written]:
        """See `Chat.write`. If the GPU's memory is too small, batches are halved from then on."""
        if self.settings.temperature > 0.0:
            return [self._drawn(one) for one in asked]
        return self._batched(self._written, asked)

    def odds(self, asked: Sequence[Asked], verdicts: Verdicts) -> list[float]:
        """See `Chat.odds`."""
        return self._batched(lambda some: self._odds(some, verdicts), asked)

    def _batched(self, work: Callable[[list[Asked]], list[T]], asked: Sequence[Asked]) -> list[T]:
        """Run `work` on batches. If the GPU's memory is too small, batches are halved from then on."""
        found: list[T] = []
        while len(found) < len(asked):
            some = self._batch(asked[len(found) :])
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

    def _batch(self, asked: Sequence[Asked]) -> list[Asked]:
        """Return the first prompts; those about a picture stay together, if they are not more than a batch alone."""
        some = list(asked[: self.batch_size])
        if len(some) < len(asked) and some[-1].image is asked[len(some)].image:
            begin = next(place for place, one in enumerate(some) if one.image is some[-1].image)
            return some[:begin] or some
        return some

    def inputs(self, asked: Sequence[Asked]) -> dict[str, torch.Tensor]:
        """Return the model's inputs: token ids [B, L], padded on the left, their mask, and the pictures' tensors."""
        from PIL import Image as PillowImage

        texts = [one.text for one in asked]
        pictures = [[PillowImage.fromarray(one.image)] for one in asked]
        more = {"add_special_tokens": False} if begins(self.tokenizer, texts[0]) else {}
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

    def _written(self, asked: list[Asked]) -> list[Written]:
        started, settings = time.perf_counter(), self.settings
        sampling: dict[str, Any] = {}
        if settings.temperature:
            sampling = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
        found: dict[int, tuple[list[int], int]] = {}
        with torch.inference_mode():
            for group in self.beginnings.read(asked) or [Group([*range(len(asked))], self.inputs(asked))]:
                inputs = group.ready()
                read = inputs["attention_mask"].sum(dim=1).tolist()
                whole = self.model.generate(**inputs, max_new_tokens=settings.max_new_tokens, **sampling)
                tokens = whole[:, inputs["input_ids"].shape[1] :].tolist()
                for place, row, count in zip(group.places, tokens, read, strict=True):
                    found[place] = self._ended(row), count
        seconds = (time.perf_counter() - started) / len(asked)
        return [Written(*found[place], seconds) for place in range(len(asked))]

    def _ended(self, row: list[int]) -> list[int]:
        """Return one row of new tokens without the padding after its end token."""
        end = next((place for place, token in enumerate(row) if token in self.ends), len(row))
        return row[: end + 1]

    def _drawn(self, one: Asked) -> Written:
        """Return one sampled answer."""
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(one.seed)
            return self._written([one])[0]

    def _odds(self, asked: list[Asked], verdicts: Verdicts) -> list[float]:
        wanted = starts_of(verdicts)
        with torch.inference_mode():
            inputs = self.inputs(asked)
            after = {start: self._next(inputs, start) for start in wanted}
        rows = range(len(asked))
        return [fake_odds(verdicts, lambda start, token, row=row: float(after[start][row, token])) for row in rows]  # type: ignore[misc]

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
