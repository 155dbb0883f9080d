"""Image tokens between words: embeddings of a prompt, and batches of training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...training.language import IGNORED
from .prompt import DEEPFAKE, IMAGE, Elements

KEPT = 16
"""Logits are computed at a multiple of this many positions, so that few different shapes occur."""


def spread_length(elements: Elements, counts: Mapping[int, int]) -> int:
    """Return the number of positions that a prompt takes; a slot takes `counts[slot]` of them."""
    return sum(counts[one] if one < 0 else 1 for one in elements)


def embed(model: nn.Module, elements: Elements, slots: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """Return a prompt's embeddings [L, D] for an LLM; `slots` gives those of each slot, [n, D]."""
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
class TokenizedExample:
    """A training example: a prompt, and the answer's token ids including the end token."""

    prompt: Elements
    answer: Elements


def fitted(example: TokenizedExample, counts: Mapping[int, int], longest: int) -> TokenizedExample | None:
    """Return the example with its answer cut to at most `longest` positions in all; None if no answer is left."""
    room = longest - spread_length(example.prompt, counts)
    return TokenizedExample(example.prompt, example.answer[:room]) if room > 0 else None


def pad_right(
    examples: Sequence[TokenizedExample], visual: int, forgery: int, multiple: int = 1, longest: int | None = None
) -> dict[str, torch.Tensor]:
    """Return a batch of examples, padded on the right: int64 [B, L], L a multiple of `multiple`, at most `longest`.

    `ids`: token ids, 0 elsewhere. `places`: index of the image's token (of `visual` + `forgery`, H_V then H_F) at each
    position, -1 elsewhere. `labels`: the answer's token ids, IGNORED elsewhere, so that the loss covers only the
    answer. An example never attends to the padding after it: a causal LLM needs no mask, and every position has a key.
    """
    starts = {IMAGE: range(visual), DEEPFAKE: range(visual, visual + forgery)}
    rows = []
    for one in examples:
        row = [place for element in (*one.prompt, *one.answer) for place in _positions(element, starts)]
        labels = [IGNORED] * (len(row) - len(one.answer)) + list(one.answer)
        rows.append((row, labels))
    needed = max(len(row) for row, _ in rows)
    length = -(-needed // multiple) * multiple
    shape = (len(rows), length if longest is None else max(needed, min(length, longest)))
    ids, places = torch.zeros(shape, dtype=torch.long), torch.full(shape, -1)
    labelled = torch.full(shape, IGNORED)
    for number, (row, labels) in enumerate(rows):
        ids[number, : len(row)] = torch.tensor([word for word, _ in row])
        places[number, : len(row)] = torch.tensor([place for _, place in row])
        labelled[number, : len(row)] = torch.tensor(labels)
    return {"ids": ids, "places": places, "labels": labelled}


def _positions(element: int, starts: Mapping[int, range]) -> list[tuple[int, int]]:
    """Return (token id, index of the image token) of each position that an element takes."""
    return [(element, -1)] if element >= 0 else [(0, place) for place in starts[element]]


def splice(words: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return embeddings [B, L, D]: words, and image tokens [B, n, D] at `places` (int64 [B, L], -1 for a word)."""
    if tokens.shape[1] == 0:
        return words
    index = places.clamp(min=0)[..., None].expand(-1, -1, tokens.shape[2])
    return torch.where((places >= 0)[..., None], tokens.to(words.dtype).gather(1, index), words)


def answer_loss(model: nn.Module, inputs: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the sum of the cross-entropies over the answers' tokens, and their number: fp32 [2].

    `inputs` are the spliced embeddings [B, L, D] of a batch that `pad_right` made. Logits are computed only at the
    positions before a token of an answer.
    """
    labels = batch["labels"]
    rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)  # the logits at a position are for the next token
    wanted, places = labels[rows, columns + 1], rows * labels.shape[1] + columns
    count, more = len(places), -len(places) % KEPT
    wanted, places = nn.functional.pad(wanted, (0, more), value=IGNORED), nn.functional.pad(places, (0, more))
    logits = logits_at(model, inputs, places).float()
    losses = nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    return torch.stack([losses, losses.new_tensor(count)])


def logits_at(model: nn.Module, inputs: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return a causal LLM's logits [n, V] at n of the B · L positions (row by row) of embeddings [B, L, D].

    The output layer gets only these positions: at all of them, logits take far more memory than the rest. If an LLM's
    output layer is not accessible, or its result is reshaped afterwards, all logits are computed.
    """
    picked: list[torch.Tensor] = []

    def pick(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not given or given[0].shape[:-1] != inputs.shape[:-1]:
            return None
        picked.append(given[0].flatten(0, 1)[places][None])
        return (picked[-1], *given[1:])

    head = model.get_output_embeddings()  # type: ignore[operator]
    hook = None if head is None else head.register_forward_pre_hook(pick)
    try:
        found: torch.Tensor = model(inputs_embeds=inputs, use_cache=False).logits
    finally:
        if hook is not None:
            hook.remove()
    if len(picked) == 1 and found.shape[:2] == (1, len(places)):
        return found[0]
    if picked:
        found = model(inputs_embeds=inputs, use_cache=False).logits
    return found.flatten(0, 1)[places]
