"""How an LLM's answers are generated: settings of a card, no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ...cards.settings import Settings


class SamplingSettings(Settings):
    """How an answer is generated, token by token. The default is greedy and repeats itself exactly."""

    max_new_tokens: int = Field(default=128, ge=1)
    """An answer that has not ended after so many tokens is cut off, and marked."""
    temperature: float = Field(default=0.0, ge=0.0)
    """0 takes the most probable token; else tokens are drawn from softmax(logits / temperature)."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Only the most probable tokens that together have this probability are drawn (nucleus sampling, Holtzman et al.
    2020, arXiv 1904.09751)."""
    seed: int = 0
    """Of the draws; each answer has a seed of its own, made from it, the image and the question."""


class GenerationSettings(SamplingSettings):
    """The same for an LLM whose answers this package generates itself."""

    batch_size: int = Field(default=16, ge=1)
    """Answers generated together at most, and images whose prompts are held at once: the bound on memory."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Texts that end an answer, beside the prompt style's own; they are no part of it."""
