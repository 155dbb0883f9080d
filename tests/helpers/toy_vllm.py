"""A stand-in for the package vllm, which asks for a torch of its own and so is not installed beside the tests: what the
package calls of it, computed by transformers, one prompt at a time.

`tests/detectors/test_vllm.py` asks the real one the same where it is installed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch


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
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.made.append(given)
        if given.get("fails"):
            raise ValueError("Free memory on device is less than desired GPU memory utilization.\nDecrease it.")
        dtype = getattr(torch, given["dtype"])
        self.model = AutoModelForCausalLM.from_pretrained(given["model"], dtype=dtype).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(given["model"])

    @torch.inference_mode()
    def generate(self, prompts: list[Any], how: list[SamplingParams], use_tqdm: bool) -> list[Any]:
        return [SimpleNamespace(outputs=[self.written(one, asked)]) for one, asked in zip(prompts, how, strict=True)]

    def written(self, prompt: dict[str, Any], how: SamplingParams) -> Any:
        """One answer."""
        table = self.model.get_input_embeddings()
        if "prompt_embeds" in prompt:
            assert not prompt["prompt_embeds"].is_inference()  # vLLM sends it to another process
            read = prompt["prompt_embeds"] * self.scale
        else:
            read = table(torch.tensor(prompt["prompt_token_ids"]))
        draws, tokens, odds, reason = torch.Generator().manual_seed(how.seed or 0), [], [], "length"
        for _ in range(how.max_tokens):
            whole = torch.cat([read, table(torch.tensor(tokens, dtype=torch.long))])
            logits = self.model(inputs_embeds=whole[None]).logits
            logs = logits[0, -1].double().log_softmax(-1)
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
