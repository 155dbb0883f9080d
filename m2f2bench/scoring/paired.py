"""Paired tests between detectors that judged the same units: DeLong, cluster bootstrap, McNemar; Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import FAKE, REAL
from . import detection
from .delong import Placements, auc_covariance, placements, wald
from .detection import AVERAGE, DECISION, OVERALL, Cut, Values
from .intervals import NO_SPREAD, Resampling, pick_threshold, resample
from .rows import Units
from .sample import plain

if TYPE_CHECKING:
    from ..records import Floats

DELONG, BOOTSTRAP, MCNEMAR = "DeLong", "cluster bootstrap", "McNemar"


@dataclass(frozen=True)
class Difference:
    """`first` less `second` in one metric of one group, with interval and two-sided p.

    `group` is empty for all methods together, `average`, or a method. None where a value is not defined, or nothing
    tells how sure the difference is. `test` is what `p` comes from; the interval is DeLong's where the test is, and
    the bootstrap's otherwise. `holm` is p after Holm's correction over the pairs that were tested in this metric and
    group. `counts` holds McNemar's: units that only the first, only the second got right.
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


class Judged:
    """One detector's units with all that is computed of them once, whatever they are compared with."""

    def __init__(self, units: Units, cut: Cut, metrics: Sequence[str], resampling: Resampling) -> None:
        """`metrics` may hold decision metrics ending in `@0.5`. Units are ordered alike for all that are compared."""
        self.units, self.cut, self.metrics, self.resampling = units, cut, metrics, resampling
        values = detection.evaluate(plain(units), np.ones((1, 1)), metrics, cut)
        self.threshold = pick_threshold(units, cut)
        unknown = [n for n in metrics if n in DECISION and self.threshold is None]
        self.values = {
            group: {name: math.nan if name in unknown else float(v[0]) for name, v in own.items()}
            for group, own in values.items()
        }

    @cached_property
    def drawn(self) -> Values:
        """Every metric of every group in each resample; see `intervals.resample`."""
        return resample(self.units, self.metrics, self.cut, self.resampling)

    def places(self, group: str) -> Placements:
        """DeLong's placements of a group's fakes among all reals."""
        return placements(self.units.score[self.units.label == REAL], self.units.score[self.units.fakes(group)])

    def right(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each unit's decision is right, bool [N], at the threshold of a decision metric."""
        threshold = 0.5 if name.endswith(detection.AT_HALF) or self.threshold is None else self.threshold
        return np.asarray((self.units.score >= threshold) == (self.units.label == FAKE))


def differences(first: Judged, second: Judged) -> list[Difference]:
    """Every metric of every group that both have. The units must be the same and in the same order."""
    assert (first.units.label == second.units.label).all() and (first.units.cluster == second.units.cluster).all()
    return [
        difference(first, second, group, name)
        for group, values in first.values.items()
        for name in values
        if name in second.values.get(group, {})
    ]


def difference(first: Judged, second: Judged, group: str, name: str) -> Difference:
    """One metric of one group that both have; see `differences`."""
    a, b = first.values[group][name], second.values[group][name]
    if math.isnan(a) or math.isnan(b):
        return Difference(group, name, None if math.isnan(a) else a, None if math.isnan(b) else b)
    found = Difference(group, name, a, b, a - b)
    if name == "auc" and first.units.independent and group != AVERAGE:
        exact = _delong(first, second, group, a - b)
        return replace(found, **(exact or _bootstrap(first, second, group, name, a - b)))
    found = replace(found, **_bootstrap(first, second, group, name, a - b))
    if name.startswith("accuracy") and group == OVERALL:
        found = replace(found, **_mcnemar(first, second, name))
    return found


def _delong(first: Judged, second: Judged, group: str, difference: float) -> dict[str, Any]:
    """The normal test of the difference of two correlated AUCs (DeLong et al. 1988, eq. 5); empty without spread."""
    from scipy.stats import norm

    one, other = first.places(group), second.places(group)
    variance = auc_covariance(one, one) + auc_covariance(other, other) - 2.0 * auc_covariance(one, other)
    if math.isnan(variance) or variance < NO_SPREAD:
        return {}
    p = 2.0 * float(norm.sf(abs(difference) / math.sqrt(variance)))
    return {"ci": wald(difference, variance, first.resampling.level, -1.0, 1.0), "p": p, "test": DELONG}


def _bootstrap(first: Judged, second: Judged, group: str, name: str, difference: float) -> dict[str, Any]:
    """Percentile interval of the difference in the same resamples, and the p at which it would just reach zero."""
    if group not in first.drawn or group not in second.drawn:
        return {}
    drawn = first.drawn[group][name] - second.drawn[group][name]
    biased = name == "ece" or (name in DECISION and first.cut.oracle)
    return bootstrap_difference(drawn, difference, first.resampling.level, biased)


def bootstrap_difference(drawn: Floats, difference: float, level: float, biased: bool = False) -> dict[str, Any]:
    """`ci`, `p` and `test` of a difference from its values in each resample, [B]; empty where none is defined.

    The percentile interval, and the two-sided p at which it would just reach zero. `biased`: resampling shifts both
    values; what shift of the difference is left is taken off.
    """
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return {}
    if biased:
        drawn = drawn - (drawn.mean() - difference)  # both have about the same bias: little of it is left
    if max(np.ptp(drawn), abs(difference)) < NO_SPREAD:
        return {"ci": (0.0, 0.0), "p": 1.0, "test": BOOTSTRAP}
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2.0 * (1 + int(tail)) / (1 + len(drawn)))
    return {"ci": (min(float(low), difference), max(float(high), difference)), "p": p, "test": BOOTSTRAP}


def _mcnemar(first: Judged, second: Judged, name: str) -> dict[str, Any]:
    """McNemar's test of the decisions: exact where units are independent, else with clusters as what varies.

    With clusters (Durkalski et al., Statistics in Medicine 22, 2003): (sum of d)² / (sum of d²) over the clusters'
    differences d in right decisions, chi-squared with one degree of freedom.
    """
    from scipy.stats import binomtest, chi2

    one, other = first.right(name), second.right(name)
    b, c = int((one & ~other).sum()), int((other & ~one).sum())
    counts = {"only_first_right": b, "only_second_right": c}
    if b + c == 0:
        return {"p": 1.0, "test": MCNEMAR, "counts": counts}
    if first.units.independent:
        return {"p": float(binomtest(b, b + c).pvalue), "test": f"{MCNEMAR}, exact", "counts": counts}
    d = np.bincount(first.units.cluster, weights=one.astype(float) - other.astype(float))
    spread = float((d**2).sum())
    p = float(chi2.sf(d.sum() ** 2 / spread, 1)) if spread > 0 else 1.0
    return {"p": p, "test": f"{MCNEMAR}, clustered", "counts": counts}


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (Holm 1979), in the order given; None stays None and is not counted."""
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    out: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        out[i] = highest
    return out
