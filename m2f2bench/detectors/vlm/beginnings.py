"""Beginnings of prompts about one picture: it is encoded, and read with the text before it, once for all questions."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from ..llm.cache import RoomyLayer
from .chat import Asked, token_ids

log = logging.getLogger("m2f2bench")
Inputs = dict[str, Any]
Ids = list[int]
MOVED, MOVED_IN_16_BITS = 1e-3, 0.05
"""Largest difference of a logit between the two ways of reading, relative to the largest logit."""
MORE = " Why?"
"""What makes a prompt longer, so that the other one of a trial is padded."""


KEPT = "rope_deltas"
"""What a model keeps of the last pictures that it has read, beside its cache: Qwen-VL and its kin the distance, int64
[B, 1], of a row's positions from the number of its tokens."""
OTHER = (336, 504)
"""Height and width of another picture of a trial: its tokens are more than those of a face, in another shape."""


class Unlike(Exception):
    """Prompts, or a model, that cannot be read so."""


@dataclass(frozen=True)
class Group:
    """Prompts that `generate` continues together: their places among those asked, and the inputs.

    `kept` is what the model must keep, by module, while it does.
    """

    places: list[int]
    inputs: Inputs
    kept: list[tuple[Any, torch.Tensor]] = field(default_factory=list)

    def ready(self) -> Inputs:
        """Return the inputs, for the next call of the model."""
        for module, value in self.kept:
            setattr(module, KEPT, value)
        return self.inputs


@dataclass(frozen=True, eq=False)
class Begun:
    """A prompt up to the picture's last position: its token ids, keys and values in each layer, and what is kept."""

    ids: Ids
    layers: list[DynamicLayer]
    kept: list[torch.Tensor]


class Beginnings:
    """What the prompts about each picture begin with, held once in the model's cache.

    Models of transformers differ in how they go on from a cache. So a first prompt is read both ways; where the logits
    differ, or the model does not take it, prompts are read whole.
    """

    def __init__(self, model: Any, tokenizer: Any, sign: str, room: int, inputs: Callable[[Sequence[Asked]], Inputs]):
        """`sign` stands for a picture in a prompt, `room` is the most new tokens, `inputs` makes a model's inputs."""
        self.model, self.tokenizer, self.room, self.inputs = model, tokenizer, room, inputs
        found = tokenizer.convert_tokens_to_ids(sign) if sign else None
        self.sign = found if isinstance(found, int) and found != tokenizer.unk_token_id else -1
        self.keeping = [module for module in model.modules() if hasattr(module, KEPT)]
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        self.usable: bool | None = None if self.sign >= 0 else False
        """Whether prompts can be read so; None before it was tried."""

    def read(self, asked: Sequence[Asked]) -> list[Group] | None:
        """Return inputs from which `generate` goes on: ids [B, L], mask and cache; None to read the prompts whole.

        Prompts whose pictures take as many positions are together.
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
    def _read(self, asked: Sequence[Asked]) -> list[Group]:
        """Return the groups. Raises Unlike."""
        plain = [self._split(one.text) for one in asked]
        if any(before != plain[0][0] for before, _ in plain):
            raise Unlike("beginnings that differ")
        read = {id(one.image): self._begun(one, *parts) for one, parts in _firsts(asked, plain)}
        groups: dict[int, list[int]] = {}
        for place, one in enumerate(asked):
            groups.setdefault(len(read[id(one.image)].ids), []).append(place)
        begun = [read[id(one.image)] for one in asked]
        return [
            self._group(places, [begun[place] for place in places], [plain[place][1] for place in places])
            for places in groups.values()
        ]

    def _group(self, places: list[int], begun: list[Begun], rests: list[Ids]) -> Group:
        """Return prompts that have as many positions up to the picture's last one.

        Padding stands between these and the rest of a prompt.
        """
        own = list(dict.fromkeys(begun))
        rows = [own.index(one) for one in begun]
        length, longest = len(own[0].ids), max(map(len, rests))
        ids = torch.zeros((len(rests), length + longest), dtype=torch.long)
        mask = torch.ones_like(ids)
        for row, (one, rest) in enumerate(zip(begun, rests, strict=True)):
            padding = [0] * (longest - len(rest))
            ids[row] = torch.tensor([*one.ids, *padding, *rest])
            mask[row, length : length + len(padding)] = 0
        layers = zip(*(one.layers for one in own), strict=True)
        cache = Cache(layers=[_stacked(each, rows, longest + self.room) for each in layers])
        device = self.model.device
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device), "past_key_values": cache}
        kept = [torch.cat(values) for values in zip(*(one.kept for one in begun), strict=True)]
        return Group(places, inputs, list(zip(self.keeping, kept, strict=True)))

    def _split(self, text: str) -> tuple[Ids, Ids]:
        """Return the token ids before and after the picture's sign."""
        ids = token_ids(self.tokenizer, text)
        if ids.count(self.sign) != 1:
            raise Unlike("not one sign of a picture")
        place = ids.index(self.sign)
        return ids[:place], ids[place + 1 :]

    def _begun(self, one: Asked, before: Ids, rest: Ids) -> Begun:
        """Return what a prompt begins with. Raises Unlike."""
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
        kept = [getattr(module, KEPT) for module in self.keeping]
        if any(value is None or value.shape != (1, 1) for value in kept):
            raise Unlike(f"{KEPT} of another form")
        return Begun(ids[:length], layers, kept)

    @torch.inference_mode()
    def _works(self, one: Asked) -> bool:
        """Return whether the logits of the next two tokens are the same both ways.

        Of three prompts: one, a longer one, and one about another picture, which is read after the first and before
        the prompts are continued: a model that keeps anything else of the last picture goes on otherwise then.
        """
        other = np.resize(one.image, (*OTHER, 3))
        asked = [one, replace(one, text=one.text + MORE), replace(one, image=other)]
        try:
            moved = max(
                self._moved(found, self._next(self.inputs([asked[place]]))[0])
                for place, found in self._continued(self._read(asked))
            )
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model's own code raises
            log.debug("prompts about a picture are read whole: %s", error)
            return False
        most = MOVED if self.model.dtype == torch.float32 else MOVED_IN_16_BITS
        if not moved <= most:
            log.debug("prompts about a picture are read whole: otherwise logits move by %.2g", moved)
        return moved <= most

    def _continued(self, groups: list[Group]) -> list[tuple[int, torch.Tensor]]:
        """Return each prompt's place, and the logits [2, V] of its next two tokens."""
        found: list[tuple[int, torch.Tensor]] = []
        for group in groups:
            found += zip(group.places, self._next(group.ready()), strict=True)
        return found

    def _next(self, inputs: Inputs) -> torch.Tensor:
        """Return the logits [B, 2, V] of the next two tokens, whether or not the first one ends the answer."""
        how = {"max_new_tokens": 2, "min_new_tokens": 2, "output_logits": True, "return_dict_in_generate": True}
        return torch.stack(self.model.generate(**inputs, **how).logits, dim=1).float()

    @staticmethod
    def _moved(found: torch.Tensor, expected: torch.Tensor) -> float:
        """Return how far logits [2, V] differ, relative to the largest; the second ones if the first word is one."""
        count = 1 + int(found[0].argmax() == expected[0].argmax())
        moved = float((found - expected)[:count].abs().max() / expected.abs().max())
        return moved if moved == moved else float("inf")


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
