"""Batched decoding state: tokens so far and cache positions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .cache import Part, join, select


@dataclass(frozen=True)
class Request:
    """A question about an image: the image's number, the prompt's elements (token ids and slots), the sampling seed."""

    image: int
    prompt: tuple[int, ...]
    seed: int = 0


@dataclass
class Row:
    """An answer while it is written: at most `limit` tokens after a prompt of `length` positions."""

    number: int
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

    def alive(self) -> list[int]:
        """Return the places of the rows that have not ended."""
        return [place for place, row in enumerate(self.rows) if not row.done]

    def keep(self, places: list[int]) -> None:
        """Drop all other rows."""
        select(self.cache, places)
        self.rows = [self.rows[place] for place in places]
        self.mask = None if self.mask is None else self.mask[places]

    def join(self, places: list[int], other: Batch) -> None:
        """Drop all rows except `places`, and add those of another batch."""
        own = None if self.mask is None else self.mask[places, self.common : self.length]
        trimmed = 0 if own is None else int((own.cumsum(1) == 0).sum(1).min())
        parts = Part(self.length, self.length - self.common - trimmed), Part(other.length, other.length - self.common)
        kept = [self.rows[place] for place in places]
        room = max(row.limit - len(row.tokens) for row in (*kept, *other.rows))
        join(self.cache, places, other.cache, parts, self.common, room)
        length = self.common + max(part.own for part in parts)
        device = self.cache.layers[0].keys.device
        mask = torch.ones((len(kept) + len(other.rows), length + room), dtype=torch.long, device=device)
        masks = (None if own is None else own[:, trimmed:]), other.own_mask()
        start = 0
        for rows, part, before in zip((kept, other.rows), parts, masks, strict=True):
            block = mask[start : start + len(rows)]
            block[:, self.common : length - part.own] = 0
            if before is not None:
                block[:, length - part.own : length] = before
            start += len(rows)
        self.rows, self.mask, self.length = kept + other.rows, mask, length

    def own_mask(self) -> torch.Tensor | None:
        """Return the mask of the positions after the common ones, [B, length - common]."""
        return None if self.mask is None else self.mask[:, self.common : self.length]
