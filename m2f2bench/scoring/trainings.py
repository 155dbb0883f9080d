"""Methods that were trained several times: their differences over people and over trainings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.errors import ScoreError
from ..metrics.detection.intervals import effective_counts, refused, too_few
from ..metrics.detection.margins import margin_of
from ..metrics.detection.paired import Difference, Judged, Paired
from ..metrics.detection.values import all_metrics
from ..metrics.metric import DELONG
from ..metrics.names import OVERALL
from ..metrics.registry import metric_of
from ..results.signature import DETECTOR, measure_signature, rows_hash, short
from ..stats.clustered import Between, Spread, trainings_difference, with_trainings
from ..stats.margin import Scaled
from .comparison import Comparison, Pair, chosen_metrics, pairs_of
from .correction import corrected
from .detection import ScoredRows, described_clusters, refuse_incomparable

SEED = re.compile(r"[-_.+ ]?seed[-_=]?\d+$", re.IGNORECASE)
"""The end of a name that tells trainings of one method apart."""
NO_SPREAD = 1e-12


def method_of(name: str) -> str:
    """Return a detector's name without its seed: trainings of one method have the same."""
    return SEED.sub("", name) or name


def grouped(names: Sequence[str], rows: Sequence[ScoredRows]) -> dict[str, list[ScoredRows]]:
    """Return each method's trainings. Raises ScoreError if one training is given twice, or no method has several."""
    found: dict[str, list[ScoredRows]] = {}
    for name, one in zip(names, rows, strict=True):
        found.setdefault(method_of(name), []).append(one)
    for name, own in found.items():
        hashes = [rows_hash(one.rows) for one in own]
        if len(set(hashes)) < len(hashes):
            raise ScoreError(
                f"'{name}' has the same scores in two of its {len(own)} trainings: give each training once"
            )
    if len(found) < 2:
        raise ScoreError(f"all {len(rows)} are trainings of '{next(iter(found))}': give those of another method too")
    if len(found) == len(rows):
        raise ScoreError(
            f"no two of {', '.join(map(repr, names))} are trainings of one method: name them X-seed0, X-seed1"
        )
    return found


def compare_trainings(
    methods: Mapping[str, Sequence[ScoredRows]],
    metrics: Sequence[str] = (),
    against: str = "",
    margin: float | None = None,
) -> Comparison:
    """Compare methods by the means over their trainings; see `compare`."""
    first = next(iter(methods.values()))[0]
    for name, own in methods.items():
        for number, one in enumerate(own):
            refuse_incomparable(next(iter(methods)), first, f"{name} ({number + 1})", one)
    shared = [
        m for m in first.protocol.metrics if all(m in e.protocol.metrics for own in methods.values() for e in own)
    ]
    primary = first.protocol.main_metric
    names = all_metrics(chosen_metrics(metrics, shared, primary), first.cut)
    judged = {
        name: [Judged(one.units, one.cut, names, one.protocol.bootstrap) for one in own]
        for name, own in methods.items()
    }
    first_two = [own[0] for own in judged.values()][:2]
    keys = Paired(first_two[0], first_two[1]).shared
    pairs = [
        Pair(a, b, tuple(_difference(judged[a], judged[b], *key, margin) for key in keys))
        for a, b in pairs_of(list(judged), against)
    ]
    compared = Comparison(
        dataset=str(first.measured["data"]),
        split=str(first.measured["split"]),
        protocol=first.protocol.name,
        signature=measure_signature(first.measured),
        detectors={name: short(own[0].measured, DETECTOR) for name, own in methods.items()},
        metrics=tuple(names),
        level=first.protocol.bootstrap.level,
        oracle=first.cut.oracle,
        clusters=described_clusters(first.units),
        pairs=tuple(pairs),
        trainings={name: _summary(own, names[0]) for name, own in judged.items()},
        primary=primary,
        margin=margin,
    )
    return corrected([compared])[0]


def _summary(own: Sequence[Judged], metric: str) -> dict[str, Any]:
    values = [one.values[OVERALL][metric] for one in own]
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"n": len(own), "metric": metric, "values": values, "mean": float(np.mean(values)), "deviation": deviation}


def _difference(
    first: Sequence[Judged], second: Sequence[Judged], group: str, name: str, margin: float | None = None
) -> Difference:
    """Return the difference of the means over trainings in one metric of one group, tested."""
    a, b = ([one.values[group][name] for one in own] for own in (first, second))
    if np.isnan([*a, *b]).any():
        return Difference(group, name, None, None, reason="not defined for every training")
    found = Difference(group, name, float(np.mean(a)), float(np.mean(b)), float(np.mean(a) - np.mean(b)))
    units, level = first[0].units, first[0].resampling.level
    members = first[0].members(group)
    if metric_of(name).test == DELONG:
        if why := too_few(units, members):
            return replace(found, reason=why)
        tested = trainings_difference(
            [one.influence(group) for one in first], [one.influence(group) for one in second], level
        )
        if tested is None:
            return replace(found, reason="no interval: no training differs from another, nor one cluster")
        scaled = Scaled(tested.apart, tested.deviation, tested.freedom, tested.on_scale)
        found = replace(found, ci=tested.ci, p=tested.p, test=f"{DELONG}, over trainings", scaled=scaled)
    else:
        found = _resampled(found, first, second, a, b)
    if margin is None or found.scaled is None:
        return found
    return replace(found, margin=margin_of(found.scaled, margin, name))


def _resampled(
    found: Difference, first: Sequence[Judged], second: Sequence[Judged], a: Sequence[float], b: Sequence[float]
) -> Difference:
    """Return the t test from resamples of clusters, and the deviation between trainings."""
    from scipy.stats import t

    group, name, units = found.group, found.metric, first[0].units
    drawn = [[one.drawn.get(group, {}).get(name) for one in own] for own in (first, second)]
    if any(one is None for own in drawn for one in own):
        return found
    one, other = (np.array(own, dtype=np.float64) for own in drawn)
    gap = one.mean(axis=0) - other.mean(axis=0)
    if why := refused(name, first[0].members(group), gap):
        return replace(found, reason=why)
    counts = effective_counts(units, "" if group == "average" else group)
    clusters = Spread(float(np.nanvar(gap, ddof=1)), max(min(counts) - 1.0, 1.0))
    between = []
    for values, own in ((a, one), (b, other)):
        n = len(values)
        chance = float(np.nanvar(own - own.mean(axis=0), axis=1, ddof=1).sum() / (n - 1)) if n > 1 else 0.0
        between.append(Between(n, float(np.var(values, ddof=1)) if n > 1 else 0.0, chance))
    variance, freedom = with_trainings(clusters, between)
    if variance < NO_SPREAD:
        return replace(found, reason="no interval: all resamples agree")
    difference, error = found.difference or 0.0, float(np.sqrt(variance))
    reach = float(t.ppf(0.5 + first[0].resampling.level / 2.0, freedom)) * error
    p = 2.0 * float(t.sf(abs(difference) / error, freedom))
    ci, scaled = (difference - reach, difference + reach), Scaled(difference, error, freedom)
    return replace(found, ci=ci, p=p, test="resampling, over trainings", scaled=scaled)
