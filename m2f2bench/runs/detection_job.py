"""Detection jobs: P(fake) of planned frames, scored under a protocol."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cards.models import ProtocolCard
from ..core.errors import DataError
from ..core.files import write_json
from ..core.records import Prediction
from ..core.rows import Rows, from_predictions
from ..datasets.dataset import Dataset
from ..datasets.planning import plan_frames
from ..detectors.base import Detector
from ..detectors.keys import Judge, row_key
from ..results.result import Result
from ..results.store import RESULT, PredictionStore
from ..results.stored import VALIDATION_SUFFIX, of_detector, stored_at
from ..scoring.detection import Origin, gather
from ..scoring.score_detection import score_rows
from .job import Job, Settings, current_rows
from .predict import predict, unsteady

log = logging.getLogger("m2f2bench")


class DetectionJob(Job[Prediction]):
    """Frames to be judged. `validation` has those that the protocol's threshold is picked on."""

    store = PredictionStore

    def __init__(
        self,
        dataset: Dataset,
        protocol: ProtocolCard,
        split: str = "test",
        limit: int | None = None,
        validation: DetectionJob | None = None,
    ) -> None:
        """List the frames. Raises DataError for a split that is missing or empty."""
        super().__init__(dataset, protocol, split, limit)
        dataset.check_split(
            split, f", on which protocol '{protocol.name}' picks its threshold" if split == "val" else ""
        )
        self.validation = validation
        self.frames = plan_frames(dataset.adapter, split, protocol.frames, limit)

    @classmethod
    def plan(
        cls, opened: Callable[[Any], Dataset], place: Any, protocol: ProtocolCard, split: str, limit: int | None
    ) -> DetectionJob:
        """See `Job.plan`; includes the frames that the threshold is picked on, if the protocol picks one."""
        validation = None
        if protocol.threshold.split == "val":
            validation = cls(opened(protocol.threshold.dataset or place), protocol, "val", limit)
        return cls(opened(place), protocol, split, limit, validation)

    def run(
        self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()
    ) -> list[tuple[Result, Path]]:
        """Predict what is not on disk yet, score, and write `predictions.parquet` and `result.json`."""
        folder = out / self.folder_name(judge.name)
        rows, judged = self.collect(judge, folder, settings)
        warnings = self._warnings(judge, folder, rows, judged, settings.batch_size)
        validation = None
        if self.validation is not None:
            place = folder.with_name(folder.name + VALIDATION_SUFFIX)
            validation = from_predictions(self.validation.collect(judge, place, settings)[0])
        result = self.score(judge, from_predictions(rows), validation, warnings)
        for warning in result.warnings:
            log.warning("%s: %s", folder.name, warning)
        write_json(folder / RESULT, result.to_json())
        return [(result, folder)]

    def score(self, judge: Judge, rows: Rows, validation: Rows | None = None, warnings: tuple[str, ...] = ()) -> Result:
        """Return the result of a finished run's rows.

        `validation` are the rows that its threshold is picked on, `warnings` lines about doubts on the detector.
        """
        card, corpus = judge.detector.card, self.dataset.card.corpus
        origin = Origin(self.dataset.name, self.split, self.limit, judge.fields, card, judge.made, corpus, warnings)
        return score_rows(gather(rows, self.protocol, origin, validation))

    def key(self, judge: Judge) -> Mapping[str, str]:
        """See `Job.key`."""
        return row_key(judge, self.dataset)

    def planned(self) -> list[str]:
        """See `Job.planned`."""
        return [frame.id for frame in self.frames]

    def current(self, known: Mapping[str, Prediction], workers: int) -> list[Prediction]:
        """See `Job.current`."""
        return current_rows(self.dataset, self.frames, known, workers)

    def ask(
        self, detector: Detector, missing: set[str], held: Sequence[Prediction], settings: Settings
    ) -> Iterator[list[Prediction]]:
        """See `Job.ask`."""
        frames = [frame for frame in self.frames if frame.id in missing]
        name, adapter = detector.card.name, self.dataset.adapter
        return predict(name, detector, adapter, frames, settings.batch_size, settings.workers)

    def _warnings(
        self, judge: Judge, folder: Path, rows: Sequence[Prediction], judged: int, batch_size: int
    ) -> tuple[str, ...]:
        """Return lines on what is doubtful about the detector.

        They are found by judging some frames again if the detector judged any now (`judged` frames); else they are
        copied from the last result of this run, or of a run that its rows come from. A detector with passing errors
        (an endpoint) is not asked twice.
        """
        places = [folder, *sorted(folder.parent.glob(f"{judge.name}--{self.dataset.name}--*"))]
        for place in places if judged == 0 else ():
            with contextlib.suppress(DataError):  # the result is written again in any case
                known = stored_at(place)
                if known is not None:
                    return of_detector(known.result.warnings)
        if self.errors_pass(judge.detector):
            return ()
        scores = {row.frame: row.score for row in rows if row.score is not None}
        doubt = unsteady(judge.name, judge.detector, self.dataset.adapter, self.frames, scores, batch_size)
        return (doubt,) if doubt else ()
