"""What a number rests on: rows with their protocol, threshold and signature, from a run's folder or anybody's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.models import DETECTION, DatasetCard, DetectorCard, ExplanationCard, ProtocolCard
from ..core.errors import NothingJudged, ScoreError, near
from ..core.records import FAKE, REAL, Frame
from ..core.rows import Rows, Strings, Units
from ..datasets.dataset import Dataset
from ..datasets.digests import frame_digests
from ..datasets.planning import plan_frames
from ..loading import load_dataset, load_protocol, with_metrics
from ..metrics.detection.intervals import pick_threshold
from ..metrics.detection.values import Cut
from ..results.read_rows import read_rows
from ..results.signature import (
    DETECTOR,
    coverage_text,
    data_hash,
    detector_fields,
    drawn_field,
    group_hash,
    measure_fields,
    rows_hash,
    short,
)
from ..results.store import PREDICTIONS
from ..results.stored import Stored, of_detector, rows_file, stored_at, stored_card
from ..results.units import Codes, clusters, to_units


@dataclass(frozen=True)
class ScoredRows:
    """Rows to be scored, in id order, with everything that says how.

    `measured` has the fields of the signature; `threshold` the policy, the value where it is fixed before the rows are
    looked at, and where it comes from.
    """

    rows: Rows
    protocol: ProtocolCard
    cut: Cut
    measured: dict[str, Any]
    threshold: dict[str, Any]
    card: DetectorCard | None = None
    predicted: dict[str, Any] = field(default_factory=dict)
    """Device and versions of what made the rows, as far as that is known."""
    source: str = ""
    warnings: tuple[str, ...] = ()
    """What the run found doubtful about the detector, a line each."""
    drawn: tuple[Codes, str] | None = None
    """What `units.clusters` found for these rows, so that people are joined once."""

    @property
    def detector(self) -> str:
        """The detector's name."""
        return str(self.measured["det"])

    @property
    def signature(self) -> str:
        """The short form."""
        return short(self.measured)

    @cached_property
    def units(self) -> Units:
        """The frames or videos that are scored."""
        return to_units(self.rows, self.protocol, self.drawn)


@dataclass(frozen=True)
class Origin:
    """Where rows come from, as the signature names it: dataset, split, limit; `by` the detector's fields.

    `source` is the dataset's corpus, empty where it is not known.
    """

    data: str
    split: str
    limit: int | None
    by: dict[str, Any]
    card: DetectorCard | None = None
    predicted: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    warnings: tuple[str, ...] = ()


def gather(rows: Rows, protocol: ProtocolCard, origin: Origin, validation: Rows | None = None) -> ScoredRows:
    """ScoredRows from rows; `validation` are those that the threshold is picked on, where the protocol picks it there.

    Raises ScoreError where they are needed and missing, or without a class; NothingJudged where no row has a score.
    """
    rows = rows.ordered()
    if not (rows.status == "ok").any():
        who = f"{origin.by['det']} on {origin.data}"
        raise NothingJudged.of(who, "frames", len(rows), str(rows.frame[0]), str(rows.status[0]))
    cut, threshold, hashed = _cut(protocol, validation)
    codes, by = clusters(rows, protocol.bootstrap.cluster)
    pictures = "" if protocol.faces == "apart" else group_hash(np.unique(rows.picture, return_inverse=True)[1].tolist())
    fields = measure_fields(
        origin.data,
        origin.split,
        data_hash(rows),
        len(rows),
        protocol,
        origin.limit,
        hashed,
        drawn_field(by, codes.tolist()),
        pictures,
    )
    fields |= origin.by
    known = (origin.card, origin.predicted, origin.source, origin.warnings)
    found = ScoredRows(rows, protocol, cut, fields, threshold, *known, drawn=(codes, by))
    found.measured["cov"] = coverage_text(found.units.frame_coverage, found.units.coverage)
    return found


def _cut(protocol: ProtocolCard, validation: Rows | None) -> tuple[Cut, dict[str, Any], str]:
    rule = protocol.threshold
    told: dict[str, Any] = {"policy": str(rule), "oracle": rule.oracle}
    if rule.value is not None:
        return Cut("fixed", rule.value), told, ""
    wanted = Cut(rule.how, maximise=rule.maximise or "balanced_accuracy")
    if rule.split == "test":
        return wanted, told, ""
    if validation is None:
        raise ScoreError(
            f"protocol '{protocol.name}' picks its threshold on validation scores, and there are none: "
            f"give the rows of the validation split (--validation FILE), or take another protocol"
        )
    units = to_units(validation.ordered(), protocol)
    value = pick_threshold(units, wanted)
    if value is None:
        missing = "real" if not (units.label == REAL).any() else "fake"
        raise ScoreError(f"no threshold can be picked: no {missing} unit of the validation rows has a score")
    hashed = data_hash(validation)
    n_real, n_fake = int((units.label == REAL).sum()), int((units.label == FAKE).sum())
    told["from"] = {"split": "val", "hash": hashed, "n_real": n_real, "n_fake": n_fake}
    return Cut("fixed", value, picked=True), told, hashed


def load_rows(
    path: str | Path,
    *,
    protocol: str | ProtocolCard | ExplanationCard | None = None,
    dataset: str | DatasetCard | None = None,
    split: str = "test",
    detector: str | None = None,
    columns: Mapping[str, str] | None = None,
    validation: str | Path | None = None,
) -> ScoredRows:
    """ScoredRows from a run's folder or a file of `id,label,score` rows (CSV, TSV, JSONL, Parquet).

    `protocol` defaults to the run's own, else `frame`. With `dataset` the rows are held against the frames that the
    protocol plans there: an id the dataset does not have or a label that differs is an error, a row of a frame that is
    not planned is passed over, and a planned frame without a row is `missing` and lowers the coverage. Without it the
    file is taken as the plan. `validation` holds the rows a threshold is picked on. Raises ScoreError or DataError in
    one line.
    """
    place = Path(path).expanduser()
    stored = stored_at(place)
    if stored is not None and stored.result.task != DETECTION:
        raise ScoreError(f"'{place}' holds answers to questions: this takes P(fake) of frames (m2f2bench run -p frame)")
    if stored is not None and stored.rows is None:
        raise ScoreError(f"'{place}' has no rows beside it ({PREDICTIONS}): nothing to score")
    if protocol is None and stored is not None:
        card = with_metrics(stored_card(ProtocolCard, stored.result.protocol_card, stored.path))
    else:
        card = load_protocol(protocol or "frame")
    rows = read_rows(stored.rows if stored is not None and stored.rows else rows_file(place), columns)
    if stored is not None and rows_hash(rows) != stored.result.predictions:
        raise ScoreError(f"'{stored.rows}' does not hold the rows that '{stored.path}' was scored from: run it again")
    origin = _origin(place, stored, detector)
    if dataset is not None:
        loaded = load_dataset(dataset)
        rows = against(rows, loaded, split, card, place)
        origin = replace(origin, data=loaded.name, split=split, limit=None, source=loaded.card.corpus)
    else:
        _refuse_picking(rows, card, stored, place)
    picked = None
    if card.threshold.split == "val":
        beside = stored.validation if stored is not None else None
        own = rows_file(Path(validation).expanduser()) if validation is not None else beside
        picked = None if own is None else read_rows(own, columns)
    return gather(rows, card, origin, picked)


def _origin(place: Path, stored: Stored | None, detector: str | None) -> Origin:
    if stored is None:
        # A file's name says who judged; what was judged only its rows say.
        by = detector_fields(detector or place.stem, "unknown", "unknown", "unknown", environment="unknown")
        return Origin("rows", "none", None, by)
    result = stored.result
    by = {key: result.measured.get(key, "unknown") for key in DETECTOR}  # `env` is not told before 0.5.1
    limit = result.measured.get("limit")
    card = stored_card(DetectorCard, result.detector_card, stored.path) if result.detector_card else None
    limit = limit if isinstance(limit, int) else None
    warnings = of_detector(result.warnings)
    return Origin(result.dataset, result.split, limit, by, card, result.predicted, result.source, warnings)


def _refuse_picking(rows: Rows, protocol: ProtocolCard, stored: Stored | None, place: Path) -> None:
    """Without the dataset nobody can tell which rows are the frames that a protocol picks, unless it picks them all."""
    count = protocol.frames.count
    if count is None or (stored is not None and stored.result.measured.get("frames") == str(protocol.frames)):
        return
    pictures: dict[tuple[str, str], set[str]] = {}
    for video, method, picture in zip(rows.video.tolist(), rows.method.tolist(), rows.picture.tolist(), strict=True):
        pictures.setdefault((video, method), set()).add(picture)
    most = max(pictures, key=lambda video: len(pictures[video]))
    if len(pictures[most]) > count:
        raise ScoreError(
            f"protocol '{protocol.name}' picks {count} frames of each video, '{most[0]}' in '{place}' has "
            f"{len(pictures[most])}, and which are picked only the dataset can tell: give --dataset"
        )


def against(rows: Rows, dataset: Dataset, split: str, protocol: ProtocolCard, path: Path) -> Rows:
    """Rows held against the frames that a protocol plans in a dataset; see `load_rows`."""
    dataset.check_split(split)
    planned = plan_frames(dataset.adapter, split, protocol.frames)
    _refuse_foreign(rows, planned, dataset, split, path)
    matched = match(rows, planned, path, dataset.name)
    digests = frame_digests(dataset, planned)
    now = [digests[frame.id] for frame in planned]
    changed = [i for i, told in enumerate(matched.digest.tolist()) if told and told != now[i]]
    if changed:
        raise ScoreError(
            f"'{path}' was made from other pixels than '{dataset.name}' has now: {len(changed)} of {len(planned)} "
            f"frames differ, first '{planned[changed[0]].id}'; judge the dataset again"
        )
    return replace(matched, digest=np.array(now, dtype=object))


def _refuse_foreign(rows: Rows, planned: list[Frame], dataset: Dataset, split: str, path: Path) -> None:
    """Raise ScoreError for a row whose frame the dataset has not; one that the protocol does not pick is let pass."""
    beyond = set(rows.frame.tolist()) - {frame.id for frame in planned}
    if beyond:
        beyond -= {frame.id for frame in dataset.frames(split)}
    if beyond:
        first = min(beyond)
        known = near(first, [frame.id for frame in planned])
        raise ScoreError(f"'{path}': id '{first}' is not a planned frame of '{dataset.name}'{known}")


def match(rows: Rows, frames: list[Frame], path: Path, dataset: str) -> Rows:
    """The rows of the planned frames, in the plan's order, with the dataset's own videos, methods and identities."""
    where = {name: i for i, name in enumerate(rows.frame.tolist())}
    taken = np.array([where.get(frame.id, -1) for frame in frames])
    has = taken >= 0
    label = np.array([frame.label for frame in frames], dtype=np.int64)
    wrong = has & (rows.label[taken] != label)
    if wrong.any():
        frame = frames[int(np.flatnonzero(wrong)[0])]
        raise ScoreError(
            f"'{path}': id '{frame.id}' is labelled {1 - frame.label}, but in '{dataset}' it is {frame.label} "
            f"(0 real, 1 fake); is the file's polarity the other way round?"
        )

    def strings(values: list[str]) -> Strings:
        return np.array(values, dtype=object)

    return Rows(
        frame=strings([frame.id for frame in frames]),
        video=strings([frame.video for frame in frames]),
        method=strings([frame.method for frame in frames]),
        identity=strings(["+".join(frame.identities) for frame in frames]),
        status=np.where(has, rows.status[taken], "missing").astype(object),
        label=label,
        score=np.where(has, rows.score[taken], np.nan),
        digest=np.where(has, rows.digest[taken], "").astype(object),
        picture=strings([frame.picture or frame.id for frame in frames]),
    )
