"""Tasks: what a detector can be asked for, and how each kind of stored rows becomes results and comparisons."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..cards.models import DETECTION, EXPLANATION, DatasetCard, ExplanationCard, ProtocolCard
from ..core.errors import ScoreError
from ..loading import any_protocol
from ..results.read_answers import looks_like_answers
from ..results.resamples import ResampledResult, resampled_beside
from ..results.result import Result
from ..results.signature import answer_fields, measure_fields
from ..results.stored import Stored, stored_at
from .answers import load_answers
from .compare_answers import compare_drawn, load_drawn
from .compare_detection import compare_rows
from .comparison import Comparison, distinct_names
from .detection import ScoredRows, load_rows
from .recheck import recheck_resamples, recheck_rows
from .score_answers import score_answers
from .score_detection import score_rows

Protocol = ProtocolCard | ExplanationCard
Place = str | Path


@dataclass(frozen=True)
class Source:
    """How stored rows are to be read: the arguments of `score` and `compare`; None and empty for the run's own."""

    protocol: Protocol | str | None = None
    dataset: str | DatasetCard | None = None
    split: str = "test"
    detector: str | None = None
    columns: Mapping[str, str] | None = None
    validation: Place | None = None


class Task(abc.ABC):
    """One kind of measurement. There is one object of each class, in TASKS."""

    name: ClassVar[str]
    """As `Result.task` has it."""
    items: ClassVar[str]
    """What is judged, as messages name it."""

    @abc.abstractmethod
    def score(self, places: Sequence[Place], source: Source) -> Result:
        """Return the result of stored rows. Raises ScoreError or DataError in one line."""

    @abc.abstractmethod
    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """Return the paired tests between stored rows. Raises ScoreError where they cannot be compared."""

    @abc.abstractmethod
    def evidence(self, stored: Stored) -> ScoredRows | ResampledResult | None:
        """Return what paired tests between results on a board take; None where it does not lie beside the result."""

    @abc.abstractmethod
    def fields(self, result: Result, card: Any) -> dict[str, Any]:
        """Return the signature's fields as protocol, dataset and split say them, to check a stored result against."""

    @abc.abstractmethod
    def recheck(self, stored: Stored) -> list[str]:
        """Make a stored result's numbers again from what lies beside it; return what differs, one line each."""

    def comparable(self, stored: Stored) -> bool:
        """Return whether a stored result has beside it what a comparison takes."""
        return self.evidence(stored) is not None


class Detection(Task):
    """P(fake) of frames."""

    name, items = DETECTION, "frames"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`."""
        if len(places) > 1:
            raise ScoreError("several files make one result only under a protocol about answers to questions")
        return score_rows(self._load(places[0], source))

    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """See `Task.compare`."""
        found = [self._load(place, source) for place in places]
        names = distinct_names([own.detector for own in found], places)
        return compare_rows(dict(zip(names, found, strict=True)), metrics, against)

    def evidence(self, stored: Stored) -> ScoredRows | None:
        """See `Task.evidence`."""
        return load_rows(stored.path) if stored.rows is not None else None

    def fields(self, result: Result, card: ProtocolCard) -> dict[str, Any]:
        """See `Task.fields`."""
        picked = (result.threshold.get("from") or {}).get("hash", "")
        return measure_fields(result.dataset, result.split, *_data(result), card, _limit(result), picked)

    def recheck(self, stored: Stored) -> list[str]:
        """See `Task.recheck`."""
        return recheck_rows(stored) if stored.rows is not None else []

    def comparable(self, stored: Stored) -> bool:
        """See `Task.comparable`."""
        return stored.rows is not None

    def _load(self, place: Place, source: Source) -> ScoredRows:
        return load_rows(
            place,
            protocol=source.protocol,
            dataset=source.dataset,
            split=source.split,
            detector=source.detector,
            columns=source.columns,
            validation=source.validation,
        )


class Explanation(Task):
    """Answers to questions."""

    name, items = EXPLANATION, "questions"

    def score(self, places: Sequence[Place], source: Source) -> Result:
        """See `Task.score`; several files are one explainer's answers that complete each other."""
        answers = load_answers(
            *places,
            protocol=source.protocol,
            dataset=source.dataset,
            split=source.split,
            detector=source.detector,
            columns=source.columns,
        )
        return score_answers(answers).result

    def compare(self, places: Sequence[Place], source: Source, metrics: Sequence[str], against: str) -> Comparison:
        """See `Task.compare`."""
        drawn = [
            load_drawn(
                place,
                protocol=source.protocol,
                dataset=source.dataset,
                split=source.split,
                columns=source.columns,
            )
            for place in places
        ]
        names = distinct_names([one.result.detector for one in drawn], places)
        return compare_drawn(dict(zip(names, drawn, strict=True)), metrics, against)

    def evidence(self, stored: Stored) -> ResampledResult | None:
        """See `Task.evidence`."""
        return resampled_beside(stored)

    def fields(self, result: Result, card: ExplanationCard) -> dict[str, Any]:
        """See `Task.fields`."""
        bert = str(result.measured.get("bert", ""))
        return answer_fields(result.dataset, result.split, *_data(result), card, _limit(result), bert)

    def recheck(self, stored: Stored) -> list[str]:
        """See `Task.recheck`; answers are scored against a dataset, which may not be there: resamples say enough."""
        return recheck_resamples(stored)

    def comparable(self, stored: Stored) -> bool:
        """See `Task.comparable`; a result without its resamples is reported as such by `compare`."""
        return True


TASKS: dict[str, Task] = {task.name: task for task in (Detection(), Explanation())}
"""The tasks by name."""


def task_at(place: Place, protocol: Protocol | str | None = None) -> Task:
    """Return the task of a protocol; without one, that of a run's folder, a result file or a file of rows."""
    if protocol is not None:
        return TASKS[any_protocol(protocol).kind]
    path = Path(place).expanduser()
    stored = stored_at(path)
    if stored is not None:
        return TASKS[stored.result.task]
    return TASKS[EXPLANATION if looks_like_answers(path) else DETECTION]


def _data(result: Result) -> tuple[str, int]:
    """The signature's hash and number of items, as the result has them."""
    return str(result.measured.get("hash")), result.measured.get("n") or 0


def _limit(result: Result) -> int | None:
    limit = result.measured.get("limit")
    return limit if isinstance(limit, int) else None
