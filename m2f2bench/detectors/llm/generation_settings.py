"""Settings of a card for generating an LLM's answers, without torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...cards.settings import Settings


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


class GenerationSettings(SamplingSettings):
    """The same settings, for an LLM whose answers this package generates itself."""

    batch_size: int = Field(default=16, ge=1)
    """Most answers generated together, and most images whose prompts are held at once: the bound on memory."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer, in addition to the prompt style's own; they are not part of it."""
