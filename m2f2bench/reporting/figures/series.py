"""Curves, bands and bins of one detector, computed from its units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...cards.protocols import Bootstrap
from ...core.records import FAKE, ORIGINAL, REAL, Score
from ...core.rows import Units
from ...metrics.detection.clusters import groups_of
from ...metrics.detection.curve import Curve, curve
from ...metrics.detection.intervals import Scored, score_units
from ...metrics.detection.sample import EDGES, Sample, plain, resampled
from ...metrics.detection.tally import Tally, reliability
from ...metrics.detection.values import Cut, all_fakes
from ...metrics.names import AVERAGE, OVERALL
from ...stats.bootstrap import FEWEST_DEFINED, boundary, expanded_tail, over_draws

if TYPE_CHECKING:
    from ...core.records import Floats


class Band(NamedTuple):
    """Pointwise interval of a curve: its ends, float64 [G], at positions of the x-axis, float64 [G]."""

    at: Floats
    low: Floats
    high: Floats


class Bins(NamedTuple):
    """Reliability bins, all float64 [BINS]: units, mean score, share of fakes with its interval.

    NaN in an empty bin. The interval is also NaN if it is not defined.
    """

    n: Floats
    score: Floats
    fake: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Series:
    """One detector's units, and how they are drawn.

    `group` is empty for all fakes, a method, or `average` (mean over the methods). `threshold` has `policy`, `value`
    (None if the policy gives no threshold) and `oracle`.
    """

    name: str
    units: Units
    cut: Cut
    rules: Bootstrap
    group: str = OVERALL
    threshold: tuple[str, float | None, bool] = ("0.5", 0.5, False)

    @cached_property
    def own(self) -> Units:
        """The units that are drawn: the reals and the group's fakes, as one method unless the mean over all is drawn.

        Clusters, and therefore resamples, do not change; the other units would only cost time.
        """
        if self.group == AVERAGE:
            return self.units
        if self.group != OVERALL:
            kept = (self.units.label == REAL) | (self.units.method == self.group)
            names = ("label", "score", "method", "video", "cluster")
            columns = {name: getattr(self.units, name)[kept] for name in names}
            return replace(self.units, **columns, methods=(self.group,))
        method = np.where(self.units.label == FAKE, "fake", ORIGINAL).astype(object)
        return replace(self.units, method=method, methods=("fake",) if self.units.methods else ())

    @property
    def n_units(self) -> tuple[int, int]:
        """Reals and fakes that are drawn."""
        return int((self.own.label == REAL).sum()), int((self.own.label == FAKE).sum())

    @cached_property
    def _plain(self) -> Sample:
        return plain(self.own)

    def scored(self, metrics: Sequence[str]) -> Scored:
        """Return metrics of all groups with intervals, as `score` does."""
        return score_units(self.units, metrics, self.cut, self.rules)

    def score(self, metric: str) -> Score:
        """Return one metric of the group that is drawn; it must not depend on a threshold."""
        found = score_units(self.own, [metric], self.cut, self.rules)
        return (found.average if self.group == AVERAGE else found.overall)[metric]

    def _curves(self, sample: Sample, weights: Floats) -> list[Curve]:
        """Return the group's curve, or each method's for `average`; all share score levels and false positives."""
        if self.group != AVERAGE:
            return [all_fakes(sample, weights)]
        real, fakes = sample.counts(weights)
        return [curve(real, fake) for fake in fakes]

    def roc(self) -> tuple[Floats, Floats]:
        """Return false and true positive rates [P], from (0, 0) to (1, 1), with a point for each distinct score.

        The mean over methods is taken at each threshold, that is, at each false positive rate: all have the same reals.
        """
        x, y = _rates(self._curves(self._plain, np.ones((1, 1))))
        return _corners(x[:, 0], y[:, 0])

    def roc_band(self, at: Floats) -> Band | None:
        """Return the interval of the true positive rate at each false positive rate `at` [G], over resampled clusters.

        Points are joined by straight lines, as in the AUC; of a vertical line the upper end counts.
        """

        def rise(curves: list[Curve]) -> Floats:
            x, y = _rates(curves)
            return np.stack([np.interp(at, x[:, b], y[:, b]) for b in range(x.shape[1])], axis=1)

        x, y = _rates(self._curves(self._plain, np.ones((1, 1))))
        return self._band(at, rise, np.interp(at, x[:, 0], y[:, 0]))

    def precision_recall(self) -> tuple[Floats, Floats]:
        """Return recall (ascending) and precision, both [P]; a precision holds from the recall before it to its own.

        The area under these steps is the average precision. Tied scores are one step. The mean over methods is taken at
        each recall.
        """
        curves = self._curves(self._plain, np.ones((1, 1)))
        steps = [_steps(c, 0) for c in curves]
        at = np.unique(np.concatenate([recall for recall, _ in steps]))
        return at, np.mean([_precision_at(recall, precision, at) for recall, precision in steps], axis=0)

    def precision_band(self, at: Floats) -> Band | None:
        """Return the interval of the precision at each recall `at` [G] in (0, 1], over resampled clusters."""

        def precision(curves: list[Curve]) -> Floats:
            columns = range(curves[0].tp.shape[1])
            return np.stack(
                [np.mean([_precision_at(*_steps(c, b), at) for c in curves], axis=0) for b in columns], axis=1
            )

        return self._band(at, precision, _precision_at(*self.precision_recall(), at))

    def bins(self) -> Bins:
        """Return the reliability bins of the group, which must not be `average`."""

        def diagram(sample: Sample, weights: Floats) -> tuple[Floats, Floats, Floats]:
            (c,) = self._curves(sample, weights)
            return reliability(Tally(c, sample.levels, c.n_fake, c.n_real, np.full_like(c.n_fake, 0.5)))

        n, score, fake = (values[:, 0] for values in diagram(self._plain, np.ones((1, 1))))
        low, high = np.full_like(n, np.nan), np.full_like(n, np.nan)
        drawn = self._resampled(lambda sample, weights: diagram(sample, weights)[2])
        if drawn is None:
            return Bins(n, score, fake, low, high)
        place = np.searchsorted(EDGES[1:-1], self.own.score, side="left")
        for i in np.flatnonzero(n):
            clusters = len(np.unique(self.own.cluster[place == i]))
            low[i], high[i] = self._share(float(fake[i]), drawn[i], clusters) or (np.nan, np.nan)
        return Bins(n, score, fake, low, high)

    def _share(self, value: float, drawn: Floats, clusters: int) -> tuple[float, float] | None:
        """Return the interval of a bin's share of fakes: percentiles, or Clopper and Pearson's at a share of 0 or 1."""
        defined = drawn[~np.isnan(drawn)]
        if clusters < 2 or len(defined) < FEWEST_DEFINED * len(drawn):
            return None
        if value in (0.0, 1.0):
            return boundary(value, clusters, self.rules.level)
        tail = expanded_tail(self.rules.level, clusters)
        low, high = np.quantile(defined, [tail, 1.0 - tail])
        return min(float(low), value), max(float(high), value)

    def _resampled(self, values: Callable[[Sample, Floats], Floats]) -> Floats | None:
        """Return `values` [G, B] of all resamples, joined; the draws are those of the metrics' intervals."""
        if self.rules.resamples == 0 or self.own.n_clusters < 2:
            return None
        sample = resampled(self.own, (0.5,), self.rules.seed)
        draws = sample.draws(self.rules.resamples, self.rules.seed)
        return np.concatenate(over_draws(draws, partial(values, sample)), axis=1)

    def _band(self, at: Floats, values: Callable[[list[Curve]], Floats], own: Floats) -> Band | None:
        drawn = self._resampled(lambda sample, weights: values(self._curves(sample, weights)))
        if drawn is None:
            return None
        defined = drawn[:, ~np.isnan(drawn).any(axis=0)]
        if defined.shape[1] < FEWEST_DEFINED * drawn.shape[1]:
            return None
        group = AVERAGE if self.group == AVERAGE else OVERALL
        tail = expanded_tail(self.rules.level, groups_of(self.own, group, "eer"))  # both classes, as the curve
        low, high = np.quantile(defined, [tail, 1.0 - tail], axis=1)
        # With few units the value can be outside its own percentiles, as in the intervals of metrics.
        return Band(at, np.minimum(low, own), np.maximum(high, own))


def _rates(curves: list[Curve]) -> tuple[Floats, Floats]:
    """Return FPR and mean TPR, both [T + 1, B], of curves with the same reals; NaN if a class is empty."""
    with np.errstate(invalid="ignore"):
        x = curves[0].fp / curves[0].n_real
        y = np.mean([c.tp / c.n_fake for c in curves], axis=0)
    start = np.zeros_like(x[:1])
    return np.concatenate([start, x]), np.concatenate([start, y])


def _corners(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the curve without points on the straight line between their neighbours."""
    moves = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
    x, y = x[moves], y[moves]
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dx[1:] * dy[:-1]) > 1e-15
    kept = np.concatenate([[True], turns, [True]])
    return x[kept], y[kept]


def _steps(c: Curve, column: int) -> tuple[Floats, Floats]:
    """Return recall and precision [P] where recall rises; empty without reals, where precision has no meaning."""
    tp, fp = c.tp[:, column], c.fp[:, column]
    rises = np.diff(tp, prepend=0.0) > 0
    if c.n_real[column] == 0:
        return np.array([]), np.array([])
    return tp[rises] / c.n_fake[column], tp[rises] / (tp[rises] + fp[rises])


def _precision_at(recall: Floats, precision: Floats, at: Floats) -> Floats:
    """Return the precision that holds at each recall; NaN if there are no steps."""
    if len(recall) == 0:
        return np.full(len(at), np.nan)
    step = np.searchsorted(recall, at - 1e-12, side="left")
    return precision[np.minimum(step, len(precision) - 1)]
