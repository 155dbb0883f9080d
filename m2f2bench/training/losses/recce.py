"""Loss of RECCE (Cao et al., "End-to-End Reconstruction-Classification Learning", CVPR 2022)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import normalize

from .base import Given, Rows, TrainingLoss, cross_entropy

DEPTHS = ("depth_1", "depth_2", "depth_3")


def reconstruction(errors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean over the real images of their errors [R], a scalar; 0 without a real one (labels [R], 0 real)."""
    real = (labels == 0).to(errors.dtype)
    return (errors * real).sum() / real.sum().clamp(min=1)


def metric(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return max(0, 1 - mean s(real, real) + mean s(real, fake)), a scalar, over pairs of features [R, d].

    s = (1 + cos) / 2, in [0, 1], as in the authors' code. An image is not paired with itself, and fakes are not drawn
    together. A mean over no pair is 0.
    """
    unit = normalize(features, dim=1)
    alike = (1.0 + unit @ unit.T) / 2.0
    real = labels == 0
    same = (real[:, None] & real[None]) & ~torch.eye(len(real), dtype=torch.bool, device=real.device)
    other = real[:, None] & ~real[None]

    def mean(where: torch.Tensor) -> torch.Tensor:
        return (alike * where).sum() / where.sum().clamp(min=1)

    return (1.0 - mean(same) + mean(other)).clamp(min=0.0)


class Recce(TrainingLoss):
    """Cross-entropy; L1 of the reconstruction of real images only; and the metric loss at three depths, summed.

    Outputs: `reconstruction` [R, 3, S, S], of the input's scale, and three maps [R, d, h, w], whose means over the
    image are compared. `deepfakebench`: cross-entropy alone. The authors' code also keeps the cross-entropy of a batch
    above 0.04 (flooding), which is not in the paper and not here.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "reconstruction", *DEPTHS)
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 1.0, "reconstruction": 0.1, "metric": 0.1},
        "deepfakebench": {"cross_entropy": 1.0},
    }

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return logits, mean absolute errors of the reconstruction [R], and the means of the maps [R, d]."""
        rows = {"logit": outputs["logit"]}
        if self.variant == "paper":
            rows["error"] = (outputs["reconstruction"] - given.inputs).abs().flatten(1).mean(1)
            rows |= {name: outputs[name].mean((2, 3)) for name in DEPTHS}
        return rows

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the terms of the variant."""
        found = {"cross_entropy": cross_entropy(rows["logit"], labels)}
        if self.variant == "paper":
            found["reconstruction"] = reconstruction(rows["error"], labels)
            found["metric"] = torch.stack([metric(rows[name], labels) for name in DEPTHS]).sum()
        return found
