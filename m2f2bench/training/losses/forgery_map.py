"""Cross-entropy with a loss of M2F2-Det's forgery map by masks: this project's own, in no paper.

The paper's map is learned from the binary label alone (arXiv 2503.20188).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import binary_cross_entropy

from .base import Given, Rows, TrainingLoss, cross_entropy, widened
from .forada import cell_shares

NEAR = 1e-6
"""The map of the loss lies between this and 1 - this: the patch that fits best always has 1, forged or not."""


class ForgeryMapLoss(TrainingLoss):
    """Cross-entropy, and that of each cell of a fake's map with the share of it that is forged.

    Outputs: `map` [R, n, n] in [0, 1]. A real's map is left out: it says where, if anything, and its largest cell is 1.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "map")
    variants: ClassVar[dict[str, dict[str, float]]] = {"own": {"cross_entropy": 1.0, "map": 0.5}}
    masks: ClassVar[bool] = True

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return logits, and the mean cross-entropies of the maps' cells [R], 0 for a real."""
        assert given.masks is not None
        made = widened(outputs)
        heat = made["map"].clamp(NEAR, 1 - NEAR)
        shares = cell_shares(given.masks.to(heat.dtype), heat.shape[-1])
        with torch.autocast(heat.device.type, enabled=False):
            errors = binary_cross_entropy(heat, shares, reduction="none").mean((1, 2))
        return {"logit": made["logit"], "error": errors * (given.labels == 1)}

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the two terms; that of the map is a mean over the fakes, 0 without one."""
        fakes = (labels == 1).sum().clamp(min=1)
        return {"cross_entropy": cross_entropy(rows["logit"], labels), "map": rows["error"].sum() / fakes}
