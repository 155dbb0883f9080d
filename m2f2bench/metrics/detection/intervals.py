"""Metric values with intervals: clustered DeLong for the AUC, a bootstrap over clusters for all others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...cards.protocols import Bootstrap
from ...core.arrays import Codes, Floats
from ...core.records import FAKE, REAL, Score
from ...core.rows import Units
from ...stats import clustered
from ...stats.bootstrap import FEWEST_DEFINED, boundary, expanded_tail, over_draws
from ..metric import DELONG
from ..names import AVERAGE, OVERALL
from ..registry import at_threshold, metric_of
from . import values as detection
from .calibration import calibrated_ece
from .clusters import Members, groups_of, in_one_cluster, influence_of, members, too_few, trials
from .sample import Sample, plain, resampled
from .values import Cut, Values

NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Scored:
    """Scores of all units, of each method and their average over methods; the threshold used; the reliability bins."""

    overall: dict[str, Score]
    methods: dict[str, dict[str, Score]]
    average: dict[str, Score]
    threshold: float | None
    reliability: list[Mapping[str, float | int | None]]


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
    held, draws = sample.by_method(), sample.draws(resampling.resamples, resampling.seed)
    whole = [(held @ weights > 0).all(axis=0) for weights in draws]
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


def too_fine(name: str, m: Members) -> str:
    """Return why there are too few reals for a metric with low false positive rate; empty if there are enough."""
    if m.n_real >= metric_of(name).fewest_reals:
        return ""
    return f"no interval: {m.n_real} real units are too few for this rate; measured at zero false positives"


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
        if self.group == AVERAGE and not all(len(self.units.of(method)) for method in self.units.methods):
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
