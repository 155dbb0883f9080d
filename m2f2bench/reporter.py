"""The page to read beside a run: its numbers, and single questions with image, heat map, answer and references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .backends.base import Detector
from .controls import PREFIX
from .errors import DetectorError, FrameError
from .explaining.evidence import AnswerEvidence
from .files import write_text
from .records import Frame, Result

if TYPE_CHECKING:
    from .heatmaps import HeatMapper
    from .records import Image
    from .reports.explanation import Heat

REPORT = "report.html"
CARDS = 24
"""Questions shown of the worst, and as many of the best."""


def write_report(
    evidence: AnswerEvidence,
    result: Result,
    path: Path,
    controls: Sequence[Result] = (),
    detector: Detector | None = None,
    count: int = CARDS,
) -> None:
    """Write one self-contained page about a run.

    `detector` makes the heat maps; without one, or one that makes none, there are none.
    """
    from .reports.explanation import explanation_page

    frames = {frame.id: frame for frame in evidence.asked.dataset.frames(evidence.asked.split)}
    explained = evidence.explained
    page = explanation_page(
        result,
        evidence.answers,
        explained.items,
        explained.verdicts,
        lambda name: _image(evidence, frames, name),
        _heatmaps(evidence, frames, detector),
        [(one.detector.removeprefix(PREFIX).partition("@")[0], one) for one in controls],
        count,
    )
    write_text(path, page)


def _image(evidence: AnswerEvidence, frames: dict[str, Frame], name: str) -> Image | None:
    try:
        return evidence.asked.dataset.read(frames[name])
    except (FrameError, KeyError):
        return None


def _heatmaps(
    evidence: AnswerEvidence, frames: dict[str, Frame], detector: Detector | None
) -> Callable[[str], Heat | None]:
    mapper = _mapper(detector) if detector is not None else None

    def heatmap(name: str) -> Heat | None:
        image = _image(evidence, frames, name)
        if mapper is None or image is None:
            return None
        heat = mapper.maps([image], [name])[0]
        return None if isinstance(heat, str) else (heat.astype("float64"), mapper.seen(image))

    return heatmap


def _mapper(detector: Detector) -> HeatMapper | None:
    from .heatmaps import HeatMapper

    try:
        return HeatMapper(detector)
    except DetectorError:  # it makes none: the page says so by having none
        return None
