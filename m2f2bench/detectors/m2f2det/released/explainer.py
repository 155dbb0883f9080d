"""Image tokens of the published 7B model for its LLM: one `<deepfake>` token, and one token per patch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ....cards.models import DetectorCard
from ....core.errors import DetectorError
from ..projectors import mlp
from .network import ReleasedExplainerDetector, load_released

WIDTH = "mm_projector.0.bias"
"""The projectors' tensor that has the LLM's width."""


class ReleasedProjectors(nn.Module):
    """The projectors of the published 7B model (LLaVA-1.5's, and one for the verdict)."""

    def __init__(self, patch_width: int, width: int) -> None:
        """`width` is the LLM's."""
        super().__init__()
        self.mm_projector, self.deepfake_projector = mlp(patch_width, width), mlp(2, width)
        self.width = width

    def forward(
        self, probabilities: torch.Tensor, patches: torch.Tensor, cells: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return H_V [B, N, D] of patches [B, N, d], and H_F [B, 1, D] of probabilities [B, 2]; `cells` are ignored."""
        return self.mm_projector(patches), self.deepfake_projector(probabilities)[:, None]


def open_released(
    card: DetectorCard, path: Path, own: dict[str, torch.Tensor], rest: dict[str, torch.Tensor]
) -> tuple[ReleasedExplainerDetector, ReleasedProjectors, str]:
    """Return the network with its weights `own`, empty projectors sized by `rest`, and the options that decide a score.

    `path` is the file of the weights, for messages. Raises M2F2BenchError.
    """
    network, options = load_released(card, tensors=own)
    if not isinstance(network, ReleasedExplainerDetector):
        raise DetectorError(f"detector '{card.name}': variant {options.variant} has no LLM: set backend to m2f2det")
    if WIDTH not in rest or rest[WIDTH].dim() != 1:
        raise DetectorError(f"weights '{path}' have no projectors: import the 7B folder again")
    with torch.device("meta"):
        projectors = ReleasedProjectors(options.vision.hidden_size, len(rest[WIDTH]))
    return network, projectors.to_empty(device="cpu"), options.model_dump_json()
