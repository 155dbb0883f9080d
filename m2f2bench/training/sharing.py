"""Distribution of a trained network over processes: each has a whole copy, or accelerate shards it (FSDP)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed

from ..core.errors import DetectorError

if TYPE_CHECKING:
    from torch import nn

    from .checkpoint import Tensors

BUCKET = 1 << 24
"""Largest number of values in one exchange of gradients, unless a single parameter has more."""


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
        if self.accelerator.num_processes > 1 and not self.sharded:  # FSDP has done it
            self._exchange()
        return self._step()

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
        self.accelerator, self.clip = accelerator, clip
        self.names = [name for name, value in module.named_parameters() if value.requires_grad]
        self.model, self.optimizer = accelerator.prepare(module, optimizer)
        self.judge = self.model  # sharded weights exist only inside the wrapped pass
        self.scale = float(accelerator.num_processes)  # FSDP averages gradients

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """As `Whole.state`; all processes must call it."""
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        tensors = self.weights()
        return tensors, self._kept(get_optimizer_state_dict(self.model, self._inner(), options=self._options()))

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """As `Whole.restore`; every process has read the same checkpoint."""
        from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

        _check(self.names, tensors)
        options = self._options(strict=False)
        set_model_state_dict(self.model, dict(tensors), options=options)
        set_optimizer_state_dict(self.model, self._inner(), optimizer["optimizer"], options=options)
        self._restore_scaler(optimizer)

    def weights(self) -> Tensors:
        """As `Whole.weights`; all processes must call it."""
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        for module in self.model.modules():
            reshard = getattr(module, "reshard", None)
            if reshard is not None:  # after a forward pass alone, FSDP 2 keeps some weights whole
                reshard()
        gathered: Any = get_model_state_dict(self.model, options=self._options())
        return {name: gathered[name] for name in self.names} if self.accelerator.is_main_process else {}

    def _options(self, strict: bool = True) -> Any:
        from torch.distributed.checkpoint.state_dict import StateDictOptions

        return StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=strict)

    def _inner(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = self.optimizer.optimizer
        return inner
