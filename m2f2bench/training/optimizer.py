"""The optimiser of a training: which weights learn at which rate, and which are decayed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch

from ..cards.settings import TrainingSettings
from ..core.errors import DetectorError

if TYPE_CHECKING:
    from torch import nn


def make_optimizer(model: nn.Module, settings: TrainingSettings, detector: str) -> torch.optim.Optimizer:
    """The optimiser of the settings over all parameters that require a gradient.

    Its groups hold parameters of one learning rate (`settings.lr`, or what `settings.lr_of` says) and one decay
    (`settings.decay`), in the order of `named_parameters()`; `initial_lr` of each is the rate that the schedule
    multiplies. Raises DetectorError, naming `detector`, where nothing is trained or a pattern of `lr_of` does not fit.
    """
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trained:
        raise DetectorError(f"detector '{detector}' has no weights to train: all of it is frozen")
    own = _own_rates(trained, settings.lr_of, detector)
    groups: list[dict[str, Any]] = []
    for lr in dict.fromkeys([settings.lr, *own.values()]):
        values = [value for name, value in trained.items() if own.get(name, settings.lr) == lr]
        matrices = [value for value in values if value.ndim > 1 or settings.decay == "all"]
        others = [value for value in values if value.ndim <= 1 and settings.decay != "all"]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay, "lr": lr, "initial_lr": lr})
        groups.append({"params": others, "weight_decay": 0.0, "lr": lr, "initial_lr": lr})
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr)


def _own_rates(names: Iterable[str], lr_of: dict[str, float], detector: str) -> dict[str, float]:
    """Name → learning rate of the parameters that a pattern names. Raises DetectorError (see `make_optimizer`)."""
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
                    f"'{name}': make them name different ones"
                )
            own[name] = pattern
    return {name: lr_of[pattern] for name, pattern in own.items()}


def _nearest(pattern: str, names: Iterable[str]) -> str:
    """What a pattern may have meant: names of which the whole or the end is like it, else some of all names."""
    ends = {".".join(parts[i:]): name for name in names for parts in [name.split(".")] for i in range(len(parts))}
    close = difflib.get_close_matches(pattern.strip("*."), ends, n=2, cutoff=0.6)
    if close:
        return "; did you mean " + " or ".join(f"'{name}'" for name in dict.fromkeys(ends[c] for c in close)) + "?"
    some = sorted(names)
    more = f" and {len(some) - 3} more" if len(some) > 3 else ""
    return f"; trained are {', '.join(some[:3])}{more}"
