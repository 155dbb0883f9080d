"""Paired tests between detectors that judged the same frames under the same protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from ..core.errors import ScoreError
from ..metrics.detection.paired import Judged, Paired, unlike
from ..metrics.detection.tails import differences
from ..metrics.detection.values import all_metrics
from ..results.signature import DETECTOR, measure_signature, share, short
from .comparison import Comparison, Pair, chosen_metrics, corrected, pairs_of, refuse_differing
from .detection import ScoredRows


def compare_rows(evidence: Mapping[str, ScoredRows], metrics: Sequence[str] = (), against: str = "") -> Comparison:
    """Compare rows by the detector's name; see `compare`."""
    for (one, first), (other, second) in combinations(evidence.items(), 2):
        refuse_incomparable(one, first, other, second)
    any_one = next(iter(evidence.values()))
    rules = any_one.protocol.bootstrap
    shared = [m for m in any_one.protocol.metrics if all(m in e.protocol.metrics for e in evidence.values())]
    names = all_metrics(chosen_metrics(metrics, shared), any_one.cut)
    judged = {name: Judged(own.units, own.cut, names, rules) for name, own in evidence.items()}
    chosen = pairs_of(list(judged), against)
    tested = differences([Paired(judged[a], judged[b]) for a, b in chosen])
    found = [Pair(a, b, tuple(own)) for (a, b), own in zip(chosen, tested, strict=True)]
    units = any_one.units
    return Comparison(
        dataset=str(any_one.measured["data"]),
        split=str(any_one.measured["split"]),
        protocol=any_one.protocol.name,
        signature=measure_signature(any_one.measured),
        detectors={name: short(own.measured, DETECTOR) for name, own in evidence.items()},
        metrics=tuple(names),
        level=rules.level,
        oracle=any_one.cut.oracle,
        clusters={"by": units.clustered_by, "n": units.n_clusters, "independent": units.independent},
        pairs=corrected(found),
    )


def refuse_incomparable(one: str, first: ScoredRows, other: str, second: ScoredRows) -> None:
    """Raise ScoreError unless both judged the same frames under the same protocol, and their units are the same."""
    try:
        refuse_differing(one, first.measured, other, second.measured)
    except ScoreError as error:
        raise ScoreError(f"{error}{_column(first, second)}") from None
    scored, also = first.rows.status == "ok", second.rows.status == "ok"
    rule = first.protocol.missing
    if not (scored == also).all() and "drop" in (rule.frames, rule.videos):
        only, lacking = int((scored & ~also).sum()), int((also & ~scored).sum())
        frame = first.rows.frame[scored != also][0]
        raise ScoreError(
            f"'{one}' and '{other}' cannot be compared: their coverage differs ({share(first.units.frame_coverage)} / "
            f"{share(second.units.frame_coverage)}): '{one}' alone has a score for {only} frames, '{other}' alone for "
            f"{lacking}, first '{frame}'; use a protocol that scores missing frames (missing: half or wrong)"
        )
    if difference := unlike(first.units, second.units):
        hint = _column(first, second)
        raise ScoreError(f"'{one}' and '{other}' cannot be compared: they differ in {difference}{hint}")


def _column(first: ScoredRows, second: ScoredRows) -> str:
    """Return which column of the same frames' rows differs, and how to fix it; empty if none does."""
    if not np.array_equal(first.rows.frame, second.rows.frame):
        return ""
    for name in ("identity", "picture"):
        mine, theirs = getattr(first.rows, name), getattr(second.rows, name)
        if len(differ := np.flatnonzero(mine != theirs)):
            at = differ[0]
            return (
                f"; column {name} differs in {len(differ)} of {len(mine)} frames, first "
                f"'{first.rows.frame[at]}' ({str(mine[at])!r} / {str(theirs[at])!r}); give the same {name} in both"
                f", or in neither"
            )
    return ""
