"""Tiny vision-language models of three families with random weights, in folders as transformers writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from toy_llm import tiny_tokenizer

LLAVA = (
    "{% for message in messages %}{{ message['role'].upper() }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
IDEFICS = (
    "<s>{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }} {% endif %}{% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


QWEN = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }} "
    "{% endif %}{% endfor %}<|end|>\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


def _tokenizer(*signs: str) -> Any:
    """The tiny tokenizer with a picture's signs; like Llama's, it puts <s> before a text."""
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_tokenizer(None)
    first = [("<s>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=first)
    tokenizer.add_special_tokens({"pad_token": "<pad>", "additional_special_tokens": ["<|end|>", *signs]})
    return tokenizer


def _save(folder: Path, make: Callable[[], Any], processor: Any, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for value in model.parameters():  # wider than at a start, so that answers differ
            if value.dim() > 1:
                value.data.normal_(std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_llava(folder: Path, seed: int = 0, template: str | None = LLAVA) -> Path:
    """LLaVA: CLIP at 28 pixels with patches of 14, and a Llama."""
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    tokenizer = _tokenizer("<image>")
    size = {"height": 28, "width": 28}
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=size)
    processor = LlavaProcessor(
        pictures, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template,
        num_additional_image_tokens=1,
    )  # fmt: skip
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "image_size": 28, "patch_size": 14, "projection_dim": 32,
    }  # fmt: skip
    config = LlavaConfig(
        vision_config=vision,
        text_config={"model_type": "llama", **_text(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return _save(folder, lambda: LlavaForConditionalGeneration(config), processor, seed)


def tiny_idefics(folder: Path, seed: int = 0, **text: Any) -> Path:
    """Idefics3, which SmolVLM is: SigLIP at 32 pixels; a larger picture is cut into tiles, so that prompts differ in
    length and batches are padded."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    tokenizer = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    pictures = Idefics3ImageProcessor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=IDEFICS)
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    config = Idefics3Config(
        vision_config=vision,
        text_config={"model_type": "llama", **_text(tokenizer, **text)},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return _save(folder, lambda: Idefics3ForConditionalGeneration(config), processor, seed)


def tiny_qwen(folder: Path, seed: int = 0) -> Path:
    """Qwen2.5-VL: pictures of any size, a token for each 28 pixels a side, and positions in three directions."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    signs = ("vision_start", "vision_end", "image_pad", "video_pad")
    tokenizer = _tokenizer(*(f"<|{sign}|>" for sign in signs))
    pictures = Qwen2VLImageProcessor(min_pixels=28**2, max_pixels=16 * 28**2)
    processor = Qwen2_5_VLProcessor(pictures, tokenizer, Qwen2VLVideoProcessor(), chat_template=QWEN)
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "depth": 2, "num_heads": 4, "out_hidden_size": 32,
        "window_size": 56, "fullatt_block_indexes": [1],
    }  # fmt: skip
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    ids = dict(zip(signs, tokenizer.convert_tokens_to_ids([f"<|{sign}|>" for sign in signs]), strict=True))
    config = Qwen2_5_VLConfig(
        vision_config=vision,
        text_config={**_text(tokenizer), "rope_parameters": rope},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    return _save(folder, lambda: Qwen2_5_VLForConditionalGeneration(config), processor, seed)
