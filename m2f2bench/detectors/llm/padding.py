"""Attention keys for padding: every position of a batch attends to at least one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def give_keys(model: nn.Module) -> None:
    """Let padding before a prompt attend to itself, in all attention layers of a model of transformers.

    In a batch that is padded on the left, such positions would have no key, and the result of attention would be
    undefined: zeros or NaN, depending on the kernel. No other position attends to them, so nothing else changes.
    """
    fixed = _Fixed()
    for module in model.modules():
        if hasattr(module, "is_causal"):  # transformers' mark of attention layers
            module.register_forward_pre_hook(fixed, with_kwargs=True)


class _Fixed:
    """The mask of a layer with a key in every row; the layers of a pass share one."""

    def __init__(self) -> None:
        self._last: tuple[torch.Tensor | None, torch.Tensor | None] = None, None

    def __call__(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        mask = named.get("attention_mask")
        if not isinstance(mask, torch.Tensor) or mask.ndim != 4 or mask.shape[2] == 1:
            return None
        if self._last[0] is not mask:
            self._last = mask, with_keys(mask)
        return given, {**named, "attention_mask": self._last[1]}


def with_keys(mask: torch.Tensor) -> torch.Tensor:
    """Return a mask [B, heads or 1, L, K] of the last L of K positions, in which a row without a key sees itself.

    The mask is of bools (True: visible) or of numbers that are added to scores.
    """
    rows, columns = mask.shape[2:]
    hidden = ~mask if mask.dtype == torch.bool else mask <= torch.finfo(mask.dtype).min
    alone = hidden.all(3, keepdim=True)
    own = torch.eye(columns, dtype=torch.bool, device=mask.device)[columns - rows :]
    return mask | (alone & own) if mask.dtype == torch.bool else mask.masked_fill(alone & own, 0.0)
