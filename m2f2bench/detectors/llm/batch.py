"""Rows that an LLM writes together: what each has so far, and where they stand in the cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from .cache import Part, join, select


@dataclass(frozen=True)
class Request:
    """A question about an image: the image's number, the prompt's elements (token ids and slots), the draws' seed."""

    image: int
    prompt: tuple[int, ...]
    seed: int = 0


@dataclass
class Row:
    """An answer while it grows: at most `limit` tokens behind a prompt of `length` positions."""

    number: int
    request: Request
    length: int
    limit: int
    draws: torch.Generator | None
    tokens: list[int] = field(default_factory=list)
    done: bool = False
    stopped: bool = False
    """It has ended by itself."""

    def restart(self) -> None:
        """Forget what was written."""
        self.tokens.clear()
        if self.draws is not None:
            self.draws.manual_seed(self.request.seed)


@dataclass
class Batch:
    """Rows that are written together.

    Their cache holds `seen` positions: `common` that all begin with, then padding, then each row's own, the end of
    which is the same for all. `mask`, int64 [B, seen and those to come], is 0 for padding; None where there is none.
    """

    rows: list[Row]
    cache: Any
    mask: torch.Tensor | None
    length: int
    common: int

    def alive(self) -> list[int]:
        """The places of the rows that have not ended."""
        return [place for place, row in enumerate(self.rows) if not row.done]

    def keep(self, places: list[int]) -> None:
        """Let the other rows go."""
        select(self.cache, places)
        self.rows = [self.rows[place] for place in places]
        self.mask = None if self.mask is None else self.mask[places]

    def join(self, places: list[int], other: Batch) -> None:
        """Let all rows but these go, and take in those of another batch."""
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
        """The mask of what has been seen behind the common positions, [B, seen - common]."""
        return None if self.mask is None else self.mask[:, self.common : self.length]
