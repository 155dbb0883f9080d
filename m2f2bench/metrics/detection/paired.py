"""Paired significance tests between detectors on the same units: DeLong, McNemar, cluster bootstrap, with Holm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np

from ...cards.protocols import Bootstrap
from ...core.arrays import Floats
from ...core.errors import ScoreError
from ...core.records import FAKE
from ...core.rows import Units
from ...stats.bootstrap import expanded_p, expanded_tail
from ...stats.clustered import Influence, auc_difference, crossed_square
from ...stats.margin import Scaled, of_interval
from ...stats.multiplicity import bounds, holm
from ...stats.power import LEVEL
from ..metric import DELONG, MCNEMAR
from ..names import AT_HALF, OVERALL
from ..registry import at_threshold, metric_of
from . import values as detection
from .clusters import groups_of, influence_of, members, too_few, trials
from .intervals import NO_SPREAD, pick_threshold, refused, resample, too_fine
from .margins import Margin, margin_of, margin_of_draws
from .sample import plain
from .values import Cut, Values

BOOTSTRAP = "cluster bootstrap"
AGREE = "no interval: all resamples agree"


@dataclass(frozen=True)
class Difference:
    """Difference `first` - `second` in one metric of one group, with its interval and two-sided p.

    `group` is empty for all methods together, `average`, or a method. Fields are None if a value is undefined or no
    test is possible; `reason` says why. `test` names the test of `p`; the interval is DeLong's if the test is DeLong's,
    otherwise the bootstrap's. `holm` is p after Holm's correction over the pairs, in the protocol's primary metric
    over all methods; elsewhere `bh` is p after Benjamini and Hochberg's over all that is exploratory. `bound` and
    `corrected_bound` mark p and these as upper bounds: the difference reaches zero in no resample of `draws`.
    `counts` holds McNemar's counts: units that only the first, or only the second, got right.
    """

    group: str
    metric: str
    first: float | None
    second: float | None
    difference: float | None = None
    ci: tuple[float, float] | None = None
    p: float | None = None
    holm: float | None = None
    test: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    bound: bool = False
    bh: float | None = None
    corrected_bound: bool = False
    draws: int = 0
    reason: str = ""
    scaled: Scaled | None = None
    """The difference on the scale of its t test, with its standard error, if it has one."""
    smallest: float | None = None
    """Where two are not told apart: the difference that would be found in 80% of such tests, infinite if not even a
    detector at chance would be; None where they are told apart, or without a test."""
    margin: Margin | None = None
    """The tests of a margin, if one was given."""

    @property
    def corrected(self) -> float | None:
        """The p after the correction that it has."""
        return next((p for p in (self.holm, self.bh) if p is not None), self.p)


class Judged:
    """One detector's units and everything computed from them once, for all comparisons."""

    def __init__(self, units: Units, cut: Cut, metrics: Sequence[str], resampling: Bootstrap) -> None:
        """Compute the values. `metrics` may hold metrics ending in `@0.5`. Detectors need the same order of units."""
        self.units, self.cut, self.metrics, self.resampling = units, cut, metrics, resampling
        values = detection.evaluate(plain(units), np.ones((1, 1)), metrics, cut)
        self.threshold = pick_threshold(units, cut)
        unknown = [n for n in metrics if self.threshold is None and at_threshold(n)]
        self.values = {
            group: {name: math.nan if name in unknown else float(v[0]) for name, v in own.items()}
            for group, own in values.items()
        }
        self.members = cache(partial(members, units))
        self.groups = cache(partial(groups_of, units))
        self._influences: dict[str, Influence] = {}

    @cached_property
    def drawn(self) -> Values:
        """Each metric of each group in each resample; see `intervals.resample`."""
        return resample(self.units, self.metrics, self.cut, self.resampling)

    def influence(self, group: str) -> Influence:
        """Return each cluster's influence on the AUC of a group; computed once."""
        if group not in self._influences:
            self._influences[group] = influence_of(self.units, group)
        return self._influences[group]

    def right(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return whether each unit's decision is right, bool [N], at the threshold of a decision metric."""
        threshold = 0.5 if name.endswith(AT_HALF) or self.threshold is None else self.threshold
        return np.asarray((self.units.score >= threshold) == (self.units.label == FAKE))


def unlike(first: Units, second: Units) -> str:
    """Return how the units of two detectors differ, in words; empty if they are the same."""
    if len(first.label) != len(second.label):
        return f"the number of units that have a score ({len(first.label)} / {len(second.label)})"
    for name in ("label", "method", "video"):
        if (getattr(first, name) != getattr(second, name)).any():
            return f"the units' {name}s"
    if first.clustered_by != second.clustered_by:
        return f"the resampled unit ({first.clustered_by} / {second.clustered_by})"
    if first.n_clusters != second.n_clusters or (first.cluster != second.cluster).any():
        return f"the clusters of units ({first.n_clusters} / {second.n_clusters} clusters)"
    return "" if first.methods == second.methods else "the planned methods"


class Paired:
    """Two detectors on the same units and clusters, with the same resamples: the source of every difference."""

    def __init__(self, first: Judged, second: Judged, margin: float | None = None, alpha: float = LEVEL) -> None:
        """Raise ScoreError unless units, clusters and resamples are the same.

        With a `margin` each difference has its two one-sided tests at `alpha`.
        """
        difference = unlike(first.units, second.units)
        one, other = ((own.resampling.resamples, own.resampling.seed, own.resampling.level) for own in (first, second))
        if not difference and one != other:
            difference = f"how intervals are computed ({first.resampling} / {second.resampling})"
        if difference:
            raise ScoreError(f"cannot compare: they differ in {difference}; judge both on the same rows")
        self.first, self.second, self._margin, self._alpha = first, second, margin, alpha

    @property
    def shared(self) -> list[tuple[str, str]]:
        """Groups and metrics that both detectors have."""
        theirs = self.second.values
        return [(g, name) for g, own in self.first.values.items() for name in own if name in theirs.get(g, {})]

    @cached_property
    def same(self) -> bool:
        """Whether both detectors gave the same scores."""
        return bool(np.array_equal(self.first.units.score, self.second.units.score))

    def shift(self, group: str, name: str, drawn: Floats, difference: float) -> float:
        """Return the bias to subtract from the difference in each resample [B], for metrics that resampling shifts.

        The bias is about the same for both detectors, so the difference keeps little of it.
        """
        biased = metric_of(name).biased or (at_threshold(name) and self.first.cut.oracle)
        return float(np.nanmean(drawn)) - difference if biased else 0.0

    def drawn(self, group: str, name: str) -> Floats | None:
        """Return the difference in each resample, float64 [B]; None without resamples."""
        first, second = self.first.drawn.get(group, {}), self.second.drawn.get(group, {})
        return first[name] - second[name] if name in first and name in second else None

    def difference(self, group: str, name: str) -> Difference:
        """Return the tested difference in one metric of one group, which both detectors must have."""
        a, b = self.first.values[group][name], self.second.values[group][name]
        if math.isnan(a) or math.isnan(b):
            return Difference(group, name, None if math.isnan(a) else a, None if math.isnan(b) else b)
        found = Difference(group, name, a, b, a - b)
        if metric_of(name).test == DELONG and (exact := self._delong(group)):
            return replace(found, **exact)
        found = replace(found, **self._bootstrap(group, name, a - b))
        if metric_of(name).test == MCNEMAR and group == OVERALL:
            found = replace(found, **self._mcnemar(name))
        if self._margin is not None and self.same:
            found = replace(found, margin=Margin(self._margin, 0.0, 0.0, (0.0, 0.0), 0.0))
        return found

    def _delong(self, group: str) -> dict[str, Any]:
        """Return the t test of two correlated AUCs (see `stats.clustered`); empty if neither has any spread."""
        units, rules = self.first.units, self.first.resampling
        if rules.resamples == 0 and not units.independent:
            return {}
        if why := too_few(units, self.first.members(group)):
            return {"reason": why}
        found = (
            None
            if self.same
            else auc_difference(self.first.influence(group), self.second.influence(group), rules.level)
        )
        if found is None:
            return {}
        test = DELONG if units.independent else f"{DELONG}, clustered"
        scaled = Scaled(found.apart, found.deviation, found.freedom, found.on_scale)
        tests = None if self._margin is None else margin_of(scaled, self._margin, "auc", self._alpha)
        return {"ci": found.ci, "p": found.p, "test": test, "scaled": scaled, "margin": tests}

    def _bootstrap(self, group: str, name: str, difference: float) -> dict[str, Any]:
        """Return what `bootstrap_difference` returns, or only the `reason` why the test is not possible."""
        rules, drawn = self.first.resampling, self.drawn(group, name)
        m = self.first.members(group)
        if rules.resamples == 0:
            return {"reason": why} if (why := too_fine(name, m)) else {}
        why = refused(name, m, drawn)
        if drawn is None or why:
            return {"reason": why}
        n = trials(self.first.units, group, name, self.first.threshold)
        drawn = drawn - self.shift(group, name, drawn, difference)
        groups = self.groups(group, name)
        found = bootstrap_difference(drawn, difference, rules.level, groups, self.same, n)
        scaled = on_scale(found, difference, rules.level, groups)
        return scaled | margin_tests(found, drawn, name, groups, self._margin, self._alpha)

    def groups(self, group: str, name: str) -> float:
        """Return the effective number of clusters behind the resamples; see `clusters.groups_of`."""
        return self.first.groups(group, name)

    def _mcnemar(self, name: str) -> dict[str, Any]:
        """Return McNemar's test of the decisions: exact if units are independent, otherwise with clusters as units.

        With clusters (Durkalski et al., Statistics in Medicine 22, 2003): (sum of d)² / (sum of d²) over clusters, with
        d the difference in the number of right decisions; chi-squared with one degree of freedom. Where clusters share
        people, products of clusters with a person in common are in the sum too.
        """
        from scipy.stats import binomtest, chi2

        one, other = self.first.right(name), self.second.right(name)
        b, c = int((one & ~other).sum()), int((other & ~one).sum())
        counts, exactly = {"only_first_right": b, "only_second_right": c}, {"bound": False, "draws": 0}
        if b + c == 0:
            return {"p": 1.0, "test": MCNEMAR, "counts": counts, **exactly}
        if self.first.units.independent:
            return {"p": float(binomtest(b, b + c).pvalue), "test": f"{MCNEMAR}, exact", "counts": counts, **exactly}
        if self.first.members(OVERALL).clusters < 2:
            return {"counts": counts}
        weights = one.astype(float) - other.astype(float)
        d = np.bincount(self.first.units.cluster, weights, self.first.units.n_clusters).astype(np.float64)
        spread = float((d**2).sum()) if self.first.units.people is None else crossed_square(d, self.first.units.people)
        p = float(chi2.sf(d.sum() ** 2 / spread, 1)) if spread > 0 else 1.0
        return {"p": p, "test": f"{MCNEMAR}, clustered", "counts": counts, **exactly}


def sides(drawn: Floats) -> tuple[int, int, int]:
    """Return how many of the differences [B] are at most 0, at least 0, and defined."""
    drawn = drawn[~np.isnan(drawn)]
    return int((drawn <= NO_SPREAD).sum()), int((drawn >= -NO_SPREAD).sum()), len(drawn)


def tail_p(tail: int, n: int, groups: float) -> float:
    """Return the two-sided p of a difference that crosses or equals zero in `tail` of n resamples of `groups`."""
    return expanded_p(min(1.0, 2.0 * (1 + tail) / (1 + n)), groups)


def bootstrap_difference(
    drawn: Floats, difference: float, level: float, groups: float, same: bool = False, n_trials: int = 0
) -> dict[str, Any]:
    """Return `ci`, `p`, `bound`, `draws` and `test` of a difference from its values [B] in each resample.

    `ci` is the expanded percentile interval over so many `groups` (see `stats.bootstrap.expanded_tail`); `p` is
    two-sided, for the interval that just reaches zero; it is an upper bound if no resample does. `same`: both detectors
    gave the same scores, so the difference is zero. If all resamples agree, the spread is unknown: there is no
    interval, and p is at most that of `n_trials` trials with the same outcome (see `clusters.trials`), each with a
    chance of at most max(0.5, 1 - |difference|).
    """
    below, above, n = sides(drawn)
    if n == 0:
        return {"reason": "no interval: defined in none of the resamples"}
    defined = drawn[~np.isnan(drawn)]
    found: dict[str, Any] = {"test": BOOTSTRAP, "draws": n}
    if np.ptp(defined) < NO_SPREAD:
        if abs(difference) < NO_SPREAD:
            return {**found, "p": 1.0, **({"ci": (0.0, 0.0)} if same else {"reason": AGREE})}
        p = min(1.0, 2.0 * max(0.5, 1.0 - abs(difference)) ** n_trials) if n_trials else tail_p(0, n, groups)
        return {**found, "p": p, "bound": True, "reason": AGREE}
    cut = expanded_tail(level, groups)
    low, high = np.quantile(defined, [cut, 1.0 - cut])
    ci = (min(float(low), difference), max(float(high), difference))
    tail = min(below, above)
    return {**found, "ci": ci, "p": tail_p(tail, n, groups), "bound": tail == 0}


def on_scale(found: dict[str, Any], difference: float, level: float, groups: float) -> dict[str, Any]:
    """Return what `bootstrap_difference` found, with the difference on the scale of a t test if it has an interval."""
    return found | ({"scaled": of_interval(found["ci"], difference, level, groups)} if "ci" in found else {})


def margin_tests(
    found: dict[str, Any], drawn: Floats, metric: str, groups: float, margin: float | None, alpha: float
) -> dict[str, Any]:
    """Return the tests of a margin as `margin`, if one is given and there is an interval; else nothing is shown."""
    if margin is None or "ci" not in found:
        return {}
    return {"margin": margin_of_draws(drawn, margin, metric, groups, alpha)}


def p_text(p: float, bound: bool = False) -> str:
    """Return a p-value as printed after its name: `= 0.0123`, `< 0.0001`, or `≤ 0.0020` (rounded up) for a bound."""
    if p < 0.0001:
        return "< 0.0001"
    return f"≤ {math.ceil(p * 1e4 - 1e-9) / 1e4:.4f}" if bound else f"= {p:.4f}"


def corrected(found: Iterable[Difference]) -> list[Difference]:
    """Return the differences of one family with Holm's correction over them."""
    family = list(found)
    ps = [d.p for d in family]
    marked = zip(family, holm(ps), bounds(ps, [d.bound for d in family]), strict=True)
    return [replace(d, holm=p, corrected_bound=bound) for d, p, bound in marked]
