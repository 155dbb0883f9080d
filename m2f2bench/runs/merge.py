"""Merging of a trained explainer: the adapters of its LLM folded into the LLM, one folder that needs no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ..cards.models import DetectorCard
from ..cards.settings import Precision
from ..core.arguments import checked
from ..core.errors import DetectorError, near
from ..core.written import Written
from ..loading import detector_card

DTYPES = get_args(Precision)


@checked
def merge(detector: str | Path | DetectorCard, out: str | Path, dtype: str = "fp32") -> Written:
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
    return Written(fold(card, Path(out), dtype))
