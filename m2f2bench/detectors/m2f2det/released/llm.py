"""LLM of the published 7B folder: from LLaVA's naming to a plain Llama folder of transformers."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ....core.errors import DetectorError, first_line
from ....core.files import make_folder, replacing, write_json
from ...weights.load import check_shapes, shapes_of
from ...weights.pretrained import quiet
from .files import CONFIG, Tensors, read_config

FOLDER = "llm"
GENERATION, INDEX = "generation_config.json", "model.safetensors.index.json"
SHARD_BYTES = 1 << 30
"""Most bytes of a file of weights, and so of what is in memory at once; a larger tensor has its own file."""
NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "max_position_embeddings", "rms_norm_eps")  # fmt: skip
KEPT = (*NEEDED, "num_key_value_heads", "head_dim", "hidden_act", "rope_theta", "rope_scaling", "rope_parameters",
        "attention_bias", "mlp_bias", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id",
        "tie_word_embeddings")  # fmt: skip
"""Keys of a Llama's configuration; all others in the file are LLaVA's and have no effect on the LLM."""
TOKENIZERS = ("tokenizer.model", "tokenizer.json")
TOKENIZER_FILES = (*TOKENIZERS, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                   "chat_template.jinja")  # fmt: skip
_LAYER = re.compile(r"model\.layers\.(\d{1,4})\.")
_LLAMA = re.compile(r"llava|llava_llama|llama")


class PublishedLanguage:
    """The LLM of a published folder, checked except for the tensors' values.

    `width` is D of its embeddings, `config` the plain Llama's, `dropped` the keys of the folder's configuration that
    are not in it, `tokenizer` the files that are copied.
    """

    def __init__(self, folder: Path, source: Tensors, names: Mapping[str, str]) -> None:
        """`names` maps a LlamaForCausalLM's names to the source's. Raises DetectorError."""
        self.folder, self.source, self.names = folder, source, dict(names)
        found = llava_config(folder)
        self.config = {key: found[key] for key in KEPT if found.get(key) is not None}
        if self.config.get("pad_token_id", 0) < 0:  # "none" of the first Llamas
            del self.config["pad_token_id"]
        self.dropped = sorted(key for key in found if key not in self.config)
        self._check_layers()
        # If a file has both tables, they are kept separate, tied or not.
        tied = bool(self.config.get("tie_word_embeddings")) and "lm_head.weight" not in self.names
        self.config["tie_word_embeddings"] = tied
        expected = llama_shapes(self.config, folder / CONFIG)
        if tied:
            del expected["lm_head.weight"]
        shapes = {name: source.shape(own) for name, own in self.names.items()}
        check_shapes(expected, shapes, folder, f"the LLM of its {CONFIG}")
        self.order = sorted(expected, key=_place)
        self.width = int(self.config["hidden_size"])
        self.tokenizer = self._tokenizer()

    def _check_layers(self) -> None:
        layers = {int(match[1]) for match in map(_LAYER.match, self.names) if match}
        count = self.config["num_hidden_layers"]
        if layers != set(range(count)):
            raise DetectorError(
                f"weights '{self.folder}' have {len(layers)} layers of the LLM but its {CONFIG} says {count}: "
                "they do not belong to one model, or a part of the folder is missing"
            )

    def _tokenizer(self) -> list[Path]:
        """Return the tokenizer's files in the folder.

        Raises DetectorError unless transformers can load them and the LLM has a row for every token.
        """
        from transformers import AutoTokenizer

        files = [self.folder / name for name in TOKENIZER_FILES if (self.folder / name).is_file()]
        if not any(file.name in TOKENIZERS for file in files):
            raise DetectorError(
                f"folder '{self.folder}' has no tokenizer: download its {TOKENIZERS[0]} or {TOKENIZERS[1]} too, or "
                "give --detector-only"
            )
        with tempfile.TemporaryDirectory() as place:
            write_json(Path(place) / CONFIG, self._config("float16"))
            for file in files:
                shutil.copyfile(file, Path(place) / file.name)
            try:
                with quiet():
                    tokens = len(AutoTokenizer.from_pretrained(place, trust_remote_code=False))
            except Exception as error:  # the libraries raise errors of any kind for broken or foreign files
                needs = "" if (self.folder / TOKENIZERS[1]).is_file() else "`pip install 'm2f2bench[llama]'`, or "
                raise DetectorError(
                    f"the tokenizer in '{self.folder}' cannot be loaded: {first_line(error)}; {needs}"
                    f"put the {TOKENIZERS[1]} of the same LLM beside it"
                ) from None
        if tokens > self.config["vocab_size"]:
            raise DetectorError(
                f"the tokenizer in '{self.folder}' has {tokens} tokens but the LLM {self.config['vocab_size']}: they "
                "do not belong to one model"
            )
        return files

    def write(self, out: Path, shard_bytes: int = SHARD_BYTES) -> None:
        """Write the folder: shards and their index, configuration and tokenizer; the configuration last.

        Tensors keep their dtype, and at most one file's are in memory. Raises DetectorError for values that are not
        finite.
        """
        make_folder(out)
        for file in self.tokenizer:
            with replacing(out / file.name) as temporary:
                shutil.copyfile(file, temporary)
        dtype = self._write_shards(out, shard_bytes)
        tokens = {
            key: self.config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in self.config
        }
        write_json(out / GENERATION, tokens)
        write_json(out / CONFIG, self._config(dtype))

    def _write_shards(self, out: Path, shard_bytes: int) -> str:
        """Write the files of weights and their index; return the name of the embeddings' dtype."""
        held: dict[str, torch.Tensor] = {}
        shards: list[list[str]] = []
        total, dtype = 0, ""

        def put() -> None:
            _write_shard(out / f"{len(shards):05d}.safetensors", held)
            shards.append(list(held))
            held.clear()

        for name in self.order:
            tensor = self.source.finite(self.names[name], self.folder)
            dtype = dtype or str(tensor.dtype).removeprefix("torch.")
            total += tensor.nbytes
            if held and sum(one.nbytes for one in held.values()) + tensor.nbytes > shard_bytes:
                put()
            held[name] = tensor
            del tensor
        put()
        places: dict[str, str] = {}
        for number, names in enumerate(shards):
            file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
            (out / f"{number:05d}.safetensors").replace(out / file)
            places |= dict.fromkeys(names, file)
        write_json(out / INDEX, {"metadata": {"total_size": total}, "weight_map": places})
        return dtype

    def _config(self, dtype: str) -> dict[str, Any]:
        return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": dtype, **self.config}


def _write_shard(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write one file as transformers reads it, atomically; tensors are not copied."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, {"format": "pt"})
        except SafetensorError as error:  # a full disk, reported by the library with its own error
            raise OSError(first_line(error)) from None


def llava_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of the folder, unchanged. Raises DetectorError unless it is of LLaVA on a Llama."""
    path = folder / CONFIG
    if not path.is_file():
        raise DetectorError(
            f"folder '{folder}' has no {CONFIG}: download that file of the 7B model too, or give --detector-only"
        )
    found = read_config(path)
    if not isinstance(found, dict):
        raise DetectorError(f"'{path}' is not a configuration: it must be a mapping; download it again")
    kinds = [str(one) for one in found.get("architectures") or ()]
    kind = str(found.get("model_type", ""))
    if not _LLAMA.fullmatch(kind) and not any("Llama" in one for one in kinds):
        raise DetectorError(
            f"'{path}' is for a '{kind}', not for LLaVA on a Llama: is this the folder of another model?"
        )
    for key in NEEDED:
        value = found.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise DetectorError(f"'{path}': {key} must be a number above 0, not {value!r}; download it again")
    if found.get("mm_vision_select_layer", -2) != -2:
        raise DetectorError(
            f"'{path}': mm_vision_select_layer is {found['mm_vision_select_layer']}, but M2F2-Det reads hidden state -2"
        )
    return found


def llama_shapes(config: Mapping[str, Any], path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of transformers' LlamaForCausalLM for a configuration. Raises DetectorError."""
    from transformers import LlamaConfig, LlamaForCausalLM

    try:
        with quiet(), torch.device("meta"):
            model = LlamaForCausalLM(LlamaConfig(**config))
    except Exception as error:
        raise DetectorError(
            f"'{path}' is not a Llama's configuration: {first_line(error)}; download it again"
        ) from None
    return shapes_of(model.state_dict())


def _place(name: str) -> tuple[int, int, str]:
    """Return the order of a tensor in the files: embeddings, layers, then the rest."""
    layer = _LAYER.match(name)
    if layer:
        return 1, int(layer[1]), name
    return (0 if name.startswith("model.embed_tokens") else 2), 0, name
