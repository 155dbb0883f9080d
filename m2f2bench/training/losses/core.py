"""Loss of CORE (Ni et al., "CORE: Consistent Representation Learning", CVPR workshops 2022, arXiv 2206.02749)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import cosine_similarity

from .base import Rows, TrainingLoss, cross_entropy


def consistency(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the mean of (1 - cos)², a scalar, over pairs of features [N, d] and [N, d] (the paper's cosine loss)."""
    return ((1.0 - cosine_similarity(first, second, dim=1)) ** 2).mean()


class Core(TrainingLoss):
    """Cross-entropy of all views, and the consistency of the features of an image's views.

    `paper`: of each pair of the views of one image. `deepfakebench`: of the two halves of a batch, which are different
    images.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "features")
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 1.0, "consistency": 1.0},
        "deepfakebench": {"cross_entropy": 1.0, "consistency": 1.0},
    }

    def fewest_views(self) -> int:
        """Return 2 for the paper's consistency, else 1."""
        return 2 if self.variant == "paper" else 1

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return both terms."""
        features = rows["features"]
        if self.variant == "deepfakebench":
            half = len(features) // 2
            same = consistency(features[:half], features[half : 2 * half]) if half else features.sum() * 0.0
        else:
            of = features.reshape(-1, views, features.shape[1])
            first, second = torch.triu_indices(views, views, 1, device=features.device)
            same = consistency(of[:, first].flatten(0, 1), of[:, second].flatten(0, 1))
        return {"cross_entropy": cross_entropy(rows["logit"], labels), "consistency": same}
