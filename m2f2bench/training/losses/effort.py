"""Loss of Effort (Yan et al., "Orthogonal Subspace Decomposition", ICML 2025, arXiv 2411.15633)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from .base import Rows, TrainingLoss, cross_entropy


def orthogonality(residual: torch.Tensor, complement: torch.Tensor) -> torch.Tensor:
    """Return ‖BᵀB - I‖² for B, the frozen singular vectors beside the trained ones, `residual` [n, k]; a scalar.

    `complement` [n, c] is an orthonormal basis of what is orthogonal to the frozen vectors F, so that
    ‖Fᵀ residual‖² = ‖residual‖² - ‖complementᵀ residual‖², and F itself need not be kept.
    """
    own = residual.T @ residual - torch.eye(residual.shape[1], dtype=residual.dtype, device=residual.device)
    across = (residual**2).sum() - ((complement.T @ residual) ** 2).sum()
    return (own**2).sum() + 2.0 * across


def singular_values(weight: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Return |‖W‖² - ‖W₀‖²| of a weight [out, in], whose `before` is ‖W₀‖² as it was pretrained; a scalar."""
    return ((weight**2).sum() - before).abs()


class Effort(TrainingLoss):
    """Cross-entropy; orthogonality of all singular vectors, and kept singular values, as means over the split layers.

    `deepfakebench` is the authors' release: cross-entropy alone.
    """

    needs: ClassVar[tuple[str, ...]] = ("logit", "split")
    variants: ClassVar[dict[str, dict[str, float]]] = {
        "paper": {"cross_entropy": 1.0, "orthogonality": 1.0, "singular_values": 1.0},
        "deepfakebench": {"cross_entropy": 1.0},
    }

    def reduced(self, outputs: Rows, given: object) -> Rows:
        """Return the logits alone: the other terms are of the weights."""
        return {"logit": outputs["logit"]}

    def terms(self, rows: Rows, labels: torch.Tensor, methods: torch.Tensor | None, views: int) -> Rows:
        """Return the cross-entropy."""
        return {"cross_entropy": cross_entropy(rows["logit"], labels)}

    def penalties(self, model: nn.Module) -> Rows:
        """Return the other two terms."""
        if self.variant == "deepfakebench":
            return {}
        layers = [layer for layer in model.modules() if hasattr(layer, "complement_u")]
        of_u = [orthogonality(one.U_residual, one.complement_u) for one in layers]  # type: ignore[arg-type]
        of_v = [orthogonality(one.V_residual.T, one.complement_v) for one in layers]  # type: ignore[arg-type]
        kept = [singular_values(one.whole(), one.size_before) for one in layers]  # type: ignore[operator, arg-type]
        both = torch.stack(of_u) + torch.stack(of_v)
        return {"orthogonality": both.mean(), "singular_values": torch.stack(kept).mean()}
