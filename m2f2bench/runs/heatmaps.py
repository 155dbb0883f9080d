"""Runs of heat maps: a detector's maps of a dataset, stored frame by frame, resumed, and scored from the rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..cards.models import HeatMapCard
from ..core.errors import FrameError
from ..core.files import write_json
from ..core.progress import progress_bar
from ..core.records import Frame
from ..datasets.dataset import Dataset
from ..datasets.read_ahead import ReadAhead, about_frame
from ..detectors.keys import Judge, row_key
from ..heatmaps.frames import MappedFrame, listed, refuse_nothing
from ..heatmaps.mapper import HeatMapper
from ..heatmaps.mapping import MAPPING, make_test
from ..heatmaps.read_maps import mask_digest
from ..heatmaps.store import MapForm, MapStore
from ..results.result import Result
from ..results.store import RESULT
from ..results.stored import run_name
from ..scoring.detection import Origin
from ..scoring.heatmaps import gather_maps, score_maps
from .resuming import unchanged

log = logging.getLogger("m2f2bench")


@dataclass(frozen=True)
class MapPlan:
    """One run of heat maps: what is mapped, under what."""

    dataset: Dataset
    protocol: HeatMapCard
    split: str
    frames: list[Frame]
    limit: int | None

    def folder(self, detector: str) -> str:
        """The name of the run's folder."""
        return run_name(detector, self.dataset.name, self.protocol.name, self.split, self.limit)


def run_maps(
    judge: Judge, mapper: HeatMapper, plan: MapPlan, out: Path, batch_size: int = 32, workers: int = 0
) -> Result:
    """Map what is not on disk yet, score, and write `maps.parquet` and `result.json`."""
    folder = out / plan.folder(judge.name)
    rows = _mapped(judge, mapper, plan, folder, batch_size, workers)
    card, dataset = judge.detector.card, plan.dataset
    origin = Origin(dataset.name, plan.split, plan.limit, judge.fields, card, judge.made, dataset.card.corpus)
    result = score_maps(gather_maps(rows, plan.protocol, origin, mapper.how))
    write_json(folder / RESULT, result.to_json())
    return result


def map_key(judge: Judge, mapper: HeatMapper, dataset: Dataset, protocol: HeatMapCard) -> dict[str, str]:
    """Return the key of mapped rows: all that decides a prediction, how maps are made, and what is measured of them."""
    made = f"{mapper.how}, grad-cam {metadata.version('grad-cam')}" if mapper.how else "own"
    measure = f"{protocol.measure}, seed {protocol.bootstrap.seed}"
    if protocol.fills is not None:
        measure += f", {protocol.steps} steps, area {protocol.area:g}, {'+'.join(sorted(protocol.fills))}"
    return row_key(judge, dataset, maps=made, measure=measure, mapping=str(MAPPING))


def _mapped(
    judge: Judge, mapper: HeatMapper, plan: MapPlan, folder: Path, batch_size: int, workers: int
) -> list[MappedFrame]:
    """A plan's rows, from disk as far as they are there and their frames and masks are what they were."""
    dataset, protocol = plan.dataset, plan.protocol
    with MapStore(folder, map_key(judge, mapper, dataset, protocol), MapForm.of(protocol)) as store:
        known = {**store.siblings(f"{judge.name}--{dataset.name}"), **store.rows}
        held = current_maps(dataset, plan.frames, known, protocol.measure == "masks", workers)
        store.append([row for name, row in held.items() if store.rows.get(name) is not row])
        wanted = [frame for frame in plan.frames if frame.id not in held]
        test = make_test(judge.detector, mapper, protocol, batch_size)
        if wanted:
            test.announce(len(wanted))
        with store.kept(), progress_bar(folder.name, len(wanted)) as advance:
            for rows in test.rows(dataset.adapter, wanted):
                store.append(rows)
                advance(len(rows))
        finished = store.finish(frame.id for frame in plan.frames)
    refuse_nothing(folder.name, finished)
    if failed := [row for row in finished if row.message]:
        first = f"'{failed[0].frame.id}' ({failed[0].outcome}: {failed[0].message})"
        log.warning("%s: %s of %d frames, first %s", folder.name, listed(failed), len(finished), first)
    return finished


def current_maps(
    dataset: Dataset, frames: Sequence[Frame], known: Mapping[str, MappedFrame], masks: bool, workers: int = 0
) -> dict[str, MappedFrame]:
    """Return the known rows that still hold, by frame: same pixels, same label, and with `masks` the same true mask.

    Every mask is read again, since nothing says of its file when it changed; so is every frame that could not be read.
    """
    read = {name: row for name, row in known.items() if row.outcome != "unreadable"}
    planned = [frame for frame in frames if frame.id in read and read[frame.id].frame.label == frame.label]
    held = {frame.id: (read[frame.id].digest, read[frame.id].stamp) for frame in planned}
    same = unchanged(dataset, planned, held, workers)
    kept = [frame for frame in planned if frame.id in same]
    if masks:
        now = _mask_digests(dataset, [frame for frame in kept if frame.label], workers)
        kept = [frame for frame in kept if now.get(frame.id, "") == read[frame.id].mask_digest]
    return {frame.id: _as_now(read[frame.id], frame, same[frame.id]) for frame in kept}


def _as_now(row: MappedFrame, frame: Frame, stamp: str) -> MappedFrame:
    """A row with what its frame is now; the very row where nothing is otherwise."""
    facts, own = ((one.video, one.method, one.identities, one.picture) for one in (frame, row.frame))
    return row if facts == own and stamp == row.stamp else replace(row, frame=frame, stamp=stamp)


def _mask_digests(dataset: Dataset, frames: Sequence[Frame], workers: int) -> dict[str, str | None]:
    """The digest of each frame's true mask as it is now, empty without one; None where it cannot be read."""

    def digest(frame: Frame) -> str | None:
        try:
            mask: Any = about_frame(lambda: dataset.adapter.mask(frame), frame)
            return mask_digest(mask)
        except FrameError:
            return None

    ahead = ReadAhead(digest, frames, count=64, size=lambda _: 0, threads=workers)
    return dict(zip((frame.id for frame in frames), ahead.each(), strict=True))
