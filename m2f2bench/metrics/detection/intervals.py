"""Metric values with intervals: clustered DeLong for the AUC, a bootstrap over clusters for all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...cards.protocols import Bootstrap
from ...core.arrays import Codes, Floats
from ...core.records import FAKE, REAL, Score
from ...core.rows import Units
from ...stats import clustered
from ...stats.bootstrap import FEWEST_DEFINED, boundary, expanded_tail, over_draws
from ...stats.clustered import Influence, counts_of, effective, influence, mean_influence
from ...stats.delong import placements, weighted_above
from ..metric import DELONG
from ..names import AT_HALF, AVERAGE, OVERALL
from ..registry import at_threshold, metric_of
from . import values as detection
from .calibration import calibrated_ece
from .sample import Sample, plain, resampled
from .values import Cut, Values

FEW_CLUSTERS = 40
"""Effective number of clusters below which resampled intervals are too narrow: with 10, 20 and 40 videos, resampled 95%
intervals of the AUC held the true value in 86, 92 and 94% of 1,000 simulations."""
NO_SPREAD = 1e-12
LISTED = 3
"""Groups that a warning names."""


@dataclass(frozen=True)
class Scored:
    """Scores of all units, of each method and their average over methods; the threshold used; the reliability bins."""

    overall: dict[str, Score]
    methods: dict[str, dict[str, Score]]
    average: dict[str, Score]
    threshold: float | None
    reliability: list[Mapping[str, float | int | None]]


class Members(NamedTuple):
    """Counts of a group: units and clusters of each class, and `mixed` clusters, which hold both classes."""

    n_real: int
    n_fake: int
    clusters_real: int
    clusters_fake: int
    mixed: int

    @property
    def clusters(self) -> int:
        """Number of clusters that hold a unit."""
        return self.clusters_real + self.clusters_fake - self.mixed

    @property
    def pairs(self) -> int:
        """Number of disjoint pairs of a real and a fake cluster."""
        return min(self.clusters_real, self.clusters_fake, self.clusters // 2)


def score_units(units: Units, metrics: Sequence[str], cut: Cut, resampling: Bootstrap) -> Scored:
    """Return each metric of each group; an undefined one has value None and the reason.

    The AUC gets the interval of clustered DeLong (see `stats.clustered`); all other values get the expanded
    percentile interval of resampled clusters (see `stats.bootstrap.expanded_tail`). Where resampling itself adds bias,
    this bias (mean of the resamples minus the value) is subtracted: twice if the value has the same bias (`ece`, and
    the metric maximised by a threshold chosen on these scores), once for other decisions at such a threshold. If there
    are too few reals for a single false positive, `tpr_at_fpr1` and `tpr_at_fpr01` estimate another rate than their
    name says, and get no interval.
    """
    names = detection.all_metrics(metrics, cut)
    sample = plain(units)
    values = detection.evaluate(sample, np.ones((1, 1)), names, cut)
    drawn = resample(units, [name for name in names if metric_of(name).test != DELONG], cut, resampling)
    groups: dict[str, dict[str, Score]] = {}
    for group, found in values.items():
        if group != OVERALL and len(units.methods) == 1 and (units.label == FAKE).any():  # the same units
            groups[group] = dict(groups[OVERALL])
            continue
        judge = _Judge(units, group, cut, resampling, members(units, group))
        resamples = drawn.get(group, {})
        groups[group] = {name: judge.score(name, float(value[0]), resamples.get(name)) for name, value in found.items()}
    overall, average = groups.pop(OVERALL), groups.pop(AVERAGE, {})
    return Scored(overall, groups, average, pick_threshold(units, cut), detection.reliability_bins(sample))


def pick_threshold(units: Units, cut: Cut) -> float | None:
    """Return the threshold that a policy gives on these units; None if a class is missing."""
    if cut.how == "fixed":
        return cut.value
    if not {REAL, FAKE} <= set(units.label.tolist()):
        return None
    sample = plain(units)
    curve = detection.all_fakes(sample, np.ones((1, 1)))
    return float(detection.threshold(curve, sample.levels, cut)[1][0])


def resample(units: Units, names: Sequence[str], cut: Cut, resampling: Bootstrap) -> Values:
    """Return each metric of each group in each resample, float64 [resamples]; empty if there is nothing to resample.

    A resample draws C of the C clusters, with replacement; the draws depend only on C and the seed.
    """
    if resampling.resamples == 0 or len(units.score) == 0 or units.n_clusters < 2 or not names:
        return {}
    sample = sample_of(units, cut, resampling.seed)
    some = _worth_drawing(units, sample, resampling) if len(units.methods) > detection.MANY else None
    draws = sample.draws(resampling.resamples, resampling.seed)
    pieces = over_draws(draws, lambda weights: detection.evaluate(sample, weights, names, cut, some))
    return {
        group: {name: np.concatenate([piece[group][name] for piece in pieces]) for name in names} for group in pieces[0]
    }


def _worth_drawing(units: Units, sample: Sample, resampling: Bootstrap) -> set[str] | None:
    """Return the methods that can get an interval, of many; None where their average can get one, which needs all.

    One whose fakes are in one cluster gets none. The average is undefined in a resample without any fake of a method.
    """
    whole = [
        (sample.by_method() @ weights > 0).all(axis=0)
        for weights in sample.draws(resampling.resamples, resampling.seed)
    ]
    if np.concatenate(whole).mean() >= FEWEST_DEFINED:
        return None
    return {method for method in units.methods if not in_one_cluster(members(units, method))}


def sample_of(units: Units, cut: Cut, seed: int, most: int = 0) -> Sample:
    """Return the units for resampling; more than `most` distinct scores are joined (see `sample.resampled`)."""
    return resampled(units, (0.5, cut.value) if cut.how == "fixed" else (0.5,), seed, most)


def auc_interval(
    labels: Codes,
    scores: Floats,
    clusters: Codes,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, tuple[float, float] | None]:
    """Return AUC and interval of scores [N] over clusters (codes [N], 0 … C-1). Raises ValueError if undefined."""
    n = len(labels)
    method = np.where(labels == FAKE, "fake", "original").astype(object)
    names = np.array([""] * n, dtype=object)
    units = Units(labels, scores, method, names, clusters, int(clusters.max()) + 1, 1.0, ("fake",))
    found = score_units(units, ["auc"], Cut(), Bootstrap(resamples=resamples, seed=seed, level=level)).overall["auc"]
    if found.value is None:
        raise ValueError(f"no AUC: {found.reason}")
    return found.value, found.ci


def members(units: Units, group: str) -> Members:
    """Return the counts of a group: all reals, and all fakes for OVERALL and AVERAGE, otherwise those of the method."""
    own = units.of("" if group == AVERAGE else group)
    clusters = np.unique(units.cluster[own])
    of_real, mixed = (int(np.count_nonzero(held)) for held in (units.reals_held, units.reals_held[clusters]))
    return Members(int(units.reals_held.sum()), len(own), of_real, len(clusters), mixed)


def refused(name: str, m: Members, drawn: Floats | None) -> str:
    """Return why resamples [B] of a metric, or of a difference of two detectors, cannot be used; empty if they can.

    Intervals (`score`) and tests (`compare`, `check`, boards) share this rule.
    """
    if why := too_fine(name, m):
        return why
    if why := in_one_cluster(m, drawn is None and m.clusters < 2):
        return why
    if drawn is None:  # see `_worth_drawing`
        return "no interval: in most resamples a method has no fake"
    defined = int((~np.isnan(drawn)).sum())
    return (
        f"no interval: defined in {defined} of {len(drawn)} resamples" if defined < FEWEST_DEFINED * len(drawn) else ""
    )


def in_one_cluster(m: Members, all_of_them: bool = False) -> str:
    """Return that all units of a class (or `all_of_them`) are in one cluster, as a reason; empty if they are not."""
    alone = [
        word for word, n, k in (("real", m.n_real, m.clusters_real), ("fake", m.n_fake, m.clusters_fake)) if n and k < 2
    ]
    if not alone and not all_of_them:
        return ""
    return f"no interval: all {' and all '.join(alone) or 'scored'} units are in one cluster"


def too_few(units: Units, m: Members) -> str:
    """Return why an AUC has no variance: a class has one unit, or one cluster; empty if it has one."""
    if units.independent and min(m.n_real, m.n_fake) < 2:
        return "no interval: at least two real and two fake units are needed"
    return in_one_cluster(m, m.clusters < 2)


def few_clusters(clusters: Mapping[str, Any]) -> list[str]:
    """Return a warning for a result's or a comparison's `clusters` if they are effectively few; else an empty list.

    Clusters of unequal size count for less than their number. Groups without a unit are not counted.
    """
    by, n = clusters.get("by"), clusters.get("n", 0)
    counts = clusters.get("effective")
    what = {"identity": "groups of people", "people": "people"}.get(str(by), f"{by}s")
    if not counts:  # results of older versions, answers and heat maps
        return [f"only {n} clusters: the intervals are probably too narrow"] if 1 < n < FEW_CLUSTERS else []
    named = {"reals": counts["real"], "fakes": counts["fake"]}
    named |= {f"fakes of {name}": count for name, count in counts.get("methods", {}).items()}
    few = {name: count for name, count in named.items() if 0.0 < count < FEW_CLUSTERS}
    if not few:
        return []
    least = sorted(few.items(), key=lambda one: one[1])
    text = ", ".join(f"{count:g} of {name}" for name, count in least[:LISTED])
    more = f" and {len(few) - LISTED} more groups" if len(few) > LISTED else ""
    return [
        f"few {what}, counted by their units (effective number: {text}{more}; {FEW_CLUSTERS} are enough): resampled "
        f"intervals are probably too narrow"
    ]


def influence_of(units: Units, group: str) -> Influence:
    """Return each cluster's influence on the AUC of a group: all fakes, one method's, or the mean of the methods."""
    if group == AVERAGE and len(units.methods) > detection.MANY:
        return _influence_of_many(units)
    if group == AVERAGE and len(units.methods) > 1:
        return mean_influence([influence_of(units, method) for method in units.methods])
    real, fake = units.label == REAL, units.fakes("" if group == AVERAGE else group)
    places = placements(units.score[real], units.score[fake])
    return influence(places, units.cluster[fake], units.cluster[real], units.n_clusters, units.people)


def _influence_of_many(units: Units) -> Influence:
    """Return what `mean_influence` does of all methods, without looking at each: a fake counts by its method's size."""
    real, fake = np.flatnonzero(units.label == REAL), np.concatenate([units.of(method) for method in units.methods])
    sizes = [len(units.of(method)) for method in units.methods]
    number, weight = np.repeat(np.arange(len(sizes)), sizes), np.repeat(1.0 / np.array(sizes), sizes) / len(sizes)
    below = placements(units.score[real], units.score[fake]).fake
    means = np.bincount(number, below * weight) * len(sizes)
    above = weighted_above(units.score[real], units.score[fake], weight)
    value, share = float(means.mean()), np.full(len(real), 1.0 / len(real))

    def of(kept: Codes, values: Floats) -> Floats:
        return np.bincount(units.cluster[kept], values, units.n_clusters).astype(np.float64)

    parts = of(fake, (below - means[number]) * weight), of(real, (above - value) * share)
    return Influence(value, *parts, of(fake, weight), of(real, share), units.people)


def effective_counts(units: Units, group: str) -> tuple[float, float]:
    """Return the effective numbers of clusters (people, if clusters share them) of a group's reals and fakes.

    Clusters of very unequal size count for less than their number: (Σ n)² / Σ n² of their numbers n of units.
    """
    if units.people is None and len(units.methods) > detection.MANY:
        held = np.unique(units.cluster[units.of(group)], return_counts=True)[1]
        return effective(units.reals_held.astype(np.float64)), effective(held.astype(np.float64))
    real, fake = units.label == REAL, units.fakes(group)
    shares = [
        np.bincount(units.cluster[own], minlength=units.n_clusters) / max(int(own.sum()), 1) for own in (real, fake)
    ]
    return counts_of(Influence(0.5, shares[1], shares[0], shares[1], shares[0], units.people))


def groups_of(units: Units, group: str, name: str) -> float:
    """Return the effective number of clusters behind the resamples of a metric in a group; see `effective_counts`.

    Of a mean over units they are those of all units, of a mean over fakes those of the fakes. Other metrics compare
    both classes: one more than Satterthwaite's degrees of freedom, as if clusters of reals and of fakes vary alike, and
    at most the number of all. The average over methods takes the lowest of any method.
    """
    if group == AVERAGE and len(units.methods) > 1:
        return min(groups_of(units, method, name) for method in units.methods)
    group = "" if group == AVERAGE else group
    real, fake = effective_counts(units, group)
    by = metric_of(name).trials
    if by in ("fakes", "called"):
        return fake
    held = np.bincount(units.cluster[(units.label == REAL) | units.fakes(group)], minlength=units.n_clusters)
    sums = held.astype(np.float64)
    of_all = effective(sums if units.people is None else units.people.per_person(sums))
    if by == "clusters" or min(real, fake) == 0.0:
        return of_all
    parts = sum(1.0 / (n * n * (n - 1.0)) if n > 1.0 else math.inf for n in (real, fake))
    return min(1.0 + (1.0 / real + 1.0 / fake) ** 2 / parts, of_all)


def too_fine(name: str, m: Members) -> str:
    """Return why there are too few reals for a metric with low false positive rate; empty if there are enough."""
    if m.n_real >= metric_of(name).fewest_reals:
        return ""
    return f"no interval: {m.n_real} real units are too few for this rate; measured at zero false positives"


def trials(units: Units, group: str, name: str, threshold: float | None) -> int:
    """Return the number of independent trials behind a metric at an end of its range; 0 if `Metric.trials` is empty.

    If the true metric is θ, the chance that n clusters are all right is at most θ^n. For a mean over units, n counts
    their clusters: of all units (accuracy, Brier score), of fakes (recall), or of units called fake (precision). For a
    mean of the two classes' shares, n counts each mixed cluster, and each other cluster that has a partner of the other
    class. All other metrics compare a real with a fake: n counts disjoint pairs of clusters. The average over methods
    takes the lowest n of any method: the average is 1 only if each method is.
    """
    if group == AVERAGE and len(units.methods) > 1:
        return min(trials(units, method, name, threshold) for method in units.methods)
    m, by = members(units, group), metric_of(name).trials
    if not by:
        return 0
    if units.people is not None:  # clusters that share people are no independent trials
        return units.people.n // 2
    if not m.n_real or not m.n_fake or by == "clusters":
        return m.clusters
    if by == "fakes":
        return m.clusters_fake
    if by == "halves":
        return m.mixed + 2 * min(m.clusters_real - m.mixed, m.clusters_fake - m.mixed)
    if by == "called" and threshold is not None:
        kept = (units.label == REAL) | units.fakes("" if group == AVERAGE else group)
        called = kept & (units.score >= (0.5 if name.endswith(AT_HALF) else threshold))
        return len(np.unique(units.cluster[called]))
    return m.pairs


def picked(name: str, cut: Cut) -> bool:
    """Return whether a metric's threshold is chosen on the scores that it judges."""
    return at_threshold(name) and cut.oracle


def biases(name: str, cut: Cut) -> float:
    """Return how many times the resamples' bias is subtracted from a metric's interval."""
    if picked(name, cut):
        return 2.0 if cut.how == "best" and cut.maximise == name else 1.0
    return float(metric_of(name).biased)


@dataclass(frozen=True)
class _Judge:
    """Scores of one group: checks that a value is defined, and gives its interval."""

    units: Units
    group: str
    cut: Cut
    resampling: Bootstrap
    members: Members

    def score(self, name: str, value: float, drawn: Floats | None) -> Score:
        n_real, n_fake = self.members.n_real, self.members.n_fake
        if reason := self._undefined(name, value):
            return Score(None, n_real, n_fake, reason=reason)
        notes = [why] if (why := too_fine(name, self.members)) else []
        ci = None
        if self.resampling.resamples > 0 and not notes:
            exact = metric_of(name).test == DELONG
            ci, why = self._delong(name, value) if exact else self._percentile(name, value, drawn)
            notes += [why] if why else []
        would = calibrated_ece(self.units.score) if metric_of(name).calibrated and self.group == OVERALL else None
        if would is not None:
            notes.append(f"a calibrated detector with these scores would read {would:.3f}, if units were independent")
        return Score(value, n_real, n_fake, ci, "; ".join(notes) or None, calibrated=would)

    def _picked(self, name: str) -> bool:
        return picked(name, self.cut)

    def _undefined(self, name: str, value: float) -> str:
        """Return why a metric has no value; empty if it has one."""
        metric = metric_of(name)
        missing = [word for word, n in (("real", self.members.n_real), ("fake", self.members.n_fake)) if n == 0]
        enough = metric.needs == "any" or (metric.needs == "fake" and missing == ["real"])
        if len(missing) == 2:
            return "no real and no fake unit has a score"
        if missing and (self._picked(name) or not enough or (missing == ["fake"] and self.group != OVERALL)):
            return f"no {missing[0]} unit has a score"
        if self.group == AVERAGE and not set(self.units.methods) <= set(self.units.method.tolist()):
            return "a method has no value"
        if not math.isnan(value):
            return ""
        if metric.undefined or self.group == AVERAGE:
            return metric.undefined or "a method has no value"
        return f"{name} has no value for these units"

    def _delong(self, name: str, value: float) -> tuple[tuple[float, float] | None, str]:
        if why := too_few(self.units, self.members):
            return None, why
        if value in (0.0, 1.0):
            return boundary(value, trials(self.units, self.group, name, None), self.resampling.level), ""
        return clustered.auc_interval(influence_of(self.units, self.group), self.resampling.level), ""

    def _percentile(self, name: str, value: float, drawn: Floats | None) -> tuple[tuple[float, float] | None, str]:
        metric, level = metric_of(name), self.resampling.level
        least, greatest = metric.range
        why = refused(name, self.members, drawn)
        if drawn is None or why:
            return None, why
        defined = drawn[~np.isnan(drawn)]
        defined = defined - biases(name, self.cut) * (defined.mean() - value)
        tail = expanded_tail(level, groups_of(self.units, self.group, name))
        low, high = np.clip(np.quantile(defined, [tail, 1.0 - tail]), least, greatest)
        if high - low < NO_SPREAD and min(value - least, greatest - value) < NO_SPREAD:
            if math.isinf(greatest) or math.isinf(least) or not metric.trials:
                return None, "no interval: all resamples agree"
            n = trials(self.units, self.group, name, pick_threshold(self.units, self.cut))
            return boundary(value, n, level, least, greatest), ""
        # With few units a step of the statistic can lie outside its own percentiles.
        return (min(float(low), value), max(float(high), value)), ""
