"""Optimiser of a training: the learning rate, its schedule, and the decay of each weight."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch

from ..cards.settings import TrainingSettings
from ..core.errors import DetectorError

if TYPE_CHECKING:
    from torch import nn


def make_optimizer(
    model: nn.Module, settings: TrainingSettings, detector: str, device: torch.device | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser of the settings for all parameters that require a gradient.

    Each group holds parameters of one learning rate (`settings.lr`, or the rate in `settings.lr_of`) and one decay
    (`settings.decay`), in the order of `named_parameters()`; `initial_lr` is the rate that the schedule multiplies.
    Raises DetectorError, with the name of the `detector`, if nothing is trained, if a pattern of `lr_of` does not fit,
    or if a trained parameter has less than 32 bits: it would lose an update of a ten-thousandth to rounding.
    """
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trained:
        raise DetectorError(f"detector '{detector}' has no weights to train: all of it is frozen")
    for name, value in trained.items():
        if value.dtype not in (torch.float32, torch.float64):
            raise DetectorError(
                f"detector '{detector}': '{name}' is to be trained and is {str(value.dtype).removeprefix('torch.')}: "
                "small updates would be lost; trained weights must be float32"
            )
    own = _own_rates(trained, settings.lr_of, detector)
    groups: list[dict[str, Any]] = []
    for lr in dict.fromkeys([settings.lr, *own.values()]):
        values = [value for name, value in trained.items() if own.get(name, settings.lr) == lr]
        matrices = [value for value in values if value.ndim > 1 or settings.decay == "all"]
        others = [value for value in values if value.ndim <= 1 and settings.decay != "all"]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "lr": lr, "initial_lr": lr})
        groups.append({"params": others, "weight_decay": 0.0, "lr": lr, "initial_lr": lr})
    groups = [group for group in groups if group["params"]]
    # One parameter after the other on a CPU, where sums then have one order and every run has the same bits. On a GPU
    # many at once, also under FSDP, where torch would not choose that by itself.
    together = device is not None and device.type == "cuda"
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, foreach=together)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr, foreach=together)


def _own_rates(names: Iterable[str], lr_of: dict[str, float], detector: str) -> dict[str, float]:
    """Return the learning rates of the parameters that a pattern matches. Raises DetectorError as `make_optimizer`."""
    own: dict[str, str] = {}
    for pattern in lr_of:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise DetectorError(
                f"detector '{detector}': `lr_of` pattern '{pattern}' matches no trained parameter"
                f"{_nearest(pattern, names)}"
            )
        for name in found:
            if name in own:
                raise DetectorError(
                    f"detector '{detector}': `lr_of` patterns '{own[name]}' and '{pattern}' both match parameter "
                    f"'{name}': make them match different ones"
                )
            own[name] = pattern
    return {name: lr_of[pattern] for name, pattern in own.items()}


def _nearest(pattern: str, names: Iterable[str]) -> str:
    """Return a hint for a pattern: names that are similar to it, wholly or at their end, or else some of all names."""
    ends = {".".join(parts[i:]): name for name in names for parts in [name.split(".")] for i in range(len(parts))}
    close = difflib.get_close_matches(pattern.strip("*."), ends, n=2, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(f"'{name}'" for name in dict.fromkeys(ends[c] for c in close)) + "?"
    some = sorted(names)
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"; trained are {', '.join(some[:3])}{more}"


THRESHOLD = 1e-4
"""Relative decrease of the best loss that counts as an improvement (torch's default)."""


def lr_factor(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate at `step` (0-based) of `total`, in (0, 1].

    Linear from 1/`warmup` up to 1 over the first `warmup` steps, then half a cosine that would be 0 at step `total`
    (Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5, without restarts). With a warm-up as long as the training or
    longer there is only the rise. Raises ValueError for a step outside the training.
    """
    if not 0 <= step < total:
        raise ValueError(f"step {step} is outside a training of {total} steps")
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def plateau_factor(losses: Iterable[float | None], factor: float, patience: int) -> float:
    """Return the factor of the learning rate after epochs with these validation losses: `factor`^reductions.

    An epoch is bad if its loss is not below the best one so far by `THRESHOLD` of that. More than `patience` bad epochs
    in a row reduce the rate once, and the count starts again. This is torch's `ReduceLROnPlateau` (mode min) without
    its `eps`, the smallest reduction: every parameter group keeps its ratio to the others. An epoch without a
    validation loss (None) is ignored.
    """
    best, bad, product = math.inf, 0, 1.0
    for loss in losses:
        if loss is None:
            continue
        if loss < best * (1.0 - THRESHOLD):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            product, bad = product * factor, 0
    return product


def plateau_lr_factor(step: int, warmup: int, losses: Iterable[float | None], factor: float, patience: int) -> float:
    """Return the factor of the learning rate at `step` (0-based) under the plateau schedule, in (0, 1].

    It is the linear warm-up of `lr_factor` times `plateau_factor` of the validation losses so far, including those of
    the warm-up.
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    return rise * plateau_factor(losses, factor, patience)
