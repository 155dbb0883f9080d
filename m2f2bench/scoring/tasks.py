"""Tasks: the kinds of measurement, and how the stored rows of each become results and comparisons."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..cards.folders import DETECTION, EXPLANATION, HEATMAPS
from ..cards.models import AnyProtocol, ExplanationCard, HeatMapCard, ProtocolCard
from ..core.errors import ScoreError
from ..core.files import user_path
from ..loading import any_protocol, load_heat_maps
from ..results.answers_in_memory import AnswersInMemory
from ..results.in_memory import InMemory
from ..results.read_answers import looks_like_answers
from ..results.result import Result
from ..results.signature import MAP, answer_fields, heat_map_fields, measure_fields
from ..results.store import MAPS
from ..results.stored import ResampledResult, Stored, stored_at, stored_resamples
from .answers import load_answers
from .compare_answers import compare_resampled, load_resampled
from .compare_rows import compare_rows
from .comparison import Comparison
from .detection import ScoredRows, load_rows, score_rows
from .heatmaps import ScoredMaps, load_maps, resampled_maps, score_maps
from .score_answers import score_answers
from .scored import OWN, Source

Place = str | Path | InMemory


class Task(abc.ABC):
    """One kind of measurement. There is one object of each class, in TASKS."""

    name: ClassVar[str]
    """The value of `Result.task`."""
    items: ClassVar[str]
    """What is judged, in messages."""
    from_rows: ClassVar[bool] = True
    """Whether stored results are compared and recomputed from their rows; otherwise from their resamples."""

    @abc.abstractmethod
    def score(self, places: Sequence[Place], source: Source) -> Result:
        """Return the result of stored rows. Raises ScoreError or DataError in one line."""

    @abc.abstractmethod
    def load(self, place: Place, source: Source) -> Any:
        """Return what paired tests need: `ScoredRows`, or a `ResampledResult`. Raises as `score`."""

    def test(
        self, loaded: Mapping[str, Any], metrics: Sequence[str], against: str, margin: float | None = None
    ) -> Comparison:
        """Return the paired tests between what `load` returned, by name. Raises ScoreError if they are not alike."""
        return compare_resampled(loaded, metrics, against, margin)

    @abc.abstractmethod
    def fields(self, result: Result, card: Any) -> dict[str, Any]:
        """Return the signature's fields that follow from protocol, dataset and split, to check a stored result."""

    def evidence(self, stored: Stored) -> ScoredRows | ResampledResult | None:
        """Return what paired tests between results on a board need; None if it is not next to the result."""
        if not self.from_rows:
            return stored_resamples(stored)
        found: ScoredRows | ResampledResult | None = None if stored.rows is None else self.load(stored.path, OWN)
        return found


class Detection(Task):
    """P(fake) of frames."""

    name, items = DETECTION, "frames"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`."""
        if len(places) > 1:
            raise ScoreError("several files can be scored together only under a protocol about answers to questions")
        return score_rows(load_rows(places[0], source))

    def load(self, place: Place, source: Source) -> ScoredRows:
        """See `Task.load`."""
        return load_rows(place, source)

    def test(
        self, loaded: Mapping[str, ScoredRows], metrics: Sequence[str], against: str, margin: float | None = None
    ) -> Comparison:
        """See `Task.test`."""
        return compare_rows(loaded, metrics, against, margin)

    def fields(self, result: Result, card: ProtocolCard) -> dict[str, Any]:
        """See `Task.fields`."""
        picked = (result.threshold.get("from") or {}).get("hash", "")
        return measure_fields(
            result.dataset, result.split, *_data(result), card, result.limit, picked, crop=_crop(result)
        )


class Explanation(Task):
    """Answers to questions. They are compared from their resamples: the dataset with the references may be missing."""

    name, items, from_rows = EXPLANATION, "questions", False

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`; several files are one explainer's answers that complete each other."""
        return score_answers(load_answers(*places, source=source)).result

    def load(self, place: Place, source: Source) -> ResampledResult:
        """See `Task.load`."""
        return load_resampled(place, source)

    def fields(self, result: Result, card: ExplanationCard) -> dict[str, Any]:
        """See `Task.fields`."""
        bert = str(result.measured.get("bert", ""))
        return answer_fields(result.dataset, result.split, *_data(result), card, result.limit, bert, crop=_crop(result))


class HeatMaps(Task):
    """Heat maps, held against true masks or against the detector's own scores."""

    name, items = HEATMAPS, "frames"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`; they are scored from a run's rows alone."""
        if len(places) > 1:
            raise ScoreError("several folders make several results: score them one by one")
        return score_maps(self._maps(places[0], source))

    def load(self, place: Place, source: Source) -> ResampledResult:
        """See `Task.load`."""
        return resampled_maps(self._maps(place, source))

    def fields(self, result: Result, card: HeatMapCard) -> dict[str, Any]:
        """See `Task.fields`."""
        masks = str(result.measured.get("masks", ""))
        place = (result.dataset, result.split, *_data(result))
        fields = heat_map_fields(*place, card, result.limit, masks=masks, crop=_crop(result))
        return fields | {MAP: result.measured.get(MAP)}

    def _maps(self, place: Place, source: Source) -> ScoredMaps:
        if source.dataset is not None or source.columns or source.validation is not None:
            raise ScoreError("heat maps are scored from a run's rows alone: leave out dataset, columns and validation")
        return load_maps(_file(place), None if source.protocol is None else load_heat_maps(source.protocol))


def about_answers(protocol: AnyProtocol | str | None) -> bool | None:
    """Return whether a protocol is about answers to questions; None without a protocol."""
    return None if protocol is None else any_protocol(protocol).kind == EXPLANATION


TASKS: dict[str, Task] = {task.name: task for task in (Detection(), Explanation(), HeatMaps())}
"""The tasks by name."""


def task_at(place: Place, protocol: AnyProtocol | str | None = None) -> Task:
    """Return the task of a protocol; without a protocol, that of a run's folder, a result file or of rows.

    Raises ScoreError for data in memory under a protocol of heat maps.
    """
    task = None if protocol is None else TASKS[any_protocol(protocol).kind]
    if isinstance(place, InMemory):
        if task is not None and task.name == HEATMAPS:
            raise ScoreError(f"'{place}': heat maps are scored from a run's rows alone: give the folder that run wrote")
        return task or TASKS[EXPLANATION if isinstance(place, AnswersInMemory) else DETECTION]
    if task is not None:
        return task
    path = user_path(place)
    stored = stored_at(path)
    if stored is not None:
        return TASKS[stored.result.task]
    if path.name == MAPS:
        return TASKS[HEATMAPS]
    return TASKS[EXPLANATION if looks_like_answers(path) else DETECTION]


def _file(place: Place) -> str | Path:
    if isinstance(place, InMemory):
        raise ScoreError(f"'{place}' is in memory, and heat maps are scored from a run's rows alone: give its folder")
    return place


def _crop(result: Result) -> str:
    """Return how the faces of a result were cut out of scenes; empty if they were not."""
    return str(result.measured.get("crop", ""))


def _data(result: Result) -> tuple[str, int]:
    """Return the hash and the number of items that the result's signature has."""
    return str(result.measured.get("hash")), result.measured.get("n") or 0
