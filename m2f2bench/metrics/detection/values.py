"""Detection metrics over frames or videos: overall, each method's fakes against all reals, average of methods."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Codes, Floats
from ...stats.bootstrap import CHUNK, over_draws
from ...stats.statistic import ratio
from ..names import AT_HALF, AVERAGE, OVERALL
from ..registry import builtin, metric_of
from . import curve as curves
from .curve import Curve, Steps
from .sample import BINS, EDGES, Levels, Sample
from .tally import Tally, reliability, values_of


@dataclass(frozen=True)
class Cut:
    """Threshold policy of decisions. A score of at least the threshold is called fake.

    `how` is `fixed` (at `value`), `eer` (where FPR = FNR on the judged scores), `best` (where `maximise` is highest
    on the judged scores) or `fpr` (the lowest with an FPR of at most `value` on the judged scores). The last three are
    oracles: they use the labels.
    """

    how: str = "fixed"
    value: float = 0.5
    maximise: str = "balanced_accuracy"
    picked: bool = False
    """Whether the value was chosen on validation scores: decisions at 0.5 are then given too, even if it is 0.5."""

    @property
    def oracle(self) -> bool:
        """Whether the labels of the judged units decide the threshold."""
        return self.how != "fixed"


MANY = 64
"""Manipulations from which on those are not looked at one by one."""
Values = dict[str, dict[str, Floats]]
"""Group (OVERALL, AVERAGE or a method) → metric → values [B]."""


def all_metrics(metrics: Sequence[str], cut: Cut) -> list[str]:
    """Return the metrics to compute: those given and, unless the threshold is 0.5 by rule, the decisions at 0.5."""
    if cut == Cut():
        return list(metrics)
    return [n for name in metrics for n in ((name, name + AT_HALF) if metric_of(name).decision else (name,))]


def evaluate(
    sample: Sample, weights: Floats, metrics: Sequence[str], cut: Cut, some: Container[str] | None = None
) -> Values:
    """Return each metric of each group under each weighting of the clusters, `weights` float64 [C, B].

    With `some`, of all fakes and of these methods alone, and not the average over methods. All groups have the same
    threshold. `metrics` may hold decision metrics ending in `@0.5`.
    """
    real, fake = np.asarray(sample.real @ weights), np.asarray(sample.fake @ weights)
    everything = curves.curve(real, sample.of_all(fake))
    own = threshold(everything, sample.levels, cut)
    halves = np.full_like(own[0], sample.levels.called(0.5)), np.full_like(own[1], 0.5)
    out: Values = {OVERALL: _group(everything, sample.levels, own, halves, metrics)}
    if len(sample.methods) == 1:
        out[sample.methods[0]] = out[OVERALL]
    elif some is None and len(sample.methods) > MANY and weights.shape[1] == 1:
        out |= _of_many(sample, real, fake, own, halves, metrics)
    else:
        for number, method in enumerate(sample.methods):
            if some is None or method in some:
                c = curves.curve(real, sample.of_method(fake, number), everything.fp)
                out[method] = _group(c, sample.levels, own, halves, metrics)
    if sample.methods and some is None:
        own_values = [out[method] for method in sample.methods]
        out[AVERAGE] = {name: np.mean([values[name] for values in own_values], axis=0) for name in metrics}
    return out


def _of_many(
    sample: Sample, real: Floats, fake: Floats, own: Decisions, halves: Decisions, metrics: Sequence[str]
) -> Values:
    """Return each metric of each of many methods under one weighting: methods are the columns, some at a time."""
    width = max(1, CHUNK // len(sample.levels))
    numbers = np.arange(len(sample.methods))

    def of(some: Codes) -> dict[str, Floats]:
        first, last = sample.starts[some[0]], sample.starts[some[-1] + 1]
        there = real[:, 0] > 0
        there[sample.places[first:last]] = True
        there[0] |= not there.any()
        kept, place = np.flatnonzero(there), np.cumsum(there) - 1
        fakes = np.zeros((len(kept), len(some)))
        column = np.repeat(np.arange(len(some)), np.diff(sample.starts[some[0] : some[-1] + 2]))
        fakes[place[sample.places[first:last]], column] = fake[first:last, 0]
        c = curves.curve(np.repeat(real[kept], len(some), axis=1), fakes)
        levels = sample.levels.take(kept)
        called = [np.full(len(some), there[: int(steps[0])].sum()) for steps, _ in (own, halves)]
        cuts = [np.full(len(some), cut[0]) for _, cut in (own, halves)]
        return _group(c, levels, (called[0], cuts[0]), (called[1], cuts[1]), metrics)

    pieces = over_draws((numbers[first : first + width] for first in range(0, len(numbers), width)), of)
    found = {name: np.concatenate([piece[name] for piece in pieces]) for name in metrics}
    return {
        method: {name: values[number : number + 1] for name, values in found.items()}
        for number, method in enumerate(sample.methods)
    }


def all_fakes(sample: Sample, weights: Floats) -> Curve:
    """Return the curve of all methods' fakes together against the reals, with the clusters' weights [C, B]."""
    return curves.curve(np.asarray(sample.real @ weights), sample.of_all(np.asarray(sample.fake @ weights)))


def _group(c: Curve, levels: Levels, own: Decisions, halves: Decisions, metrics: Sequence[str]) -> dict[str, Floats]:
    def at(called: Decisions) -> Tally:
        steps, cut = called
        return Tally(c, levels, curves.after(c.tp, steps), curves.after(c.fp, steps), cut)

    tally = at(own)
    at_half = at(halves) if any(name.endswith(AT_HALF) for name in metrics) else tally
    out = {}
    for name in metrics:
        metric, counts = metric_of(name), at_half if name.endswith(AT_HALF) else tally
        ours = metric.fast is not None and metric.name in builtin()
        out[name] = metric.fast(counts) if ours and metric.fast is not None else values_of(metric, counts)
    return out


Decisions = tuple[Steps, Floats]
"""Number of levels, from the top, that are called fake [B], and the threshold [B]."""


def threshold(c: Curve, levels: Levels, cut: Cut) -> Decisions:
    """Return how many levels, from the top, are called fake, int64 [B], and the threshold, float64 [B]."""
    width = c.tp.shape[1]
    if cut.how == "fixed":
        return np.full(width, levels.called(cut.value)), np.full(width, cut.value)
    between = _between(levels)
    if cut.how == "eer":
        crossing = curves.equal_error(c)
        called = crossing.step + (crossing.share >= 0.5)  # the ROC point nearer to the crossing
        return called, between[called]
    if cut.how == "fpr":
        called = curves.within(c, cut.value)
        return called, np.where(c.n_real > 0, between[called], np.nan)
    called = _best(c, between, cut.maximise)
    return called, between[called]


def _between(levels: Levels) -> Floats:
    """Return thresholds that call exactly the first t levels fake, t = 0 … T: the midpoints; float64 [T + 1].

    A unit without a score that counts as wrong has the score ±infinity (see `protocol`): no threshold reaches it.
    """
    above = np.concatenate([[np.nextafter(levels.high[0], np.inf)], levels.low])
    below = np.concatenate([levels.high, [levels.low[-1]]])
    with np.errstate(invalid="ignore"):
        middle = above + (below - above) / 2.0
    middle = np.where(np.isinf(below) | (middle <= below), above, middle)  # neighbouring floats have no middle
    middle[0] = above[0]
    return np.where(np.isposinf(above), np.nextafter(below, np.inf), middle)


def _best(c: Curve, between: Floats, maximise: str) -> Steps:
    """Return the number of levels called fake that maximises a decision metric; in a tie, the threshold nearest 0.5."""
    tp = np.concatenate([np.zeros_like(c.tp[:1]), c.tp])
    fp = np.concatenate([np.zeros_like(c.fp[:1]), c.fp])
    if maximise == "accuracy":
        gain = tp - fp
    elif maximise == "balanced_accuracy":
        gain = ratio(tp, c.n_fake) - ratio(fp, c.n_real)
    else:
        gain = ratio(2.0 * tp, tp + fp + c.n_fake)
    gain[~np.isfinite(between)] = -np.inf
    best = np.nanmax(gain, axis=0, initial=-np.inf)
    distance = np.where(gain >= best - 1e-12, np.abs(between - 0.5)[:, None], np.inf)
    return np.asarray(np.argmin(distance, axis=0))


def reliability_bins(sample: Sample) -> list[Mapping[str, float | int | None]]:
    """Return the reliability diagram of all units: each bin's ends, number of units, mean score and share of fakes."""
    c = all_fakes(sample, np.ones((1, 1)))
    n, score, share = (
        values[:, 0] for values in reliability(Tally(c, sample.levels, c.n_fake, c.n_real, np.full(1, 0.5)))
    )
    return [
        {
            "low": float(EDGES[i]),
            "high": float(EDGES[i + 1]),
            "n": int(n[i]),
            "score": float(score[i]) if n[i] else None,
            "fake": float(share[i]) if n[i] else None,
        }
        for i in range(BINS)
    ]
