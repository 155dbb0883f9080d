"""Batched decoding state: tokens so far, and a key-value cache that begins with the prompt which all rows share."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

from ...core.errors import DetectorError


@dataclass(frozen=True)
class Ways:
    """Operations that an LLM's cache allows without changing its answers.

    `shares`: the cache of a prompt's beginning can be used for several rows. `joins`: rows can be added to others that
    are longer. `positions`: the forward pass takes position ids, without which there is no padding. `window`: the most
    positions of a row, including padding and new tokens, that fit in every sliding window. `stable`: rows longer than
    this are generated alone, since the rotary embedding changes with the longest row. `last`: arguments that make the
    forward pass compute only the last position's logits.
    """

    shares: bool
    joins: bool
    positions: bool
    window: int
    stable: int
    last: dict[str, int]

    def pads(self, length: int) -> bool:
        """Return whether a batch of `length` positions may hold padding, which a sliding window would count."""
        return self.positions and length <= self.window


def study(model: Any, where: str) -> Ways:
    """Return what an LLM's cache allows, from its forward pass over one token. Raises DetectorError without a cache."""
    bare = inner(model)
    takes = inspect.signature(bare.forward).parameters
    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        found = model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device), use_cache=True)
    cache = getattr(found, "past_key_values", None)
    if cache is None:
        raise DetectorError(f"{where} has no key-value cache: take an LLM with attention")
    windows = [_window(layer) for layer in getattr(cache, "layers", [None])]
    shares, positions = 0 not in windows, "position_ids" in takes
    return Ways(
        shares=shares,
        joins=shares and positions and min(windows) == sys.maxsize,
        positions=positions,
        window=min(windows),
        stable=_stable(bare.config.get_text_config()),
        last={"logits_to_keep": 1} if "logits_to_keep" in takes else {},
    )


def inner(model: Any) -> Any:
    """Return an LLM without peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def probe(model: Any) -> torch.Tensor:
    """Return four words, int64 [1, 4] on the LLM's device, for a trial."""
    table = model.get_input_embeddings().weight
    return torch.arange(1, 5, device=table.device)[None] % len(table)


def agree(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether logits are the same to 1% of the largest, or to 5% where the LLM rounds to 16 bits."""
    apart = 0.01 if one.dtype == torch.float32 else 0.05
    return bool((one - other).abs().max() <= apart * one.abs().max())


def _window(layer: Any) -> int:
    """Return a layer's window; 0 for one without attention (a recurrent state would read padding as words)."""
    kind = type(layer) if getattr(layer, "keys", None) is not None else None
    if kind is DynamicLayer:
        return sys.maxsize
    return int(layer.sliding_window) - 1 if kind is DynamicSlidingWindowLayer else 0


def _stable(config: Any) -> int:
    """Return the number of positions up to which rotary embeddings do not depend on the row's length."""
    rope = getattr(config, "rope_parameters", None) or {}  # of all layers, or a dictionary for each type of layer
    named = [one for one in (rope, *rope.values()) if isinstance(one, dict)]
    found = [one for one in named if one.get("rope_type") in ("dynamic", "longrope")]
    own = getattr(config, "original_max_position_embeddings", None) or getattr(config, "max_position_embeddings", 0)
    lengths = [int(one.get("original_max_position_embeddings") or own or 0) for one in found]
    return min(lengths, default=sys.maxsize)


def spread(cache: Any, rows: list[int] | None, room: int, whole: bool) -> Any:
    """Return a cache whose row i is row `rows[i]` of another one, which is not changed; None: the same rows.

    With `whole`, it gets room for `room` more positions and is written in place from here on: to extend it by copying,
    as transformers does, takes as long as the LLM's arithmetic. It must then hold all positions: no sliding window has
    dropped any yet, nor will.
    """
    if whole:
        return Cache(layers=[RoomyLayer(layer.keys, layer.values, rows, room) for layer in cache.layers])
    if rows is None:
        return cache
    fork = copy.copy(cache)  # selecting rows gives each layer new tensors
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    select(fork, rows)
    return fork


def select(cache: Any, rows: list[int]) -> None:
    """Keep these rows of a cache, in this order."""
    cache.batch_select_indices(torch.tensor(rows, device=cache.layers[0].keys.device))


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, [rows, heads, positions, width]: the first positions of a larger buffer."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: list[int] | None, room: int) -> None:
        """Copy the rows `rows` (None: all) of keys and values, with room for `room` more positions."""
        super().__init__()
        self.lazy_initialization(keys, values)
        chosen = [one if rows is None else one[rows] for one in (keys, values)]
        self._hold([torch.nn.functional.pad(one, (0, 0, 0, room)) for one in chosen], keys.shape[2])

    def _hold(self, buffers: list[torch.Tensor], length: int) -> None:
        self.buffers, self.length = buffers, length
        self.keys, self.values = (buffer[:, :, :length] for buffer in buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new positions; return all positions including them."""
        length = self.length + key_states.shape[2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : length] = states
        self._hold(self.buffers, length)
        return self.keys, self.values

    def join(self, rows: list[int], other: RoomyLayer, owns: Sequence[int], common: int, room: int) -> None:
        """Keep the rows `rows` and append those of another layer; see `joined`."""
        pairs = (self.keys[rows], other.keys), (self.values[rows], other.values)
        self._hold([joined(pair, owns, common, room) for pair in pairs], common + max(owns))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        self._hold([buffer[indices] for buffer in self.buffers], self.length)


def joined(sources: Sequence[torch.Tensor], owns: Sequence[int], common: int, room: int) -> torch.Tensor:
    """Return the rows of several tensors [rows, heads, positions, width] as one, with `room` more positions.

    All begin with `common` positions. The last `owns[i]` of source i are moved so that all end at the same position;
    zeros stand between, which are masked, but must be finite.
    """
    length, first = common + max(owns), sources[0]
    buffer = first.new_zeros((sum(map(len, sources)), first.shape[1], length + room, first.shape[3]))
    for rows, source, own in zip(torch.split(buffer, [len(one) for one in sources]), sources, owns, strict=True):
        rows[:, :, :common] = source[:, :, :common]
        rows[:, :, length - own : length] = source[:, :, source.shape[2] - own :]
    return buffer


@dataclass(frozen=True)
class Request:
    """A question about an image: the image's number, the prompt's elements (token ids and slots), the sampling seed."""

    image: int
    prompt: tuple[int, ...]
    seed: int = 0


@dataclass
class Row:
    """An answer while it is written: at most `limit` tokens after a prompt of `length` positions."""

    request: Request
    length: int
    limit: int
    draws: torch.Generator | None
    tokens: list[int] = field(default_factory=list)
    done: bool = False
    stopped: bool = False
    """Whether it ended with an end token or a stop text."""

    def restart(self) -> None:
        """Discard the tokens written so far."""
        self.tokens.clear()
        if self.draws is not None:
            self.draws.manual_seed(self.request.seed)


@dataclass
class Batch:
    """Rows that are decoded together.

    Their cache holds `length` positions: `common` shared by all rows, then padding, then each row's own, which end at
    the same position for all. `mask`, int64 [B, length and positions to come], is 0 for padding; None without padding.
    """

    rows: list[Row]
    cache: Any
    mask: torch.Tensor | None
    length: int
    common: int

    def keep(self, places: list[int]) -> None:
        """Drop all other rows."""
        select(self.cache, places)
        self.rows = [self.rows[place] for place in places]
        self.mask = None if self.mask is None else self.mask[places]

    def join(self, places: list[int], other: Batch) -> None:
        """Drop all rows except `places`, and add those of another batch. Both caches come from `spread`."""
        masks = self.own_mask()[places], other.own_mask()
        padding = int((masks[0].cumsum(1) == 0).sum(1).min())  # of all rows that stay
        owns = masks[0].shape[1] - padding, masks[1].shape[1]
        self.rows = [self.rows[place] for place in places] + other.rows
        room = max(row.limit - len(row.tokens) for row in self.rows)
        for layer, more in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.join(places, more, owns, self.common, room)
        mask = joined([one[:, None, :, None] for one in masks], owns, 0, 0)[:, 0, :, 0]
        self.mask = torch.nn.functional.pad(mask, (self.common, room), value=1)
        self.length = self.common + max(owns)

    def own_mask(self) -> torch.Tensor:
        """Return the mask of the positions after the common ones, int64 [B, length - common]."""
        if self.mask is not None:
            return self.mask[:, self.common : self.length]
        shape, device = (len(self.rows), self.length - self.common), self.cache.layers[0].keys.device
        return torch.ones(shape, dtype=torch.long, device=device)
