"""Report page of a run: its numbers, and single questions with image, heat map, answer and references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import DetectorError, FrameError
from ..core.files import write_text
from ..datasets.read_ahead import read_pixels
from ..detectors.base import Detector
from ..results.result import Result
from ..scoring.answers import ScoredAnswers
from ..scoring.controls import PREFIX

if TYPE_CHECKING:
    from ..core.records import Image
    from ..heatmaps.mapping import HeatMapper
    from .pages.explanation import Heat

REPORT = "report.html"
CARDS = 24
"""Number of the worst answers on the page, and of the best."""


def write_report(
    evidence: ScoredAnswers,
    result: Result,
    path: Path,
    controls: Sequence[Result] = (),
    mapper: HeatMapper | None = None,
    count: int = CARDS,
) -> None:
    """Write one page about a run, without files beside it; `mapper` makes its heat maps."""
    from .pages.explanation import explanation_page

    explained = evidence.explained
    page = explanation_page(
        result,
        evidence.answers,
        explained.items,
        explained.verdicts,
        lambda name: _image(evidence, name),
        lambda name: _heatmap(evidence, mapper, name),
        [(one.detector.removeprefix(PREFIX).partition("@")[0], one) for one in controls],
        count,
    )
    write_text(path, page)


def own_maps(detector: Detector) -> HeatMapper | None:
    """Return the maker of an explainer's heat maps; None if it makes no heat maps."""
    from ..heatmaps.mapping import HeatMapper

    try:
        return HeatMapper(detector)
    except DetectorError:
        return None


def _image(evidence: ScoredAnswers, name: str) -> Image | None:
    frame = evidence.plan.frames.get(name)
    if frame is None:
        return None
    try:
        return read_pixels(evidence.plan.dataset.adapter.read, frame)
    except FrameError:
        return None


def _heatmap(evidence: ScoredAnswers, mapper: HeatMapper | None, name: str) -> Heat | None:
    image = _image(evidence, name) if mapper is not None else None
    if mapper is None or image is None:
        return None
    heat = mapper.maps([image], [name])[0]
    return None if isinstance(heat, str) else (heat.astype("float64"), mapper.seen(image))
