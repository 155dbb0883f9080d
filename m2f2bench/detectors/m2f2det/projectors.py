"""Projectors from the detector's outputs to the LLM's inputs: visual tokens H_V and forgery tokens H_F."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from .options import ExplainerOptions
from .paper import PaperNetwork
from .regions import REGIONS, finest, region_features

PREFIX = "projectors."
"""Prefix of the projectors' names in a file of weights; all others are the detector's."""


class DetectorTokens(NamedTuple):
    """A detector's outputs for the projectors, for a batch of images, fp32.

    `probabilities` [B, 2]: P(real), P(fake), scaled if the options say how; `patches` [B, N, d]: the image tower's
    (CLIP's after all layers but the last); `cells` [B, k, c]: F^0 ⊙ M_b averaged over cells, k = 0 without cells;
    `regions` [B, r, c']: see `region_features`, r = 0 without tokens of regions.
    """

    probabilities: torch.Tensor
    patches: torch.Tensor
    cells: torch.Tensor
    regions: torch.Tensor


class Encoded(NamedTuple):
    """Encodings of a batch of images: `scores` P(fake) [B], H_V [B, N, D], H_F [B, k + 1 + r, D]."""

    scores: torch.Tensor
    visual: torch.Tensor
    forgery: torch.Tensor


def mlp(inputs: int, width: int) -> nn.Sequential:
    """Return two layers with a GELU between them."""
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))


class Projectors(nn.Module):
    """The projectors of the variant `paper` (arXiv 2503.20188, section 3.4).

    Patches and cells have any scale; a LayerNorm without weights normalises each first, but not the patches of a visual
    projector that was taken over from a LLaVA, which has none.
    """

    def __init__(
        self,
        patch_width: int,
        cell_width: int,
        width: int,
        forgery: bool = True,
        normalises: bool = True,
        region_width: int = 0,
    ) -> None:
        """`width` is the LLM's; without `forgery` there are no forgery tokens, `normalises` is for the patches.

        `region_width`: of what is known of a region; 0 without tokens of regions.
        """
        super().__init__()
        self.normalises = normalises
        self.visual = mlp(patch_width, width)
        self.cells = mlp(cell_width, width) if forgery else None
        self.verdict = mlp(2, width) if forgery else None
        self.regions = mlp(region_width, width) if region_width else None
        if region_width:
            self.region_names = nn.Parameter(torch.zeros(len(REGIONS), width))
            """Added to a region's token, so that it says which one it is, too."""
        self.width = width

    def initialise(self, std: float) -> None:
        """Draw all weights from N(0, std²), biases zero, from torch's generator."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        probabilities: torch.Tensor,
        patches: torch.Tensor,
        cells: torch.Tensor,
        regions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return H_V [B, N, D] and H_F [B, k + 1 + r, D]; [B, 0, D] without forgery tokens.

        H_F has the cells, then the verdict, and the regions last.
        """
        visual = self.visual(F.layer_norm(patches, patches.shape[-1:]) if self.normalises else patches)
        if self.cells is None or self.verdict is None:
            return visual, visual[:, :0]
        parts = [self.cells(F.layer_norm(cells, cells.shape[-1:])), self.verdict(probabilities)[:, None]]
        if self.regions is not None:
            assert regions is not None
            parts.append(self.regions(regions) + self.region_names)
        return visual, torch.cat(parts, dim=1)


def pooled_patches(patches: torch.Tensor, pool: int) -> torch.Tensor:
    """Return patches [B, n², d] averaged over squares of `pool` × `pool`: [B, m², d], m = ceil(n / pool)."""
    if pool == 1:
        return patches
    side = round(patches.shape[1] ** 0.5)
    grid = patches.transpose(1, 2).reshape(len(patches), patches.shape[2], side, side)
    return F.avg_pool2d(grid, pool, ceil_mode=True, count_include_pad=False).flatten(2).transpose(1, 2)


def pooled_cells(forged: torch.Tensor, grid: int) -> torch.Tensor:
    """Return F^0 ⊙ M_b [B, c, n, n] averaged over `grid` × `grid` cells: [B, grid², c]."""
    if grid == 0:
        return forged.new_zeros((len(forged), 0, forged.shape[1]))
    return F.adaptive_avg_pool2d(forged, grid).flatten(2).transpose(1, 2)


def new_projectors(network: nn.Module, options: ExplainerOptions, width: int) -> Projectors:
    """Return untrained projectors between a network of the variant `paper` and an LLM of width `width`."""
    assert isinstance(network, PaperNetwork)
    first = network.conv[0]
    assert isinstance(first, nn.Conv2d)
    patches, cells = network.images.patch_width, first.in_channels
    local = [network.encoder.channels[number] for number in finest(network.encoder.sides)]
    regions = 1 + sum(local) if options.region_tokens else 0
    return Projectors(patches, cells, width, options.forgery_grid > 0, options.normalises, regions)


def detector_tokens(network: nn.Module, pixels: torch.Tensor, options: ExplainerOptions) -> DetectorTokens:
    """Return the network's outputs for normalised images [B, 3, S, S], pooled as the options say."""
    judged, patches = network.judge_with_patches(pixels)  # type: ignore[operator]
    logits = judged.logits.float()
    if options.platt is not None:
        factor, shift = options.platt
        fake = factor * (logits[:, 1] - logits[:, 0]) + shift
        logits = torch.stack([torch.zeros_like(fake), fake], dim=1)
    probabilities = logits.softmax(1)
    cells = pooled_cells(judged.forged, options.forgery_grid) if judged.forged is not None else patches[:, :0]
    regions = cells[:, :0]
    if options.region_tokens:
        regions = region_features(judged.maps, judged.map)
    return DetectorTokens(probabilities, pooled_patches(patches, options.visual_pool), cells.float(), regions.float())
