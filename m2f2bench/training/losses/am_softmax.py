"""AM-softmax (Wang et al., "Additive Margin Softmax for Face Verification", 2018), as SRM's two streams have it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy

from .base import Rows, TrainingLoss

MARGIN, SCALE = 0.45, 30.0
"""Of Luo et al., "Generalizing Face Forgery Detection with High-frequency Features", CVPR 2021."""


def am_softmax(scores: torch.Tensor, labels: torch.Tensor, margin: float, scale: float) -> torch.Tensor:
    """Return the mean cross-entropy of scale · (scores - margin at the own class), a scalar.

    `scores` [R, 2] are those of real and fake, `labels` [R] 0 or 1 (equation 6 of Wang et al.).
    """
    own = torch.nn.functional.one_hot(labels.long(), scores.shape[1]).to(scores.dtype)
    return cross_entropy(scale * (scores - margin * own), labels.long())


class AMSoftmax(TrainingLoss):
    """AM-softmax on `scores` [R, 2].

    `paper`: on cosines of feature and class weight, `cosines` [R, 2], as Wang et al. define it. `deepfakebench`: on the
    last layer's outputs as they are.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "scores", "cosines")
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"am_softmax": 1.0},
        "deepfakebench": {"am_softmax": 1.0},
    }

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the one term."""
        scores = rows["cosines" if self.variant == "paper" else "scores"]
        return {"am_softmax": am_softmax(scores, labels, MARGIN, SCALE)}
