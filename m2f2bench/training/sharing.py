"""How processes share a network that is trained: each has a whole copy, or accelerate shards it (FSDP, DeepSpeed)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed

from ..core.errors import DetectorError, first_line

if TYPE_CHECKING:
    from torch import nn

    from .language_parts import Batch

    Tensors = dict[str, torch.Tensor]

BUCKET = 1 << 24
"""Numbers that one exchange of gradients sends at most, unless a single parameter has more."""


def share_network(
    accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer, parts: int, clip: float
) -> Any:
    """`Whole`, `FullySharded` or `DeepSpeed`, by what accelerate was configured for.

    `parts` is into how many a batch is cut for each process, `clip` the greatest norm of the gradient (0: any). Raises
    DetectorError for another kind.
    """
    kind = str(accelerator.distributed_type.value)
    if kind == "FSDP":
        return FullySharded(accelerator, module, optimizer, clip)
    if kind == "DEEPSPEED":
        return DeepSpeed(accelerator, module, optimizer, parts, clip)
    if kind in ("NO", "MULTI_CPU", "MULTI_GPU"):
        return Whole(accelerator, module, optimizer, clip)
    raise DetectorError(f"accelerate is configured for {kind}: take one or more GPUs or CPUs, FSDP or DeepSpeed")


class Whole:
    """Every process has all of the network and works off its own share; at a step's end gradients are summed.

    Between two steps nothing is exchanged, so that a process which runs out of memory keeps no other waiting.
    """

    sharded = False
    """Whether every process must go through each pass of the network together with all others."""
    keeps = True
    """Whether its state can be had for a checkpoint."""

    def __init__(self, accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer, clip: float) -> None:
        """The module is put on the accelerator's device; trained weights are those of the first process."""
        self.accelerator, self.module, self.clip = accelerator, module, clip
        self._plain = module.forward  # before accelerate wraps it in autocast
        self.optimizer = accelerator.prepare(optimizer)
        self.model = accelerator.prepare_model(module, evaluation_mode=True)
        self.trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self.names = list(self.trained)
        if accelerator.num_processes > 1:
            for value in self.trained.values():
                torch.distributed.broadcast(value.data, 0)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Sum of losses and number of tokens, [2], in the training's precision."""
        found: torch.Tensor = self.model(**self._placed(batch))
        return found

    def judged(self, batch: Batch) -> torch.Tensor:
        """The same as without a training: no autocast, no gradient."""
        with torch.no_grad():
            found: torch.Tensor = self._plain(**self._placed(batch))
        return found

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients of a loss; `last` is the last one of a step."""
        self.accelerator.backward(loss)

    def clear(self) -> None:
        """Drop all gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def update(self) -> tuple[float, bool]:
        """Exchange gradients, clip them and take the step; the gradient's norm (0.0 without clipping) and whether
        the step was skipped because fp16 gradients overflowed."""
        for value in self.trained.values():
            if value.grad is None:  # the same with any sharing out, whichever process had a use for it
                value.grad = torch.zeros_like(value)
        if self.accelerator.num_processes > 1:
            for bucket in self._buckets():
                flat = torch.cat([grad.reshape(-1) for grad in bucket])
                torch.distributed.all_reduce(flat)
                for grad, total in zip(bucket, torch.split(flat, [grad.numel() for grad in bucket]), strict=True):
                    grad.copy_(total.view_as(grad))
        return self._step()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Trained tensors by name and the optimiser's state, whole, in the main process (others: anything)."""
        scaler = self.accelerator.scaler
        kept = {"optimizer": self.optimizer.state_dict(), "scaler": scaler.state_dict() if scaler is not None else None}
        return {name: value.detach() for name, value in self.trained.items()}, kept

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """Take up what `state` gave. Raises DetectorError where it is of another network."""
        self._check(tensors)
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(tensors[name])
        self.optimizer.load_state_dict(optimizer["optimizer"])
        if self.accelerator.scaler is not None and optimizer["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(optimizer["scaler"])

    def weights(self) -> Tensors:
        """Trained tensors by their names in the module, on the CPU, whole in the main process."""
        return {name: value.detach().cpu() for name, value in self.trained.items()}

    def _placed(self, batch: Batch) -> Batch:
        return {name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.items()}

    def _buckets(self) -> Iterator[list[torch.Tensor]]:
        """Gradients in their parameters' order, of one dtype, so many together as `BUCKET` allows."""
        bucket: list[torch.Tensor] = []
        for value in self.trained.values():
            assert value.grad is not None
            full = sum(grad.numel() for grad in bucket) + value.numel() > BUCKET
            if bucket and (full or bucket[0].dtype != value.dtype):
                yield bucket
                bucket = []
            bucket.append(value.grad)
        yield bucket

    def _step(self) -> tuple[float, bool]:
        norm = 0.0
        if self.clip:
            norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip))
        self.optimizer.step()
        skipped = bool(self.accelerator.optimizer_step_was_skipped)
        return (0.0 if skipped else norm), skipped

    def _check(self, tensors: Tensors) -> None:
        missing, unexpected = sorted(set(self.names) - set(tensors)), sorted(set(tensors) - set(self.names))
        if missing or unexpected:
            which = f"lacks '{missing[0]}'" if missing else f"has '{unexpected[0]}'"
            raise DetectorError(
                f"the checkpoint is of another network: it {which} ({len(missing)} tensors missing, "
                f"{len(unexpected)} unexpected); train without --resume"
            )


class FullySharded(Whole):
    """FSDP by accelerate's own configuration: parameters, gradients and optimiser are spread over the processes.

    Checkpoints hold what is trained, gathered in the main process; hence they are as small as those of `Whole`.
    """

    sharded = True

    def __init__(self, accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer, clip: float) -> None:
        """The module is wrapped (FSDP 1) or changed in place (FSDP 2)."""
        self.accelerator, self.module, self.clip = accelerator, module, clip
        self.names = [name for name, value in module.named_parameters() if value.requires_grad]
        self.model, self.optimizer = accelerator.prepare(module, optimizer)

    def judged(self, batch: Batch) -> torch.Tensor:
        """As `loss`, without a gradient: sharded weights are only there inside the wrapped pass."""
        with torch.no_grad():
            return self.loss(batch)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients: they are averaged over processes, and the loss is of the sum."""
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def update(self) -> tuple[float, bool]:
        """Clip and take the step; gradients are exchanged already."""
        return self._step()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """As `Whole.state`; all processes must call it."""
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        gathered = self._gathered()
        kept = get_optimizer_state_dict(self.model, self._inner(), options=self._options())
        scaler = self.accelerator.scaler
        return gathered, {"optimizer": kept, "scaler": scaler.state_dict() if scaler is not None else None}

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """As `Whole.restore`; every process has read the same checkpoint."""
        from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

        self._check(tensors)
        options = self._options(strict=False)
        set_model_state_dict(self.model, dict(tensors), options=options)
        set_optimizer_state_dict(self.model, self._inner(), optimizer["optimizer"], options=options)
        if self.accelerator.scaler is not None and optimizer["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(optimizer["scaler"])

    def weights(self) -> Tensors:
        """As `Whole.weights`; all processes must call it."""
        return self._gathered()

    def _gathered(self) -> Tensors:
        from torch.distributed.checkpoint.state_dict import get_model_state_dict

        for module in self.model.modules():
            reshard = getattr(module, "reshard", None)
            if reshard is not None:  # after a pass without a backward one FSDP 2 keeps some weights whole
                reshard()
        gathered: Any = get_model_state_dict(self.model, options=self._options())
        return {name: gathered[name] for name in self.names} if self.accelerator.is_main_process else {}

    def _options(self, strict: bool = True) -> Any:
        from torch.distributed.checkpoint.state_dict import StateDictOptions

        return StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=strict)

    def _inner(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = self.optimizer.optimizer
        return inner


class DeepSpeed(Whole):
    """DeepSpeed by accelerate's own configuration. It has no checkpoints here: a training that is cut off begins anew.

    DeepSpeed casts the whole network to its precision, clips by itself, and takes the step with the last part of a
    batch.
    """

    sharded, keeps = True, False

    def __init__(
        self, accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer, parts: int, clip: float
    ) -> None:
        """Without a dataloader accelerate cannot know the batch: it is told here that a part is one micro-batch."""
        self.accelerator, self.module, self.clip, self.parts = accelerator, module, clip, parts
        config = accelerator.state.deepspeed_plugin.deepspeed_config
        config["train_micro_batch_size_per_gpu"] = 1
        config["gradient_accumulation_steps"] = parts
        config["gradient_clipping"] = clip
        self.names = [name for name, value in module.named_parameters() if value.requires_grad]
        self.model, self.optimizer = accelerator.prepare(module, optimizer)

    def judged(self, batch: Batch) -> torch.Tensor:
        """As `loss`, without a gradient."""
        with torch.no_grad():
            return self.loss(batch)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Add the gradients, and with the `last` take the step; DeepSpeed averages over processes and parts."""
        self.accelerator.gradient_state._set_sync_gradients(last)
        self.accelerator.backward(loss * self.accelerator.num_processes * self.parts)

    def clear(self) -> None:
        """Nothing: DeepSpeed drops them after its step."""

    def update(self) -> tuple[float, bool]:
        """The norm alone: the step was taken with the last part's gradients."""
        skipped = bool(self.accelerator.optimizer_step_was_skipped)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip) if self.clip else None
        return (0.0 if skipped or norm is None else float(norm)), skipped

    def restore(self, tensors: Tensors, optimizer: dict[str, Any]) -> None:
        """Raises DetectorError: what DeepSpeed has spread out cannot be taken up from a checkpoint here."""
        raise DetectorError("a training cannot go on under DeepSpeed: train without --resume, or without DeepSpeed")

    def weights(self) -> Tensors:
        """As `Whole.weights`; all processes must call it. Raises DetectorError where ZeRO 3 may not gather them."""
        try:
            whole = self.accelerator.get_state_dict(self.model)
        except ValueError as error:
            raise DetectorError(f"DeepSpeed does not give its weights back: {first_line(error)}") from None
        return {name: whole[name].float().cpu() for name in self.names} if self.accelerator.is_main_process else {}
