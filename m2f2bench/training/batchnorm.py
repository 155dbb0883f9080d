"""Batch normalisation over the images of all processes, so that several processes learn what one would."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode


class SharedStatistics(TorchFunctionMode):
    """Context in which `torch.nn.functional.batch_norm` in training mode takes its statistics over all processes.

    It works on any device and any `torch.distributed` backend that can gather (gloo, nccl). It replaces the function,
    not modules: BatchNorm1d/2d/3d and their subclasses (timm's BatchNormAct2d with its drop and activation) keep
    class, forward and state dict. All processes must run the same network forward inside the context, and backward
    inside or outside of it, each with at least one image; they may have different numbers of images. Activations must
    be kept for the backward pass: recomputed ones would have the statistics of their own process
    (`torch.utils.checkpoint` raises an error for that, unless it is re-entrant).
    """

    def __init__(self, counted: bool = True) -> None:
        """With `counted` False this process's images take part in every exchange but not in the statistics.

        That is for a blank in place of unreadable images. It is normalised like the others; its loss must be multiplied
        by 0. At least one process must count.
        """
        super().__init__()
        self.counted = counted

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a torch function, or the replacement of batch normalisation by the batch's statistics."""
        if func is batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: torch.Tensor,
        running_mean: torch.Tensor | None,
        running_var: torch.Tensor | None,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """Replace `torch.nn.functional.batch_norm`, with the same signature."""
        if not training:
            return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
        count, mean, var = shared_moments(input, self.counted)
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
                running_var.lerp_((var * (count / (count - 1).clamp(min=1))).to(running_var.dtype), momentum)
        normalised: torch.Tensor = _Normalised.apply(input, weight, bias, count, mean, var, eps, self.counted)
        return normalised


def shared_moments(values: torch.Tensor, counted: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return count [], mean [C] and biased variance [C], float64, of `values` [B, C, ...] over all counting processes.

    This takes one exchange of 2C + 1 numbers. The moments of the parts are combined as by Chan, Golub & LeVeque
    ("Algorithms for computing the sample variance", The American Statistician 37, 1983), in the same order everywhere:
    all processes get the same bits. They have no gradient; `_Normalised` computes it. A single value has variance 0.
    """
    plain = values.detach()
    plain = plain if plain.dtype == torch.float64 else plain.float()
    mean, var = torch.batch_norm_update_stats(plain, None, None, 0.0)  # `var_mean` is many times slower on a CPU
    size = torch.full((1,), values.numel() // values.shape[1], dtype=torch.float64, device=values.device)
    own = torch.cat([size, mean.double(), var.double()])
    if not counted:
        own.zero_()  # with a count of 0 the rest of the row does not change the sums below
    rows = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(rows, own)
    counts, means, variances = torch.split(torch.stack(rows), [1, len(mean), len(mean)], dim=1)
    count = counts.sum()
    shared = (counts * means).sum(0) / count
    return count, shared, (counts * (variances + (means - shared) ** 2)).sum(0) / count


class _Normalised(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) · weight + bias, with mean and variance of x over all processes.

    The gradient is that of batch normalisation (Ioffe & Szegedy, ICML 2015, section 3); its two sums over the batch
    are sums over all processes: one exchange of 2C numbers. Gradients of weight and bias are those of this process; the
    training loop adds them up.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        count: torch.Tensor,
        mean: torch.Tensor,
        var: torch.Tensor,
        eps: float,
        counted: bool,
    ) -> torch.Tensor:
        """Return the normalised `x` [B, C, ...], with the same dtype; the statistics are those of `shared_moments`."""
        kind = torch.float64 if x.dtype == torch.float64 else torch.float32
        ctx.save_for_backward(x, weight, count, mean, var)
        ctx.eps, ctx.counted, ctx.kind = eps, counted, kind
        # As in eval mode the statistics are passed to torch's own kernel, here and in `backward`.
        return batch_norm(x, mean.to(kind), var.to(kind), weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradients of x, weight and bias; the other arguments have none."""
        x, weight, count, mean, var = ctx.saved_tensors
        factor = weight if weight is not None else torch.ones_like(mean, dtype=ctx.kind)
        given = (factor, mean.to(ctx.kind), var.to(ctx.kind), None, None, False, ctx.eps)
        # The gradient for constant statistics, and the two sums over this process's batch.
        change, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(grad, x, *given, [True] * 3)
        sums = torch.stack([grad_bias, grad_weight]).double()
        torch.distributed.all_reduce(sums)
        along, across = sums
        if ctx.counted:  # minus weight / std · (along + unit · across) / count, where unit = (x - mean) / std
            scale = torch.rsqrt(var + ctx.eps)
            shape = [1, -1] + [1] * (x.ndim - 2)
            slope = scale * scale * factor * across / count
            shift = scale * factor * along / count - slope * mean
            change = change.to(ctx.kind)  # half precision would lose too much to cancellation
            change.addcmul_(x.to(ctx.kind), slope.to(ctx.kind).view(shape), value=-1)
            change.sub_(shift.to(ctx.kind).view(shape))
        wanted = (change.to(x.dtype), grad_weight, grad_bias)
        needed = [value if needs else None for value, needs in zip(wanted, ctx.needs_input_grad, strict=False)]
        return (*needed, None, None, None, None, None)
