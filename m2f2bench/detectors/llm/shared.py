"""Prompts' common beginnings in an LLM's cache: keys and values of an image are held once for all its rows.

Copied into every row, they are most of the cache: 600 positions of an image against 100 of a question and its answer.
So a row's layer holds the row's own positions alone, and attention reads the image's from where they are. It is the
attention of one long row: softmax over the logits of both parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .cache import RoomyLayer, agree, inner, probe

NAME, MARK = "m2f2bench", "m2f2bench_beginning"
"""Of the attention for transformers, and of the attribute of keys that tells it where their beginning is."""
UNKNOWN = ("position_bias", "s_aux", "sliding_window", "softcap")
"""What an LLM may ask of its attention, and this one does not do."""


class Beginning(NamedTuple):
    """Keys and values of images [images, key heads, positions, width], and the number of each row's image."""

    keys: torch.Tensor
    values: torch.Tensor
    images: tuple[int, ...]


class SharedLayer(RoomyLayer):
    """Keys and values of one layer: of rows' own positions in a buffer, and of their beginnings, which stay as they
    are.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, images: Sequence[int], room: int) -> None:
        """Take images' keys and values, without copying them; row i is about image `images[i]`, and has room."""
        self.beginning = Beginning(keys, values, tuple(images))
        super().__init__(keys[:, :, :0], values[:, :, :0], list(images), room)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new positions; return the rows' own, marked with their beginnings."""
        keys, values = super().update(key_states, value_states)
        setattr(keys, MARK, self.beginning)
        return keys, values

    def get_seq_length(self) -> int:
        """Return the number of a row's positions, with its beginning."""
        return self.beginning.keys.shape[2] + self.length

    def join(self, rows: list[int], other: RoomyLayer, owns: Sequence[int], common: int, room: int) -> None:
        """Keep the rows `rows` and append those of another layer with the same beginnings; see `joined`."""
        assert isinstance(other, SharedLayer)
        images = tuple(self.beginning.images[row] for row in rows) + other.beginning.images
        super().join(rows, other, owns, 0, room)
        self.beginning = self.beginning._replace(images=images)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        super().batch_select_indices(indices)
        images = tuple(self.beginning.images[row] for row in indices.tolist())
        self.beginning = self.beginning._replace(images=images)


def held_apart(cache: Any, images: Sequence[int], room: int) -> Cache:
    """Return a cache of rows that begin with images' positions in another one, which is not copied."""
    return Cache(layers=[SharedLayer(layer.keys, layer.values, images, room) for layer in cache.layers])


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention's output [rows, positions, heads, width], as transformers' own functions do.

    Keys that are marked have a beginning, which all of a row's positions see but for the mask.
    """
    beginning: Beginning | None = getattr(key, MARK, None)
    if beginning is None:
        given: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return given
    asked = [name for name in UNKNOWN if more.get(name) is not None]
    if asked or (attention_mask is None and query.shape[2] > 1):
        raise NotImplementedError(f"attention to a beginning that is held apart, with {asked or 'no mask'}")
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    rows, heads, positions, width = query.shape
    together = rows, key.shape[1], -1, width  # the heads that read the same keys
    near = (query.reshape(together) @ key.mT).view(rows, heads, positions, -1)
    logits = torch.cat([_far(query, beginning), near], dim=3).float() * scale
    if attention_mask is not None:
        logits = logits.masked_fill(~attention_mask, float("-inf"))
    weights, begun = logits.softmax(3).to(query.dtype), logits.shape[3] - near.shape[3]
    far, near = weights[..., :begun], weights[..., begun:]
    own = (near.reshape(*together[:3], near.shape[3]) @ value).view(rows, heads, positions, -1)
    return (own + _far(far, beginning, values=True)).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def _far(given: torch.Tensor, beginning: Beginning, values: bool = False) -> torch.Tensor:
    """Return [rows, heads, positions, n] times the rows' beginnings: by keys or, with `values`, by those.

    The rows of an image are multiplied together.
    """
    _rows, heads, positions, n = given.shape
    factor = beginning.values if values else beginning.keys.mT
    images, groups = factor.shape[:2]
    places, most = _places(beginning.images, given.device)
    packed = given.new_zeros((images * most, heads, positions, n))
    packed[places] = given
    packed = packed.view(images, most, groups, -1, n).transpose(1, 2).reshape(images, groups, -1, n)
    found = (packed @ factor).view(images, groups, most, -1, factor.shape[3]).transpose(1, 2)
    return found.reshape(images * most, heads, positions, -1)[places]


@lru_cache(maxsize=4)
def _places(images: tuple[int, ...], device: torch.device) -> tuple[torch.Tensor, int]:
    """Return each row's place where every image has as many places as the most rows of one, and that number."""
    seen: dict[int, int] = {}
    number = []
    for image in images:
        number.append(seen.get(image, 0))
        seen[image] = number[-1] + 1
    most = max(seen.values())
    places = [image * most + own for image, own in zip(images, number, strict=True)]
    return torch.tensor(places, device=device), most


def share(model: Any) -> bool:
    """Let an LLM read beginnings that are held apart, if it can; return whether it can.

    It must leave attention to transformers' own function, and give the same logits as with one long row, see `agree`.
    """
    config = inner(model).config
    if getattr(config, "_attn_implementation", None) not in ("sdpa", NAME):
        return False
    before, config._attn_implementation = config._attn_implementation, NAME
    try:
        shared = _same(model)
    except Exception:  # an LLM with code of its own can fail in any way
        shared = False
    if not shared:
        config._attn_implementation = before
    return shared


def _same(model: Any) -> bool:
    words = probe(model)
    with torch.inference_mode():
        long = model(input_ids=words, use_cache=False).logits[:, 2:]
        read = model(input_ids=words[:, :2], use_cache=True).past_key_values
        some = model(input_ids=words[:, 2:], past_key_values=held_apart(read, [0], 2), use_cache=True).logits
    return agree(long, some)
