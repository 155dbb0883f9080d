"""Key-value cache of an LLM, shared by questions that begin with the same prompt."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from transformers import cache_utils

from ...core.errors import DetectorError

# Older releases of transformers have no layers; their caches are used unchanged.
_Layer: Any = getattr(cache_utils, "DynamicLayer", object)
_Sliding: Any = getattr(cache_utils, "DynamicSlidingWindowLayer", object)


@dataclass(frozen=True)
class Part:
    """Rows of a cache of `length` positions, the last `own` of which are not shared."""

    length: int
    own: int


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
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft's wrapper
    takes = inspect.signature(inner.forward).parameters
    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        found = model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device), use_cache=True)
    cache = getattr(found, "past_key_values", None)
    if cache is None:
        raise DetectorError(f"{where} has no key-value cache: take an LLM with attention")
    config = inner.config.get_text_config()
    windows = list(_windows(cache, config))
    attends = all(window is not None for window in windows) and hasattr(cache, "batch_select_indices")
    positions, wide = "position_ids" in takes, all(window == sys.maxsize for window in windows)
    return Ways(
        shares=attends,
        joins=attends and positions and wide and hasattr(cache, "layers"),
        positions=positions,
        window=min((w for w in windows if w is not None), default=sys.maxsize) if attends else 0,
        stable=_stable(config),
        last={name: 1 for name in ("logits_to_keep", "num_logits_to_keep") if name in takes},
    )


def _windows(cache: Any, config: Any) -> Iterator[int | None]:
    """Yield each layer's window; None for a layer without attention (a recurrent state would read padding as words)."""
    layers = getattr(cache, "layers", None)
    if layers is None:
        yield int(getattr(config, "sliding_window", None) or sys.maxsize)
        return
    for layer in layers:
        own = type(layer) if getattr(layer, "keys", None) is not None else None
        if own is _Layer:
            yield sys.maxsize
        else:
            yield int(layer.sliding_window) - 1 if own is _Sliding else None


def _stable(config: Any) -> int:
    """Return the number of positions up to which rotary embeddings do not depend on the row's length."""
    names, found = {"dynamic", "longrope", "su"}, []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("rope_type", part.get("type")) in names:
                found.append(part.get("original_max_position_embeddings"))
            for value in part.values():
                look(value)

    for name in ("rope_parameters", "rope_scaling"):
        look(getattr(config, name, None))
    own = getattr(config, "original_max_position_embeddings", None) or getattr(config, "max_position_embeddings", 0)
    return min((int(length or own or 0) for length in found), default=sys.maxsize)


def spread(cache: Any, rows: list[int] | None, room: int, whole: bool) -> Any:
    """Return a cache whose row i is row `rows[i]` of another one, which is not changed; None: the same rows.

    With `whole`, it gets room for `room` more positions and is written in place from here on: to extend it by copying,
    as transformers does, takes as long as the LLM's arithmetic. It must then hold all positions: no sliding window has
    dropped any yet, nor will.
    """
    layers = getattr(cache, "layers", None)
    if whole and layers and all(type(layer) in (_Layer, _Sliding) for layer in layers):
        return cache_utils.Cache(layers=[RoomyLayer(layer.keys, layer.values, rows, room) for layer in layers])
    if rows is None:
        return cache
    if layers is None:
        fork = copy.deepcopy(cache)
    else:
        fork = copy.copy(cache)  # selecting rows gives each layer new tensors
        fork.layers = [copy.copy(layer) for layer in layers]
    select(fork, rows)
    return fork


def select(cache: Any, rows: list[int]) -> None:
    """Keep these rows of a cache, in this order."""
    cache.batch_select_indices(torch.tensor(rows, device=_device(cache)))


def join(cache: Any, rows: list[int], other: Any, parts: tuple[Part, Part], common: int, room: int) -> None:
    """Append another cache's rows to the rows `rows` of this one; both come from `spread`, and the other is used up.

    All rows begin with `common` positions; the rest of each part is moved so that both end at the same position.
    """
    for layer, more in zip(cache.layers, other.layers, strict=True):
        layer.join(rows, more, parts, common, room)


def _device(cache: Any) -> torch.device:
    layers = getattr(cache, "layers", None)
    keys: torch.Tensor = layers[0].keys if layers else cache.key_cache[0]
    return keys.device


class RoomyLayer(_Layer):  # type: ignore[misc]
    """Keys and values of one layer, [rows, heads, positions, width]: the first positions of a larger buffer."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, rows: list[int] | None, room: int) -> None:
        """Copy the rows `rows` (None: all) of keys and values, with room for `room` more positions."""
        super().__init__()
        self.lazy_initialization(keys, values)
        self.length = keys.shape[2]
        index = None if rows is None else torch.tensor(rows, device=keys.device)
        self.buffers = [_wider(one, index, room) for one in (keys, values)]
        self._view()

    def _view(self) -> None:
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self.buffers)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new positions; return all positions including them."""
        start, self.length = self.length, self.length + key_states.shape[2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, start : self.length] = states
        self._view()
        return self.keys, self.values

    def join(self, rows: list[int], other: RoomyLayer, parts: tuple[Part, Part], common: int, room: int) -> None:
        """Keep the rows `rows` and append another layer's, which loses its own."""
        index = torch.tensor(rows, device=self.buffers[0].device)
        for place in range(len(self.buffers)):
            self.buffers[place] = _joined([self.buffers[place][index], other.buffers[place]], parts, common, room)
        other.buffers.clear()
        self.length = common + max(part.own for part in parts)
        self._view()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self._view()


def _joined(sources: list[torch.Tensor], parts: tuple[Part, Part], common: int, room: int) -> torch.Tensor:
    """Return the buffers of two parts as one, [rows, heads, positions, width]: beginning, gap, own positions, room."""
    length, first = common + max(part.own for part in parts), sources[0]
    shape = (sum(len(one) for one in sources), first.shape[1], length + room, first.shape[3])
    buffer, start = first.new_empty(shape), 0
    for source, part in zip(sources, parts, strict=True):
        rows = buffer[start : start + len(source)]
        rows[:, :, :common] = source[:, :, :common]
        rows[:, :, common : length - part.own] = 0.0  # masked, but must be finite
        rows[:, :, length - part.own : length] = source[:, :, part.length - part.own : part.length]
        start += len(source)
    return buffer


def _wider(states: torch.Tensor, index: torch.Tensor | None, room: int) -> torch.Tensor:
    rows = states.shape[0] if index is None else len(index)
    buffer = states.new_empty((rows, states.shape[1], states.shape[2] + room, states.shape[3]))
    buffer[:, :, : states.shape[2]] = states if index is None else states[index]
    return buffer
