"""LoRA adapters on an LLM, by peft: created, saved, loaded, merged."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...cards.settings import LoraSettings
from ...core.errors import DetectorError, first_line

if TYPE_CHECKING:
    import torch

FOLDER, WEIGHTS = "adapter", "adapter_model.safetensors"


def new_adapters(model: Any, settings: LoraSettings, where: str) -> Any:
    """Return the LLM with new adapters, drawn from torch's generator. Raises DetectorError for unknown layers."""
    from peft import LoraConfig, get_peft_model

    refuse_tied(model, settings, where)
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets) or "all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with _no_deprecations():
            return get_peft_model(model, config)
    except ValueError as error:
        raise DetectorError(f"{where}: adapters cannot be added ({first_line(error)}); check lora.targets") from None


def refuse_tied(model: Any, settings: LoraSettings, where: str) -> None:
    """Raise DetectorError for an adapter on an output layer that shares its weights with the embeddings."""
    if "lm_head" in settings.targets and getattr(model.config, "tie_word_embeddings", False):
        raise DetectorError(
            f"{where}: its output layer shares its weights with the embeddings, so an adapter on it cannot be merged: "
            "remove lm_head from lora.targets"
        )


def with_adapters(model: Any, folder: Path) -> Any:
    """Return the LLM with the adapters of a folder.

    Raises DetectorError if the adapters were trained on another base model, are absent, or do not match: peft ignores
    missing and unexpected tensors, and an adapter without one changes nothing.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    weights = folder / WEIGHTS
    for file in (folder / "adapter_config.json", weights):
        if not file.is_file():  # peft would look for it on the hub
            raise DetectorError(f"the adapters' file '{file}' does not exist: copy the whole folder, or train again")
    try:
        with safe_open(weights, framework="pt") as opened:
            held = set(opened.keys())
        with _no_deprecations():
            made = PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise DetectorError(
            f"the adapters in '{folder}' do not fit this LLM: {first_line(error)}; give the LLM they were trained on"
        ) from None
    wanted = set(get_peft_model_state_dict(made, save_embedding_layers=False))
    for what, names in (("missing", wanted - held), ("unexpected", held - wanted)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DetectorError(f"adapters '{weights}': tensor '{min(names)}'{more} {what}: copy the file again")
    return made


def merged(model: Any) -> Any:
    """Return the LLM with its adapters merged into its weights: W + α/r B A."""
    return model.merge_and_unload(safe_merge=True)


def save(model: Any, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Write only the adapters, as peft does, into a folder `adapter` of `out`; `tensors` are theirs by name."""
    kept = {name: value for name, value in tensors.items() if "lora_" in name}
    model.save_pretrained(str(out / FOLDER), state_dict=kept, save_embedding_layers=False)


@contextlib.contextmanager
def _no_deprecations() -> Iterator[None]:
    """Silence warnings about what peft calls in transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error follows
        yield
