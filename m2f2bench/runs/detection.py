"""Detection: frames are judged, and scored under a protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, cast

from ..cards.models import ProtocolCard
from ..core.clips import join_clips
from ..core.errors import DataError, M2F2BenchError, StoreError
from ..core.files import make_folder, write_json
from ..core.frame_lists import column, only
from ..core.records import Frame, Prediction
from ..core.rows import Rows, from_predictions
from ..datasets.base import Adapter
from ..datasets.dataset import Dataset, plan_frames, spread, spread_by_method
from ..datasets.joined import JoinedAdapter, joined
from ..datasets.scenes import SCENES
from ..detectors.base import Detector
from ..detectors.engines import Engine
from ..detectors.keys import Judge
from ..results.result import Result
from ..results.row_files import NUMBERS, read_key, write_columns
from ..results.store import PREDICTIONS, RESULT, PredictionStore
from ..results.stored import VALIDATION_SUFFIX, of_detector, stored_at
from ..scoring.detection import gather, load_rows, score_rows
from ..scoring.given import Given
from ..scoring.validate import expected_name
from .job import Job, Settings, Written, current_rows
from .judging import Predicting, predict

AGAIN = 4
"""Frames that are judged again, to see whether scores are steady (`unsteady`)."""
FEWEST = 5 * AGAIN
"""Frames with a score that `unsteady` needs, so that it costs at most a fifth of a run."""
EXACT, COARSE = 2e-3, 0.05
"""Differences that rounding explains: in fp32, because another batch sums in another order (1e-4, with TF32 1e-3), and
in 16 bits or in unknown arithmetic."""
log = logging.getLogger("m2f2bench")


def unsteady(
    engine: Engine, adapter: Adapter, frames: Sequence[Frame], scores: Mapping[str, float], batch_size: int
) -> str:
    """Return one line if scores depend on the batch or on chance; empty if they do not, or if there are too few.

    `scores` are those of the rows, by frame; AGAIN of them are judged again, each alone, or together if the batch size
    was one. Changes nothing.
    """
    constant = batch_size > 1 and len(set(scores.values())) < 2
    if len(scores) < FEWEST or constant:
        return ""
    chosen = spread(only(frames, scores), AGAIN)
    known = {frame.id: scores[frame.id] for frame in chosen}
    ((doubt,),) = engine.each(_Again(adapter, chosen, known, batch_size), [[None]])
    return doubt


@dataclasses.dataclass(frozen=True)
class _Again:
    """The judging of some frames again, as a work of an engine that finds one line."""

    adapter: Adapter
    frames: Sequence[Frame]
    scores: Mapping[str, float]
    batch_size: int

    def __call__(self, detector: Detector, items: Sequence[None], start: int) -> Iterator[list[str]]:
        yield [_doubt(detector, self.adapter, self.frames, self.scores, self.batch_size)]


def _doubt(
    detector: Detector, adapter: Adapter, chosen: Sequence[Frame], scores: Mapping[str, float], batch_size: int
) -> str:
    """Return the line of `unsteady` about chosen frames."""
    size = 1 if batch_size > 1 else len(chosen)
    where = ("among others", "alone") if batch_size > 1 else ("alone", "among others")
    tolerance = EXACT if "fp32" in detector.precision else COARSE
    try:
        again = _judged(detector, adapter, chosen, size)
        distances = {frame: abs(scores[frame] - score) for frame, score in again.items()}
        worst = max(distances, key=distances.__getitem__, default="")
        if distances.get(worst, 0.0) <= tolerance:
            return ""
        twice = _judged(detector, adapter, chosen, size)
        chance = max(abs(again[one] - twice[one]) for one in again if one in twice) if set(again) & set(twice) else 0.0
    except M2F2BenchError as error:
        return f"some frames were judged again in a batch of {size}, and that failed: {error}"
    scored = f"P(fake) of frame '{worst}' was {scores[worst]:.4g} {where[0]} and then {again[worst]:.4g} {where[1]}"
    if chance > tolerance:
        return f"the scores are not repeatable: {scored}; is there dropout, or a random number without a seed?"
    return (
        f"the scores depend on the other frames of the batch, and so on --batch-size: {scored}; is a network in "
        f"training mode (call eval()), or are scores normalised over the batch?"
    )


def _judged(detector: Detector, adapter: Adapter, frames: Sequence[Frame], size: int) -> dict[str, float]:
    batches = predict(detector.card.name, detector, adapter, frames, size, 1)
    return {row.frame: row.score for batch in batches for row in batch if row.score is not None}


def write_scored(results: Sequence[Result], out: Path) -> list[Path]:
    """Write results of `score` like runs below `out`: a folder for each, with its rows, and return the folders.

    Raises StoreError, before anything is written, if two results have one folder, or if a folder holds a run's rows.
    """
    folders = [out / expected_name(result) for result in results]
    for folder in folders:
        if folders.count(folder) > 1:
            raise StoreError(f"two results would be written to '{folder}': score them one by one, with another --name")
        held = folder / PREDICTIONS
        if held.exists() and read_key(held):
            raise StoreError(f"'{folder}' holds the rows of a run: give another --out or --name")
    for result, folder in zip(results, folders, strict=True):
        given = cast(Given, result.kept)
        evidence = load_rows(given.place, given.own)
        _write_rows(folder, evidence.rows)
        if evidence.validation is not None:
            _write_rows(folder.with_name(folder.name + VALIDATION_SUFFIX), evidence.validation)
        write_json(folder / RESULT, result.to_json())
    return folders


def _write_rows(folder: Path, rows: Rows) -> None:
    """Write rows into a folder as a run does, but without a run's key: nothing says how they were made."""
    make_folder(folder)
    columns: dict[str, list[Any]] = {f.name: getattr(rows, f.name).tolist() for f in dataclasses.fields(rows)}
    columns["score"] = [None if score != score else score for score in columns["score"]]  # NaN: no score
    columns |= {"message": [""] * len(rows.frame), "stamp": [""] * len(rows.frame)}
    names = [f.name for f in dataclasses.fields(Prediction)]
    types = {name: NUMBERS.get(name, "string") for name in names}
    write_columns(folder / PREDICTIONS, {name: columns[name] for name in names}, types)


def clip_length(detector: Detector) -> int:
    """Return how many frames of one video a detector judges together."""
    own = detector.unwrapped()
    return type(own).clip_frames(detector.card) if isinstance(own, Detector) else 1


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
        self.ids = column(self.frames, "id")

    @classmethod
    def plan(
        cls, opened: Callable[[Any], Dataset], place: Any, protocol: ProtocolCard, split: str, limit: int | None
    ) -> DetectionJob:
        """See `Job.plan`; includes the frames that the threshold is picked on, if the protocol picks one."""
        validation = None
        if protocol.threshold.split == "val":
            validation = cls(opened(protocol.threshold.dataset or place), protocol, "val", limit)
        return cls(opened(place), protocol, split, limit, validation)

    def pictures(self) -> Sequence[Frame]:
        """See `Job.pictures`."""
        return self.frames

    def videos(self) -> list[str]:
        """See `Job.videos`."""
        return column(self.frames, "video")

    def run(self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()) -> Written:
        """Predict what is not on disk yet, score, and write `predictions.parquet` and `result.json`.

        A detector that judges clips gets the frames as clips, and a row is then one clip's.
        """
        length = clip_length(judge.detector)
        if length > 1 and not isinstance(self.dataset.adapter, JoinedAdapter):
            return self.of_clips(length).run(judge, out, settings, controls)
        folder = out / self.folder_name(judge.name)
        rows, judged = self.collect(judge, folder, settings)
        validation = None
        if self.validation is not None:
            place = folder.with_name(folder.name + VALIDATION_SUFFIX)
            validation = from_predictions(self.validation.collect(judge, place, settings)[0])
        if settings.shard is not None:
            return []
        warnings = self._warnings(judge, folder, rows, judged, settings.batch_size)
        result = self.score(judge, from_predictions(rows), validation, warnings)
        for warning in result.warnings:
            if warning.startswith(SCENES):  # said before judging
                continue
            log.warning("%s: %s", folder.name, warning)
        write_json(folder / RESULT, result.to_json())
        return [(result, folder)]

    def of_clips(self, length: int) -> DetectionJob:
        """Return the job of judging clips of `length` frames; a limit counts clips."""
        dataset, validation = joined(self.dataset, length), self.validation
        job = copy(self)
        job.dataset = dataset
        job.validation = None if validation is None else validation.of_clips(length)
        whole = plan_frames(self.dataset.adapter, self.split, self.protocol.frames)
        job.frames = spread_by_method(join_clips(whole, length), self.limit)
        job.ids = column(job.frames, "id")
        return job

    def score(self, judge: Judge, rows: Rows, validation: Rows | None = None, warnings: tuple[str, ...] = ()) -> Result:
        """Return the result of a finished run's rows.

        `validation` are the rows that its threshold is picked on, `warnings` lines about doubts on the detector.
        """
        return score_rows(gather(rows, self.protocol, self.origin(judge, warnings), validation))

    def current(self, known: Mapping[str, Prediction], workers: int) -> list[Prediction]:
        """See `Job.current`."""
        return current_rows(self.dataset, self.frames, known, workers)

    def ask(
        self, judge: Judge, missing: set[str], held: Sequence[Prediction], settings: Settings
    ) -> Iterator[list[Prediction]]:
        """See `Job.ask`."""
        frames = only(self.frames, missing)
        work = Predicting(judge.name, self.dataset.adapter, settings.batch_size, settings.workers)
        return judge.engine.each(work, work.groups(frames))

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
        doubt = unsteady(judge.engine, self.dataset.adapter, self.frames, scores, batch_size)
        return (doubt,) if doubt else ()
