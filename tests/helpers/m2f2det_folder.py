"""A folder like that of the published 7B explainer: LLaVA's names, a small CLIP and a tiny Llama, and what it computes.

The names are the published folder's: `model.layers.*` and `lm_head` of the LLM, `model.mm_projector.{0,2}`,
`model.vision_tower.vision_tower.vision_model.*`, `deepfake_encoder.*` (the detector, without an image tower of its own)
and `deepfake_projector.{0,2}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from m2f2det_published import SMALL, VISION, Reference, Tensors, fill, small
from safetensors.torch import save_file
from torch.nn import functional as F
from toy_llm import tiny_tokenizer

KIND = "m2f2det-released-explainer"
TOWER = "model.vision_tower.vision_tower.vision_model."
WIDTH, INNER, LAYERS = 32, 48, 2
WORDS = len(tiny_tokenizer())
CONFIG: dict[str, Any] = {
    "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "torch_dtype": "float16",
    "vocab_size": WORDS, "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0, "rope_theta": 5000.0,
    "mm_vision_select_layer": -2, "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": SMALL["vision"],
    "mm_vision_tower": "openai/clip-vit-large-patch14-336", "image_aspect_ratio": "pad", "use_cache": True,
}  # fmt: skip


def explaining_tensors(salt: int = 0) -> Tensors:
    """LLM and projectors, fp16."""
    key_values = WIDTH * CONFIG["num_key_value_heads"] // CONFIG["num_attention_heads"]
    layer = {
        "self_attn.q_proj": (WIDTH, WIDTH), "self_attn.k_proj": (key_values, WIDTH),
        "self_attn.v_proj": (key_values, WIDTH), "self_attn.o_proj": (WIDTH, WIDTH), "mlp.gate_proj": (INNER, WIDTH),
        "mlp.up_proj": (INNER, WIDTH), "mlp.down_proj": (WIDTH, INNER), "input_layernorm": (WIDTH,),
        "post_attention_layernorm": (WIDTH,),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (WORDS, WIDTH), "model.norm.weight": (WIDTH,)}
    shapes |= {f"model.layers.{n}.{name}.weight": shape for n in range(LAYERS) for name, shape in layer.items()}
    shapes |= {"lm_head.weight": (WORDS, WIDTH)}
    for name, inputs in (("model.mm_projector", SMALL["vision"]), ("deepfake_projector", 2)):
        shapes |= {f"{name}.0.weight": (WIDTH, inputs), f"{name}.0.bias": (WIDTH,)}
        shapes |= {f"{name}.2.weight": (WIDTH, WIDTH), f"{name}.2.bias": (WIDTH,)}
    return {name: value.half() for name, value in fill(shapes, salt).items()}


def folder_tensors(salt: int = 0) -> Tensors:
    """All that is in the published folder, by its names, fp16."""
    tensors = explaining_tensors(salt)
    for name, value in small("explainer", salt).items():
        own = TOWER + name.removeprefix(VISION) if name.startswith(VISION) else f"deepfake_encoder.{name}"
        tensors[own] = value.half() if value.is_floating_point() else value
    return tensors


def detector_tensors(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The detector's part of a folder, in fp32 and by the names of a checkpoint."""
    found = {}
    for name, value in tensors.items():
        if name.startswith((TOWER, "deepfake_encoder.")):
            own = VISION + name.removeprefix(TOWER) if name.startswith(TOWER) else name.partition(".")[2]
            found[own] = value.float() if value.is_floating_point() else value
    return found


def write_folder(place: Path, tensors: Mapping[str, torch.Tensor], form: str = "safetensors", **config: Any) -> Path:
    """Write the folder. `form`: `safetensors` or `bin` (three shards with an index), or `whole` (one file)."""
    place.mkdir()
    (place / "config.json").write_text(json.dumps({**CONFIG, **config}))
    tiny_tokenizer().save_pretrained(place)
    if form == "whole":
        save_file(dict(tensors), place / "model.safetensors")
        return place
    stem, suffix = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    names, where = sorted(tensors), {}
    for number in range(3):
        file = f"{stem}-0000{number + 1}-of-00003.{suffix}"
        own = {name: tensors[name] for name in names[number::3]}
        save_file(own, place / file) if suffix == "safetensors" else torch.save(own, place / file)
        where |= dict.fromkeys(own, file)
    (place / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return place


class WholeReference:
    """What the published scripts compute, written plainly, in fp32: no cache, one image and one question at a time."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        self.t = {name: value.float() for name, value in tensors.items()}
        self.detector = Reference("explainer", detector_tensors(tensors))
        keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta")  # fmt: skip
        self.llm = LlamaForCausalLM(LlamaConfig(**{key: CONFIG[key] for key in keys})).eval()
        own = {
            n: v for n, v in self.t.items() if n.startswith(("model.layers", "model.embed", "model.norm", "lm_head"))
        }
        self.llm.load_state_dict(own)
        self.tokenizer = tiny_tokenizer()

    def _project(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = F.gelu(F.linear(x, self.t[f"{name}.0.weight"], self.t[f"{name}.0.bias"]))
        return F.linear(hidden, self.t[f"{name}.2.weight"], self.t[f"{name}.2.bias"])

    @torch.no_grad()
    def embeddings(self, pixels: torch.Tensor, content: str) -> torch.Tensor:
        """[1, L, D] of one normalised image [1, 3, S, S] and what the human says."""
        prompt = (
            "Assistant: A chat between a curious human and an artificial intelligence assistant. The assistant gives "
            f"helpful, detailed, and polite answers to the human's questions.###Human: {content}###Assistant:"
        )
        before, rest = prompt.split("<image>")
        between, after = rest.split("<deepfake>")
        hidden = self.detector.vision(pixels, output_hidden_states=True).hidden_states[-2]
        visual = self._project("model.mm_projector", hidden)[0, 1:]
        verdict = self._project("deepfake_projector", self.detector.logits(pixels).softmax(1))
        words = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, between, after)]
        first, second, third = (
            self.llm.get_input_embeddings()(torch.tensor(ids)) for ids in ([0, *words[0]], *words[1:])
        )
        return torch.cat([first, visual, second, verdict, third])[None]

    @torch.no_grad()
    def logits(self, pixels: torch.Tensor, content: str) -> torch.Tensor:
        """Of the first token of the answer."""
        return self.llm(inputs_embeds=self.embeddings(pixels, content)).logits[0, -1]

    @torch.no_grad()
    def answer(self, pixels: torch.Tensor, content: str, most: int) -> str:
        """The greedy answer up to its end, `###` or `most` tokens."""
        inputs, ids = self.embeddings(pixels, content), []
        for _ in range(most):
            token = self.llm(inputs_embeds=inputs).logits[0, -1].argmax()
            if int(token) == CONFIG["eos_token_id"]:
                break
            ids.append(int(token))
            inputs = torch.cat([inputs, self.llm.get_input_embeddings()(token)[None, None]], dim=1)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).partition("###")[0].strip()
