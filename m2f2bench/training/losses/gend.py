"""Loss of GenD (Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks", WACV 2026)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import normalize

from .base import Rows, TrainingLoss, cross_entropy


def squared_distances(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the squared distances [P] of all pairs of points [R, d], and the indices of the pairs [2, P]."""
    pairs = torch.triu_indices(len(points), len(points), 1, device=points.device)
    return ((points[pairs[0]] - points[pairs[1]]) ** 2).sum(1), pairs


def uniformity(points: torch.Tensor) -> torch.Tensor:
    """Return log mean exp(-2 d²) over all pairs of points [R, d] of the unit sphere, a scalar; 0 without a pair.

    Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity", ICML 2020.
    """
    squares, _ = squared_distances(points)
    return (-2.0 * squares).exp().mean().log() if len(squares) else points.sum() * 0.0


def alignment(points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean squared distance of the pairs of one label (labels [R]), a scalar; 0 without such a pair."""
    squares, pairs = squared_distances(points)
    same = (labels[pairs[0]] == labels[pairs[1]]).to(points.dtype)
    return (squares * same).sum() / same.sum().clamp(min=1)


class GenD(TrainingLoss):
    """Cross-entropy, uniformity and alignment of features on the unit sphere; `deepfakebench`: the first alone."""

    needs: ClassVar[tuple[str, ...]] = ("logit", "features")
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 1.0, "uniformity": 0.5, "alignment": 0.1},
        "deepfakebench": {"cross_entropy": 1.0},
    }

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the three terms."""
        points = normalize(rows["features"], dim=1)
        return {
            "cross_entropy": cross_entropy(rows["logit"], labels),
            "uniformity": uniformity(points),
            "alignment": alignment(points, labels),
        }
