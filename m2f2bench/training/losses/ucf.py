"""Loss of UCF (Yan et al., "UCF: Uncovering Common Features for Generalizable Deepfake Detection", ICCV 2023)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import cross_entropy as class_cross_entropy

from .base import Given, Rows, TrainingLoss, cross_entropy, sum_of_sides

MARGIN = 3.0
"""Of the contrastive term."""


def reconstruction(own: torch.Tensor, crossed: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of four means, a scalar: of the errors `own` [R] and `crossed` [R], of the reals and of the fakes.

    `labels` [R] are 0 or 1. A mean over no image is 0.
    """
    return sum_of_sides(own, labels) + sum_of_sides(crossed, labels)


def contrastive(
    features: torch.Tensor, labels: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, margin: float
) -> torch.Tensor:
    """Return mean max(0, ‖a - p‖ - ‖a - n‖ + margin) over real anchors, plus that over fake ones; a scalar.

    Anchors a, positives p and negatives n are rows of `features` [R, d]; row i has the positives and negatives where
    `positives` and `negatives` [R, R], bool, are true in row i. An anchor counts by the mean over all its pairs of the
    two, and not at all without one. `labels` [R] are 0 or 1. No anchor on a side is 0.
    """
    distances = _distances(features)
    hinges = (distances[:, :, None] - distances[:, None] + margin).clamp(min=0.0)
    pairs = positives[:, :, None] & negatives[:, None]
    counts = pairs.sum((1, 2))
    return sum_of_sides((hinges * pairs).sum((1, 2)) / counts.clamp(min=1), labels, counts > 0)


def _distances(features: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distances [R, R] of features [R, d]; where one is 0 its gradient is 0, too."""
    squares = ((features[:, None] - features[None]) ** 2).sum(2)
    apart = squares > 0
    return torch.where(apart, squares, torch.ones_like(squares)).sqrt() * apart


class Ucf(TrainingLoss):
    """Cross-entropy of the common head, and of the method-specific one; L1 of reconstructions; and contrast.

    Of each image there are two reconstructions, from its content: with its own forgery features and, crossed, with
    those of its partner in the pair. The outputs are `own_reconstruction` and `crossed_reconstruction` [R, 3, S, S], of
    the input's scale, `specific_scores` [R, methods + 1], and the means over the image of both kinds of features,
    `common` and `specific` [R, d], which are contrasted each by itself.

    `paper`: in common features an anchor has all others of its label as positives, and those of the other label as
    negatives; in specific features, those of its method (real is one) and of all others. `deepfakebench`: an image is
    also its own positive, and negatives of specific features are of the other label, so that two manipulations are not
    told apart. Its code draws one positive and one negative for each anchor; here both variants take the mean over all,
    so that nothing depends on the number of processes.
    """

    needs: ClassVar[tuple[str, ...]] = (
        "logit",
        "specific_scores",
        "common",
        "specific",
        "own_reconstruction",
        "crossed_reconstruction",
    )
    variants: ClassVar[dict[str, dict[str, float]]] = {
        name: {"cross_entropy": 1.0, "specific": 0.1, "reconstruction": 0.3, "contrastive": 0.05}
        for name in ("paper", "deepfakebench")
    }
    views: ClassVar[tuple[int, int]] = (1, 1)
    pairs: ClassVar[bool] = True
    methods: ClassVar[bool] = True

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return all but the pictures, of which the mean absolute errors [R]."""
        rows = {name: outputs[name] for name in ("logit", "specific_scores", "common", "specific")}
        for name in ("own", "crossed"):
            rows[f"{name}_error"] = (outputs[f"{name}_reconstruction"] - given.inputs).abs().flatten(1).mean(1)
        return rows

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the four terms."""
        assert methods is not None
        same, kind = labels[:, None] == labels[None], methods[:, None] == methods[None]
        other = ~(kind if self.variant == "paper" else same)
        if self.variant == "paper":
            itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
            positives = same & ~itself, kind & ~itself
        else:
            positives = same, kind
        return {
            "cross_entropy": cross_entropy(rows["logit"], labels),
            "specific": class_cross_entropy(rows["specific_scores"], methods),
            "reconstruction": reconstruction(rows["own_error"], rows["crossed_error"], labels),
            "contrastive": contrastive(rows["common"], labels, positives[0], ~same, MARGIN)
            + contrastive(rows["specific"], labels, positives[1], other, MARGIN),
        }
