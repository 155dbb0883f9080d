"""Reading the masks that attention is given, whoever calls it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AttentionInterface

from m2f2bench.detectors.llm import shared

MASKS = list[torch.Tensor]
"""Of each call, bool [B, heads or 1, L, K]: which keys a position has."""


def spied(monkeypatch: pytest.MonkeyPatch) -> MASKS:
    """The masks of all later calls of torch's attention, and of that to beginnings that are held apart."""
    own, found = torch.nn.functional.scaled_dot_product_attention, []

    def attention(query: Any, key: Any, value: Any, attn_mask: Any = None, **more: Any) -> Any:
        shape = (len(query), 1, query.shape[2], key.shape[2])
        if attn_mask is None:
            seen = torch.ones(shape, dtype=torch.bool)
            found.append(seen.tril(shape[3] - shape[2]) if more.get("is_causal") else seen)
        else:
            found.append(attn_mask if attn_mask.dtype == torch.bool else attn_mask > torch.finfo(attn_mask.dtype).min)
        return own(query, key, value, attn_mask=attn_mask, **more)

    def to_both(module: Any, query: Any, key: Any, value: Any, mask: Any, **more: Any) -> Any:
        beginning = getattr(key, shared.MARK, None)
        if beginning is not None:
            shape = (len(query), 1, query.shape[2], beginning.keys.shape[2] + key.shape[2])
            found.append(torch.ones(shape, dtype=torch.bool) if mask is None else mask)
        return shared.attend(module, query, key, value, mask, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
    monkeypatch.setitem(AttentionInterface._global_mapping, shared.NAME, to_both)
    return found


def without_key(masks: MASKS) -> int:
    """How many positions have no key."""
    return sum(int((~mask.any(3)).sum()) for mask in masks)
