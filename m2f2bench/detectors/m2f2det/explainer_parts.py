"""Parts of an explainer: its network, its projectors, its LLM's identity."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ...cards.models import DetectorCard
from ...core.errors import DetectorError
from ..base import file_fingerprint
from ..weights.load import load_strictly, read_weights
from .detector import open_paper, variant_of
from .explainer_options import ExplainerOptions, without_explainer
from .paper import PaperNetwork
from .projectors import PREFIX, DetectorTokens, Projectors, pooled_cells, pooled_patches


def open_parts(card: DetectorCard, options: ExplainerOptions, path: Path) -> tuple[nn.Module, nn.Module, str]:
    """Return network and projectors with the card's weights, and the other options that decide a score.

    Raises DetectorError.
    """
    tensors = read_weights(path)
    own = {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}
    rest = {name.removeprefix(PREFIX): value for name, value in tensors.items() if name.startswith(PREFIX)}
    plain = without_explainer(card)
    network: nn.Module
    if variant_of(plain) == "paper":
        network, identity = open_paper(plain, path, own)
        width = rest["visual.0.bias"].shape[0] if "visual.0.bias" in rest else 1
        projectors: nn.Module = new_projectors(network, options, width)
    else:
        from .released.explainer import open_released

        if options.visual_pool != 1 or "forgery_grid" in options.model_fields_set:
            raise DetectorError(
                f"detector '{card.name}': forgery_grid and visual_pool are only for the variant paper; published "
                "weights have one forgery token and all patches: remove these options"
            )
        network, projectors, identity = open_released(plain, path, own, rest)
    load_strictly(projectors, rest, path)
    return network, projectors, identity


def new_projectors(network: nn.Module, options: ExplainerOptions, width: int) -> Projectors:
    """Return untrained projectors between a network of the variant `paper` and an LLM of width `width`."""
    assert isinstance(network, PaperNetwork)
    first = network.conv[0]
    assert isinstance(first, nn.Conv2d)
    patches = network.clip.settings.vision_config.hidden_size
    return Projectors(patches, first.in_channels, width, forgery=options.forgery_grid > 0)


def detector_tokens(network: nn.Module, pixels: torch.Tensor, options: ExplainerOptions) -> DetectorTokens:
    """Return the network's outputs for normalised images [B, 3, S, S], pooled as the options say."""
    judged, patches = network.judge_with_patches(pixels)  # type: ignore[operator]
    probabilities = judged.logits.float().softmax(1)
    cells = pooled_cells(judged.forged, options.forgery_grid) if hasattr(judged, "forged") else patches[:, :0]
    return DetectorTokens(probabilities, pooled_patches(patches, options.visual_pool), cells.float())


def check_language(options: ExplainerOptions, found: str, card: DetectorCard) -> None:
    """Raise DetectorError if projectors or adapters were trained with another LLM than the card's."""
    if options.learned_with and options.learned_with != found:
        what = "its adapter is" if options.adapter else "its projectors are"
        raise DetectorError(
            f"detector '{card.name}': {what} for an LLM with fingerprint {options.learned_with}, but "
            f"'{options.llm.name}' has {found}: name the LLM of the training"
        )


def adapters_hash(folder: Path) -> str:
    """Return 16 hex digits over the files of an adapter's folder. Raises DetectorError if there are none."""
    files = sorted(folder.glob("adapter_*"))
    if not files:
        raise DetectorError(f"the adapters in '{folder}' do not exist: copy the whole folder, or train again")
    return file_fingerprint(files[-1], *(file_fingerprint(file) for file in files[:-1]))
