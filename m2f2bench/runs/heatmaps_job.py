"""Heat-map jobs: maps of planned frames, stored frame by frame, and scored from the rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..cards.models import HeatMapCard
from ..core.errors import FrameError
from ..core.files import write_json
from ..core.frame_lists import column, only
from ..core.records import Frame
from ..datasets.dataset import Dataset
from ..datasets.read_ahead import ReadAhead, about_frame
from ..detectors.keys import Judge, row_key
from ..heatmaps.mapping import HeatMapper, mask_digest, require_localizer
from ..heatmaps.measurement import MAPPING, map_frames, plan_maps
from ..heatmaps.report import MappedFrame, listed, refuse_nothing
from ..heatmaps.store import MapForm, MapStore
from ..results.result import Result
from ..results.store import RESULT
from ..scoring.heatmaps import gather_maps, score_maps
from .job import Job, Settings, Written, unchanged

log = logging.getLogger("m2f2bench")
MASKS_AHEAD = 64
"""Masks that are read ahead when rows are taken up again."""


class HeatMapsJob(Job[MappedFrame]):
    """Frames to be mapped."""

    store = MapStore
    check = staticmethod(require_localizer)

    def __init__(self, dataset: Dataset, protocol: HeatMapCard, split: str = "test", limit: int | None = None) -> None:
        """List the frames. Raises DataError as `plan_maps` does, such as for a dataset without masks."""
        super().__init__(dataset, protocol, split, limit)
        self.protocol = protocol
        self.frames = plan_maps(dataset, protocol, split, limit)
        self.ids = column(self.frames, "id")

    def videos(self) -> list[str]:
        """See `Job.videos`."""
        return column(self.frames, "video")

    def run(self, judge: Judge, out: Path, settings: Settings, controls: Sequence[Result] = ()) -> Written:
        """Map what is not on disk yet, score, and write `maps.parquet` and `result.json`."""
        self.mapper = HeatMapper(judge.detector)
        folder = out / self.folder_name(judge.name)
        rows, _ = self.collect(judge, folder, settings)
        if settings.shard is not None:
            return []
        result = score_maps(gather_maps(rows, self.protocol, self.origin(judge), self.mapper.how))
        write_json(folder / RESULT, result.to_json())
        return [(result, folder)]

    def key(self, judge: Judge) -> Mapping[str, str]:
        """See `Job.key`: all that decides a prediction, how maps are made, and what is measured of them."""
        rules, how = self.protocol, self.mapper.how
        made = f"{how}, grad-cam {metadata.version('grad-cam')}" if how else "own"
        measure = f"{rules.measure}, seed {rules.bootstrap.seed}"
        if rules.fills is not None:
            scipy = metadata.version("scipy")  # which blurs
            measure += f", {rules.steps} steps, area {rules.area}, {'+'.join(sorted(rules.fills))}, scipy {scipy}"
        return row_key(judge, self.dataset, maps=made, measure=measure, mapping=str(MAPPING))

    def open_store(self, folder: Path, key: Mapping[str, str]) -> MapStore:
        """See `Job.open_store`."""
        return MapStore(folder, key, MapForm.of(self.protocol))

    def current(self, known: Mapping[str, MappedFrame], workers: int) -> list[MappedFrame]:
        """See `Job.current`."""
        return current_maps(self.dataset, self.frames, known, self.protocol.measure == "masks", workers)

    def ask(
        self, judge: Judge, missing: set[str], held: Sequence[MappedFrame], settings: Settings
    ) -> Iterator[list[MappedFrame]]:
        """See `Job.ask`."""
        frames = only(self.frames, missing)
        return map_frames(judge, self.mapper, self.dataset.adapter, frames, self.protocol, settings.batch_size)

    def report(self, name: str, rows: Sequence[MappedFrame]) -> None:
        """See `Job.report`."""
        refuse_nothing(name, rows)
        if failed := [row for row in rows if row.message]:
            first = failed[0]
            told = (name, listed(failed), len(rows), first.frame.id, first.outcome, first.message)
            log.warning("%s: %s of %d frames, first '%s' (%s: %s)", *told)


def current_maps(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, MappedFrame], masks: bool, workers: int = 0
) -> list[MappedFrame]:
    """Return the known rows that are still valid, in the order of `frames`: those with the same pixels, the same label
    and, with `masks`, the same true mask.

    Every mask is read again, because masks have no stamp; so is every frame that could not be read.
    """
    read = {name: row for name, row in known.items() if row.outcome != "unreadable"}
    planned = [frame for frame in frames if frame.id in read and read[frame.id].frame.label == frame.label]
    held = {frame.id: (read[frame.id].digest, read[frame.id].stamp) for frame in planned}
    same = unchanged(dataset, planned, held, workers)
    kept = [frame for frame in planned if frame.id in same]
    if masks:
        now = _mask_digests(dataset, [frame for frame in kept if frame.label], workers)
        kept = [frame for frame in kept if now.get(frame.id, "") == read[frame.id].mask_digest]
    return [_as_now(read[frame.id], frame, same[frame.id]) for frame in kept]


def _as_now(row: MappedFrame, frame: Frame, stamp: str) -> MappedFrame:
    """Return a row with its frame's present facts; the same object if nothing has changed."""
    facts, own = ((one.video, one.method, one.identities, one.picture) for one in (frame, row.frame))
    return row if facts == own and stamp == row.stamp else replace(row, frame=frame, stamp=stamp)


def _mask_digests(dataset: Dataset, frames: Sequence[Frame], workers: int) -> dict[str, str | None]:
    """Return the digest of each frame's present mask: empty without one, None if it cannot be read."""

    def digest(frame: Frame) -> str | None:
        try:
            mask: Any = about_frame(lambda: dataset.adapter.mask(frame), frame)
            return mask_digest(mask)
        except FrameError:
            return None

    ahead = ReadAhead(digest, frames, count=MASKS_AHEAD, size=lambda _: 0, threads=workers)
    return dict(zip((frame.id for frame in frames), ahead.each(), strict=True))
