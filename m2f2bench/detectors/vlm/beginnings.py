"""Beginnings of prompts about one picture: it is encoded, and read with the text before it, once for all questions."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from ..llm.cache import RoomyLayer
from .chat import Asked

log = logging.getLogger("m2f2bench")
Inputs = dict[str, Any]
Ids = list[int]
Begun = tuple[Ids, list[DynamicLayer]]
MOVED, MOVED_IN_16_BITS = 1e-3, 0.05
"""Largest difference of a logit between the two ways of reading, relative to the largest logit."""
MORE = " Why?"
"""What makes a prompt longer, so that the other one of a trial is padded."""


class Unlike(Exception):
    """Prompts, or a model, that cannot be read so."""


class Beginnings:
    """What the prompts about each picture begin with, held once in the model's cache.

    Models of transformers differ in how they go on from a cache. So a first prompt is read both ways; where the logits
    differ, or the model does not take it, prompts are read whole.
    """

    def __init__(self, model: Any, tokenizer: Any, sign: str, room: int, inputs: Callable[[Sequence[Asked]], Inputs]):
        """`sign` stands for a picture in a prompt, `room` is the most new tokens, `inputs` makes a model's inputs."""
        self.model, self.tokenizer, self.room, self.inputs = model, tokenizer, room, inputs
        found = tokenizer.convert_tokens_to_ids(sign) if sign else None
        self.sign = found if isinstance(found, int) and found != tokenizer.unk_token_id else None
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        self.usable: bool | None = None if self.sign is not None else False
        """Whether prompts can be read so; None before it was tried."""

    def read(self, asked: Sequence[Asked]) -> list[tuple[list[int], Inputs]] | None:
        """Return inputs from which `generate` goes on: ids [B, L], mask and cache; None to read the prompts whole.

        Prompts whose pictures take as many positions are together: each group comes with its places in `asked`.
        """
        if self.usable is False or len({id(one.image) for one in asked}) == len(asked):
            return None
        if self.usable is None:
            self.usable = self._works(asked[0])
        try:
            return self._read(asked) if self.usable else None
        except Unlike:
            return None

    @torch.inference_mode()
    def _read(self, asked: Sequence[Asked]) -> list[tuple[list[int], Inputs]]:
        """Return the groups. Raises Unlike."""
        plain = [self._split(one.text) for one in asked]
        if any(before != plain[0][0] for before, _ in plain):
            raise Unlike("beginnings that differ")
        read = {id(one.image): self._begun(one, *parts) for one, parts in _firsts(asked, plain)}
        groups: dict[int, list[int]] = {}
        for place, one in enumerate(asked):
            groups.setdefault(len(read[id(one.image)][0]), []).append(place)
        pictures = [id(one.image) for one in asked]
        return [
            (places, self._joined([pictures[place] for place in places], [plain[place][1] for place in places], read))
            for places in groups.values()
        ]

    def _joined(self, pictures: list[int], rests: list[Ids], read: Mapping[int, Begun]) -> Inputs:
        """Return the inputs of prompts that have as many positions up to the picture's last one.

        Padding stands between these and the rest of a prompt.
        """
        own = list(dict.fromkeys(pictures))
        begun, longest = len(read[own[0]][0]), max(map(len, rests))
        ids = torch.zeros((len(rests), begun + longest), dtype=torch.long)
        mask = torch.ones_like(ids)
        for place, (picture, rest) in enumerate(zip(pictures, rests, strict=True)):
            padding = [0] * (longest - len(rest))
            ids[place] = torch.tensor([*read[picture][0], *padding, *rest])
            mask[place, begun : begun + len(padding)] = 0
        rows = [own.index(picture) for picture in pictures]
        layers = zip(*(read[picture][1] for picture in own), strict=True)
        cache = Cache(layers=[_stacked(each, rows, longest + self.room) for each in layers])
        device = self.model.device
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device), "past_key_values": cache}

    def _split(self, text: str) -> tuple[Ids, Ids]:
        """Return the token ids before and after the picture's sign."""
        bos = self.tokenizer.bos_token
        ids = self.tokenizer(text, add_special_tokens=not (bos and text.startswith(bos)))["input_ids"]
        if ids.count(self.sign) != 1:
            raise Unlike("not one sign of a picture")
        place = ids.index(self.sign)
        return ids[:place], ids[place + 1 :]

    def _begun(self, one: Asked, before: Ids, rest: Ids) -> Begun:
        """Return a prompt's token ids up to the picture's last position, and their keys and values in each layer."""
        inputs = self.inputs([one])
        shape = inputs["input_ids"].shape
        ids = inputs["input_ids"][0].tolist()
        length = len(ids) - len(rest)
        if not rest or ids[length:] != rest or ids[: len(before)] != before:
            raise Unlike("a processor that writes its own prompt")
        # The mask and other inputs per token end where the picture does.
        cut = {
            key: value[:, :length] if value.shape[:2] == shape and not value.is_floating_point() else value
            for key, value in inputs.items()
        }
        layers = getattr(self.model(**cut, **self.last, use_cache=True).past_key_values, "layers", [])
        if not layers or any(type(layer) is not DynamicLayer for layer in layers):
            raise Unlike("a cache of another kind")
        return ids[:length], layers

    @torch.inference_mode()
    def _works(self, one: Asked) -> bool:
        """Return whether the logits after a prompt, and after a longer one, are the same both ways."""
        pair = [one, replace(one, text=one.text + MORE)]
        try:
            ((_, inputs),) = self._read(pair)
            found = self._next(inputs)
            expected = torch.cat([self._next(self.inputs([each])) for each in pair])
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model's own code raises
            log.debug("prompts about a picture are read whole: %s", error)
            return False
        most = MOVED if self.model.dtype == torch.float32 else MOVED_IN_16_BITS
        moved = float((found - expected).abs().max() / expected.abs().max())
        if not moved <= most:
            log.debug("prompts about a picture are read whole: otherwise logits move by %.2g", moved)
        return moved <= most

    def _next(self, inputs: Inputs) -> torch.Tensor:
        """Return the logits [B, V] of the next token."""
        out = self.model.generate(**inputs, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
        logits: torch.Tensor = out.logits[0]
        return logits.float()


def _firsts(asked: Sequence[Asked], plain: Sequence[tuple[Ids, Ids]]) -> Iterator[tuple[Asked, tuple[Ids, Ids]]]:
    """Yield the first prompt about each picture, with its parts."""
    seen: set[int] = set()
    for one, parts in zip(asked, plain, strict=True):
        if id(one.image) not in seen:
            seen.add(id(one.image))
            yield one, parts


def _stacked(layers: Sequence[DynamicLayer], rows: list[int], room: int) -> RoomyLayer:
    """Return several rows' keys and values as one layer, row i of it row `rows[i]`, with room for more positions."""
    keys, values = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("keys", "values"))
    return RoomyLayer(keys, values, rows, room)
