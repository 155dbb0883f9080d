"""Multiverse of one run: how far its numbers, and the order of detectors, move with choices made after judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.folders import DETECTION
from ..cards.models import DatasetCard, ProtocolCard
from ..cards.protocols import FrameSelection
from ..core.arguments import checked
from ..core.arrays import Bools
from ..core.errors import ScoreError
from ..core.files import user_path
from ..loading import any_protocol, load_metrics
from ..metrics.detection import values as detection
from ..metrics.detection.sample import plain
from ..metrics.names import OVERALL
from ..metrics.registry import metric_of
from ..results.columns import ColumnNames, require_files
from ..results.in_memory import InMemory
from ..results.result import Result
from ..results.signature import DETECTOR, measure_signature, rows_hash, short
from ..results.stored import read_stored, stored_at
from ..results.units import to_units
from .choices import Held, kept_by, places_in, supported
from .comparison import distinct_names, refuse_differing
from .detection import ScoredRows, load_rows
from .given import Data, Given, are_results, expand
from .multiverse_report import Multiverse, Universe
from .scored import Source

SAME = ("data", "split", "crop", "hash", "n", "frames", "limit")
"""Fields of the signature in which the rows of several detectors must agree."""


@checked
def multiverse(
    *places: Data | Mapping[str, Data] | Sequence[Result],
    names: Sequence[str] = (),
    protocol: str | ProtocolCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    columns: ColumnNames | None = None,
    metrics: Sequence[str] = (),
) -> Multiverse:
    """Evaluate the rows of a run in every way that they support, without judging again.

    A place is one detector's rows, as `score` takes them, or a folder of runs on one dataset; with several detectors
    their order is followed too. Combined are the frames of each video (all, the first or evenly spread 8, 16, 32), the
    level and aggregation (frame; video by mean, median, maximum, trimmed mean), and the missing rule (drop, half,
    wrong). `protocol` (default: the first run's own) says where to start from, its threshold and faces, and its first
    metric is followed beside the AUC; or give `metrics`. Choices that the rows do not support are in `left_out`, with
    the reason. The frames of a video are in the natural order of their names. Raises ScoreError if detectors were
    judged on different frames, or DataError, in one line.
    """
    if protocol is not None and any_protocol(protocol).kind != DETECTION:
        raise ScoreError("a multiverse is of P(fake) of frames: give a protocol of detection, such as frame or video")
    given = _given(places, names, columns)
    require_files(columns, [str(one.place) for one in given])
    loaded, helds = [], []
    source = Source(protocol, dataset, split, columns=columns)
    for one in given:
        loaded.append(load_rows(one.place, one.source(source)))
        helds.append(held_by(one.place, loaded[-1], dataset is not None))
        if source.protocol is None:  # all detectors are evaluated as the first one was
            source = replace(source, protocol=loaded[0].protocol)
    found = distinct_names(
        [one.name or str(own.detector) for one, own in zip(given, loaded, strict=True)], [one.origin for one in given]
    )
    return evaluate(dict(zip(found, loaded, strict=True)), helds, load_metrics(metrics))


def _given(places: Sequence[Any], names: Sequence[str], columns: ColumnNames | None) -> list[Given]:
    """Return each detector's rows; a folder of runs stands for its runs of P(fake), each detector's rows once."""
    if not places:
        raise ScoreError("a multiverse needs the rows of a run: a folder, or a file of rows")
    found: list[Any] = []
    for place in places:
        path = user_path(place) if isinstance(place, (str, Path)) else None
        if path is not None and path.is_dir() and stored_at(path) is None:
            found += _runs(path)
        elif are_results(place):
            found += list(place)
        else:
            found.append(place)
    return expand(found, names, columns, False)


def _runs(folder: Path) -> list[Path]:
    """Return the runs of a folder, without those of the same detector and rows under another protocol."""
    stored = [one for one in read_stored([folder]) if one.result.task == DETECTION and one.rows is not None]
    if not stored:
        raise ScoreError(
            f"'{folder}' holds no run with rows of P(fake): give a folder that run wrote, or a file of rows"
        )
    places = sorted({f"{one.result.dataset} ({one.result.split})" for one in stored})
    if len(places) > 1:
        raise ScoreError(f"'{folder}' holds runs on {len(places)} datasets, {', '.join(places)}: name those of one")
    first = {(one.result.detector, one.result.predictions): one.path for one in reversed(stored)}
    return sorted(first.values())


def held_by(place: Path | InMemory, rows: ScoredRows, planned: bool) -> Held:
    """Return which frames of each video the rows hold: as the run says, else as the protocol does.

    `planned`: the dataset is known, and the rows are the frames that the protocol picks there.
    """
    stored = None if planned or isinstance(place, InMemory) else stored_at(place)
    if stored is None:
        return Held(rows.protocol.frames, rows.origin.limit)
    words = (FrameSelection(), *(FrameSelection(**one) for one in (stored.result.protocol_card.get("frames") or {},)))
    return Held(words[-1], rows.origin.limit)


def evaluate(detectors: Mapping[str, ScoredRows], helds: Sequence[Held], metrics: Sequence[str] = ()) -> Multiverse:
    """Return the multiverse of detectors' rows on the same frames; see `multiverse`."""
    names = list(detectors)
    first = detectors[names[0]]
    for name, other in list(detectors.items())[1:]:
        refuse_differing(names[0], _shared(first), name, _shared(other))
        if not np.array_equal(first.rows.picture, other.rows.picture):
            raise ScoreError(
                f"'{names[0]}' and '{name}' differ in column picture: give the same in both, or in neither"
            )
    if len(set(helds)) > 1:
        raise ScoreError("the runs hold different frames of each video: give runs under one protocol")
    hashes = [rows_hash(own.rows) for own in detectors.values()]
    for name, own in zip(names, hashes, strict=True):
        if names[hashes.index(own)] != name:
            raise ScoreError(f"'{names[hashes.index(own)]}' and '{name}' have the same scores: give each detector once")
    protocol = first.protocol
    followed = list(metrics) or list(dict.fromkeys(["auc", protocol.main_metric]))
    for name in followed:
        if metric_of(name).of != "scores":
            raise ScoreError(f"metric '{name}' is not one of scores: it has no multiverse")
    scored = [own.rows.status == "ok" for own in detectors.values()]
    places = places_in(first.rows)
    what = supported(places, protocol, helds[0], bool(np.all(scored)))
    universes = []
    kept: dict[str, Bools] = {}
    for choice, selection, unit, rule in what.choices():
        if choice.frames not in kept:
            kept[choice.frames] = kept_by(selection, places)
        here = kept[choice.frames]
        alike = all(np.array_equal(one[here], scored[0][here]) for one in scored) or "drop" not in choice.missing
        settings = {"level": choice.level, "missing": rule}
        card = protocol.model_copy(update=settings if unit is None else {**settings, "aggregation": unit})
        values = {name: _values(own, here, card, followed) for name, own in detectors.items()}
        universes.append(Universe(choice, values, alike and len(names) > 1))
    return Multiverse(
        dataset=str(first.measured["data"]),
        split=str(first.measured["split"]),
        protocol=protocol.name,
        detectors=tuple(names),
        metrics=tuple(followed),
        universes=tuple(universes),
        left_out=tuple(what.left_out),
        oracle=first.cut.oracle,
        signature=measure_signature(first.measured),
        described={name: short(own.measured, DETECTOR) for name, own in detectors.items()},
    )


def _shared(rows: ScoredRows) -> dict[str, Any]:
    return {key: value for key, value in rows.measured.items() if key in SAME}


def _values(own: ScoredRows, kept: Bools, card: ProtocolCard, metrics: Sequence[str]) -> dict[str, float | None]:
    """Return the metrics of the kept rows under a protocol; None where one is not defined."""
    rows = own.rows.only(kept)
    units = to_units(rows, card, (np.zeros(len(rows), dtype=np.int64), "video"))
    if not len(units.score):
        return dict.fromkeys(metrics)
    found = detection.evaluate(plain(units), np.ones((1, 1)), metrics, own.cut)[OVERALL]
    return {name: None if np.isnan(value[0]) else float(value[0]) for name, value in found.items()}
