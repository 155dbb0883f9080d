"""Start of the projectors: LLaVA's own visual one, and new ones whose tokens are as large as the LLM's words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...cards.models import DetectorCard
from ...core.errors import DetectorError, first_line
from ...core.seeds import derived_seed
from ..llm.source import Language
from ..weights.pretrained import quiet
from .options import ExplainerOptions
from .projectors import Projectors
from .released.files import Tensors, is_hub_name

PROBES = 512
"""Inputs on which the size of a new projector's tokens is measured."""
FILE = "mm_projector.bin"
_LAYERS = (
    re.compile(r"(?:.*\.)?mm_projector\.([02])\.(weight|bias)"),  # LLaVA's own files
    re.compile(r"(?:.*\.)?multi_modal_projector\.linear_([12])\.(weight|bias)"),  # transformers' (llava-hf)
)


def visual_place(card: DetectorCard, options: ExplainerOptions) -> Path:
    """Return the place that `visual_init` names, downloaded from the hub if need be.

    Raises DetectorError if there is nothing.
    """
    name = options.visual_init
    assert name is not None
    place = card.folder / Path(name).expanduser()
    if place.exists():
        return place
    problem = ""
    if is_hub_name(name):
        from huggingface_hub import snapshot_download

        try:
            with quiet():
                return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
        except Exception as error:
            problem = f", and the hub does not give it ({first_line(error)})"
    raise DetectorError(
        f"detector '{card.name}': explainer.visual_init '{name}': there is no '{place}'{problem}: give the folder of a "
        f"LLaVA, or an {FILE}"
    )


@torch.no_grad()
def word_means(language: Language, words: Sequence[str]) -> torch.Tensor:
    """Return the mean of the LLM's embeddings of each word's tokens, fp32 [n, D]."""
    table = language.model.get_input_embeddings().weight
    ids = [language.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    return torch.stack([table[one].float().mean(0) for one in ids])


def word_size(llm: Any) -> float:
    """Return the root mean square of an LLM's word embeddings."""
    return float(llm.get_input_embeddings().weight.detach().float().pow(2).mean().sqrt())


@torch.no_grad()
def draw(projectors: Projectors, size: float, seed: int, names: torch.Tensor | None = None) -> None:
    """Draw projectors anew, so that their tokens have the root mean square `size`; biases are zero.

    `names`, [5, D], is added to the tokens of regions.

    Weights are normal with a variance of 1 over the layer's inputs; those of the last layer are then multiplied by what
    is lacking for inputs like the trained network's: normalised ones, and probabilities between 0 and 1.
    """
    generator = torch.Generator().manual_seed(derived_seed("projectors", seed) % 2**63)
    for layers in (projectors.visual, projectors.cells, projectors.regions):
        if layers is not None:
            _draw(layers, None, size, generator)
    if projectors.regions is not None and names is not None:
        projectors.region_names.copy_(names)
    if projectors.verdict is not None:
        fake = torch.linspace(0.0, 1.0, PROBES)
        _draw(projectors.verdict, torch.stack([1 - fake, fake], dim=1), size, generator)


def _draw(layers: nn.Sequential, probes: torch.Tensor | None, size: float, generator: torch.Generator) -> None:
    """Draw one projector; `probes` are like its inputs, None for normalised ones."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for layer in linear:
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / layer.in_features**0.5)
        layer.bias.zero_()
    if probes is None:
        inputs = linear[0].in_features
        probes = F.layer_norm(torch.randn(PROBES, inputs, generator=generator), (inputs,))
    linear[-1].weight.mul_(size / layers(probes).pow(2).mean().sqrt())


def take_over(projectors: Projectors, place: Path, detector: str) -> None:
    """Put the visual projector of a LLaVA into `projectors`.

    `place` is an `mm_projector.bin` (or such a .safetensors file), a folder with one, or the folder of a whole LLaVA,
    in its authors' form or in that of transformers. Raises DetectorError for another file, and for other widths.
    """
    where = f"detector '{detector}': explainer.visual_init '{place}'"
    source = _source(place)
    names = _names(source.names())
    wanted = projectors.visual.state_dict()
    if lacking := [name for name in wanted if name not in names]:
        raise DetectorError(
            f"{where} has no visual projector of two layers (mm_projector or multi_modal_projector): {lacking[0]} is "
            "missing; give LLaVA-1.5's"
        )
    for name, value in wanted.items():
        found = source.shape(names[name])
        if found != tuple(value.shape):
            raise DetectorError(
                f"{where} has {names[name]} {list(found)}, but this CLIP and LLM need {list(value.shape)}: they are "
                "of another width"
            )
    tensors = {name: source.finite(own, place).float() for name, own in names.items()}
    projectors.visual.load_state_dict(tensors)


def visual_key(place: Path) -> str:
    """Return a hash of a LLaVA's visual projector, 16 hex digits, for the identity of a training; nothing else is read.

    Raises DetectorError for a file that cannot be read.
    """
    source = _source(place)
    digest = hashlib.sha256()
    for name, own in sorted(_names(source.names()).items()):
        tensor = source.read(own).contiguous()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _source(place: Path) -> Tensors:
    """Return the tensors of a file or folder; of a folder with a file for the projector alone, those of that file."""
    return Tensors(place / FILE if (place / FILE).is_file() else place)


def _names(names: list[str]) -> dict[str, str]:
    """Return the source's names of a visual projector, by ours: `0.weight`, `0.bias`, `2.weight`, `2.bias`."""
    found: dict[str, str] = {}
    for name in names:
        for number, pattern in enumerate(_LAYERS):
            match = pattern.fullmatch(name)
            if match:
                layer = {"1": "0", "2": "2"}[match[1]] if number else match[1]
                found[f"{layer}.{match[2]}"] = name
    return found
