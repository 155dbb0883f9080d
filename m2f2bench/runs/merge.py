"""Merging: turns the folder of a trained explainer into a folder that needs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

from ..cards.models import DetectorCard
from ..core.errors import DetectorError, near
from ..loading import detector_card

DTYPES = ("fp32", "bf16", "fp16")


def merge(detector: str | Path | DetectorCard, out: str | Path, dtype: str = "fp32") -> Path:
    """Fold an explainer's LoRA adapters into its LLM; `run`, `predict` and others take `out` as a detector.

    `dtype` is the type in which the LLM is stored. Returns the card's path. Raises DetectorError if the detector cannot
    be merged.
    """
    card, cls = detector_card(str(detector) if isinstance(detector, Path) else detector)
    if dtype not in DTYPES:
        raise DetectorError(f"unknown dtype '{dtype}'{near(dtype, DTYPES)}: give one of {', '.join(DTYPES)}")
    fold: Any = getattr(cls, "merge", None)
    if fold is None:
        raise DetectorError(f"detector '{card.name}' (backend {card.backend}) has no adapters to merge")
    return cast(Path, fold(card, Path(out), cast("Literal['fp32', 'bf16', 'fp16']", dtype)))
