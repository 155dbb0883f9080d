"""From planned frames' rows to the units (frames or videos) that a protocol scores, and what is drawn as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..cards.models import ProtocolCard
from ..cards.protocols import Aggregation, MissingRule
from ..core.answers import Answers
from ..core.connected import connected, factorize, first_rows
from ..core.errors import ScoreError
from ..core.records import FAKE, REAL
from ..core.rows import Rows, Strings, Units
from ..metrics.names import AVERAGE

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
FEWEST_CLUSTERS = 10
"""With fewer groups of people, or with one of them holding more than half of the frames, videos are drawn instead."""


@dataclass(frozen=True)
class _Part:
    """Frames or videos on the way to units, all [N]; `score` counts where `has` is true; `own`: a detector gave it."""

    label: npt.NDArray[np.int64]
    method: Strings
    video: Strings
    picture: Strings
    cluster: Codes
    score: Floats
    has: npt.NDArray[np.bool_]
    own: npt.NDArray[np.bool_]


def to_units(rows: Rows, protocol: ProtocolCard, drawn: tuple[Codes, str] | None = None) -> Units:
    """The units that a protocol scores, from planned frames' rows.

    Faces of one picture become one score where the protocol says so, then a video's frames one score at video level. A
    video is its name together with its manipulation, a picture what is called so in one video: names may come again.
    What has no score follows the protocol's `missing`: left out, 0.5, or on the wrong side (within a video the worst
    score, 1 for a real and 0 for a fake; as a unit of its own ±infinity). `coverage` is the share of planned units
    that have a score of a detector's, `frame_coverage` that of planned frames. `drawn` is what `clusters` found, where
    that is known already. Raises ScoreError for a video or picture
    of one name with both labels.
    """
    cluster, by = drawn or clusters(rows, protocol.bootstrap.cluster)
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
        part = _Part(**{**vars(part), "cluster": np.arange(len(part.label))})
    n_clusters = int(part.cluster.max()) + 1 if len(part.cluster) else 0
    coverage = float(part.own.mean()) if len(part.own) else 0.0
    part = _filled(part, rule, worst=(np.inf, -np.inf))
    kept = part.has
    methods = tuple(sorted(set(rows.method[rows.label == FAKE].tolist())))
    if AVERAGE in methods:
        raise ScoreError(f"a method is called '{AVERAGE}', which is the name of the methods' mean: rename it")
    columns = (part.label[kept], part.score[kept], part.method[kept], part.video[kept], part.cluster[kept])
    frame_coverage = float(scored.mean()) if len(scored) else 0.0
    return Units(*columns, n_clusters, coverage, methods, by, frame_coverage)


def clusters(rows: Rows | Answers, wanted: str) -> tuple[Codes, str]:
    """What is drawn as one in the bootstrap: a code per row, and whether `identity`, `video` or `frame` decides it.

    Identities decide where they are wanted and known, unless they join almost everything (see FEWEST_CLUSTERS). Videos
    of one name under several manipulations are several: that `0001` stands twice says nothing of who is in it.
    """
    if wanted == "frame":
        return np.arange(len(rows)), "frame"
    videos = _codes(rows.video, rows.method)
    if wanted == "video" or not (rows.identity != "").any():
        return videos, "video" if int(videos.max(initial=-1)) + 1 < len(rows) else "frame"
    people = connected(videos.tolist(), [text.split("+") if text else [] for text in rows.identity.tolist()])
    sizes = np.bincount(people)
    if len(sizes) < FEWEST_CLUSTERS or sizes.max() > len(rows) / 2:
        return videos, "video"
    return people, "identity"


def _codes(*names: Strings) -> Codes:
    """A code per row, the same where all of its names are: from 0 in the order of first occurrence."""
    codes = np.zeros(len(names[0]), dtype=np.int64)
    for column in names:
        own, distinct = factorize(column)
        codes, _ = factorize((codes * len(distinct) + own).tolist())
    return codes


def _refuse_two_labels(names: Strings, label: npt.NDArray[np.int64], noun: str) -> None:
    """Raise ScoreError where one name [N] stands for a real and for a fake one, by `label` [N].

    It may be a real video and a fake made of it, or one video that is partly fake: nobody can tell by the rows.
    """
    group = _codes(names)
    clash = label[first_rows(group)][group] != label
    if clash.any():
        name = names[clash][0]
        raise ScoreError(
            f"{noun} '{name}' has real and fake rows: a {noun}'s name must be unique with its manipulation; call "
            f"different ones differently, as in 'original/{name}'"
        )


def _merged(part: _Part, group: Codes, how: Aggregation) -> _Part:
    """One entry a group: its score from those that have one, everything else from its first."""
    first = first_rows(group)
    n = len(first)
    score, has = aggregate(part.score[part.has], group[part.has], n, how)
    own = np.bincount(group[part.own], minlength=n) > 0
    return _Part(
        part.label[first],
        part.method[first],
        part.video[first],
        part.picture[first],
        part.cluster[first],
        score,
        has,
        own,
    )


def aggregate(scores: Floats, group: Codes, n: int, how: Aggregation) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The score of each of `n` groups, float64 [n] (0 where there is none), and whether there is one, bool [n].

    All ways are the mean of some of the ordered scores; summed in that order, they do not depend on the rows' order.
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
    """What has no score gets the rule's: none, 0.5, or `worst` (of a real, of a fake)."""
    if rule == "drop":
        return part
    made = np.full(len(part.score), 0.5) if rule == "half" else np.where(part.label == REAL, *worst)
    score = np.where(part.has, part.score, made)
    return _Part(**{**vars(part), "score": score, "has": np.ones(len(score), dtype=bool)})
