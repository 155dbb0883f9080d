"""A stand-in for the package vllm, which asks for a torch of its own and so is not installed beside the tests: what the
package calls of it, computed by transformers, one prompt at a time.

`tests/detectors/test_vllm.py` asks the real one the same where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch


class VLLMClientError(Exception):
    """Of a prompt that is refused."""


exceptions = SimpleNamespace(VLLMClientError=VLLMClientError)


@dataclass
class SamplingParams:
    """As vLLM's."""

    temperature: float = 1.0
    max_tokens: int = 16
    top_p: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    detokenize: bool = True
    logprobs: int | None = None
    logprob_token_ids: list[int] | None = None


class LLM:
    """As vLLM's: `scale` makes it read embeddings otherwise than words, as it does for some families."""

    scale = 1.0
    made: list[dict[str, Any]] = []  # noqa: RUF012 - the arguments of each one that was made

    def __init__(self, **given: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

        self.made.append(given)
        if given.get("fails"):
            raise ValueError("Free memory on device is less than desired GPU memory utilization.\nDecrease it.")
        sees = "limit_mm_per_prompt" in given
        family = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        self.model = family.from_pretrained(given["model"], dtype=getattr(torch, given["dtype"])).eval()
        self.processor = AutoProcessor.from_pretrained(given["model"]) if sees else None
        self.tokenizer = AutoTokenizer.from_pretrained(given["model"])
        self.most = given.get("max_model_len", 1024)

    @torch.inference_mode()
    def generate(self, prompts: list[Any], how: list[SamplingParams], use_tqdm: bool) -> list[Any]:
        """As vLLM's: one output for each prompt, each with one answer."""
        return [self._output(one, asked) for one, asked in zip(prompts, how, strict=True)]

    def _output(self, prompt: dict[str, Any], how: SamplingParams) -> Any:
        table, given = self.model.get_input_embeddings(), {}
        ids = prompt.get("prompt_token_ids", [])
        if "multi_modal_data" in prompt:
            text, picture = self.tokenizer.decode(ids), prompt["multi_modal_data"]["image"]
            read = self.processor(text=[text], images=[[picture]], return_tensors="pt", add_special_tokens=False)
            ids = read.pop("input_ids")[0].tolist()
            given = {key: value for key, value in read.items() if key != "attention_mask"}
        if len(ids) >= self.most:
            raise exceptions.VLLMClientError(
                f"The prompt (length {len(ids)}) is longer than the maximum of {self.most}."
            )
        if "prompt_embeds" in prompt:
            assert not prompt["prompt_embeds"].is_inference()  # vLLM sends it to another process
            before = prompt["prompt_embeds"] * self.scale
            answer = self._written(
                lambda more: {"inputs_embeds": torch.cat([before, table(torch.tensor(more, dtype=torch.long))])[None]},
                how,
            )
        else:
            answer = self._written(lambda more: {"input_ids": torch.tensor([ids + more]), **given}, how)
        return SimpleNamespace(outputs=[answer], prompt_token_ids=ids)

    def _written(self, inputs: Callable[[list[int]], dict[str, Any]], how: SamplingParams) -> Any:
        draws, tokens, odds, reason = torch.Generator().manual_seed(how.seed or 0), [], [], "length"
        for _ in range(how.max_tokens):
            logs = self.model(**inputs(tokens)).logits[0, -1].double().log_softmax(-1)
            drawn = (logs / (how.temperature or 1.0)).softmax(-1)
            token = int(logs.argmax() if not how.temperature else drawn.multinomial(1, generator=draws))
            tokens.append(token)
            wanted = {token, *(how.logprob_token_ids or [])}
            odds.append({one: SimpleNamespace(logprob=float(logs[one])) for one in sorted(wanted)})
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            if token in how.stop_token_ids or (how.detokenize and any(stop in text for stop in how.stop or [])):
                reason = "stop"
                break
        return SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=odds)
