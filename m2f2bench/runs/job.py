"""Jobs: one dataset under one protocol, planned once, then run for each detector and stored in a folder."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..cards.models import AnyProtocol
from ..core.errors import NothingJudged
from ..core.progress import progress_bar
from ..core.records import Answer, Prediction
from ..datasets.dataset import Dataset
from ..detectors.base import Detector
from ..detectors.keys import Judge
from ..heatmaps.frames import MappedFrame
from ..results.result import Result
from ..results.store import RowStore
from ..results.stored import run_name

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("m2f2bench")
R = TypeVar("R", Prediction, Answer, MappedFrame)


@dataclass(frozen=True)
class Settings:
    """How jobs are run: frames per batch, decoding threads (0: one per core), and a form to export to."""

    batch_size: int = 32
    workers: int = 0
    export: str | None = None


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
        """Subclasses also list what is judged, so that missing data is found before a model is loaded."""
        self.dataset, self.split, self.limit = dataset, split, limit
        self.protocol: Any = protocol

    @classmethod
    def plan(cls, opened: Callable[[Any], Dataset], place: Any, protocol: Any, split: str, limit: int | None) -> Self:
        """Return the job for a dataset that a user named as `place`; `opened` loads each dataset once."""
        return cls(opened(place), protocol, split, limit)

    def folder_name(self, detector: str) -> str:
        """Return the name of a detector's folder."""
        return run_name(detector, self.dataset.name, self.protocol.name, self.split, self.limit)

    def check(self, name: str, own: object) -> None:
        """Raise DetectorError for a detector, or its class, that cannot do this, before any work is done."""

    def prepare(self, out: Path, settings: Settings) -> list[tuple[Result, Path]]:
        """Run what needs no detector, by default nothing; return results and folders."""
        return []

    @abc.abstractmethod
    def run(
        self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()
    ) -> list[tuple[Result, Path]]:
        """Judge, score and write one detector's folders below `out`; `controls` are the results of `prepare`."""

    @abc.abstractmethod
    def key(self, judge: Judge) -> Mapping[str, str]:
        """Return everything that decides a detector's rows, in parts."""

    def open_store(self, folder: Path, key: Mapping[str, str]) -> RowStore[R]:
        """Return the store of a detector's rows in its folder."""
        return self.store(folder, key)

    @abc.abstractmethod
    def planned(self) -> list[str]:
        """Return the ids of what is judged, in order."""

    @abc.abstractmethod
    def current(self, known: Mapping[str, R], workers: int) -> list[R]:
        """Return those known rows whose frames (and questions) are unchanged, updated with the dataset's labels."""

    def errors_pass(self, detector: Detector) -> bool:
        """Return whether a repeated run tries rows with errors again; see `errors_pass` of detectors."""
        return bool(getattr(detector, "errors_pass", False))

    @abc.abstractmethod
    def ask(self, detector: Detector, missing: set[str], held: Sequence[R], settings: Settings) -> Iterator[list[R]]:
        """Yield the missing rows as they come; `held` are the rows that exist already."""

    def collect(self, judge: Judge, folder: Path, settings: Settings) -> tuple[list[R], int]:
        """Return all rows in the order of the plan, and how many were made now.

        Rows are taken from disk if what they are about is unchanged. Raises NothingJudged if no row has the status ok.
        """
        ids = self.planned()
        passing = self.errors_pass(judge.detector)
        with self.open_store(folder, self.key(judge)) as store:
            known = dict(store.rows)
            if any(name not in known for name in ids):
                known = {**store.siblings(f"{judge.name}--{self.dataset.name}"), **known}
            held = self.current(known, settings.workers)
            store.append([row for row in held if store.rows.get(store.of(row)) != row])
            done = {store.of(row) for row in held if not (passing and row.status == "error")}
            missing = {name for name in ids if name not in done}
            with store.kept():
                batches = self.ask(judge.detector, missing, held, settings)
                with progress_bar(folder.name, len(missing)) as advance:
                    for rows in batches:
                        store.append(rows)
                        advance(len(rows))
            finished: list[R] = store.finish(ids)
        self.report(folder.name, finished)
        return finished, len(missing)

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
