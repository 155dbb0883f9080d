"""Jobs: one dataset under one protocol, planned once, then run for each detector; stored rows are used again."""

from __future__ import annotations

import abc
import glob
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..cards.models import AnyProtocol
from ..core.errors import NothingJudged
from ..core.frame_lists import only
from ..core.progress import progress_bar
from ..core.records import Answer, Frame, Prediction, question_digest
from ..core.shards import MARK, Shard
from ..datasets.calls import stamp_of
from ..datasets.dataset import Dataset, frame_digests
from ..datasets.scenes import scene_warning
from ..detectors.base import Detector
from ..detectors.keys import Judge, row_key
from ..heatmaps.report import MappedFrame
from ..results.result import Result
from ..results.store import RowStore
from ..results.stored import run_name
from ..scoring.answers import AnswerPlan
from ..scoring.scored import Origin

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("m2f2bench")
R = TypeVar("R", Prediction, Answer, MappedFrame)
Written = list[tuple[Result, Path]]
"""Results, each with the folder of its run."""


def unchanged(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, tuple[str, str]], workers: int = 0
) -> dict[str, str]:
    """Return the frames whose pixels are still those that were judged: id to the present stamp.

    `known` holds digest and stamp by frame id. A frame with the same stamp is not read; any other is read, and its
    digest must be the same. A frame that could not be read before (no digest) is left out if its stamp has changed.
    """
    stamps: dict[str, str] = {}
    doubtful: list[Frame] = []
    for frame in only(frames, known):
        digest, stamp = known[frame.id]
        now = stamp_of(dataset.adapter, frame)
        if now and now == stamp:
            stamps[frame.id] = now
        elif digest:
            doubtful.append(frame)
    if doubtful:
        digests = frame_digests(dataset, doubtful, workers)
        for frame in doubtful:
            if digests[frame.id] == known[frame.id][0]:
                stamps[frame.id] = stamp_of(dataset.adapter, frame)
    return stamps


def current_rows(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, Prediction], workers: int = 0
) -> list[Prediction]:
    """Return the known rows that are still valid, in the order of `frames`, with present label, video and people."""
    held = {name: (row.digest, row.stamp) for name, row in known.items()}
    same = unchanged(dataset, frames, held, workers)
    return [replace(known[one.id], **frame_facts(one), stamp=same[one.id]) for one in only(frames, same)]


def frame_facts(frame: Frame) -> dict[str, Any]:
    """Return the fields of a Prediction that a frame decides."""
    people = {"identity": "+".join(frame.identities), "picture": frame.picture}
    return {"frame": frame.id, "video": frame.video, "method": frame.method, "label": frame.label, **people}


def current_answers(plan: AnswerPlan, known: Mapping[str, Answer], workers: int = 0) -> list[Answer]:
    """Return the known answers (by question id) that are still valid: same question text, same pixels."""
    rows = [
        known[q.id]
        for q in plan.questions
        if q.id in known and known[q.id].wording == question_digest(q) and known[q.id].frame == q.frame
    ]
    pixels = {row.frame: (row.digest, row.stamp) for row in rows}
    same = unchanged(plan.dataset, [plan.frames[name] for name in pixels], pixels, workers)
    return [
        replace(row, stamp=same[row.frame]) for row in rows if row.frame in same and row.digest == pixels[row.frame][0]
    ]


@dataclass(frozen=True)
class Settings:
    """How jobs are run: frames per batch, decoding threads (0: one per core), a form to export to, and which part."""

    batch_size: int = 32
    workers: int = 0
    export: str | None = None
    shard: Shard | None = None
    """Only this part is judged; its rows go to a folder of their own, and nothing is scored."""


class Job(abc.ABC, Generic[R]):
    """Work on one split of a dataset under one protocol, with a subclass for each task."""

    store: ClassVar[type[RowStore]]  # type: ignore[type-arg]
    """Where its rows are stored."""
    items: ClassVar[str] = "frames"
    """What a row is about, in messages."""
    lacking: ClassVar[str] = "have no score"
    needs_detector: ClassVar[bool] = True
    """Whether a detector is required."""

    def __init__(self, dataset: Dataset, protocol: AnyProtocol, split: str, limit: int | None) -> None:
        """Subclasses also list what is judged, `ids`, so that missing data is found before a model is loaded."""
        self.dataset, self.split, self.limit = dataset, split, limit
        self.protocol: Any = protocol
        self.ids: list[str] = []
        """The ids of what is judged, in order."""

    @classmethod
    def plan(cls, opened: Callable[[Any], Dataset], place: Any, protocol: Any, split: str, limit: int | None) -> Self:
        """Return the job for a dataset that a user named as `place`; `opened` loads each dataset once."""
        return cls(opened(place), protocol, split, limit)

    def pictures(self) -> Sequence[Frame]:
        """Return the frames that are judged; they are looked at before a model is loaded."""
        return []

    def folder_name(self, detector: str) -> str:
        """Return the name of a detector's folder."""
        return run_name(detector, self.dataset.name, self.protocol.name, self.split, self.limit)

    def check(self, name: str, own: object) -> None:
        """Raise DetectorError for a detector, or its class, that cannot do this, before any work is done."""

    def prepare(self, out: Path, settings: Settings) -> Written:
        """Run what needs no detector, by default nothing; return results and folders."""
        return []

    @abc.abstractmethod
    def videos(self) -> list[str]:
        """Return the video of each of `ids`: a shard has whole videos."""

    @abc.abstractmethod
    def run(self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()) -> Written:
        """Judge, score and write one detector's folders below `out`; `controls` are the results of `prepare`.

        With `settings.shard` only rows are written.
        """

    def key(self, judge: Judge) -> Mapping[str, str]:
        """Return everything that decides a detector's rows, in parts."""
        return row_key(judge, self.dataset)

    def origin(self, judge: Judge, warnings: tuple[str, ...] = ()) -> Origin:
        """Return where a detector's rows come from; `warnings` are lines about doubts on the detector."""
        card, own = judge.detector.card, self.dataset.card
        scenes = scene_warning(own)
        warnings = tuple(dict.fromkeys([scenes, *warnings])) if scenes else warnings
        made = (judge.fields, card, judge.made, own.corpus, warnings, own.people, self.dataset.crop)
        return Origin(self.dataset.name, self.split, self.limit, *made)

    def open_store(self, folder: Path, key: Mapping[str, str]) -> RowStore[R]:
        """Return the store of a detector's rows in its folder."""
        return self.store(folder, key)

    @abc.abstractmethod
    def current(self, known: Mapping[str, R], workers: int) -> list[R]:
        """Return those known rows whose frames (and questions) are unchanged, updated with the dataset's labels."""

    def errors_pass(self, detector: Detector) -> bool:
        """Return whether a repeated run tries rows with errors again; see `errors_pass` of detectors."""
        return bool(getattr(detector, "errors_pass", False))

    @abc.abstractmethod
    def ask(self, judge: Judge, missing: set[str], held: Sequence[R], settings: Settings) -> Iterator[list[R]]:
        """Yield the missing rows as they come from the judge's engine; `held` are the rows that exist already."""

    def collect(self, judge: Judge, folder: Path, settings: Settings) -> tuple[list[R], int]:
        """Return all rows in the order of the plan, and how many were made now.

        Rows are taken from disk if what they are about is unchanged, also from the shards of this run; with
        `settings.shard` these are the rows of that part, in its own folder. Raises NothingJudged if no row has the
        status ok.
        """
        ids, folder = self._part(folder, settings.shard)
        if settings.shard is not None and not ids:
            log.info("%s: there are fewer videos than shards, and this one has none", folder.name)
            return [], 0
        key, passing = self.key(judge), self.errors_pass(judge.detector)
        with self.open_store(folder, key) as store:
            known = dict(store.rows)
            if any(name not in known for name in ids):
                known = {**store.siblings(f"{judge.name}--{self.dataset.name}"), **known}
                known |= self._of_shards(folder, key, set(ids) - set(known))
            held = self.current({name: known[name] for name in ids if name in known}, settings.workers)
            store.append([row for row in held if store.rows.get(store.of(row)) != row])
            done = {store.of(row) for row in held if not (passing and row.status == "error")}
            missing = {name for name in ids if name not in done}
            with store.kept():
                batches = self.ask(judge, missing, held, settings)
                with progress_bar(folder.name, len(missing)) as advance:
                    for rows in batches:
                        store.append(rows)
                        advance(len(rows))
            finished: list[R] = store.finish(ids)
        self.report(folder.name, finished)
        return finished, len(missing)

    def _part(self, folder: Path, shard: Shard | None) -> tuple[list[str], Path]:
        """Return the ids that a shard has, and its folder; without one all of them, and the run's."""
        if shard is None:
            return self.ids, folder
        mine = shard.holds(self.videos())
        ids = [name for name, own in zip(self.ids, mine, strict=True) if own]
        return ids, folder.with_name(folder.name + shard.suffix)

    def _of_shards(self, folder: Path, key: Mapping[str, str], wanted: set[str]) -> dict[str, R]:
        """Return the rows of a run's shards, also of those that are not finished; warn if some `wanted` are in none.

        Raises StoreError if one is still being written, or holds rows of another key.
        """
        places = [one for one in sorted(folder.parent.glob(f"{glob.escape(folder.name + MARK)}*of*")) if one.is_dir()]
        rows: dict[str, R] = {}
        for place in places:
            with self.open_store(place, key) as store:
                rows |= store.rows
        if places and (lacking := wanted - set(rows)):
            log.warning(
                "%s: %d of %d %s are in none of its shards: they are judged now",
                *(folder.name, len(lacking), len(self.ids), self.items),
            )
        return rows

    def report(self, name: str, rows: Sequence[R]) -> None:
        """Log how many rows do not have the status ok. Raises NothingJudged if no row has it."""
        failed = [row for row in rows if row.status != "ok"]
        if not failed:
            return
        first = failed[0]
        about = self.store.of(first)
        if len(failed) == len(rows):
            raise NothingJudged.of(name, self.items, len(rows), about, first.status, first.message)
        found = (name, len(failed), len(rows), self.items, self.lacking, about, first.status, first.message)
        log.warning("%s: %d of %d %s %s, first '%s' (%s: %s)", *found)
