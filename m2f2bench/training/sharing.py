"""Distribution of a trained network over processes: whole or sharded (FSDP), with shared batch statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import torch
import torch.distributed
from torch import nn
from torch.nn.functional import batch_norm
from torch.overrides import TorchFunctionMode

from ..core.errors import DetectorError
from .job import Tensors

BUCKET = 1 << 24
"""Largest number of values in one exchange of gradients, unless a single parameter has more."""


class SharedStatistics(TorchFunctionMode):
    """Context in which `torch.nn.functional.batch_norm` in training mode takes its statistics over all processes.

    It works on any device and any `torch.distributed` backend that can gather (gloo, nccl). It replaces the function,
    not modules: BatchNorm1d/2d/3d and their subclasses (timm's BatchNormAct2d with its drop and activation) keep
    class, forward and state dict. All processes must run the same network forward inside the context, and backward
    inside or outside of it, each with at least one image; they may have different numbers of images. Activations must
    be kept for the backward pass: recomputed ones would have the statistics of their own process
    (`torch.utils.checkpoint` raises an error for that, unless it is re-entrant).
    """

    active: ClassVar[SharedStatistics | None] = None
    """The context that the process is in."""

    def __init__(self, counted: bool = True) -> None:
        """With `counted` False this process's images take part in every exchange but not in the statistics.

        That is for a blank in place of unreadable images. It is normalised like the others; its loss must be multiplied
        by 0. At least one process must count.
        """
        super().__init__()
        self.counted = counted

    def __enter__(self) -> SharedStatistics:
        """Begin."""
        super().__enter__()  # type: ignore[no-untyped-call]
        SharedStatistics.active = self
        return self

    def __exit__(self, *error: Any) -> None:
        """End."""
        SharedStatistics.active = None
        super().__exit__(*error)  # type: ignore[no-untyped-call]

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


class Whole:
    """Network of which every process has a whole copy; gradients are summed at the end of a step.

    Nothing is exchanged between two steps, so a process that runs out of memory does not keep the others waiting.
    """

    sharded = False
    """Whether every process must go through each pass of the network together with all others."""
    scale = 1.0
    """Factor of the losses, for gradients that are sums over processes."""

    def __init__(
        self,
        accelerator: Any,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip: float,
        tensors: Callable[[], Tensors],
    ) -> None:
        """Put the module on the accelerator's device; trained weights are those of the first process.

        `model` is the network in the training's precision, `judge` the network without autocast.
        `clip` is the largest norm of the gradient (0: no limit); `tensors` returns what a checkpoint holds.
        """
        self.accelerator, self.clip, self._tensors = accelerator, clip, tensors
        self.judge: Callable[..., torch.Tensor] = module.forward  # before accelerate wraps it in autocast
        self.optimizer = accelerator.prepare(optimizer)
        self.model = accelerator.prepare_model(module, evaluation_mode=True)
        self.trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self.names = list(self.trained)
        if accelerator.num_processes > 1:
            for value in self.trained.values():
                torch.distributed.broadcast(value.data, 0)

    def update(self) -> tuple[float, bool]:
        """Exchange gradients, clip them and take the step.

        Returns the norm of the gradient (0.0 without clipping), and whether the step was skipped because fp16
        gradients overflowed.
        """
        self.exchange()
        return self._step()

    def exchange(self) -> None:
        """Sum the gradients of all processes, as `update` does before its step."""
        if self.accelerator.num_processes > 1 and not self.sharded:  # FSDP has done it
            self._exchange()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return tensors and the optimiser's state for a checkpoint; they are whole in the main process."""
        tensors = {name: value.detach() for name, value in self._tensors().items()}
        return tensors, self._kept(self.optimizer.state_dict())

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """Take up what `state` returned. Raises DetectorError if it belongs to another network."""
        own = self._tensors()
        _check(own, tensors)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(tensors[name])
        self.optimizer.load_state_dict(optimizer["optimizer"])
        self._restore_scaler(optimizer)

    def weights(self) -> Tensors:
        """Return the trained tensors by their names in the module, on the CPU; they are whole in the main process."""
        return {name: value.detach().cpu() for name, value in self.trained.items()}

    def _kept(self, optimizer: Any) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {"optimizer": optimizer, "scaler": scaler.state_dict() if scaler is not None else None}

    def _restore_scaler(self, optimizer: dict[str, Any]) -> None:
        if self.accelerator.scaler is not None and optimizer["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(optimizer["scaler"])

    def _exchange(self) -> None:
        """Sum the gradients of all processes. A weight without a gradient in any process keeps none."""
        parameters = list(self.trained.values())
        given = [value.grad is not None for value in parameters]
        used = torch.tensor(given, dtype=torch.float32, device=self.accelerator.device)
        torch.distributed.all_reduce(used)
        taking_part = [value for value, count in zip(parameters, used.tolist(), strict=True) if count]
        for value in taking_part:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        for bucket in _buckets(taking_part):
            flat = torch.cat([grad.reshape(-1) for grad in bucket])
            torch.distributed.all_reduce(flat)
            for grad, total in zip(bucket, torch.split(flat, [grad.numel() for grad in bucket]), strict=True):
                grad.copy_(total.view_as(grad))

    def _step(self) -> tuple[float, bool]:
        norm = 0.0
        if self.clip:
            norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip))
        self.optimizer.step()
        skipped = bool(self.accelerator.optimizer_step_was_skipped)
        return (0.0 if skipped else norm), skipped


def _buckets(parameters: list[nn.Parameter]) -> Iterator[list[torch.Tensor]]:
    """Yield gradients in the order of their parameters, as many of one dtype together as `BUCKET` allows."""
    bucket: list[torch.Tensor] = []
    for value in parameters:
        assert value.grad is not None
        full = sum(grad.numel() for grad in bucket) + value.numel() > BUCKET
        if bucket and (full or bucket[0].dtype != value.dtype):
            yield bucket
            bucket = []
        bucket.append(value.grad)
    if bucket:
        yield bucket


def _check(own: Iterable[str], found: Iterable[str]) -> None:
    """Raise DetectorError unless a checkpoint has the tensors of this network."""
    missing, unexpected = sorted(set(own) - set(found)), sorted(set(found) - set(own))
    if missing or unexpected:
        which = f"lacks '{missing[0]}'" if missing else f"has '{unexpected[0]}'"
        raise DetectorError(
            f"the checkpoint is of another network: it {which} ({len(missing)} tensors missing, "
            f"{len(unexpected)} unexpected); train without --resume"
        )


class FullySharded(Whole):
    """Network under FSDP, as accelerate is configured: each process has a share of weights, gradients and optimiser.

    Checkpoints hold the trained tensors, gathered in the main process; they are as small as those of `Whole`.
    """

    sharded = True

    def __init__(self, accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer, clip: float) -> None:
        """The module is wrapped (FSDP 1) or changed in place (FSDP 2)."""
        from torch.distributed.checkpoint import state_dict

        self.states: Any = state_dict
        self.accelerator, self.clip = accelerator, clip
        self.names = [name for name, value in module.named_parameters() if value.requires_grad]
        self.model, self.optimizer = accelerator.prepare(module, optimizer)
        self.judge = self.model  # sharded weights exist only inside the wrapped pass
        self.scale = float(accelerator.num_processes)  # FSDP averages gradients

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """As `Whole.state`; all processes must call it."""
        tensors = self.weights()
        optimizer = self.states.get_optimizer_state_dict(self.model, self._inner(), options=self._options())
        return tensors, self._kept(optimizer)

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """As `Whole.restore`; every process has read the same checkpoint."""
        _check(self.names, tensors)
        options = self._options(strict=False)
        self.states.set_model_state_dict(self.model, dict(tensors), options=options)
        self.states.set_optimizer_state_dict(self.model, self._inner(), optimizer["optimizer"], options=options)
        self._restore_scaler(optimizer)

    def weights(self) -> Tensors:
        """As `Whole.weights`; all processes must call it."""
        for module in self.model.modules():
            reshard = getattr(module, "reshard", None)
            if reshard is not None:  # after a forward pass alone, FSDP 2 keeps some weights whole
                reshard()
        gathered = self.states.get_model_state_dict(self.model, options=self._options())
        return {name: gathered[name] for name in self.names} if self.accelerator.is_main_process else {}

    def _options(self, strict: bool = True) -> Any:
        whole = {"full_state_dict": True, "cpu_offload": True, "ignore_frozen_params": True}
        return self.states.StateDictOptions(**whole, strict=strict)

    def _inner(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = self.optimizer.optimizer
        return inner
