"""A tiny Llama with a real byte-level BPE tokenizer and a chat template, in a folder as transformers writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from m2f2bench.detectors.llm.source import Language, LanguageSource, open_language

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXTS = [
    "The image looks real. The person has thick eyebrows and a wide mouth.",
    "The person's eyes look fake because they are blurred while the hair is sharp.",
    "Do the person's eyes look real/fake? Does the person's nose look real/fake?",
    "Determine the authenticity. Is the image real or fake? The image is fake.",
]


def tiny_tokenizer(template: str | None = TEMPLATE) -> Any:
    """About 400 tokens, learned from TEXTS; any text can be written, byte by byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", additional_special_tokens=special[2:]
    )
    made.chat_template = template
    return made


def tiny_llm(folder: Path, template: str | None = TEMPLATE, seed: int = 0, **config: Any) -> Path:
    """Write the LLM; `config` overrides the Llama's (hidden 32, 2 layers, 4 heads, 512 positions)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(template)
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
        **config,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**settings))
        for value in model.parameters():  # wider than at a start, so that greedy answers differ
            if value.dim() > 1:
                value.data.normal_(std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_language(folder: Path, **config: Any) -> Language:
    """The same, opened on the CPU in fp32."""
    return open_language(LanguageSource(name=str(tiny_llm(folder, **config))), folder)
