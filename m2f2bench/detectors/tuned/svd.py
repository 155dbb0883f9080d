"""Linear layers split by singular values: a frozen principal part and trained residual triples (Effort).

Yan et al., "Orthogonal Subspace Decomposition for Generalizable AI-Generated Image Detection", ICML 2025, arXiv
2411.15633. Names of tensors are those of the authors' files.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class SVDLinear(nn.Module):
    """A linear layer of weight `weight_main + U_residual diag(S_residual) V_residual`.

    `weight_main` [out, in] and `bias` [out] are frozen; `U_residual` [out, k], `S_residual` [k] and `V_residual`
    [k, in] are trained.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, bias: bool) -> None:
        """Make an empty layer of zeros; `rank` is the number k of trained triples."""
        super().__init__()
        self.weight_main = nn.Parameter(torch.zeros(outputs, inputs), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(outputs), requires_grad=False) if bias else None
        self.S_residual = nn.Parameter(torch.zeros(rank))
        self.U_residual = nn.Parameter(torch.zeros(outputs, rank))
        self.V_residual = nn.Parameter(torch.zeros(rank, inputs))

    @classmethod
    def of(cls, layer: nn.Linear, rank: int) -> SVDLinear:
        """Return a layer split into all singular triples but the last `rank`, and these.

        The decomposition is computed in fp64. The layer also gets what Effort's loss compares with, in buffers that no
        file has: `complement_u` [out, c] and `complement_v` [in, c], orthonormal bases of what is orthogonal to the
        frozen singular vectors, and `size_before`, the sum of the squared singular values. Raises ValueError if the
        layer has no more than `rank` singular values.
        """
        outputs, inputs = layer.weight.shape
        kept = min(outputs, inputs) - rank
        if kept < 1:
            raise ValueError(f"a layer of {outputs}×{inputs} has no {rank + 1} singular values: lower svd_rank")
        made = cls(inputs, outputs, rank, layer.bias is not None)
        with torch.no_grad():
            # Square matrices have as many singular vectors either way.
            u, s, v = torch.linalg.svd(layer.weight.double(), full_matrices=outputs != inputs)
            made.register_buffer("complement_u", u[:, kept:].to(layer.weight.dtype), persistent=False)
            made.register_buffer("complement_v", v[kept:].T.to(layer.weight.dtype).contiguous(), persistent=False)
            made.register_buffer("size_before", (s**2).sum().to(layer.weight.dtype), persistent=False)
            u, v = u[:, : len(s)], v[: len(s)]
            residual = u[:, kept:] * s[kept:] @ v[kept:]
            made.weight_main.copy_(layer.weight.double() - residual)
            made.U_residual.copy_(u[:, kept:])
            made.S_residual.copy_(s[kept:])
            made.V_residual.copy_(v[kept:])
            if made.bias is not None:
                made.bias.copy_(layer.bias)
        return made

    def whole(self) -> torch.Tensor:
        """Return the whole weight [out, in]."""
        return self.weight_main + (self.U_residual * self.S_residual) @ self.V_residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., in] to [..., out]."""
        return F.linear(x, self.whole(), self.bias)

    def merged(self) -> nn.Linear:
        """Return a plain linear layer with the whole weight: the same scores, to the bit."""
        outputs, inputs = self.weight_main.shape
        plain = nn.Linear(inputs, outputs, bias=self.bias is not None)
        with torch.no_grad():
            plain.weight.copy_(self.whole())
            if self.bias is not None:
                plain.bias.copy_(self.bias)
        return plain
