"""LoRA adapters on an LLM, by peft: made, saved, loaded, merged."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DetectorError, first_line
from ...settings import LoraSettings

if TYPE_CHECKING:
    import torch

FOLDER = "adapter"


def new_adapters(model: Any, settings: LoraSettings, where: str) -> Any:
    """The LLM with fresh adapters, drawn from torch's generator. Raises DetectorError for layers it does not have."""
    from peft import LoraConfig, get_peft_model

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
        raise DetectorError(f"{where}: no adapters can be put on it ({first_line(error)}); mend lora.targets") from None


def with_adapters(model: Any, folder: Path, trainable: bool = False) -> Any:
    """The LLM with the adapters of a folder. Raises DetectorError for those of another base and for none."""
    from peft import PeftModel

    try:
        with _no_deprecations():
            return PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DetectorError(
            f"the adapters in '{folder}' do not go on this LLM: {first_line(error)}; give the LLM they were trained on"
        ) from None


def merged(model: Any) -> Any:
    """The LLM with its adapters folded into its weights: W + α/r B A."""
    return model.merge_and_unload(safe_merge=True)


def save(model: Any, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Write the adapters alone, as peft does, into a folder `adapter` of `out`; `tensors` are theirs by name."""
    kept = {name: value for name, value in tensors.items() if "lora_" in name}
    model.save_pretrained(str(out / FOLDER), state_dict=kept, save_embedding_layers=False)


@contextlib.contextmanager
def _no_deprecations() -> Iterator[None]:
    """peft asks transformers for what it is about to call otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
