"""Paired tests between rows of P(fake) of the same frames, and what refuses rows that are not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from ..core.errors import ScoreError
from ..metrics.detection.paired import Judged, Paired, unlike
from ..metrics.detection.tails import differences
from ..metrics.detection.values import all_metrics
from ..metrics.registry import metric_of
from ..results.signature import DETECTOR, differing, joined_signature, share, short
from .comparison import FIELDS, Comparison, Pair, chosen_metrics, pairs_of, refuse_differing
from .correction import corrected
from .detection import ScoredRows, described_clusters


def compare_rows(
    evidence: Mapping[str, ScoredRows], metrics: Sequence[str] = (), against: str = "", margin: float | None = None
) -> Comparison:
    """Compare rows by the detector's name; see `compare`."""
    any_one = next(iter(evidence.values()))
    rules = any_one.protocol.bootstrap
    shared = [m for m in any_one.protocol.metrics if all(m in e.protocol.metrics for e in evidence.values())]
    primary = any_one.protocol.main_metric
    names = all_metrics(chosen_metrics(metrics, shared, primary), any_one.cut)
    for (one, first), (other, second) in combinations(evidence.items(), 2):
        refuse_incomparable(one, first, other, second, names)
    judged = {name: Judged(own.units, own.cut, names, rules) for name, own in evidence.items()}
    chosen = pairs_of(list(judged), against)
    tested = differences([Paired(judged[a], judged[b], margin) for a, b in chosen])
    found = [Pair(a, b, tuple(own)) for (a, b), own in zip(chosen, tested, strict=True)]
    units = any_one.units
    compared = Comparison(
        dataset=str(any_one.measured["data"]),
        split=str(any_one.measured["split"]),
        protocol=any_one.protocol.name,
        signature=joined_signature(own.measured for own in evidence.values()),
        detectors={name: short(own.measured, DETECTOR) for name, own in evidence.items()},
        metrics=tuple(names),
        level=rules.level,
        oracle=any_one.cut.oracle,
        clusters=described_clusters(units),
        pairs=tuple(found),
        primary=primary,
        margin=margin,
        notes=tuple(untouched_notes(evidence)),
    )
    return corrected([compared])[0]


def untouched_notes(evidence: Mapping[str, ScoredRows]) -> list[str]:
    """Return in what comparable rows differ that does not touch the compared values; empty if in nothing."""
    (name, first), *others = evidence.items()
    differ = dict.fromkeys(key for _, own in others for key in differing(first.measured, own.measured))
    if not differ:
        return []
    fields = ", ".join(f"{FIELDS[key]} ({key})" for key in differ)
    return [f"the results differ in {fields}: it touches none of these values, and is here that of '{name}'"]


def refuse_incomparable(
    one: str, first: ScoredRows, other: str, second: ScoredRows, metrics: Sequence[str] = ()
) -> None:
    """Raise ScoreError unless both judged the same frames under the same protocol, and their units are the same.

    With `metrics` the protocols may differ in what touches the values of none of them.
    """
    about = {name: metric_of(name) for name in metrics} or None
    try:
        refuse_differing(one, first.measured, other, second.measured, about)
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
