"""Fast generation of answers: the common beginning of prompts about an image is read once, answers are decoded
together.

Prompts begin alike (system text, the image's tokens) and differ in the question. The common beginning goes through the
LLM once per image, and its keys and values are held once for all its questions (copied for each, where the LLM does not
allow that); the rests of the prompts follow, padded on their left; then all rows grow token by token. Rows that have
ended leave, and others take their places.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ...core.arithmetic import exact_fp32
from ...core.errors import DetectorError
from ...core.hearing import is_heard, tell
from ...training.device import check_compiling
from .cache import Batch, Request, Row, Ways, spread, study
from .fixed import FixedBatch, fits, room_for
from .prompt import embed, spread_length
from .sampling import GenerationSettings, next_tokens
from .shared import held_apart, share
from .source import Language
from .writer import Generated, Slots, Writer

__all__ = ["Generated", "Generator", "Request"]

log = logging.getLogger("m2f2bench")

LASTING = 4
"""Batches of questions about the images that are read together; at the end of each such group a batch runs empty."""


@dataclass(frozen=True)
class _Read:
    """Common beginning that was read for a group of images: `count` elements, `length` positions, the images' cache.

    `slots` holds the tokens of each image, in the order of the cache.
    """

    count: int
    length: int
    cache: Any
    slots: dict[int, dict[int, torch.Tensor]]


class Generator(Writer):
    """Generates an LLM's answers to prompts with image tokens.

    Only the public interface of transformers' causal LMs is used. If the LLM's layers allow no padding (sliding windows
    shorter than the rows, a forward pass without position ids), rows of equal length are decoded together; if they
    allow no sharing either (recurrent states, rotary embeddings that change with the longest row), rows are decoded one
    at a time. So an answer depends on the others only by rounding, which in bf16 and fp16 can change a close decision.
    """

    def __init__(
        self, language: Language, settings: GenerationSettings, ends: frozenset[int], stops: tuple[str, ...] = ()
    ) -> None:
        """See `Writer`."""
        super().__init__(language, settings, ends, stops)
        self.rows = settings.batch_size
        """Most answers decoded together; halved when the device runs out of memory."""
        self._fixed: FixedBatch | None = None

    @exact_fp32()
    @torch.inference_mode()
    def answer(self, requests: Sequence[Request], slots: Slots) -> list[Generated]:
        """See `Writer.answer`."""
        if not requests:
            return []
        ways = self.ways
        counts = {slot: tokens.shape[1] for slot, tokens in slots([requests[0].image]).items()}
        rows = [self._new_row(request, counts) for request in requests]
        waiting = [row for row in rows if row.limit > 0]
        together = [row for row in waiting if ways.shares and row.length + row.limit <= ways.stable]
        count = _common([row.request.prompt for row in together], counts)
        while together:
            together = self._some(together, count, slots)
        alone = [row for row in waiting if not row.done]
        while alone:
            alone = self._some(alone[:1], 0, slots) + alone[1:]
        return [self._finished(row) for row in rows]

    @cached_property
    def ways(self) -> Ways:
        """What the LLM's cache allows. Raises DetectorError."""
        try:
            return study(self.language.model, self.where)
        except torch.cuda.OutOfMemoryError:
            raise DetectorError(
                f"{self.where}: the device's memory is too small for a pass over one token: take a smaller LLM, "
                "bf16 or 4-bit weights"
            ) from None

    @cached_property
    def apart(self) -> bool:
        """Whether what prompts begin with is held once for all rows about an image."""
        return self.ways.joins and share(self.language.model)

    @cached_property
    def compiled(self) -> bool:
        """Whether steps are compiled, as the settings ask. Raises DetectorError if torch cannot compile here."""
        if not self.settings.compile:
            return False
        model = self.language.model
        if not self.ways.joins or not fits(model, self.ways.last):
            log.warning("%s: generation.compile needs full attention by transformers: not compiled", self.where)
            return False
        check_compiling(model.get_input_embeddings().weight.device)
        return True

    def _some(self, rows: list[Row], count: int, slots: Slots) -> list[Row]:
        """Write answers about as many images as fit in memory; return the remaining rows."""
        images = self._images(rows)
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            self._group([row for row in rows if row.request.image in images], images, count, slots)
            return [row for row in rows if not row.done]
        # Outside this block, nothing holds the failed pass's tensors.
        self._fixed = None
        left = [row for row in rows if not row.done]
        for row in left:
            row.restart()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.rows == 1:
            raise DetectorError(
                f"{self.where}: the device's memory is too small for one answer to a prompt of {left[0].length} "
                "positions: take a smaller LLM, fewer image tokens, bf16 or 4-bit weights"
            )
        self.rows //= 2
        log.warning("%s: out of memory: from now on %d at a time", self.where, self.rows)
        return left

    def _images(self, rows: list[Row]) -> tuple[int, ...]:
        """Return the first images: no more than answers of a batch, nor than have LASTING batches of questions.

        What their prompts begin with is held at the same time, which with a large LLM and large batches is most of the
        memory.
        """
        found: list[int] = []
        asked = 0
        for image, count in Counter(row.request.image for row in rows).items():
            if len(found) == self.rows or asked >= LASTING * self.rows:
                break
            found.append(image)
            asked += count
        return tuple(found)

    def _group(self, rows: list[Row], images: tuple[int, ...], count: int, slots: Slots) -> None:
        """Write the answers about images; the prompts' first `count` elements are read once per image."""
        given = slots(images).items()
        own = {image: {slot: tokens[place] for slot, tokens in given} for place, image in enumerate(images)}
        read = _Read(0, 0, None, own)
        if count:
            beginning = rows[0].request.prompt[:count]
            inputs = torch.stack([embed(self.language.model, beginning, tokens) for tokens in own.values()])
            _, cache = self._forward(None, None, None, inputs_embeds=inputs)
            read = _Read(count, inputs.shape[1], cache, own)
        rows = sorted(rows, key=lambda row: row.length)
        if self.compiled and read.length:
            self._write_fixed(rows, read)
            return
        if self.ways.joins and read.length:
            self._write(rows[: self.rows], rows[self.rows :], read)
            return
        while rows:
            batch = self._batch(rows, read)
            self._write(batch, [], read)
            rows = rows[len(batch) :]

    def _batch(self, rows: list[Row], read: _Read) -> list[Row]:
        """Return the first rows to be decoded together; batches have about the same size. `rows` are sorted by length.

        Without a common beginning, the rows of a batch have one length: padding at the very start would attend to no
        position, and attention without a key is undefined.
        """
        wanted = math.ceil(len(rows) / math.ceil(len(rows) / self.rows))
        batch = rows[:wanted]
        if not read.length or not self.ways.pads(batch[-1].length + self.settings.max_new_tokens):
            batch = [row for row in batch if row.length == rows[0].length]
        return batch

    def _write(self, rows: list[Row], waiting: list[Row], read: _Read) -> None:
        """Write the answers of a batch to the end; waiting rows take the places of finished ones."""
        batch = self._begin(rows, read)
        while True:
            left = [place for place, row in enumerate(batch.rows) if not row.done]
            free = self.rows - len(left)
            if waiting and 4 * free >= self.rows:
                more, waiting = waiting[:free], waiting[free:]
                if left:
                    batch.join(left, self._begin(more, read))  # which is used up: its cache is not held any longer
                else:
                    batch = self._begin(more, read)
                continue
            if not left:
                return
            if 4 * (len(batch.rows) - len(left)) >= len(batch.rows):
                batch.keep(left)
            self._step(batch)

    def _write_fixed(self, rows: list[Row], read: _Read) -> None:
        """The same with steps that are compiled; see `fixed`."""
        room, fixed = room_for(rows), self._fixed
        if fixed is not None:
            fixed.clear()  # an error may have left some
        while rows or (fixed is not None and any(fixed.rows)):
            free = self.rows if fixed is None else len(fixed.free())
            if rows and 4 * free >= self.rows:
                batch, rows = self._begin(rows[:free], read), rows[free:]
                if fixed is None or len(fixed.rows) != self.rows or fixed.room < room:
                    fixed = self._fixed = FixedBatch(self.language.model, batch.cache, self.rows, room, self.ways.last)
                fixed.put(batch)
                continue
            assert fixed is not None
            self._take(*fixed.step())
            fixed.leave()

    def _begin(self, rows: list[Row], read: _Read) -> Batch:
        """Read the rest of the rows' prompts, and write each row's first token."""
        ways = self.ways
        longest, most = max(row.length for row in rows), max(row.limit for row in rows)
        whole, room = longest + most <= ways.window, longest - read.length + most
        cache = read.cache
        if cache is not None:
            places = {image: place for place, image in enumerate(read.slots)}
            images = [places[row.request.image] for row in rows]
            apart = whole and not self.compiled and self.apart
            cache = held_apart(cache, images, room) if apart else spread(cache, images, room, whole)
        inputs, mask = self._rest(rows, read, most)
        visible = positions = None
        if mask is not None:
            visible = mask[:, :longest]
            positions = (visible.cumsum(1) - 1).clamp(min=0)[:, read.length :]  # arbitrary for padding
        logits, cache = self._forward(cache, visible, positions, inputs_embeds=inputs)
        if read.cache is None:
            cache = spread(cache, None, most, whole)
        self._take(rows, logits)
        return Batch(rows, cache, mask, longest, read.length)

    def _step(self, batch: Batch) -> None:
        """Write one more token of each row."""
        batch.length += 1
        mask = positions = None
        if batch.mask is not None:
            mask = batch.mask[:, : batch.length]
            # A row that has ended stays in the batch until it leaves, but not beyond the last position.
            positions = (mask.sum(1, keepdim=True) - 1).clamp(max=self.language.context - 1)
        table = self.language.model.get_input_embeddings().weight
        words = torch.tensor([row.tokens[-1:] for row in batch.rows], device=table.device)
        logits, batch.cache = self._forward(batch.cache, mask, positions, input_ids=words)
        self._take(batch.rows, logits)

    def _rest(self, rows: list[Row], read: _Read, most: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the embeddings [B, T, D] of what follows the common beginning, padded on the left, and their mask.

        The mask covers all positions, including those to come, int64 [B, L + T + most]; None without padding.
        """
        model = self.language.model
        rests = [embed(model, row.request.prompt[read.count :], read.slots[row.request.image]) for row in rows]
        longest = max(len(rest) for rest in rests)
        inputs = rests[0].new_zeros((len(rests), longest, rests[0].shape[1]))
        mask = torch.ones((len(rests), read.length + longest + most), dtype=torch.long, device=inputs.device)
        for place, rest in enumerate(rests):
            inputs[place, longest - len(rest) :] = rest
            mask[place, read.length : read.length + longest - len(rest)] = 0
        return inputs, mask if any(len(rest) < longest for rest in rests) else None

    def _forward(
        self, cache: Any, mask: torch.Tensor | None, positions: torch.Tensor | None, **inputs: torch.Tensor
    ) -> tuple[torch.Tensor, Any]:
        """Return the last position's logits [B, V] and the cache."""
        given: dict[str, Any] = {"past_key_values": cache, "attention_mask": mask, "position_ids": positions}
        present = {name: value for name, value in given.items() if value is not None}
        found = self.language.model(**inputs, **present, **self.ways.last, use_cache=True)
        return found.logits[:, -1], found.past_key_values

    def _take(self, rows: list[Row], logits: torch.Tensor) -> None:
        """Append a token to each row that has not ended, and mark rows that end. Raises DetectorError for bad
        logits."""
        chosen = next_tokens(logits, [row.draws for row in rows], self.settings.temperature, self.settings.top_p)
        for row, token in zip(rows, chosen, strict=True):
            if row.done:
                continue
            if token < 0:
                raise DetectorError(f"{self.where}: its logits are not finite: set its dtype to bf16 or fp32")
            row.tokens.append(token)
            row.stopped = token in self.ends or self._stopped(row.tokens) or self._repeats(row.tokens)
            row.done = row.stopped or len(row.tokens) >= row.limit
        if len(rows) == 1 and is_heard():
            tell(self._words(rows[0]))

    def _stopped(self, tokens: list[int]) -> bool:
        """Return whether the last token has completed a stop text."""
        if not self.stops:
            return False
        reach = 4 * max(len(stop) for stop in self.stops) + 4  # a token is a byte of a character, or more
        return all(self._stop.search(self._text(part)) for part in (tokens[-reach:], tokens))


def _common(prompts: Sequence[tuple[int, ...]], counts: Mapping[int, int]) -> int:
    """Return the number of elements that all prompts begin with, leaving at least one position of each."""
    equal = (len(set(elements)) == 1 for elements in zip(*prompts, strict=False))
    count = sum(itertools.takewhile(bool, equal))
    while count and any(spread_length(prompt[count:], counts) == 0 for prompt in prompts):
        count -= 1
    return count if count and spread_length(prompts[0][:count], counts) else 0
