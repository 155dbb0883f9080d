"""Sources of an LLM: a hub, a local folder, a .gguf file, or an installed package."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ...cards.settings import Settings
from ...core.errors import DetectorError, first_line
from ...core.files import sha256
from ...core.memo import Memo, cache_folder, file_stamp
from ..weights.pretrained import DTYPES, check_report, offline_llm, quiet, resolved
from ..weights.weight_files import POINTER, is_pointer
from .llava import language_arguments, without_others

OFFLINE = "offline:"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".gguf", ".json", ".model", ".jinja", ".txt")


class LanguageSource(Settings):
    """Which causal LLM, in which precision."""

    name: str
    """A name on the Hugging Face hub, a local folder (relative to the card), a .gguf file, or
    `offline:smollm2-135m-instruct`, which comes as a Python package. Of a LLaVA it is the LLM inside."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU, fp32 on a CPU."""
    quantise: Literal["4bit"] | None = None
    """Quantise the frozen weights to NF4 (Dettmers et al. 2023, arXiv 2305.14314), on a GPU; needs the extra `4bit`."""


@dataclass
class Language:
    """A causal LLM, frozen and in eval mode, with its tokenizer.

    `fingerprint` (16 hex digits) covers weights and tokenizer, `width` is D of its embeddings, `context` the most
    positions it reads.
    """

    model: Any
    tokenizer: Any
    name: str
    fingerprint: str
    width: int
    context: int


def open_language(source: LanguageSource, folder: Path, device: torch.device | str = "cpu") -> Language:
    """Return the LLM that a card names, on a device. `folder` is the card's. Raises DetectorError in one line."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = torch.device(device)
    place, arguments = _place(source.name, folder)
    where = f"LLM '{source.name}'"
    local = Path(place) if Path(place).is_dir() else None
    if local is not None and not arguments and not any((local / name).is_file() for name in TOKENIZER_FILES):
        raise DetectorError(f"{where} has no tokenizer: put {TOKENIZER_FILES[0]} (or tokenizer.model) into '{local}'")
    if local is not None and not arguments and not (local / "config.json").is_file():
        raise DetectorError(f"{where}: '{local}' has no config.json: give the folder of a causal LLM of transformers")
    for file in _files(local, arguments) if local is not None else ():
        if is_pointer(file):
            raise DetectorError(f"{where} cannot be loaded: '{file}' is {POINTER}")
    absent = "" if local is not None else f"there is no folder '{folder / source.name}', and "
    wanted = "a causal LLM of transformers: a folder, a .gguf file, or a name on a hub that this machine reaches"
    with loading(f"{where} cannot be loaded: {absent}", wanted):
        # Code in a folder is never run, and the user is not asked about it.
        inside = language_arguments(place, arguments)
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **arguments, **_own_config(inside))
        model, report = AutoModelForCausalLM.from_pretrained(
            place,
            trust_remote_code=False,
            output_loading_info=True,
            dtype=DTYPES[resolved(source.dtype, device)],
            **_quantised(source, device),
            **arguments,
            **inside,
        )
    check_report(without_others(report) if inside else report, where)
    if "gguf_file" in arguments:
        _unpacked(model, where)
    if source.quantise is None:
        model = model.to(device)
    model.eval().requires_grad_(False)
    config = model.config.get_text_config()
    context = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 1 << 20)
    table = model.get_input_embeddings().weight
    if len(tokenizer) > len(table):
        raise DetectorError(
            f"{where}: its tokenizer has {len(tokenizer)} tokens but there are {len(table)} embeddings: they do not "
            "belong to one model"
        )
    return Language(model, tokenizer, source.name, language_fingerprint(source, folder), table.shape[1], context)


@contextlib.contextmanager
def loading(what: str, wanted: str) -> Iterator[None]:
    """Load from files or a hub quietly. An error becomes a DetectorError in one line that asks for what is `wanted`."""
    try:
        with quiet():
            yield
    except DetectorError:
        raise
    except Exception as error:
        raise DetectorError(f"{what}{first_line(error)}; give {wanted}") from None


def language_fingerprint(source: LanguageSource, folder: Path) -> str:
    """Return 16 hex digits over the files of an LLM (read once, then cached), or over its commit on the hub."""
    place, arguments = _place(source.name, folder)
    base = Path(place)
    if not base.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(place, "config.json")
        commit = Path(found).parent.name if isinstance(found, str) else "unknown"
        return hashlib.sha256(f"{place}@{commit}".encode()).hexdigest()[:16]
    digest = hashlib.sha256()
    with Memo(cache_folder() / "digests" / "llm.jsonl") as memo:
        for file in _files(base, arguments):
            key, stamp = str(file.resolve()), file_stamp(file)
            known = memo.get(key, stamp)
            if not isinstance(known, str):
                known = sha256(file)
                memo.put(key, stamp, known)
            digest.update(f"{file.name}\0{known}\0".encode())
    return digest.hexdigest()[:16]


def plain_place(source: LanguageSource, folder: Path) -> str | None:
    """Return the folder or the hub name of an LLM that stands there as it is; None for another file or a LLaVA's."""
    place, arguments = _place(source.name, folder)
    return None if arguments or language_arguments(place, arguments) else place


def _place(name: str, folder: Path) -> tuple[str, dict[str, str]]:
    """Return the folder or hub name that transformers loads, and for a .gguf file its name in the folder."""
    if name.startswith(OFFLINE):
        file = offline_llm(name.removeprefix(OFFLINE))
        return str(file.parent), {"gguf_file": file.name}
    local = folder / Path(name).expanduser()
    if local.suffix == ".gguf":
        if not local.is_file():
            raise DetectorError(f"LLM '{name}': there is no file '{local}'")
        return str(local.parent), {"gguf_file": local.name}
    if not local.is_dir() and name.startswith(("/", ".", "~")):
        raise DetectorError(f"LLM '{name}': there is no folder '{local}': create it, or correct the name on the card")
    return (str(local), {}) if local.is_dir() else (name, {})


def _files(folder: Path, arguments: dict[str, str]) -> list[Path]:
    """Return the files of an LLM in a folder, sorted; of a .gguf file that alone."""
    if arguments:
        return [folder / arguments["gguf_file"]]
    return sorted(file for file in folder.iterdir() if file.suffix in WEIGHT_SUFFIXES)


def _own_config(inside: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a LLaVA's tokenizer: in its authors' form no class of transformers fits the whole."""
    return {"config": inside["config"]} if inside else {}


def _quantised(source: LanguageSource, device: torch.device) -> dict[str, Any]:
    """Return arguments for 4-bit weights. Raises DetectorError without a GPU or without bitsandbytes."""
    if source.quantise is None:
        return {}
    import importlib.util

    if device.type != "cuda":
        raise DetectorError(f"LLM '{source.name}': 4-bit weights need a GPU, not {device.type}: remove `quantise`")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DetectorError(f"LLM '{source.name}': 4-bit weights need bitsandbytes: pip install 'm2f2bench[4bit]'")
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def _unpacked(model: Any, where: str) -> None:
    """Turn a model from a .gguf file, whose weights were unpacked, into a plain one that can be saved."""
    if not all(value.is_floating_point() for value in model.parameters()):
        raise DetectorError(f"{where}: transformers does not unpack its weights: convert the .gguf file to a folder")
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
