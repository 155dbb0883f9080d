"""Prediction of the blending boundary, which teaches the side network of Forensics Adapter where to look.

It serves training alone. Its tensors have the names that they have in the authors' files, of which
`adapter.mask_decoder.xray_mlp` and `masked_xray_post_process` are not imported.
"""

from __future__ import annotations

import torch
from torch import nn

from ...core.errors import DetectorError
from ...training.losses.forada import boundary_cells
from .network import SIDE_PATCH, ForadaOptions, Perceptron


class BoundaryHead(nn.Module):
    """A map for each query, and convolutions that join the maps to one boundary."""

    def __init__(self, options: ForadaOptions) -> None:
        """Raises DetectorError if a layer whose patches are to be compared is not there."""
        super().__init__()
        missing = [number for number in options.contrast_after if not 1 <= number <= options.side_blocks]
        if missing or not options.contrast_after:
            which = f"has no layer {missing[0]}" if missing else "is compared after at least one layer"
            raise DetectorError(
                f"contrast_after {list(options.contrast_after)}: the side network of {options.side_blocks} layers "
                f"{which}: name layers from 1 to {options.side_blocks}"
            )
        queries, half, quarter = options.queries, options.queries // 2, options.queries // 4
        self.xray_mlp = Perceptron(options.side_width, options.mlp_width, options.decoder_width, maps=True)
        self.process = nn.Sequential(
            nn.Conv2d(queries, half, 3, padding=1),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, quarter, 3, padding=1),
            nn.BatchNorm2d(quarter),
            nn.ReLU(),
            nn.Conv2d(quarter, 1, 1),
            nn.ConvTranspose2d(1, 1, SIDE_PATCH, stride=SIDE_PATCH),
        )

    def forward(self, queries: torch.Tensor, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Return the boundary [B, S, S] of queries [B, Q, out], maps [B, d, g, g] and masks [B, S, S].

        As in the authors' code, only cells that the boundary of the true mask crosses are kept.
        """
        products = torch.einsum("bqd,bdhw->bqhw", queries, self.xray_mlp(maps))
        cells = boundary_cells(masks, maps.shape[-1]).to(products.dtype)
        found: torch.Tensor = self.process(products * cells[:, None])
        return found[:, 0]
