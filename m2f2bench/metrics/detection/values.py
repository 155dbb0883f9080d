"""Detection metrics over units (frames or videos): overall, each method's fakes against all reals, their average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..names import AT_HALF, AVERAGE, OVERALL
from ..registry import builtin, metric_of
from . import curve as curves
from .curve import Curve, ratio
from .each import values_of
from .sample import BINS, EDGES, Levels, Sample
from .tally import Tally, reliability

if TYPE_CHECKING:
    from ...core.records import Floats


@dataclass(frozen=True)
class Cut:
    """How decisions are made. A score of at least the threshold is called fake.

    `how` is `fixed` (at `value`), `eer` (where FPR = FNR on the very scores that are judged) or `best` (where
    `maximise` is highest on the very scores that are judged). The last two are oracles: they look at the labels.
    """

    how: str = "fixed"
    value: float = 0.5
    maximise: str = "balanced_accuracy"
    picked: bool = False
    """A fixed value that was picked on validation scores: decisions at 0.5 stand beside it, whatever it came out as."""

    @property
    def oracle(self) -> bool:
        """Whether the labels of what is judged decide the threshold."""
        return self.how != "fixed"


Values = dict[str, dict[str, "Floats"]]
"""Group (OVERALL, AVERAGE or a method) → metric → values [B]."""


def all_metrics(metrics: Sequence[str], cut: Cut) -> list[str]:
    """The metrics that are computed: those wanted and, where the threshold is not 0.5, the decisions at 0.5 too."""
    if cut == Cut():
        return list(metrics)
    return [n for name in metrics for n in ((name, name + AT_HALF) if metric_of(name).decision else (name,))]


def evaluate(sample: Sample, weights: Floats, metrics: Sequence[str], cut: Cut) -> Values:
    """Every metric for every group under each weighting of the clusters, `weights` float64 [C, B].

    The threshold is one for all groups. `metrics` may hold decision metrics ending in `@0.5`.
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
    """The curve of all methods' fakes together against the reals, from `Sample.counts`."""
    total = np.zeros_like(real)
    for fake in fakes:
        total += fake
    return curves.curve(real, total)


def _group(c: Curve, levels: Levels, own: Decisions, halves: Decisions, metrics: Sequence[str]) -> dict[str, Floats]:
    def at(called: Decisions) -> Tally:
        steps, cut = called
        return Tally(c, levels, _taken(c.tp, steps), _taken(c.fp, steps), cut)

    tally = at(own)
    at_half = at(halves) if any(name.endswith(AT_HALF) for name in metrics) else tally
    out = {}
    for name in metrics:
        metric, counts = metric_of(name), at_half if name.endswith(AT_HALF) else tally
        ours = metric.fast is not None and metric.name in builtin()
        out[name] = metric.fast(counts) if ours and metric.fast is not None else values_of(metric, counts)
    return out


Steps = np.ndarray[tuple[int], np.dtype[np.int64]]
Decisions = tuple[Steps, "Floats"]
"""How many levels from the top are called fake, [B], and the threshold, [B]."""


def _taken(values: Floats, steps: Steps) -> Floats:
    """values[steps - 1] per column, 0 where steps is 0; [T, B] and [B] to [B]."""
    found = np.take_along_axis(values, np.maximum(steps - 1, 0)[None], axis=0)[0]
    return np.where(steps > 0, found, 0.0)


def threshold(c: Curve, levels: Levels, cut: Cut) -> Decisions:
    """How many levels from the top are called fake, int64 [B], and at which threshold, float64 [B]."""
    width = c.tp.shape[1]
    if cut.how == "fixed":
        return np.full(width, levels.called(cut.value)), np.full(width, cut.value)
    between = _between(levels)
    if cut.how == "eer":
        crossing = curves.equal_error(c)
        called = crossing.step + (crossing.share >= 0.5)  # the ROC point that is nearer to the crossing
        return called, between[called]
    called = _best(c, between, cut.maximise)
    return called, between[called]


def _between(levels: Levels) -> Floats:
    """The threshold that calls just the first t levels fake, t = 0 … T: midway to the next; float64 [T + 1].

    A unit without a score that counts as wrong stands at ±infinity (see `protocol`), and no threshold reaches it.
    """
    above = np.concatenate([[np.nextafter(levels.high[0], np.inf)], levels.low])
    below = np.concatenate([levels.high, [levels.low[-1]]])
    with np.errstate(invalid="ignore"):
        middle = above + (below - above) / 2.0
    middle = np.where(np.isinf(below) | (middle <= below), above, middle)  # neighbouring floats have no middle
    middle[0] = above[0]
    return np.where(np.isposinf(above), np.nextafter(below, np.inf), middle)


def _best(c: Curve, between: Floats, maximise: str) -> Steps:
    """The number of levels called fake that maximises a decision metric; of equals the one nearest 0.5."""
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
    """The reliability diagram of all units: for each bin its ends, number of units, mean score, share of fakes."""
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
