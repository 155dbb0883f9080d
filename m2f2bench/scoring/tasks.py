"""Tasks: the kinds of measurement, and how the stored rows of each become results and comparisons."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..cards.models import DETECTION, EXPLANATION, HEATMAPS, AnyProtocol, ExplanationCard, HeatMapCard, ProtocolCard
from ..core.errors import ScoreError
from ..loading import any_protocol, load_heat_maps
from ..results.read_answers import looks_like_answers
from ..results.result import Result
from ..results.signature import MAP, answer_fields, heat_map_fields, measure_fields
from ..results.store import MAPS
from ..results.stored import ResampledResult, Stored, stored_at, stored_resamples
from .answers import load_answers
from .compare_answers import compare_resampled, load_resampled
from .compare_detection import compare_rows
from .comparison import Comparison, distinct_names
from .detection import ScoredRows, load_rows
from .heatmaps import ScoredMaps, load_maps, resampled_maps, score_maps
from .recheck import recheck_resamples, recheck_result
from .score_answers import score_answers
from .score_detection import score_rows
from .source import Source

Place = str | Path


class Task(abc.ABC):
    """One kind of measurement. There is one object of each class, in TASKS."""

    name: ClassVar[str]
    """The value of `Result.task`."""
    items: ClassVar[str]
    """What is judged, in messages."""

    @abc.abstractmethod
    def score(self, places: Sequence[Place], source: Source) -> Result:
        """Return the result of stored rows. Raises ScoreError or DataError in one line."""

    @abc.abstractmethod
    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """Return the paired tests between stored rows. Raises ScoreError if they cannot be compared."""

    @abc.abstractmethod
    def evidence(self, stored: Stored) -> ScoredRows | ResampledResult | None:
        """Return what paired tests between results on a board need; None if it is not next to the result."""

    @abc.abstractmethod
    def fields(self, result: Result, card: Any) -> dict[str, Any]:
        """Return the signature's fields that follow from protocol, dataset and split, to check a stored result."""

    @abc.abstractmethod
    def recheck(self, stored: Stored) -> list[str]:
        """Recompute a stored result's numbers from the files next to it; return what differs, one line each."""

    def comparable(self, stored: Stored) -> bool:
        """Return whether the files that a comparison needs are next to a stored result."""
        return stored.rows is not None


class Detection(Task):
    """P(fake) of frames."""

    name, items = DETECTION, "frames"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`."""
        if len(places) > 1:
            raise ScoreError("several files can be scored together only under a protocol about answers to questions")
        return score_rows(load_rows(places[0], source))

    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """See `Task.compare`."""
        rows = [load_rows(place, source) for place in places]
        names = distinct_names([one.detector for one in rows], places)
        return compare_rows(dict(zip(names, rows, strict=True)), metrics, against)

    def evidence(self, stored: Stored) -> ScoredRows | None:
        """See `Task.evidence`."""
        return load_rows(stored.path) if stored.rows is not None else None

    def fields(self, result: Result, card: ProtocolCard) -> dict[str, Any]:
        """See `Task.fields`."""
        picked = (result.threshold.get("from") or {}).get("hash", "")
        return measure_fields(result.dataset, result.split, *_data(result), card, result.limit, picked)

    def recheck(self, stored: Stored) -> list[str]:
        """See `Task.recheck`."""
        return recheck_result(stored, lambda: score_rows(load_rows(stored.path))) if stored.rows is not None else []


class Explanation(Task):
    """Answers to questions."""

    name, items = EXPLANATION, "questions"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`; several files are one explainer's answers that complete each other."""
        return score_answers(load_answers(*places, source=source)).result

    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """See `Task.compare`."""
        resampled = [load_resampled(place, source) for place in places]
        names = distinct_names([one.result.detector for one in resampled], places)
        return compare_resampled(dict(zip(names, resampled, strict=True)), metrics, against)

    def evidence(self, stored: Stored) -> ResampledResult | None:
        """See `Task.evidence`."""
        return stored_resamples(stored)

    def fields(self, result: Result, card: ExplanationCard) -> dict[str, Any]:
        """See `Task.fields`."""
        bert = str(result.measured.get("bert", ""))
        return answer_fields(result.dataset, result.split, *_data(result), card, result.limit, bert)

    def recheck(self, stored: Stored) -> list[str]:
        """See `Task.recheck`. Uses the resamples: the dataset that answers are scored against may be missing."""
        return recheck_resamples(stored)

    def comparable(self, stored: Stored) -> bool:
        """See `Task.comparable`; `compare` reports a result without its resamples."""
        return True


class HeatMaps(Task):
    """Heat maps, held against true masks or against the detector's own scores."""

    name, items = HEATMAPS, "frames"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`; they are scored from a run's rows alone."""
        if len(places) > 1:
            raise ScoreError("several folders make several results: score them one by one")
        return score_maps(self._load(places[0], source))

    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """See `Task.compare`."""
        drawn = [resampled_maps(self._load(place, source)) for place in places]
        names = distinct_names([one.result.detector for one in drawn], places)
        return compare_resampled(dict(zip(names, drawn, strict=True)), metrics, against)

    def evidence(self, stored: Stored) -> ResampledResult | None:
        """See `Task.evidence`."""
        return resampled_maps(load_maps(stored.path)) if stored.rows is not None else None

    def fields(self, result: Result, card: HeatMapCard) -> dict[str, Any]:
        """See `Task.fields`."""
        masks = str(result.measured.get("masks", ""))
        fields = heat_map_fields(result.dataset, result.split, *_data(result), card, result.limit, masks=masks)
        return fields | {MAP: result.measured.get(MAP)}

    def recheck(self, stored: Stored) -> list[str]:
        """See `Task.recheck`."""
        return recheck_result(stored, lambda: score_maps(load_maps(stored.path))) if stored.rows is not None else []

    def _load(self, place: Place, source: Source) -> ScoredMaps:
        if source.dataset is not None or source.columns or source.validation is not None:
            raise ScoreError("heat maps are scored from a run's rows alone: leave out dataset, columns and validation")
        return load_maps(place, None if source.protocol is None else load_heat_maps(source.protocol))


TASKS: dict[str, Task] = {task.name: task for task in (Detection(), Explanation(), HeatMaps())}
"""The tasks by name."""


def task_at(place: Place, protocol: AnyProtocol | str | None = None) -> Task:
    """Return the task of a protocol; without a protocol, that of a run's folder, a result file or a file of rows."""
    if protocol is not None:
        return TASKS[any_protocol(protocol).kind]
    path = Path(place).expanduser()
    stored = stored_at(path)
    if stored is not None:
        return TASKS[stored.result.task]
    if path.name == MAPS:
        return TASKS[HEATMAPS]
    return TASKS[EXPLANATION if looks_like_answers(path) else DETECTION]


def _data(result: Result) -> tuple[str, int]:
    """Return the hash and the number of items that the result's signature has."""
    return str(result.measured.get("hash")), result.measured.get("n") or 0
