"""Sampling: its settings on a card, and the next token of each row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, model_validator

from ...cards.settings import Settings

if TYPE_CHECKING:
    from ...core.records import Image


RESOURCES = {"gpu_memory_utilization", "kv_cache_memory_bytes", "max_num_seqs", "max_num_batched_tokens", "swap_space"}
"""Arguments of vLLM by which it uses a machine, as `batch_size` is one."""


class SamplingSettings(Settings):
    """Settings for generating an answer token by token. The default is greedy and exactly repeatable."""

    max_new_tokens: int = Field(default=128, ge=1)
    """An answer that has not ended after this many tokens is cut off and marked."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 takes the most probable token; otherwise tokens are drawn from softmax(logits / temperature)."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Only the most probable tokens that together have this probability are drawn (nucleus sampling, Holtzman et al.
    2020, arXiv 1904.09751)."""
    seed: int = 0
    """Seed of the draws; each answer has its own, derived from it, the image and the question."""


class EngineSettings(SamplingSettings):
    """The same settings, with what computes the LLM."""

    engine: Literal["transformers", "vllm"] = "transformers"
    """`vllm` needs the extra of that name. Answers of the two engines differ by rounding, drawn ones in their draws."""
    vllm: dict[str, Any] = Field(default_factory=dict)
    """Arguments of `vllm.LLM` besides the package's own, or in their place, such as `gpu_memory_utilization` and
    `tensor_parallel_size`."""

    @model_validator(mode="after")
    def _one(self) -> EngineSettings:
        if self.vllm and self.engine != "vllm":
            raise ValueError("generation.vllm is for the engine vllm: set generation.engine to vllm, or remove it")
        return self

    def undecided(self) -> dict[str, Any]:
        """Return what of the engine's settings decides no answer, as pydantic's `exclude` takes it.

        At the defaults it is all of them, so that identities of before stay.
        """
        return {"engine": True, "vllm": True} if self.engine == "transformers" else {"vllm": RESOURCES}


class GenerationSettings(EngineSettings):
    """The same settings, for an LLM that reads images' tokens."""

    batch_size: int = Field(default=16, ge=1)
    """Most answers generated together, and most images whose prompts are held at once: the bound on memory."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer, in addition to the prompt style's own; they are not part of it."""
    may_repeat: bool = True
    """False: an answer ends before a sentence that it has already said, as an LLM in a loop says it."""
    compile: bool = False
    """Whether the LLM's steps are compiled by `torch.compile`, before the first answers: they differ by rounding."""

    @model_validator(mode="after")
    def _compiled(self) -> GenerationSettings:
        if self.compile and self.engine != "transformers":
            raise ValueError("generation.compile is for the engine transformers: remove one of the two")
        return self

    def undecided(self) -> dict[str, Any]:
        """See `EngineSettings.undecided`."""
        plain = {"may_repeat": self.may_repeat, "compile": not self.compile}
        return super().undecided() | {name: True for name, default in plain.items() if default}


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
    chosen: list[int] = torch.where(top.isfinite(), best, -1).tolist()
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
