"""Sources of a vision-language model: a hub, or a folder in the format of transformers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from ...cards.settings import Settings
from ...core.errors import DetectorError, near
from ..base import text_fingerprint
from ..llm.source import LanguageSource, language_fingerprint, loading
from ..weights.pretrained import DTYPES, check_report, resolved
from ..weights.weight_files import POINTER, is_pointer

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
COMPUTED = ("position_ids", "rotary_emb.inv_freq")
"""Suffixes of buffers that older checkpoints hold and that are computed, not learned."""


class VisionLanguageSource(Settings):
    """Which vision-language model, in which precision."""

    model: str = Field(min_length=1)
    """A name on the Hugging Face hub, or a local folder (relative to the card) with weights, processor and chat
    template."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None: its main branch."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 on a GPU, fp32 on a CPU."""
    processor: dict[str, Any] = Field(default_factory=dict)
    """Settings that replace those of the model's processor, such as `max_pixels` of Qwen-VL's."""


@dataclass
class Opened:
    """A model in eval mode, frozen, on its device, with its processor; without `model`, for another engine.

    `place` is its folder or its name on the hub, `ends` the token ids that end an answer. `fingerprint` (16 hex digits)
    covers weights, processor and chat template; `preprocessing` names the image processor and a hash of its settings.
    `image_token` represents a picture in a prompt; empty if unknown.
    """

    model: Any
    processor: Any
    place: str
    ends: frozenset[int]
    precision: str
    fingerprint: str
    preprocessing: str
    image_token: str


def open_vlm(source: VisionLanguageSource, folder: Path, device: torch.device, weights: bool = True) -> Opened:
    """Return the model that a card in `folder` names; without `weights`, what another engine needs to load it.

    Raises DetectorError in one line, also for tensors that are missing, unexpected or of another shape.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    where, local = f"vision-language model '{source.model}'", _local(source, folder)
    place = source.model if local is None else str(local)
    # Code in a folder is never run, and the user is not asked about it.
    how: dict[str, Any] = {"trust_remote_code": False}
    if source.revision:
        how["revision"] = source.revision
    precision = resolved(source.dtype, device)
    wanted = (
        "a folder with weights, processor and chat template of an image-text-to-text model, or a name on a hub that "
        "this machine reaches"
    )
    with loading(f"{where} cannot be loaded: ", wanted):
        config = AutoConfig.from_pretrained(place, **how)  # an unreachable hub fails at this first small file
        processor = AutoProcessor.from_pretrained(place, **how, **source.processor)
        _check_processor(processor, source, where)
        model, report = None, {}
        if weights:
            model, report = AutoModelForImageTextToText.from_pretrained(
                place, output_loading_info=True, dtype=DTYPES[precision], **how
            )
        ends = _ends(place, how, config, processor.tokenizer)
    if model is not None:
        check_report(report, where, COMPUTED)
        model = model.to(device).eval().requires_grad_(False)
        give_keys(model)
    own = processor.image_processor
    settings = text_fingerprint(json.dumps(own.to_dict(), sort_keys=True, default=str))[:8]
    fingerprint, preprocessing = _fingerprint(local, source, config), f"{type(own).__name__}-{settings}"
    image_token = str(getattr(processor, "image_token", "") or "")
    return Opened(model, processor, place, ends, precision, fingerprint, preprocessing, image_token)


def _local(source: VisionLanguageSource, folder: Path) -> Path | None:
    """Return the folder that `model` names, None for a name on the hub. Raises DetectorError if files are missing."""
    path, where = folder / Path(source.model).expanduser(), f"vision-language model '{source.model}'"
    if not path.is_dir():
        if source.model.startswith(("/", ".", "~")):
            raise DetectorError(f"{where}: there is no folder '{path}'")
        return None
    if source.revision is not None:
        raise DetectorError(f"{where} is a local folder: remove `revision`, which is only for the hub")
    for wanted in (("config.json",), PROCESSOR_FILES):
        if not any((path / name).is_file() for name in wanted):
            raise DetectorError(f"{where}: '{path}' has no {' or '.join(wanted)}: download the whole model into it")
    if not [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        raise DetectorError(f"{where}: '{path}' has no weights (*.safetensors): download the whole model into it")
    pointer = next((file for file in sorted(path.iterdir()) if is_pointer(file)), None)
    if pointer is not None:
        raise DetectorError(f"{where}: '{pointer}' is {POINTER}")
    return path


def _check_processor(processor: Any, source: VisionLanguageSource, where: str) -> None:
    """Raise DetectorError for a processor without a part that is needed, and for settings it would ignore."""
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise DetectorError(f"{where} has a {type(processor).__name__}, not a processor for both pictures and texts")
    if not getattr(processor, "chat_template", None):
        raise DetectorError(f"{where} has no chat template: take an instruction-tuned one, or add chat_template.jinja")
    own = processor.image_processor
    known = {*own.to_dict(), *getattr(getattr(own, "valid_kwargs", None), "__annotations__", {})}
    for key in source.processor:
        if key not in known:
            raise DetectorError(f"{where}: its {type(own).__name__} has no setting '{key}'{near(key, known)}")


def _ends(place: str, how: dict[str, Any], config: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: those of the model's own generation settings, and the tokenizer's."""
    from transformers import GenerationConfig

    try:
        named = GenerationConfig.from_pretrained(place, **how).eos_token_id
    except OSError:  # there is no such file
        named = GenerationConfig.from_model_config(config).eos_token_id
    listed = named if isinstance(named, (list, tuple)) else [named]
    return frozenset(int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _fingerprint(local: Path | None, source: VisionLanguageSource, config: Any) -> str:
    """Return a hash of a folder's files, or of the commit on the hub."""
    if local is not None:
        return language_fingerprint(LanguageSource(name=str(local)), local)
    commit = getattr(config, "_commit_hash", None) or source.revision or "unknown"
    return text_fingerprint(source.model, str(commit))


def give_keys(model: nn.Module) -> None:
    """Let padding before a prompt attend to itself, in all attention layers of a model of transformers.

    In a batch that is padded on the left, such positions would have no key, and the result of attention would be
    undefined: zeros or NaN, depending on the kernel. No other position attends to them, so nothing else changes.
    """
    last: tuple[torch.Tensor | None, torch.Tensor | None] = None, None  # the layers of a pass share one mask

    def fix(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        nonlocal last
        mask = named.get("attention_mask")
        if not isinstance(mask, torch.Tensor) or mask.ndim != 4 or mask.shape[2] == 1:
            return None
        if last[0] is not mask:
            last = mask, with_keys(mask)
        return given, {**named, "attention_mask": last[1]}

    for module in model.modules():
        if hasattr(module, "is_causal"):  # transformers' mark of attention layers
            module.register_forward_pre_hook(fix, with_kwargs=True)


def with_keys(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask [B, heads or 1, L, K] of the last L of K positions, in which a row without a key sees itself.

    The mask is of bools (True: visible) or of numbers that are added to scores.
    """
    rows, columns = mask.shape[2:]
    hidden = ~mask if mask.dtype == torch.bool else mask <= torch.finfo(mask.dtype).min
    alone = hidden.all(3, keepdim=True)
    own = torch.eye(columns, dtype=torch.bool, device=mask.device)[columns - rows :]
    return mask | (alone & own) if mask.dtype == torch.bool else mask.masked_fill(alone & own, 0.0)
