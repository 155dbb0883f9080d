"""Tiny causal LLMs of many families, prompts about images, and what they answer without cache, batch or padding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from toy_llm import tiny_tokenizer

from m2f2bench.detectors.llm.generate import Generated, Generator, Request
from m2f2bench.detectors.llm.prompt import DEEPFAKE, IMAGE, embed
from m2f2bench.detectors.llm.sampling import GenerationSettings
from m2f2bench.detectors.llm.source import Language

WIDTH, VISUAL, FORGERY, CONTEXT = 32, 5, 2, 96
END = 1
FULL = {
    "vocab_size": 400,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": END,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}


def _family(name: str) -> Any:
    """A tiny causal LM with random weights wide enough for answers that differ."""
    import transformers as t

    old = {**FULL, "rotary_pct": 0.5}
    del old["num_key_value_heads"]
    makers: dict[str, Callable[[], Any]] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**FULL)),
        "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**FULL, sliding_window=7)),
        "mistral-wide": lambda: t.MistralForCausalLM(t.MistralConfig(**FULL, sliding_window=90)),
        "qwen2": lambda: t.Qwen2ForCausalLM(t.Qwen2Config(**FULL)),
        "qwen3": lambda: t.Qwen3ForCausalLM(t.Qwen3Config(**FULL, head_dim=8)),
        "gpt-neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**old)),
        "gpt2": lambda: t.GPT2LMHeadModel(
            t.GPT2Config(vocab_size=400, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=CONTEXT, eos_token_id=END)
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(vocab_size=400, hidden_size=WIDTH, n_layer=2, n_head=4, eos_token_id=END)
        ),
        "gemma3": lambda: t.Gemma3ForCausalLM(
            t.Gemma3TextConfig(
                **FULL, head_dim=8, sliding_window=6, layer_types=["sliding_attention", "full_attention"]
            )
        ),
        "phi3-long": lambda: t.Phi3ForCausalLM(
            t.Phi3Config(
                **FULL,
                original_max_position_embeddings=16,
                rope_scaling={"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4},
            )
        ),
        "falcon-h1": lambda: t.FalconH1ForCausalLM(
            t.FalconH1Config(**FULL, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, mamba_expand=1)
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = makers[name]()
        for value in model.parameters():
            if value.dim() > 1:
                value.data.normal_(std=0.35)
    return model.eval().requires_grad_(False)


@functools.cache
def language(name: str = "llama", context: int = CONTEXT) -> Language:
    return Language(_family(name), tiny_tokenizer(), name, "0" * 16, WIDTH, context)


def slots_of(images: Sequence[int], visual: int = VISUAL, width: int = WIDTH) -> dict[int, torch.Tensor]:
    """Random tokens of images; an image's are the same in every call."""
    draws = [torch.Generator().manual_seed(100 + image) for image in images]
    found = [0.35 * torch.randn(visual + FORGERY, width, generator=one) for one in draws]
    return {
        IMAGE: torch.stack([one[:visual] for one in found]),
        DEEPFAKE: torch.stack([one[visual:] for one in found]),
    }


def questions(images: int = 3) -> list[Request]:
    """Prompts of many lengths that begin alike, some with a slot in what differs."""
    start = (0, 17, 230, IMAGE, 41, DEEPFAKE, 99)
    rests = [(60, 61), (8, 9, 10, 11, 12, 13), (77,), (5, 5, DEEPFAKE, 44), (301, 302, 303)]
    return [Request(i, (*start, *rest), 10 * i + k) for i in range(images) for k, rest in enumerate(rests)]


def naive(
    language: Language, request: Request, most: int, slots: Callable[[Sequence[int]], Any] = slots_of
) -> list[int]:
    """Greedy tokens from a whole forward pass over everything for each: no cache, no batch, no padding."""
    given = {slot: tokens[0] for slot, tokens in slots([request.image]).items()}
    tokens: list[int] = []
    with torch.inference_mode():
        while len(tokens) < most and (not tokens or tokens[-1] != END):
            inputs = embed(language.model, (*request.prompt, *tokens), given)[None]
            tokens.append(int(language.model(inputs_embeds=inputs, use_cache=False).logits[0, -1].argmax()))
    return tokens


def text_of(language: Language, tokens: Sequence[int]) -> str:
    return str(language.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()


def generate(
    language: Language, requests: Sequence[Request], stops: tuple[str, ...] = (), **changes: Any
) -> list[Generated]:
    settings = GenerationSettings(**{"max_new_tokens": 12, **changes})
    return Generator(language, settings, frozenset({END}), stops).answer(requests, slots_of)


FAMILIES = ["llama", "mistral", "mistral-wide", "qwen2", "qwen3", "gpt-neox", "gpt2", "bloom", "gemma3"]
