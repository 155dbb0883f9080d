"""Loss of LSDA (Yan et al., "Transcending Forgery Specificity with Latent Space Augmentation", CVPR 2024)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn.functional import cosine_similarity
from torch.nn.functional import cross_entropy as class_cross_entropy

from .base import Given, Rows, TrainingLoss, cross_entropy, sum_of_sides, widened


def kept_identity(real: torch.Tensor, identity: torch.Tensor) -> torch.Tensor:
    """Return for each row what identity asks of it, [R]: ±(1 - cos), summed over cells, at a fake, and 0 at a real.

    `real` [R, c, h, w] are the real encoder's maps of real, fake, real, fake ...; a fake's cells are compared with its
    real's. `identity` [R] is 1 at a fake that shows the real's person, -1 at one that shows another, and 0 if unknown.
    """
    apart = (1.0 - cosine_similarity(real[0::2], real[1::2], dim=1)).sum((1, 2)) * identity[1::2]
    return torch.stack([torch.zeros_like(apart), apart], dim=1).flatten()


class Lsda(TrainingLoss):
    """Cross-entropy of the student; cross-entropy of domains, which are real and each manipulation; and distillation.

    Outputs: the maps `student` and `target` [R, c, h, w], whose mean squared distance is distilled, of reals and of
    fakes each by itself, and the scores `domains` [R, methods + 1]. `deepfakebench` adds `cosine`, which the paper does
    not have: the real encoder shall see one person in a real and in its fake by a manipulation that keeps the identity,
    and two in one that swaps it. Its code adds up cells and pairs where the other terms are means, and so does this.
    """

    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 0.5, "domain": 1.0, "distillation": 1.0},
        "deepfakebench": {"cross_entropy": 0.5, "domain": 1.0, "distillation": 1.0, "cosine": 1.0},
    }
    needs: ClassVar[tuple[str, ...]] = ("logit", "student", "target", "domains", "real", "identity")
    views: ClassVar[tuple[int, int]] = (1, 1)
    methods: ClassVar[bool] = True

    @property
    def pairs(self) -> bool:  # type: ignore[override]
        """Whether a batch must be of reals and their fakes, in turn."""
        return self.variant == "deepfakebench"

    def reduced(self, outputs: Rows, given: Given) -> Rows:
        """Return logits, scores, mean squared distances of the maps [R], and what identity asks [R]."""
        wide = widened(outputs)
        rows = {name: wide[name] for name in ("logit", "domains")}
        rows["distance"] = ((wide["student"] - wide["target"]) ** 2).flatten(1).mean(1)
        if self.pairs:
            rows["identity"] = kept_identity(wide["real"], wide["identity"])
        return rows

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the terms of the variant."""
        assert methods is not None
        found = {
            "cross_entropy": cross_entropy(rows["logit"], labels),
            "domain": class_cross_entropy(rows["domains"], methods),
            "distillation": sum_of_sides(rows["distance"], labels),
        }
        return {**found, "cosine": rows["identity"].sum()} if self.pairs else found
