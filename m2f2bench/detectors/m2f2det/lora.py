"""LoRA adapters on an LLM, by peft: created, saved, loaded, and merged into the LLM of a whole explainer's folder."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from ...cards.models import DetectorCard
from ...cards.settings import LoraSettings
from ...core import places
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError, first_line
from ...core.files import write_json, write_text
from ...core.locks import holding_vacant
from ...core.sources import installed_versions
from ...core.tensors import read_tensors, write_tensors
from ...training.job import WEIGHTS
from ...version import __version__
from ..base import file_fingerprint, trained_weights
from ..llm.source import language_fingerprint, open_language
from ..weights.load import first_problem
from ..weights.pretrained import DTYPES, quiet
from .options import KEY, ExplainerOptions, check_language, explainer_options

ADAPTER, ADAPTER_WEIGHTS = "adapter", "adapter_model.safetensors"
FOLDER, CARD, RECORD = "llm", "card.yaml", "merge.json"
PROBES, PROBE_LENGTH = 4, 24
FOLDED = 1e-2
"""Largest change of a logit that merging may cause in fp32, relative to the largest logit."""


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

    weights = folder / ADAPTER_WEIGHTS
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
    problem = first_problem({"missing": sorted(wanted - held), "unexpected": sorted(held - wanted)})
    if problem:
        raise DetectorError(f"adapters '{weights}': {problem}: copy the file again")
    return made


def save(model: Any, tensors: dict[str, torch.Tensor], out: Path) -> None:
    """Write only the adapters, as peft does, into a folder `adapter` of `out`; `tensors` are theirs by name."""
    kept = {name: value for name, value in tensors.items() if "lora_" in name}
    model.save_pretrained(str(out / ADAPTER), state_dict=kept, save_embedding_layers=False)


@contextlib.contextmanager
def _no_deprecations() -> Iterator[None]:
    """Silence warnings about what peft calls in transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Found missing adapter keys")  # an error follows
        yield


def adapters_hash(folder: Path) -> str:
    """Return 16 hex digits over the files of an adapter's folder. Raises DetectorError if there are none."""
    files = sorted(folder.glob("adapter_*"))
    if not files:
        raise DetectorError(f"the adapters in '{folder}' do not exist: copy the whole folder, or train again")
    return file_fingerprint(files[-1], *(file_fingerprint(file) for file in files[:-1]))


def merge_adapters(card: DetectorCard, out: Path, dtype: Literal["fp32", "bf16", "fp16"] = "fp32") -> Path:
    """Write the explainer of stage `tune` (or `align`) as one self-contained folder, and return its card's path.

    `out` gets `model.safetensors` (detector and projectors), `llm/` (config, safetensors, tokenizer), `merge.json` and,
    last, `card.yaml`. Merging is done in fp32; `dtype` is that of the saved LLM. `merge.json` says by how much its
    logits moved on random tokens. Raises DetectorError for an explainer without adapters to merge (stage `detector`,
    already merged), for adapters of another LLM or that cannot be merged, and for an `out` that is not empty.
    """
    options = explainer_options(card)
    if options.stage not in ("align", "tune"):
        what = "is already merged" if options.stage == "merged" else "is of stage `detector` and has no projectors"
        raise DetectorError(f"detector '{card.name}' {what}: merge what stage `tune` (or `align`) trained")
    with holding_vacant(out):
        return _merge(card, options, out, dtype)


def _merge(card: DetectorCard, options: ExplainerOptions, out: Path, dtype: str) -> Path:
    path = trained_weights(card)
    check_language(options, language_fingerprint(options.llm, card.folder), card)
    language = open_language(options.llm.model_copy(update={"dtype": "fp32", "quantise": None}), card.folder)
    probe = torch.randint(len(language.tokenizer), (PROBES, PROBE_LENGTH), generator=torch.Generator().manual_seed(0))
    if options.adapter:
        language.model = with_adapters(language.model, card.folder / options.adapter)
    model, before = language.model, _logits(language.model, probe)
    if options.adapter:
        model = model.merge_and_unload(safe_merge=True)  # W + α/r B A
    _check_folded(card, before, _logits(model, probe))
    model = model.to(DTYPES[dtype])
    moved = float((_logits(model, probe) - before).abs().max())
    with quiet():
        model.save_pretrained(out / FOLDER)
        language.tokenizer.save_pretrained(out / FOLDER)
    tensors, about = read_tensors(path)
    write_tensors(out / WEIGHTS, tensors, {**about, "stage": "merged"})
    source = options.llm.model_copy(update={"name": FOLDER})
    learned = language_fingerprint(source, out)
    update = {"llm": source, "adapter": None, "stage": "merged", "learned_with": learned}
    write_json(out / RECORD, _record(card, options, dtype, moved, learned))
    own = {KEY: options.model_copy(update=update).model_dump(mode="json", exclude_defaults=True)}
    placed = places.moved({**card.options, **own}, [card.folder], out)
    whole = card.model_copy(update={"weights": WEIGHTS, "options": placed})
    plain = whole.model_dump(mode="json", exclude_defaults=True)
    write_text(out / CARD, yaml.safe_dump(plain, sort_keys=False, width=110))
    return out / CARD


def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    with exact_fp32(), torch.inference_mode():
        logits: torch.Tensor = model(input_ids=ids.to(model.device)).logits
    return logits.float().cpu()


def _check_folded(card: DetectorCard, before: torch.Tensor, after: torch.Tensor) -> None:
    """Raise DetectorError if merging changed the LLM by more than rounding in fp32."""
    moved, largest = float((after - before).abs().max()), float(before.abs().max())
    if not moved <= FOLDED * max(1.0, largest):
        raise DetectorError(
            f"detector '{card.name}': merging its adapters moves the LLM's logits by {moved:.2g}: one is on a layer "
            "that shares its weights with another (an output layer tied to the embeddings); train without it in "
            "lora.targets"
        )


def _record(card: DetectorCard, options: ExplainerOptions, dtype: str, moved: float, learned: str) -> dict[str, Any]:
    """Return the content of `merge.json`."""
    return {
        "detector": card.name,
        "stage": options.stage,
        "llm": options.llm.name,
        "weights": file_fingerprint(trained_weights(card)),
        "llm_before": options.learned_with,
        "llm_after": learned,
        "dtype": dtype,
        "largest_change_of_a_logit": moved,
        "versions": {"m2f2bench": __version__, **installed_versions(("torch", "transformers", "peft"))},
    }
