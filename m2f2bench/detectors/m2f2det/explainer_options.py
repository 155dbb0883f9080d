"""What the card of an `m2f2det-explainer` says beside the detector's own options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...cards.models import DetectorCard, validate
from ...cards.settings import Settings
from ...core.errors import DetectorError
from ..llm.generation_settings import GenerationSettings
from ..llm.prompt import PromptSettings
from ..llm.source import LanguageSource

KEY = "explainer"
"""The key of a card's options that they stand under."""


class ExplainerOptions(Settings):
    """The LLM, what it is told of an image, and how it is asked."""

    llm: LanguageSource
    prompt: PromptSettings = PromptSettings()
    forgery_grid: int = Field(default=4, ge=0, le=64)
    """F^0 ⊙ M_b is averaged over so many cells a side: k = forgery_grid² tokens, and one for the verdict. 0: no forgery
    tokens at all (the paper's ablation)."""
    visual_pool: int = Field(default=1, ge=1, le=32)
    """CLIP's patches are averaged over squares of so many a side before they become visual tokens; 1: all of them."""
    generation: GenerationSettings = GenerationSettings()
    stage: Literal["", "align", "tune", "merged"] = ""
    """The last stage that was trained; written by training and merging."""
    adapter: str | None = None
    """The folder of LoRA adapters, beside the card; of stage `tune`, until they are merged."""
    learned_with: str = ""
    """The fingerprint of the LLM that projectors and adapters were trained with."""


def explainer_options(card: DetectorCard) -> ExplainerOptions:
    """The card's, checked. Raises DetectorError for a card without."""
    if KEY not in card.options:
        raise DetectorError(
            f"detector '{card.name}' has no options.{KEY}: name the LLM there, such as "
            f"`{KEY}: {{llm: {{name: lmsys/vicuna-7b-v1.5}}}}`"
        )
    return validate(ExplainerOptions, card.options[KEY], f"options.{KEY} of detector '{card.name}'")


def without_explainer(card: DetectorCard) -> DetectorCard:
    """The card with the options of its detector alone."""
    options: dict[str, Any] = {key: value for key, value in card.options.items() if key != KEY}
    plain = card.model_copy(update={"options": options})
    plain._path = card._path
    return plain


def absolute(source: LanguageSource, folder: Path) -> LanguageSource:
    """The source with a local folder as a whole path, so that a card elsewhere can name it."""
    local = folder / Path(source.name).expanduser()
    return source.model_copy(update={"name": str(local.resolve())}) if local.exists() else source
