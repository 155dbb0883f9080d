"""Batches of answers whose steps have one shape, so that they can be compiled.

A small LLM's arithmetic of a token takes a GPU less time than Python needs to start it. What `torch.compile` makes of a
step whose shapes and addresses stay the same is started all at once (by CUDA graphs, on a GPU). So each answer has a
place with as much room as the longest needs, filled from its first position on, and another answer can take its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from .cache import Batch, Request, Row, agree, inner, probe
from .shared import NAME

STEP = 128
"""Positions by which the room of places grows: with other room a step is compiled anew."""
ATTENTIONS = ("sdpa", NAME)
"""Of transformers: those that take a mask of truth values for each row."""


class FixedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, [places, heads, positions, width]; each place's next position is `at` [places]."""

    is_compileable = True

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, at: torch.Tensor, room: int) -> None:
        """Make empty places with room for `room` positions, for keys and values like these."""
        super().__init__()
        self.lazy_initialization(keys, values)
        shape = len(at), keys.shape[1], room
        self.keys = _fixed(keys.new_zeros((*shape, keys.shape[3])))
        self.values = _fixed(values.new_zeros((*shape, values.shape[3])))
        self.at, self.numbers = at, torch.arange(len(at), device=at.device)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one position of each place; return all positions, of which a mask hides those that are not written."""
        self.keys[self.numbers, :, self.at] = key_states[:, :, 0]
        self.values[self.numbers, :, self.at] = value_states[:, :, 0]
        return self.keys, self.values


class FixedBatch:
    """Places of an LLM's answers: their cache, and the compiled step of one more token of each."""

    def __init__(
        self, model: Any, like: Cache, rows: int, room: int, last: dict[str, int], compiled: bool = True
    ) -> None:
        """Make `rows` empty places of `room` positions; `like` is a cache of the LLM's, `last` as in `Ways`."""
        device = like.layers[0].keys.device
        self.rows: list[Row | None] = [None] * rows
        self.room = room
        self._at = _fixed(torch.zeros(rows, dtype=torch.long, device=device))
        self._words = _fixed(torch.zeros((rows, 1), dtype=torch.long, device=device))
        self._cache = Cache(layers=[FixedLayer(layer.keys, layer.values, self._at, room) for layer in like.layers])
        self._model, self._last, self._positions = model, last, torch.arange(room, device=device)
        graphs = "reduce-overhead" if device.type == "cuda" else None
        self._step = torch.compile(self._logits, dynamic=False, mode=graphs) if compiled else self._logits

    def free(self) -> list[int]:
        """Return the places without an answer."""
        return [place for place, row in enumerate(self.rows) if row is None]

    def put(self, batch: Batch) -> None:
        """Give each row of a batch that goes on a free place, with its keys and values."""
        free = iter(self.free())
        for number, row in enumerate(batch.rows):
            if row.done:
                continue
            place, common = next(free), batch.common
            self.rows[place] = row
            begin = batch.length - (row.length - common)  # of what is the row's own; padding stands before it
            for layer, source in zip(self._cache.layers, batch.cache.layers, strict=True):
                for held, given in ((layer.keys, source.keys), (layer.values, source.values)):
                    held[place, :, :common] = given[number, :, :common]
                    held[place, :, common : row.length] = given[number, :, begin : batch.length]

    def step(self) -> tuple[list[Row], torch.Tensor]:
        """Read the last token of each answer; return the answers, and the logits of their next tokens [B, V]."""
        held = {place: row for place, row in enumerate(self.rows) if row is not None}
        words, at = [0] * len(self.rows), [0] * len(self.rows)  # at a free place, a word that nobody reads
        for place, row in held.items():
            words[place], at[place] = row.tokens[-1], row.length + len(row.tokens) - 1
        self._words.copy_(torch.tensor(words)[:, None])
        self._at.copy_(torch.tensor(at))
        return list(held.values()), self._step()[list(held)]

    def leave(self) -> None:
        """Free the places of answers that have ended."""
        self.rows = [None if row is None or row.done else row for row in self.rows]

    def clear(self) -> None:
        """Free all places."""
        self.rows = [None] * len(self.rows)

    def _logits(self) -> torch.Tensor:
        """Return the next token's logits at each place [places, V]."""
        visible = self._positions <= self._at[:, None]
        found = self._model(
            input_ids=self._words,
            attention_mask=visible[:, None, None],
            position_ids=self._at[:, None],
            past_key_values=self._cache,
            use_cache=True,
            **self._last,
        )
        logits: torch.Tensor = found.logits[:, -1]
        return logits


def fits(model: Any, last: dict[str, int]) -> bool:
    """Return whether an LLM gives the same logits from a place as from one pass over all, see `agree`."""
    if getattr(inner(model).config, "_attn_implementation", None) not in ATTENTIONS:
        return False
    words = probe(model)
    try:
        with torch.inference_mode():
            long = model(input_ids=words, use_cache=False).logits[:, -1]
            read = model(input_ids=words[:, :3], use_cache=True).past_key_values
            batch = FixedBatch(model, read, 2, 8, last, compiled=False)
            row = Row(Request(0, (1, 2, 3)), 3, 1, None, [int(words[0, 3])])
            batch.put(Batch([row], read, None, 3, 0))
            return agree(long, batch.step()[1])
    except Exception:  # an LLM with code of its own can fail in any way
        return False


def room_for(rows: Sequence[Row]) -> int:
    """Return the positions of a place that any of these answers fits in."""
    return -(-max(row.length + row.limit for row in rows) // STEP) * STEP


def _fixed(tensor: torch.Tensor) -> torch.Tensor:
    """Tell torch.compile that a tensor's address stays, without which there is no CUDA graph of what is written."""
    torch._dynamo.mark_static_address(tensor)
    return tensor
