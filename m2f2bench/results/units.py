"""Units (frames or videos) that a protocol scores, made from planned frames' rows, and the clusters to resample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..cards.models import ProtocolCard
from ..cards.protocols import Aggregation, MissingRule
from ..core.answers import Answers
from ..core.arrays import Bools, Codes, Floats
from ..core.connected import connected, factorize, first_rows
from ..core.errors import ScoreError
from ..core.records import FAKE, REAL
from ..core.rows import People, Rows, Strings, Units
from ..core.text import split_people
from ..metrics.names import AVERAGE

FEWEST_CLUSTERS = 10
"""With fewer groups of people, or one with more than half of the frames, single people or videos are resampled."""
CROSSED = "people"
"""The resampled unit where people are in several sets: a fake shows two, and these again are in others."""


@dataclass(frozen=True)
class _Part:
    """Frames or videos before they become units, all [N]; `score` is valid if `has`; `own`: a detector gave it."""

    label: npt.NDArray[np.int64]
    method: Strings
    video: Strings
    picture: Strings
    cluster: Codes
    score: Floats
    has: Bools
    own: Bools


def to_units(rows: Rows, protocol: ProtocolCard, drawn: tuple[Codes, str] | None = None) -> Units:
    """Return the units that a protocol scores, from planned frames' rows.

    If the protocol says so, the faces of one picture become one score, and at video level a video's frames do. A video
    is identified by its name and its manipulation, a picture by its name within the video. Frames and videos without a
    score follow the protocol's `missing`: left out, 0.5, or wrong (a frame of a video gets the worst score, 1 for a
    real and 0 for a fake; a unit gets ±infinity). `coverage` is the share of planned units that have a detector's
    score, `frame_coverage` that of planned frames. `drawn` is the output of `clusters`, if it is known already. Raises
    ScoreError if a video or a picture has both labels.
    """
    cluster, by = drawn or clusters(rows, protocol.bootstrap.cluster, crossed=True)
    scored = rows.status == "ok"
    part = _Part(rows.label, rows.method, rows.video, rows.picture, cluster, rows.score, scored, scored)
    if protocol.faces != "apart":
        _refuse_two_labels(part.picture, part.label, "picture")
        part = _merged(part, _codes(part.video, part.method, part.picture), Aggregation(how=protocol.faces))
    if protocol.level == "video":
        part = _filled(part, protocol.missing.frames, worst=(1.0, 0.0))
        _refuse_two_labels(part.video, part.label, "video")
        part = _merged(part, _codes(part.video, part.method), protocol.aggregation)
        rule = protocol.missing.videos
    else:
        rule = protocol.missing.frames
    if protocol.bootstrap.cluster == "frame":
        part = replace(part, cluster=np.arange(len(part.label)))
    n_clusters = int(part.cluster.max()) + 1 if len(part.cluster) else 0
    coverage = float(part.own.mean()) if len(part.own) else 0.0
    part = _filled(part, rule, worst=(np.inf, -np.inf))
    kept = part.has
    methods = tuple(sorted(set(rows.method[rows.label == FAKE].tolist())))
    if AVERAGE in methods:
        raise ScoreError(f"a method is called '{AVERAGE}', which is the name of the methods' mean: rename it")
    columns = (part.label[kept], part.score[kept], part.method[kept], part.video[kept], part.cluster[kept])
    frame_coverage = float(scored.mean()) if len(scored) else 0.0
    people = people_of(rows, cluster) if by == CROSSED else None
    return Units(*columns, n_clusters, coverage, methods, by, frame_coverage, people)


def clusters(rows: Rows | Answers, wanted: str, crossed: bool = False) -> tuple[Codes, str]:
    """Return the clusters that are resampled: a code per row, and their unit: `identity`, `people`, `video` or `frame`.

    Clusters are groups of people if that is wanted and they are known, unless they join almost all rows (see
    FEWEST_CLUSTERS). Then, if `crossed`, a cluster has all videos of the same set of people, and people are resampled
    (`people`), unless they are too few or one is in more than half of the rows; else videos are. A video name under
    several manipulations means several videos: two videos called `0001` may show different people.
    """
    if wanted == "frame":
        return np.arange(len(rows)), "frame"
    videos = _codes(rows.video, rows.method)
    if wanted == "video" or not (rows.identity != "").any():
        return videos, "video" if int(videos.max(initial=-1)) + 1 < len(rows) else "frame"
    people = _connected(videos, rows.identity)
    sizes = np.bincount(people)
    if len(sizes) < FEWEST_CLUSTERS or sizes.max() > len(rows) / 2:
        found = _sets(videos, rows.identity) if crossed else None
        return (videos, "video") if found is None else (found, CROSSED)
    return people, "identity"


def _connected(videos: Codes, identity: Strings) -> Codes:
    """Return `connected`'s components [N] from one row of each video and its people: most rows repeat another."""
    codes, texts = factorize(identity)
    pairs, _ = factorize((videos * len(texts) + codes).tolist())
    first = first_rows(pairs)
    return connected(videos[first].tolist(), [split_people(texts[code]) for code in codes[first].tolist()])[pairs]


def _sets(videos: Codes, identity: Strings) -> Codes | None:
    """Return a code per row for the set of people in its video; None with too few people, or one in most rows.

    A video without people counts as a person of its own.
    """
    of: dict[int, set[str]] = {}
    for video, text in zip(videos.tolist(), identity.tolist(), strict=True):
        of.setdefault(video, set()).update(split_people(text))
    sets, _ = factorize([tuple(sorted(of[video])) or video for video in videos.tolist()])
    edges = _edges(sets, [of[video] for video in videos.tolist()])
    rows = edges.per_person(np.bincount(sets).astype(np.float64))
    return sets if edges.n >= FEWEST_CLUSTERS and rows.max() <= len(videos) / 2 else None


def people_of(rows: Rows, cluster: Codes) -> People:
    """Return the people of each cluster, where clusters are sets of people (see `clusters`)."""
    return _edges(cluster, [split_people(text) for text in rows.identity.tolist()])


def _edges(cluster: Codes, people: Sequence[Iterable[str]]) -> People:
    """Return each cluster's people, from the code [N] and the people of each row."""
    pairs = {(code, name) for code, own in zip(cluster.tolist(), people, strict=True) for name in own}
    known = {code for code, _ in pairs}
    pairs |= {(code, f"\0{code}") for code in set(cluster.tolist()) - known}
    ordered = sorted(pairs)
    person, names = factorize([name for _, name in ordered])
    return People(np.array([code for code, _ in ordered], dtype=np.int64), person, len(names))


def _codes(*names: Strings) -> Codes:
    """Return a code per row, equal for rows with equal names, from 0 in the order of first occurrence."""
    codes = np.zeros(len(names[0]), dtype=np.int64)
    for column in names:
        own, distinct = factorize(column)
        codes, _ = factorize((codes * len(distinct) + own).tolist())
    return codes


def _refuse_two_labels(names: Strings, label: npt.NDArray[np.int64], noun: str) -> None:
    """Raise ScoreError if a name [N] has both labels, by `label` [N].

    It may be a real video and a fake made from it, or one video that is partly fake: the rows cannot tell.
    """
    group = _codes(names)
    clash = label[first_rows(group)][group] != label
    if clash.any():
        name = names[clash][0]
        raise ScoreError(
            f"{noun} '{name}' has real and fake rows: the names of {noun}s must be unique within a manipulation; "
            f"use different names, as in 'original/{name}'"
        )


def _merged(part: _Part, group: Codes, how: Aggregation) -> _Part:
    """Return one entry a group: the score from members that have one, everything else from the first member."""
    first = first_rows(group)
    n = len(first)
    score, has = aggregate(part.score[part.has], group[part.has], n, how)
    own = np.bincount(group[part.own], minlength=n) > 0
    firsts = {name: values[first] for name, values in vars(part).items()}
    return _Part(**{**firsts, "score": score, "has": has, "own": own})


def aggregate(scores: Floats, group: Codes, n: int, how: Aggregation) -> tuple[Floats, Bools]:
    """Return the score of each of `n` groups, float64 [n] (0 if it has none), and whether it has one, bool [n].

    Every aggregation is a mean of some of the sorted scores; summed in that order, it does not depend on the rows'
    order.
    """
    order = np.lexsort((scores, group))
    counts = np.bincount(group, minlength=n)
    place = np.arange(len(scores)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = np.repeat(counts, counts)
    if how.how == "max":
        kept = place == size - 1
    elif how.how == "median":
        kept = (place >= (size - 1) // 2) & (place <= size // 2)
    else:
        cut = np.minimum(how.trim, np.maximum(size - how.floor, 0) // 2)
        kept = (place >= cut) & (place < size - cut)
    ordered, codes = scores[order][kept], group[order][kept]
    left = np.bincount(codes, minlength=n)
    sums = np.bincount(codes, weights=ordered, minlength=n)
    return sums / np.maximum(left, 1), counts > 0


def _filled(part: _Part, rule: MissingRule, worst: tuple[float, float]) -> _Part:
    """Give entries without a score the score of the rule: none, 0.5, or `worst` (of a real, of a fake)."""
    if rule == "drop":
        return part
    made = np.full(len(part.score), 0.5) if rule == "half" else np.where(part.label == REAL, *worst)
    return replace(part, score=np.where(part.has, part.score, made), has=np.ones(len(made), dtype=bool))
