"""The next token of each row: the most probable one, or one drawn with the row's own generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ...core.records import Image


def answer_seed(seed: int, image: Image, question: str) -> int:
    """Return the seed of one sampled answer, below 2^56.

    It depends only on the image [H, W, 3] and the question, never on the batch.
    """
    about = f"{seed}\0{image.shape}\0{question}\0".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(about + image.tobytes(), digest_size=7).digest(), "big")


def next_tokens(
    logits: torch.Tensor, draws: Sequence[torch.Generator | None], temperature: float, top_p: float
) -> list[int]:
    """Return a token id for each row of logits [B, V]; -1 for a row whose logits are not finite.

    With temperature 0, it is the most probable token. Otherwise it is drawn with one uniform number from the row's
    generator (on the CPU; None takes 0.5), so that it depends neither on the other rows nor on the device.
    """
    top, best = logits.max(dim=-1)
    bad = top.isnan() | top.isinf()
    chosen: list[int] = torch.where(bad, -1, best).tolist()
    if temperature == 0.0:
        return chosen
    for row, generator in enumerate(draws):
        if chosen[row] >= 0:
            uniform = float(torch.rand((), generator=generator, dtype=torch.float64)) if generator else 0.5
            chosen[row] = draw(logits[row], uniform, temperature, top_p)
    return chosen


def draw(logits: torch.Tensor, uniform: float, temperature: float, top_p: float) -> int:
    """Return the token id at the quantile `uniform` in [0, 1) of the nucleus of softmax(logits [V] / temperature).

    The nucleus contains the most probable tokens, up to and including the one at which their sum reaches `top_p`.
    """
    probabilities, ids = torch.softmax(logits.double() / temperature, dim=-1).sort(descending=True, stable=True)
    summed = probabilities.cumsum(-1)
    inside = int((summed - probabilities < top_p).sum())
    place = int(torch.searchsorted(summed[:inside], uniform * summed[inside - 1], right=True))
    return int(ids[min(place, inside - 1)])
