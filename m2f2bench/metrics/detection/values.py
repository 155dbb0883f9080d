"""Detection metrics over frames or videos: overall, each method's fakes against all reals, average of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Floats
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


Values = dict[str, dict[str, Floats]]
"""Group (OVERALL, AVERAGE or a method) → metric → values [B]."""


def all_metrics(metrics: Sequence[str], cut: Cut) -> list[str]:
    """Return the metrics to compute: those given and, unless the threshold is 0.5 by rule, the decisions at 0.5."""
    if cut == Cut():
        return list(metrics)
    return [n for name in metrics for n in ((name, name + AT_HALF) if metric_of(name).decision else (name,))]


def evaluate(sample: Sample, weights: Floats, metrics: Sequence[str], cut: Cut) -> Values:
    """Return each metric of each group under each weighting of the clusters, `weights` float64 [C, B].

    All groups have the same threshold. `metrics` may hold decision metrics ending in `@0.5`.
    """
    real, fakes = sample.counts(weights)
    everything = all_fakes(real, fakes)
    own = threshold(everything, sample.levels, cut)
    halves = np.full_like(own[0], sample.levels.called(0.5)), np.full_like(own[1], 0.5)
    out: Values = {OVERALL: _group(everything, sample.levels, own, halves, metrics)}
    for method, fake in zip(sample.methods, fakes, strict=True):
        if len(fakes) == 1:
            out[method] = out[OVERALL]
        else:
            out[method] = _group(curves.curve(real, fake), sample.levels, own, halves, metrics)
    if sample.methods:
        own_values = [out[method] for method in sample.methods]
        out[AVERAGE] = {name: np.mean([values[name] for values in own_values], axis=0) for name in metrics}
    return out


def all_fakes(real: Floats, fakes: Sequence[Floats]) -> Curve:
    """Return the curve of all methods' fakes together against the reals, from `Sample.counts`."""
    return curves.curve(real, sum(fakes, np.zeros_like(real)))


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
    real, fakes = sample.counts(np.ones((1, 1)))
    c = all_fakes(real, fakes)
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
