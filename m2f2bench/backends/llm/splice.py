"""Putting the image's tokens between the words: embeddings of a prompt, and batches of examples to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ...training.language_parts import IGNORED
from .prompt import DEEPFAKE, IMAGE, Elements

KEPT = 16
"""Logits are computed for a multiple of this many positions, so that few shapes come up."""


def spread_length(elements: Elements, counts: Mapping[int, int]) -> int:
    """The positions that a prompt takes; a slot takes `counts[slot]` of them."""
    return sum(counts[one] if one < 0 else 1 for one in elements)


def embed(model: nn.Module, elements: Elements, slots: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """A prompt's embeddings [L, D] for an LLM; `slots` gives a slot's own, [n, D]."""
    table = model.get_input_embeddings()  # type: ignore[operator]
    weight: torch.Tensor = table.weight
    parts: list[torch.Tensor] = []
    words: list[int] = []
    for one in (*elements, None):
        if one is not None and one >= 0:
            words.append(one)
            continue
        if words:
            parts.append(table(torch.tensor(words, device=weight.device)))
            words = []
        if one is not None:
            parts.append(slots[one].to(weight.device, weight.dtype))
    return torch.cat(parts)


@dataclass(frozen=True)
class Example:
    """What is learned from: a prompt, and the answer's token ids with the one that ends it."""

    prompt: Elements
    answer: Elements


def fitted(example: Example, counts: Mapping[int, int], longest: int) -> Example | None:
    """The example with its answer cut so that it takes at most `longest` positions; None where no answer is left."""
    room = longest - spread_length(example.prompt, counts)
    return Example(example.prompt, example.answer[:room]) if room > 0 else None


def pad_left(examples: Sequence[Example], visual: int, forgery: int, multiple: int = 1) -> dict[str, torch.Tensor]:
    """A batch of examples, padded on the left: int64 tensors [B, L], L a multiple of `multiple`.

    `ids`: token ids, 0 elsewhere. `places`: which of the image's `visual` + `forgery` tokens (H_V, then H_F) stands
    there, -1 elsewhere. `attention`: 0 for padding. `labels`: the answer's token ids, IGNORED elsewhere, so that the
    loss is on the answer alone.
    """
    starts = {IMAGE: range(visual), DEEPFAKE: range(visual, visual + forgery)}
    rows = []
    for one in examples:
        row = [place for element in (*one.prompt, *one.answer) for place in _positions(element, starts)]
        labels = [IGNORED] * (len(row) - len(one.answer)) + list(one.answer)
        rows.append((row, labels))
    longest = -(-max(len(row) for row, _ in rows) // multiple) * multiple
    shape = (len(rows), longest)
    ids, places = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    attention, labelled = torch.zeros(shape, dtype=torch.long), torch.full(shape, IGNORED)
    for number, (row, labels) in enumerate(rows):
        own = slice(longest - len(row), longest)
        ids[number, own] = torch.tensor([word for word, _ in row])
        places[number, own] = torch.tensor([place for _, place in row])
        attention[number, own] = 1
        labelled[number, own] = torch.tensor(labels)
    return {"ids": ids, "places": places, "attention": attention, "labels": labelled}


def _positions(element: int, starts: Mapping[int, range]) -> list[tuple[int, int]]:
    """(token id, place among the image's tokens) of each position that an element takes."""
    return [(element, -1)] if element >= 0 else [(0, place) for place in starts[element]]


def splice(words: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Embeddings [B, L, D]: of words, and in `places` (int64 [B, L], -1 for a word) of the image's tokens [B, n, D]."""
    if tokens.shape[1] == 0:
        return words
    index = places.clamp(min=0)[..., None].expand(-1, -1, tokens.shape[2])
    return torch.where((places >= 0)[..., None], tokens.to(words.dtype).gather(1, index), words)


def answer_loss(model: nn.Module, inputs: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross-entropies over the answers' tokens, and their number: fp32 [2].

    `inputs` are the spliced embeddings [B, L, D]. Logits are computed for the last positions alone, which hold the
    answers, since examples are padded on the left.
    """
    labels, attention = batch["labels"], batch["attention"]
    learned = labels != IGNORED
    # The logits at a position are for the token after it.
    kept = int(labels.shape[1] - learned.any(0).int().argmax()) + 1 if bool(learned.any()) else 2
    kept = min(-(-kept // KEPT) * KEPT, labels.shape[1])
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    found = model(
        inputs_embeds=inputs,
        attention_mask=attention,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=kept,
    ).logits[:, :-1]
    wanted = labels[:, labels.shape[1] - kept + 1 :]
    losses = nn.functional.cross_entropy(
        found.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return torch.stack([losses, learned.sum().float()])
