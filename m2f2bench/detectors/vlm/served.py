"""Vision-language models that vLLM computes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ...core.errors import first_line
from ..llm.sampling import EngineSettings
from ..llm.vllm import generate, import_vllm, open_engine
from .chat import Asked, Chat, Verdicts, Written, fake_odds, starts_of, token_ids
from .source import Opened, VisionLanguageSource


class ServedChat(Chat):
    """A model that vLLM computes: it encodes a picture once for all questions about it."""

    def __init__(
        self, opened: Opened, source: VisionLanguageSource, settings: EngineSettings, batch_size: int, name: str
    ) -> None:
        """`batch_size` is the most answers that are written together; `name` is used in messages.

        Raises DetectorError if vLLM is not installed or does not load the model.
        """
        self.tokenizer, self.ends, self.settings = opened.processor.tokenizer, opened.ends, settings
        self.where = f"detector '{name}'"
        package = import_vllm(self.where)
        self.sampling = package.SamplingParams
        self.refused = (ValueError, package.exceptions.VLLMClientError)
        more: dict[str, Any] = {"limit_mm_per_prompt": {"image": 1}}
        more |= {"revision": source.revision} if source.revision else {}
        more |= {"mm_processor_kwargs": source.processor} if source.processor else {}
        self.engine = open_engine(opened.place, opened.precision, batch_size, settings, self.where, **more)

    def write(self, asked: Sequence[Asked]) -> list[Written]:
        """See `Chat.write`. A prompt that vLLM refuses, such as one that is too long, has an error."""
        started, prompts = time.perf_counter(), [self._prompt(one) for one in asked]
        how = [self._how(one) for one in asked]
        found = self._each(prompts, how)
        seconds = (time.perf_counter() - started) / max(1, len(asked))
        return [
            Written([], 0, seconds, one)
            if isinstance(one, str)
            else Written(list(one.outputs[0].token_ids), len(one.prompt_token_ids), seconds)
            for one in found
        ]

    def odds(self, asked: Sequence[Asked], verdicts: Verdicts) -> list[float]:
        """See `Chat.odds`."""
        wanted = starts_of(verdicts)
        prompts = [self._prompt(one, start) for one in asked for start in wanted]
        each = [
            self.sampling(temperature=0.0, max_tokens=1, detokenize=False, logprob_token_ids=wanted[s]) for s in wanted
        ]
        found = iter(generate(self.engine, prompts, each * len(asked), self.where))
        scores = []
        for _ in asked:
            after = {start: next(found).outputs[0].logprobs[0] for start in wanted}
            scores.append(fake_odds(verdicts, lambda start, token, after=after: float(after[start][token].logprob)))  # type: ignore[misc]
        return scores

    def _prompt(self, one: Asked, start: tuple[int, ...] = ()) -> dict[str, Any]:
        from PIL import Image as PillowImage

        ids = [*token_ids(self.tokenizer, one.text), *start]
        return {"prompt_token_ids": ids, "multi_modal_data": {"image": PillowImage.fromarray(one.image)}}

    def _how(self, one: Asked) -> Any:
        settings = self.settings
        drawn = {"top_p": settings.top_p, "seed": one.seed} if settings.temperature else {}
        return self.sampling(
            temperature=settings.temperature,
            max_tokens=settings.max_new_tokens,
            stop_token_ids=sorted(self.ends),
            detokenize=False,
            **drawn,
        )

    def _each(self, prompts: list[Any], how: list[Any]) -> list[Any]:
        """Return vLLM's output for each prompt; the text of an error for one that it refuses."""
        try:
            return generate(self.engine, prompts, how, self.where, refused=self.refused)
        except self.refused as error:
            if len(prompts) == 1:
                return [f"vLLM refuses the prompt: {first_line(error)}"]
        return [self._each([prompt], [one])[0] for prompt, one in zip(prompts, how, strict=True)]
