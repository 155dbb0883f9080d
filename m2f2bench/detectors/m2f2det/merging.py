"""Merging: LoRA adapters merged into the LLM, and a whole explainer in one folder."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from ...cards.models import DetectorCard
from ...core import places
from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from ...core.files import write_json, write_text
from ...core.locks import holding_vacant
from ...core.tensors import read_tensors, write_tensors
from ...training.job import WEIGHTS
from ...version import __version__
from ..base import file_fingerprint, trained_weights
from ..llm.source import language_fingerprint, open_language
from ..weights.pretrained import DTYPES, quiet
from .explainer_options import KEY, ExplainerOptions, explainer_options
from .explainer_parts import check_language
from .lora import merged, with_adapters

FOLDER, CARD, RECORD = "llm", "card.yaml", "merge.json"
PROBES, PROBE_LENGTH = 4, 24
FOLDED = 1e-2
"""Largest change of a logit that merging may cause in fp32, relative to the largest logit."""


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
    """Merge into an empty folder `out`; see `merge_adapters`."""
    path = trained_weights(card)
    check_language(options, language_fingerprint(options.llm, card.folder), card)
    language = open_language(options.llm.model_copy(update={"dtype": "fp32", "quantise": None}), card.folder)
    probe = _probe(len(language.tokenizer))
    if options.adapter:
        language.model = with_adapters(language.model, card.folder / options.adapter)
    before = _logits(language.model, probe)
    model = merged(language.model) if options.adapter else language.model
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
    whole = card.model_copy(
        update={
            "weights": WEIGHTS,
            "options": places.moved(
                {**card.options, KEY: _plain(options.model_copy(update=update))}, [card.folder], out
            ),
        }
    )
    text = yaml.safe_dump(whole.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=110)
    write_text(out / CARD, text)
    return out / CARD


def _plain(options: ExplainerOptions) -> dict[str, Any]:
    return options.model_dump(mode="json", exclude_defaults=True)


def _probe(vocabulary: int) -> torch.Tensor:
    """Return random token ids [PROBES, PROBE_LENGTH]."""
    return torch.randint(vocabulary, (PROBES, PROBE_LENGTH), generator=torch.Generator().manual_seed(0))


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
        "versions": {
            "m2f2bench": __version__,
            **{name: metadata.version(name) for name in ("torch", "transformers", "peft")},
        },
    }
