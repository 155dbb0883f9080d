"""Loss of the answers' tokens; what prompts about one image begin with is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ...training.language import IGNORED
from .cache import spread
from .prompt import DEEPFAKE, IMAGE, Elements, TokenizedExample, spread_length

KEPT = 16
"""Logits are computed at a multiple of this many positions, so that few different shapes occur."""
ALIKE = 8
"""Rows that begin alike go on in groups of so many, of similar length, and each is padded to a multiple of this."""


def beginnings(
    examples: Sequence[TokenizedExample], images: Sequence[str], counts: Mapping[int, int]
) -> dict[str, torch.Tensor]:
    """Return which rows of a batch begin alike, for `answer_loss`; nothing if none do.

    A prompt begins with all up to its last `<image>` or `<deepfake>`; rows about one image (`images`: its name, for
    each example) whose prompts begin with the same elements begin alike. `owners`, int64 [B]: the first row that begins
    as a row does. `begins`, int64 [B]: the number of positions up to there, the same in all rows.
    """
    found = []
    for one, image in zip(examples, images, strict=True):
        end = max(
            (place for place, element in enumerate(one.prompt, start=1) if element in (IMAGE, DEEPFAKE)), default=0
        )
        if end in (0, len(one.prompt)):  # the answer's first token must be told from what follows the beginning
            return {}
        found.append((image, one.prompt[:end]))
    rows: dict[tuple[str, Elements], int] = {}
    owners = [rows.setdefault(one, number) for number, one in enumerate(found)]
    lengths = {spread_length(elements, counts) for _, elements in rows}
    if len(lengths) > 1 or len(rows) == len(owners):
        return {}
    return {"owners": torch.tensor(owners), "begins": torch.full((len(owners),), lengths.pop())}


def answer_loss(model: nn.Module, inputs: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the sum of the cross-entropies over the answers' tokens, and their number: fp32 [2].

    `inputs` are the spliced embeddings [B, L, D] of a batch that `pad_right` made. Logits are computed only at the
    positions before a token of an answer. With the tensors of `beginnings`, the positions at which rows begin alike are
    computed once, and gradients go through the key-value cache. With `times`, int64 [B], each row counts so often.
    """
    labels = batch["labels"]
    times = batch.get("times", labels.new_ones(len(labels)))
    if "owners" not in batch:
        return _loss(model, inputs, labels, times)
    length = int(batch["begins"][0])
    firsts, rows = torch.unique(batch["owners"], return_inverse=True)
    _, cache = _pass(model, inputs[firsts, :length], rows.new_zeros(1), {"use_cache": True})
    found = []
    for some, end in _alike(labels, length):
        begun = spread(cache, rows[some].tolist(), room=0, whole=False)
        found.append(_loss(model, inputs[some, length:end], labels[some, length:end], times[some], begun))
    return torch.stack(found).sum(0)


def _alike(labels: torch.Tensor, length: int) -> Iterator[tuple[torch.Tensor, int]]:
    """Yield groups of rows of similar length, and where each ends, for what follows the first `length` positions."""
    places = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    ends = ((labels != IGNORED) * places).amax(1)
    for some in torch.split(ends.argsort(stable=True), ALIKE):
        longest = int(ends[some].amax()) - length
        yield some, min(labels.shape[1], length + max(1, -(-longest // ALIKE)) * ALIKE)


def _loss(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, times: torch.Tensor, cache: Any = None
) -> torch.Tensor:
    """Return `answer_loss` of embeddings [B, L, D] and labels [B, L], each row `times`; `cache` as in `logits_at`."""
    rows, columns = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)  # the logits at a position are for the next token
    wanted, places, often = labels[rows, columns + 1], rows * labels.shape[1] + columns, times[rows]
    more = (0, -len(places) % KEPT)
    wanted, places = nn.functional.pad(wanted, more, value=IGNORED), nn.functional.pad(places, more)
    logits = logits_at(model, inputs, places, cache).float()
    losses = nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
    total = (losses * nn.functional.pad(often, more)).sum()
    return torch.stack([total, often.sum().to(total)])


def logits_at(model: nn.Module, inputs: torch.Tensor, places: torch.Tensor, cache: Any = None) -> torch.Tensor:
    """Return a causal LLM's logits [n, V] at n of the B · L positions (row by row) of embeddings [B, L, D].

    With a key-value `cache` of B rows, the embeddings follow what is in it, and are put into it.
    """
    given = {"use_cache": False} if cache is None else {"use_cache": True, "past_key_values": cache}
    return _pass(model, inputs, places, given)[0]


def _pass(
    model: nn.Module, inputs: torch.Tensor, places: torch.Tensor, given: Mapping[str, Any]
) -> tuple[torch.Tensor, Any]:
    """Return the logits as `logits_at`, and the key-value cache.

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
        found = model(inputs_embeds=inputs, **given)
    finally:
        if hook is not None:
            hook.remove()
    cache = getattr(found, "past_key_values", None)
    if len(picked) == 1 and found.logits.shape[:2] == (1, len(places)):
        return found.logits[0], cache
    if picked:
        if (before := given.get("past_key_values")) is not None:
            before.crop(-inputs.shape[1])
        found = model(inputs_embeds=inputs, **given)
    return found.logits.flatten(0, 1)[places], getattr(found, "past_key_values", None)
