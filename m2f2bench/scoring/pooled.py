"""Results of several trainings as one: means, the deviation between trainings, intervals over people and trainings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..cards.folders import DETECTION
from ..core.errors import ScoreError
from ..core.records import Score
from ..metrics.detection.clusters import too_few
from ..metrics.detection.intervals import biases, refused, too_fine
from ..metrics.detection.paired import AGREE, Judged
from ..metrics.detection.values import all_metrics
from ..metrics.metric import DELONG
from ..metrics.names import AVERAGE, OVERALL
from ..metrics.registry import metric_of
from ..results.result import Result
from ..results.signature import differing, measure_signature, rows_hash, short
from ..results.stored import ResampledResult
from ..stats.clustered import trainings_interval, with_trainings
from .compare_rows import refuse_incomparable
from .comparison import FIELDS
from .detection import ScoredRows
from .trainings import (
    NO_SPREAD,
    Training,
    is_training,
    method_of,
    refuse_unlike,
    resampled_between,
    resampled_spread,
    training_of,
)

Trainings = tuple[ScoredRows, ...]
"""The rows of each training of one detector."""
Evidence = ScoredRows | ResampledResult | Trainings
"""What paired tests take of one result on a board."""
Key = tuple[str, str]
"""Signature and protocol of a result."""
NO_ROWS = "no interval: the rows of each training are needed, and are not stored"
ONLY_SCORES = "no interval: trainings are pooled by P(fake) of frames alone"
GROUPS = ("methods", "labels", "regions")


def count_text(counts: Sequence[int]) -> str:
    """Return `one training`, `3 trainings` or `2 to 3 trainings`; empty without a count."""
    if not counts:
        return ""
    few, many = min(counts), max(counts)
    return "one training" if many == 1 else f"{many} trainings" if few == many else f"{few} to {many} trainings"


def count_of(result: Result) -> int | None:
    """Return of how many trainings a result is; None if it is of no training, or not known to be one."""
    if found := result.details.get("trainings"):
        return int(found["n"])
    return 1 if is_training(result.detector, result.detector_card) else None


def pool(
    results: Sequence[Result], evidence: Mapping[Key, Evidence] | None = None
) -> tuple[list[Result], dict[Key, Evidence]]:
    """Return the results with those of one detector's trainings as one, and what paired tests between them take.

    Trainings of one detector have one name, or names that differ in `-seed0`, `-seed1`, … alone; all other results stay
    as they are. A metric is the mean over trainings; AUC has an interval over people and trainings by Satterthwaite
    (see `stats.clustered`), every other metric one from the variance over resamples of people and that between
    trainings. Raises ScoreError if one training is given twice, if they differ in more than the seed, or if they were
    judged on different frames or under different rules.
    """
    _refuse_namesakes(results)
    held = dict(evidence or {})
    methods: dict[str, list[Result]] = {}
    for result in results:
        if is_training(result.detector, result.detector_card) and "trainings" not in result.details:
            methods.setdefault(method_of(result.detector), []).append(result)
    found: dict[int, Result] = {}
    gone: set[int] = set()
    for method, own in methods.items():
        known = _trainings(method, own, held)
        if len(known) < 2:
            continue
        for group in _alike(method, own):
            whole, rows = _pooled(method, group, held, known)
            found[id(group[0])] = whole
            gone |= {id(one) for one in group[1:]}
            if rows:
                held[whole.signature, whole.protocol] = rows
    return [found.get(id(one), one) for one in results if id(one) not in gone], held


def _refuse_namesakes(results: Sequence[Result]) -> None:
    """Raise ScoreError for two results on the same frames that only their scores tell apart: they have no seed."""
    seen: set[tuple[str, ...]] = set()
    for result in results:
        if is_training(result.detector, result.detector_card) is None:
            name = result.detector
            key = (name, str(result.measured.get("weights")), result.protocol, measure_signature(result.measured))
            if key in seen:
                raise ScoreError(
                    f"two results on {result.dataset} ({result.protocol}) are of '{name}', and nothing says which "
                    f"training each is: name them {name}-seed0, {name}-seed1"
                )
            seen.add(key)


def _who(result: Result) -> tuple[str, str]:
    return result.detector, str(result.measured.get("weights"))


def _trainings(method: str, own: Sequence[Result], evidence: Mapping[Key, Evidence]) -> dict[tuple[str, str], Training]:
    """Return the trainings of a method by name and weights. Raises ScoreError unless they are of one method."""
    places: dict[tuple[str, str, str, str], list[Result]] = {}
    for result in own:
        key = (result.dataset, result.split, result.protocol, measure_signature(result.measured))
        places.setdefault(key, []).append(result)
    for group in places.values():
        refuse_unlike(method, [_training(one, evidence) for one in group])
    known: dict[tuple[str, str], Training] = {}
    for result in own:
        known.setdefault(_who(result), _training(result, {})._replace(scores=""))
    refuse_unlike(method, list(known.values()))
    return known


def _training(result: Result, evidence: Mapping[Key, Evidence]) -> Training:
    scores = result.predictions
    rows = evidence.get((result.signature, result.protocol))
    if not scores and isinstance(rows, ScoredRows):
        scores = rows_hash(rows.rows)
    return training_of(result.detector, result.detector_card, result.measured, scores)


def _alike(method: str, own: Sequence[Result]) -> list[list[Result]]:
    """Return the results that may be pooled: of one dataset, split, protocol and signature.

    Two signatures of one dataset and protocol are two columns if each training has both; else trainings were judged
    differently. Raises ScoreError then.
    """
    places: dict[tuple[str, str, str], dict[str, list[Result]]] = {}
    for result in own:
        place = places.setdefault((result.dataset, result.split, result.protocol), {})
        place.setdefault(measure_signature(result.measured), []).append(result)
    for (dataset, _, protocol), groups in places.items():
        one, *others = groups.values()
        for other in others:
            if {_who(a) for a in one} != {_who(b) for b in other}:
                fields = differing(one[0].measured, other[0].measured)
                named = ", ".join(
                    f"{FIELDS[k]} ({k}: {one[0].measured.get(k)} / {other[0].measured.get(k)})" for k in fields
                )
                raise ScoreError(
                    f"trainings of '{method}' on {dataset} ({protocol}) were judged differently: "
                    f"'{one[0].detector}' and '{other[0].detector}' differ in {named}; judge each in the same way"
                )
    return [group for groups in places.values() for group in groups.values()]


def _pooled(
    method: str, own: Sequence[Result], evidence: Mapping[Key, Evidence], known: Mapping[tuple[str, str], Training]
) -> tuple[Result, Trainings]:
    """Return the mean of results of one signature, and the rows of each; no rows if one has none."""
    held = [evidence.get((one.signature, one.protocol)) for one in own]
    rows = tuple(one for one in held if isinstance(one, ScoredRows))
    rows = rows if len(rows) == len(own) else ()
    for one in rows[1:]:
        refuse_incomparable(rows[0].detector, rows[0], one.detector, one)
    judge = _Judge(rows, NO_ROWS if own[0].task == DETECTION else ONLY_SCORES)
    lowest = min(own, key=lambda one: (one.coverage, one.frame_coverage or 0.0))
    measured = lowest.measured | _by(method, own, known)
    groups: dict[str, Any] = {
        field: {
            name: judge.scores(name, [getattr(one, field)[name] for one in own])
            for name in getattr(own[0], field)
            if all(name in getattr(one, field) for one in own)
        }
        for field in GROUPS
    }
    trainings = [known[_who(one)] for one in own]
    details = {"n": len(own), "names": [one.name for one in trainings], "seeds": [one.seed for one in trainings]}
    whole = replace(
        lowest,
        detector=method,
        metrics=judge.scores(OVERALL, [one.metrics for one in own]),
        average=judge.scores(AVERAGE, [one.average for one in own]),
        **groups,
        signature=short(measured),
        measured=measured,
        threshold={key: value for key, value in lowest.threshold.items() if key in ("policy", "oracle")},
        reliability=[],
        details={"trainings": details},
        predictions="",
        detector_card={**lowest.detector_card, "name": method} if lowest.detector_card else {},
        warnings=tuple(dict.fromkeys(f"{one.detector}: {line}" for one in own for line in one.warnings)),
    )
    return whole, rows


def _by(method: str, own: Sequence[Result], known: Mapping[tuple[str, str], Training]) -> dict[str, Any]:
    """Return the detector's fields of a signature: those of all its trainings, so that they are one row of a board."""
    weights = sorted(weights for _, weights in known)
    hashed = hashlib.sha256("\n".join(weights).encode()).hexdigest()[:12]
    machines = {str(one.measured.get("env", "none")) for one in own}
    return {
        "det": method,
        "weights": weights[0] if len(set(weights)) == 1 else f"{len(known)}@{hashed}",
        "seed": "+".join(sorted((t.seed or "none" for t in known.values()), key=lambda seed: (len(seed), seed))),
        "env": machines.pop() if len(machines) == 1 else "several",
    }


class _Judge:
    """Means over trainings with their intervals; without rows there are no intervals, for the reason `without`."""

    def __init__(self, rows: Trainings, without: str) -> None:
        self._without = without
        self._rules = rows[0].protocol.bootstrap if rows else None
        self._cut = rows[0].cut if rows else None
        self._judged = [
            Judged(one.units, one.cut, all_metrics(one.protocol.metrics, one.cut), one.protocol.bootstrap)
            for one in rows
        ]

    def scores(self, group: str, found: Sequence[Mapping[str, Score]]) -> dict[str, Score]:
        """Return the mean of each metric of one group."""
        return {name: self._mean(group, name, [one[name] for one in found]) for name in found[0]}

    def _mean(self, group: str, name: str, found: Sequence[Score]) -> Score:
        values = [one.value for one in found if one.value is not None]
        if len(values) < len(found):
            why = next((one.reason for one in found if one.value is None and one.reason), "")
            reason = "not defined for every training" + (f": {why}" if why else "")
            return replace(found[0], value=None, ci=None, reason=reason)
        if len(found) == 1:
            return found[0]
        ci, why = self._interval(group, name, values)
        mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
        return replace(found[0], value=mean, ci=ci, reason=why or None, deviation=deviation)

    def _interval(self, group: str, name: str, values: Sequence[float]) -> tuple[tuple[float, float] | None, str]:
        """Return the interval of a mean over people and trainings, or why there is none."""
        if not self._judged or self._rules is None or group not in self._judged[0].values:
            return None, self._without
        if self._rules.resamples == 0:
            return None, ""
        first = self._judged[0]
        members = first.members(group)
        if why := too_fine(name, members):
            return None, why
        if metric_of(name).test != DELONG:
            return self._resampled(group, name, values)
        if why := too_few(first.units, members):
            return None, why
        if not 0.0 < float(np.mean(values)) < 1.0:
            return None, "no interval: every training is at the end of the range"
        return trainings_interval([one.influence(group) for one in self._judged], self._rules.level), ""

    def _resampled(self, group: str, name: str, values: Sequence[float]) -> tuple[tuple[float, float] | None, str]:
        """Return the mean ± t times the root of the variance over resamples of people and that between trainings."""
        from scipy.stats import t

        assert self._rules is not None and self._cut is not None
        first, mean = self._judged[0], float(np.mean(values))
        listed = [one.drawn.get(group, {}).get(name) for one in self._judged]
        drawn = np.array([one for one in listed if one is not None])
        overall = drawn.mean(axis=0) if len(drawn) == len(listed) else None
        if why := refused(name, first.members(group), overall):
            return None, why
        assert overall is not None
        groups = first.groups(group, name)
        between = [resampled_between(values, drawn, groups)]
        variance, freedom = with_trainings(resampled_spread(overall, groups), between)
        if variance < NO_SPREAD:
            return None, AGREE
        # A metric that resampling shifts by as much as its own value is shifted is moved back once.
        centre = mean - (float(np.nanmean(overall)) - mean if biases(name, self._cut) == 2.0 else 0.0)
        reach = float(t.ppf(0.5 + self._rules.level / 2.0, freedom) * np.sqrt(variance))
        least, greatest = metric_of(name).range
        low, high = np.clip([centre - reach, centre + reach], least, greatest)
        return (min(float(low), mean), max(float(high), mean)), ""
