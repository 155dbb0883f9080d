"""Answers of a vision-language model: a picture read once for all its questions, against each prompt read whole.

An Idefics3 of SmolVLM-256M's widths (SigLIP base at 512 px, 64 tokens a picture, the LLM SmolLM2-135M), with random
weights: time does not depend on what they are. Both ways in one run, with the same batches, texts compared.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import report, sized

from m2f2bench.cards.models import DetectorCard
from m2f2bench.detectors.weights.pretrained import offline_llm
from m2f2bench.loading import load_detector

PICTURES, QUESTIONS, TOKENS = sized((4, 7, 16), (2, 2, 2))
VISION = sized(
    {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
)
TEXT: dict[str, Any] = sized(
    {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
)
SIDE, PATCH, SCALE = sized((512, 16, 4), (32, 8, 2))
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path) -> None:
    """Write the model, its processor, and the tokenizer of SmolLM2."""
    from transformers import (
        AutoTokenizer,
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    file = offline_llm("smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    signs = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokenizer.add_special_tokens({"additional_special_tokens": signs})
    pictures = Idefics3ImageProcessor(size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE})
    tokens = (SIDE // PATCH // SCALE) ** 2
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=tokens, chat_template=TEMPLATE)
    ends = {"bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Idefics3Config(
        vision_config={**VISION, "image_size": SIDE, "patch_size": PATCH},
        text_config={
            "model_type": "llama", "vocab_size": len(tokenizer), "max_position_embeddings": 8192, **TEXT, **ends
        },
        scale_factor=SCALE,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def main() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(PICTURES)]
    asked = [f"Does the part number {number} of this face look real or fake?" for number in range(QUESTIONS)]
    pairs = [picture for picture in pictures for _ in asked], asked * PICTURES
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder))
        options = {"model": folder, "batch_size": 2 * QUESTIONS, "generation": {"max_new_tokens": TOKENS}}
        model: Any = load_detector(DetectorCard(name="vlm", backend="vlm", options=options), "cpu")
        times, texts = [], []
        model.explain(pairs[0][:2], pairs[1][:2])  # it is warm, and has tried whether a picture can be read once
        assert model.chat.beginnings.usable
        for once in (False, True):
            model.chat.beginnings.usable = once
            start = time.perf_counter()
            texts.append([reply.text for reply in model.explain(*pairs)])
            times.append(time.perf_counter() - start)
    equal = sum(a == b for a, b in zip(*texts, strict=True))
    ways = ("each prompt read whole", "a picture read once")
    report(
        [
            {"what": way, "answers": len(texts[0]), "s": seconds, "ratio": times[0] / seconds, "equal": equal}
            for way, seconds in zip(ways, times, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
