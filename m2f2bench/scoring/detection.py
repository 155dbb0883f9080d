"""Detection: predictions with their protocol, threshold and signature; their result; comparisons between detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.folders import DETECTION
from ..cards.models import ProtocolCard
from ..core.arrays import Codes
from ..core.errors import NothingJudged, ScoreError, near
from ..core.files import user_path
from ..core.frame_lists import column
from ..core.records import FAKE, REAL, Frame, Score
from ..core.rows import Rows, Strings, Units
from ..core.text import split_people
from ..datasets.dataset import Dataset, frame_digests, plan_frames
from ..loading import ABOUT_TASK, load_dataset, load_protocol, with_metrics
from ..metrics.detection.clusters import effective_counts
from ..metrics.detection.intervals import pick_threshold, score_units
from ..metrics.detection.transfer import too_few_reals, transfer
from ..metrics.detection.values import Cut
from ..metrics.names import OVERALL
from ..results.in_memory import InMemory
from ..results.read_rows import read_rows
from ..results.result import Result
from ..results.signature import (
    coverage_text,
    data_hash,
    detector_fields,
    drawn_field,
    group_hash,
    measure_fields,
    rows_hash,
)
from ..results.store import PREDICTIONS
from ..results.stored import INVERTED, Stored, rows_file, stored_at, stored_card
from ..results.units import CROSSED, clusters, to_units
from .scored import OWN, Origin, Scored, Source, stored_origin

CLEARLY_BELOW = 0.45
"""Only an AUC up to this is a sign of inverted scores: on foreign data good detectors fall a little below .5."""


@dataclass(frozen=True, eq=False)
class ScoredRows(Scored):
    """Rows to be scored, in id order, with everything that says how.

    `threshold` has the policy, whether it is an oracle, and the validation scores that it was picked on, if any;
    `drawn` is the output of `units.clusters` for these rows, so that people are joined only once; `validation` are the
    rows that the threshold was picked on.
    """

    protocol: ProtocolCard
    rows: Rows
    cut: Cut
    threshold: dict[str, Any]
    drawn: tuple[Codes, str]
    validation: Rows | None = None

    @cached_property
    def units(self) -> Units:
        """The frames or videos that are scored."""
        return to_units(self.rows, self.protocol, self.drawn)


def gather(rows: Rows, protocol: ProtocolCard, origin: Origin, validation: Rows | None = None) -> ScoredRows:
    """Return rows ready for scoring; `validation` are the rows that the threshold is picked on, if it is.

    Raises ScoreError if `validation` is needed and missing or lacks a class, NothingJudged if no row has a score.
    """
    rows = rows.ordered()
    if not (rows.status == "ok").any():
        who = f"{origin.by['det']} on {origin.data}"
        raise NothingJudged.of(who, "frames", len(rows), str(rows.frame[0]), str(rows.status[0]))
    cut, threshold, hashed = _cut(protocol, validation)
    codes, by = clusters(rows, protocol.bootstrap.cluster, crossed=True)
    pictures = "" if protocol.faces == "apart" else group_hash(np.unique(rows.picture, return_inverse=True)[1].tolist())
    drawn = drawn_field(by, codes.tolist())
    place, number = (origin.data, origin.split, data_hash(rows)), len(rows)
    fields = measure_fields(*place, number, protocol, origin.limit, hashed, drawn, pictures, origin.crop)
    scored = ScoredRows(
        protocol, fields | origin.by, origin, rows, cut, threshold, (codes, by), validation if hashed else None
    )
    scored.measured["cov"] = coverage_text(scored.units.frame_coverage, scored.units.coverage)
    return scored


def _cut(protocol: ProtocolCard, validation: Rows | None) -> tuple[Cut, dict[str, Any], str]:
    rule = protocol.threshold
    threshold: dict[str, Any] = {"policy": str(rule), "oracle": rule.oracle}
    if rule.how == "fixed" and rule.value is not None:
        return Cut("fixed", rule.value), threshold, ""
    wanted = policy_of(protocol)
    if rule.split == "test":
        return wanted, threshold, ""
    if validation is None:
        raise ScoreError(
            f"protocol '{protocol.name}' picks its threshold on validation scores, but none were given: "
            f"give the rows of the validation split (--validation FILE), or use another protocol"
        )
    units = to_units(validation.ordered(), protocol)
    value = pick_threshold(units, wanted)
    if value is None:
        missing = "real" if not (units.label == REAL).any() else "fake"
        raise ScoreError(f"no threshold can be picked: no {missing} unit of the validation rows has a score")
    if rule.how == "fpr" and (why := too_few_reals(units, wanted.value)):
        raise ScoreError(f"no threshold can be picked on the validation rows: {why}")
    hashed = data_hash(validation)
    n_real, n_fake = int((units.label == REAL).sum()), int((units.label == FAKE).sum())
    threshold["from"] = {"split": "val", "hash": hashed, "n_real": n_real, "n_fake": n_fake}
    return Cut("fixed", value, picked=True), threshold, hashed


def policy_of(protocol: ProtocolCard) -> Cut:
    """Return a protocol's threshold policy as it applies to the scores that the threshold is chosen on."""
    rule = protocol.threshold
    rate = 0.5 if rule.value is None else rule.value
    return Cut(rule.how, rate, maximise=rule.maximise or "balanced_accuracy")


def _transferred(evidence: ScoredRows) -> dict[str, Any]:
    """Return what a threshold from validation rows does here (see `transfer`), as a result stores it; or nothing."""
    protocol, validation, units = evidence.protocol, evidence.validation, evidence.units
    if validation is None or not {REAL, FAKE} <= set(units.label.tolist()):
        return {}
    wanted, rows = policy_of(protocol), validation.ordered()
    found = transfer(to_units(rows, protocol), units, wanted, evidence.cut.value, protocol.bootstrap)
    if protocol.threshold.how == "fpr":
        found["wanted"] = {"fpr": wanted.value}
    people = [
        {name for text in set(one.identity.tolist()) for name in split_people(text)} for one in (rows, evidence.rows)
    ]
    if shared := people[0] & people[1]:
        found["note"] = f"{len(shared)} people are in the validation rows too: the transfer looks better than it is"
    return {"transfer": found}


def load_rows(path: str | Path | InMemory, source: Source = OWN) -> ScoredRows:
    """Load rows in memory, from a run's folder or from a file of `id,label,score` (CSV, TSV, JSONL, Parquet).

    The protocol defaults to the run's own, else `frame`. With a dataset the rows are matched with the frames that the
    protocol plans there: an unknown id or a different label is an error, a row of a frame that is not planned is
    ignored, and a planned frame without a row is `missing` and lowers the coverage. Without a dataset the file's
    rows are the plan. Raises ScoreError or DataError in one line.
    """
    place = path if isinstance(path, InMemory) else user_path(path)
    stored = None if isinstance(place, InMemory) else stored_at(place)
    if stored is not None and stored.result.task != DETECTION:
        what = ABOUT_TASK[stored.result.task]
        raise ScoreError(f"'{place}' holds {what}, not P(fake) of frames (m2f2bench run -p frame)")
    if stored is not None and stored.rows is None:
        raise ScoreError(f"there are no rows ({PREDICTIONS}) next to '{place}': nothing to score")
    if source.protocol is None and stored is not None:
        card = with_metrics(stored_card(ProtocolCard, stored.result.protocol_card, stored.path))
    else:
        card = load_protocol(source.protocol or "frame")
    rows = read_rows(stored.rows if stored is not None and stored.rows else _rows_of(place), source.columns)
    if stored is not None and rows_hash(rows) != stored.result.predictions:
        raise ScoreError(f"'{stored.rows}' does not hold the rows that '{stored.path}' was computed from: run it again")
    origin = _origin(place, stored, source.detector)
    if source.dataset is not None:
        loaded = source.dataset if isinstance(source.dataset, Dataset) else load_dataset(source.dataset)
        rows = against(rows, loaded, source.split, card, place)
        of = loaded.card
        origin = replace(origin, data=of.name, split=source.split, limit=None, source=of.corpus, people=of.people)
    else:
        _refuse_picking(rows, card, stored, place)
    picked = None
    if card.threshold.split == "val":
        file = _rows_of(source.validation) if source.validation else stored and stored.validation
        picked = read_rows(file, source.columns) if file else None
    return gather(rows, card, origin, picked)


def _rows_of(place: str | Path | InMemory) -> Path | InMemory:
    return place if isinstance(place, InMemory) else rows_file(user_path(place))


def _origin(place: Path | InMemory, stored: Stored | None, detector: str | None) -> Origin:
    if stored is not None:
        return stored_origin(stored)
    # The file's name is the detector's; the data are known only by the rows.
    name = detector or (place.name if isinstance(place, InMemory) else place.stem)
    by = detector_fields(name, "unknown", "unknown", "unknown", environment="unknown")
    return Origin("rows", "none", None, by)


def _refuse_picking(rows: Rows, protocol: ProtocolCard, stored: Stored | None, place: Path | InMemory) -> None:
    """Raise ScoreError if a video has more rows than the protocol picks: only the dataset knows which to pick."""
    count = protocol.frames.count
    if count is None or (stored is not None and stored.result.measured.get("frames") == str(protocol.frames)):
        return
    pictures: dict[tuple[str, str], set[str]] = {}
    for video, method, picture in zip(rows.video.tolist(), rows.method.tolist(), rows.picture.tolist(), strict=True):
        pictures.setdefault((video, method), set()).add(picture)
    most = max(pictures, key=lambda video: len(pictures[video]))
    if len(pictures[most]) > count:
        raise ScoreError(
            f"protocol '{protocol.name}' picks {count} frames of each video, but '{most[0]}' in '{place}' has "
            f"{len(pictures[most])}; only the dataset can tell which are picked: give --dataset"
        )


def against(rows: Rows, dataset: Dataset, split: str, protocol: ProtocolCard, path: Path | InMemory) -> Rows:
    """Match rows with the frames that a protocol plans in a dataset; see `load_rows`."""
    dataset.check_split(split)
    planned = plan_frames(dataset.adapter, split, protocol.frames)
    _refuse_foreign(rows, planned, dataset, split, path)
    matched = match(rows, planned, path, dataset.name)
    digests = frame_digests(dataset, planned)
    now = [digests[name] for name in column(planned, "id")]
    changed = [i for i, digest in enumerate(matched.digest.tolist()) if digest and digest != now[i]]
    if changed:
        raise ScoreError(
            f"'{path}' was computed from other pixels than '{dataset.name}' has now: {len(changed)} of {len(planned)} "
            f"frames differ, first '{planned[changed[0]].id}'; judge the dataset again"
        )
    return replace(matched, digest=np.array(now, dtype=object))


def _refuse_foreign(rows: Rows, planned: Sequence[Frame], dataset: Dataset, split: str, path: Path | InMemory) -> None:
    """Raise ScoreError for a row whose frame is not in the dataset; frames that are not picked are allowed."""
    beyond = set(rows.frame.tolist()) - set(column(planned, "id"))
    if beyond:
        beyond -= set(column(dataset.frames(split), "id"))
    if beyond:
        first = min(beyond)
        known = near(first, column(planned, "id"))
        raise ScoreError(f"'{path}': id '{first}' is not a planned frame of '{dataset.name}'{known}")


def match(rows: Rows, frames: Sequence[Frame], path: Path | InMemory, dataset: str) -> Rows:
    """Return the rows of the planned frames, in that order, with the dataset's videos, methods and identities."""
    where = {name: i for i, name in enumerate(rows.frame.tolist())}
    ids = column(frames, "id")
    taken = np.array([where.get(name, -1) for name in ids])
    has = taken >= 0
    label = np.array(column(frames, "label"), dtype=np.int64)
    wrong = has & (rows.label[taken] != label)
    if wrong.any():
        frame = frames[int(np.flatnonzero(wrong)[0])]
        raise ScoreError(
            f"'{path}': id '{frame.id}' is labelled {1 - frame.label}, but in '{dataset}' it is {frame.label} "
            f"(0 real, 1 fake); are the file's labels inverted?"
        )

    def strings(values: list[str]) -> Strings:
        return np.array(values, dtype=object)

    return Rows(
        frame=strings(ids),
        video=strings(column(frames, "video")),
        method=strings(column(frames, "method")),
        identity=strings(["+".join(people) for people in column(frames, "identities")]),
        status=np.where(has, rows.status[taken], "missing").astype(object),
        label=label,
        score=np.where(has, rows.score[taken], np.nan),
        digest=np.where(has, rows.digest[taken], "").astype(object),
        picture=strings([own or name for own, name in zip(column(frames, "picture"), ids, strict=True)]),
    )


def score_rows(evidence: ScoredRows) -> Result:
    """Compute the result of rows under their protocol, with a warning if their scores look inverted."""
    protocol, units = evidence.protocol, evidence.units
    scored = score_units(units, protocol.metrics, evidence.cut, protocol.bootstrap)
    return evidence.result(
        metrics=scored.overall,
        methods=scored.methods,
        coverage=units.coverage,
        frame_coverage=units.frame_coverage,
        statuses=evidence.rows.statuses(),
        average=scored.average,
        threshold={**evidence.threshold, "value": scored.threshold, **_transferred(evidence)},
        clusters=_clusters(evidence),
        reliability=list(scored.reliability),
        predictions=rows_hash(evidence.rows),
        warnings=(*polarity(scored.overall.get("auc")), *evidence.origin.warnings),
    )


def polarity(auc: Score | None) -> list[str]:
    """Return one line if an AUC is so far below chance that the scores are probably P(real); else an empty list."""
    if auc is None or auc.value is None or auc.ci is None or auc.ci[1] >= 0.5 or auc.value > CLEARLY_BELOW:
        return []
    low, high = auc.ci
    return [
        f"{INVERTED}: AUC {auc.value:.3f} [{low:.3f}, {high:.3f}] is below chance; if they are P(real), give "
        f"1 - score (on a card of backend timm: `fake_class: 0`); if the labels are, 0 is real and 1 is fake"
    ]


def _clusters(evidence: ScoredRows) -> dict[str, Any]:
    """Return the resampled unit, the number of clusters, and a note if they are not groups of people as wanted."""
    units = evidence.units
    found = described_clusters(units)
    if evidence.protocol.bootstrap.cluster == "identity" and units.clustered_by not in ("identity", CROSSED):
        known = bool((evidence.rows.identity != "").any())
        found["note"] = (
            "too few groups of people: videos are resampled instead, which makes intervals too narrow"
            if known
            else "people are not known"
        )
    return found


def described_clusters(units: Units) -> dict[str, Any]:
    """Return the resampled unit, the number of clusters and their effective numbers, as results store them.

    `effective` has those of `real`, of `fake`, and of each of several manipulations.
    """
    found: dict[str, Any] = {"by": units.clustered_by, "n": units.n_clusters, "independent": units.independent}
    if units.people is not None:
        found["people"] = units.people.n
    real, fake = effective_counts(units, OVERALL)
    found["effective"] = {"real": round(real, 1), "fake": round(fake, 1)}
    if len(units.methods) > 1:
        methods = {name: round(effective_counts(units, name)[1], 1) for name in units.methods}
        found["effective"]["methods"] = methods
    return found
