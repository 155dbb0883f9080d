"""Options of an `m2f2det-explainer` in addition to the detector's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...cards.models import DetectorCard, validate
from ...cards.settings import Settings
from ...core.errors import DetectorError
from ..llm.prompt import PromptSettings
from ..llm.sampling import GenerationSettings
from ..llm.source import LanguageSource

KEY = "explainer"
"""Their key in a card's options."""


class ExplainerOptions(Settings):
    """The LLM, its image tokens, its prompt, and the state of training."""

    llm: LanguageSource
    prompt: PromptSettings = PromptSettings()
    forgery_grid: int = Field(default=4, ge=0, le=64)
    """F^0 ⊙ M_b is averaged over this many cells a side: k = forgery_grid² tokens, and one for the verdict. 0: no
    forgery tokens (the paper's ablation)."""
    visual_pool: int = Field(default=1, ge=1, le=32)
    """CLIP's patches are averaged over squares of this many a side before they become visual tokens; 1: all of them."""
    generation: GenerationSettings = GenerationSettings()
    stage: Literal["", "align", "tune", "merged"] = ""
    """The last stage that was trained; set by training and merging."""
    adapter: str | None = None
    """Folder of LoRA adapters, relative to the card; for stage `tune`, until they are merged."""
    learned_with: str = ""
    """Fingerprint of the LLM that projectors and adapters were trained with."""


def explainer_options(card: DetectorCard) -> ExplainerOptions:
    """Return the card's explainer options, checked. Raises DetectorError for a card without them."""
    if KEY not in card.options:
        raise DetectorError(
            f"detector '{card.name}' has no options.{KEY}: name the LLM there, such as "
            f"`{KEY}: {{llm: {{name: lmsys/vicuna-7b-v1.5}}}}`"
        )
    return validate(ExplainerOptions, card.options[KEY], f"options.{KEY} of detector '{card.name}'")


def without_explainer(card: DetectorCard) -> DetectorCard:
    """Return the card with only the options of its detector."""
    options: dict[str, Any] = {key: value for key, value in card.options.items() if key != KEY}
    plain = card.model_copy(update={"options": options})
    plain._path = card._path
    return plain


def absolute(source: LanguageSource, folder: Path) -> LanguageSource:
    """Return the source with a local folder as an absolute path, so that a card elsewhere can name it."""
    local = folder / Path(source.name).expanduser()
    return source.model_copy(update={"name": str(local.resolve())}) if local.exists() else source
