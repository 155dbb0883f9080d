"""Transfer of a threshold: what one that was chosen on validation scores does on other scores.

The rates there, and the regret: how much better the best threshold for the same aim would have been. Both the
validation and the judged clusters are resampled: a threshold from few validation people is chance too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cards.protocols import Bootstrap
from ...core.arrays import Codes, Floats
from ...core.records import REAL
from ...core.rows import Units
from ...stats.bootstrap import percentile_interval
from ...stats.statistic import ratio
from . import curve as curves
from . import values as detection
from .clusters import in_one_cluster, members
from .curve import Curve
from .intervals import sample_of
from .sample import Sample, plain
from .tally import Tally, accuracy, balanced_accuracy, f1
from .values import Cut

RATES = ("fpr", "tpr")
OF = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "f1": f1}
"""What a policy may maximise."""


def too_few_reals(units: Units, rate: float) -> str:
    """Return why no threshold on these units has a false positive rate of `rate`; empty if one can."""
    real = units.label == REAL
    n, lost = int(real.sum()), int(np.isposinf(units.score[real]).sum())
    if n * rate < 1.0 - 1e-9:
        needed = int(np.ceil(1.0 / rate - 1e-9))
        return f"{n} real units are too few for an FPR of {rate:g}: at least {needed:,} are needed"
    if lost > n * rate * (1.0 + 1e-12):
        return f"{lost} of {n} real units have no score and count as wrong: no threshold has an FPR of {rate:g}"
    return ""


def transfer(validation: Units, judged: Units, wanted: Cut, threshold: float, resampling: Bootstrap) -> dict[str, Any]:
    """Return what `threshold`, which the policy `wanted` gives on the validation units, does on the judged ones.

    JSON-ready: `validation` and `test` have the rates `fpr` and `tpr`, in [0, 1], the latter with intervals `ci` (None
    without one); `best` has the threshold that the policy would give on the judged units and what it reaches; `regret`
    is that minus what was reached, in `of`: the TPR if a rate was wanted, else what is maximised (balanced accuracy for
    `eer`). A TPR above the best is possible where the FPR is above the wanted one: the regret is then negative.
    """
    aim = _aim(wanted)
    here = plain(judged)
    one = np.ones((1, 1))
    curve = detection.all_fakes(here, one)
    fixed = np.full(1, threshold)
    found = {name: float(value[0]) for name, value in _at(curve, here, fixed, aim).items()}
    before = plain(validation)
    there = _at(detection.all_fakes(before, one), before, fixed, aim)
    best = float(_best(curve, here, wanted)[0])
    picked = float(detection.threshold(curve, here.levels, _on(wanted))[1][0])
    drawn = _resampled(validation, judged, wanted, aim, resampling)
    m = members(judged, "")
    groups = {"fpr": m.clusters_real, "tpr": m.clusters_fake}
    alone = in_one_cluster(members(validation, ""), validation.n_clusters < 2)
    why = in_one_cluster(m) or alone.replace("no interval: all", "no interval: of the validation units all")
    test = {}
    for name in RATES:
        ci, reason = _interval(found[name], drawn.get(name), groups[name], resampling, why, (0.0, 1.0))
        test[name] = {"value": found[name], "ci": ci, **({"reason": reason} if reason else {})}
    regret = best - found["aim"]
    ci, reason = _interval(regret, _unbiased(drawn, best), m.clusters, resampling, why, None)
    return {
        "validation": {name: float(there[name][0]) for name in RATES},
        "test": test,
        "best": {"threshold": picked if np.isfinite(picked) else None, "value": best},
        "regret": {"of": aim, "value": regret, "ci": ci, **({"reason": reason} if reason else {})},
        "resampled": "validation and test",
    }


def _aim(wanted: Cut) -> str:
    """Return what a policy is after: `tpr`, or the decision metric that it maximises."""
    return "tpr" if wanted.how == "fpr" else wanted.maximise if wanted.how == "best" else "balanced_accuracy"


def _on(wanted: Cut) -> Cut:
    """Return the policy of the best threshold on the judged units: for `eer`, the best balanced accuracy."""
    return Cut("best", maximise="balanced_accuracy") if wanted.how == "eer" else wanted


def _at(c: Curve, sample: Sample, thresholds: Floats, aim: str) -> dict[str, Floats]:
    """Return the rates and the `aim` at a threshold for each weighting, float64 [B]."""
    called: Codes = np.searchsorted(-sample.levels.high, -thresholds, side="right")
    tp, fp = curves.after(c.tp, called), curves.after(c.fp, called)
    missing = np.isnan(thresholds)
    found = {"fpr": ratio(fp, c.n_real), "tpr": ratio(tp, c.n_fake)}
    found["aim"] = found["tpr"] if aim == "tpr" else OF[aim](Tally(c, sample.levels, tp, fp, thresholds))
    return {name: np.where(missing, np.nan, values) for name, values in found.items()}


def _best(c: Curve, sample: Sample, wanted: Cut) -> Floats:
    """Return what the best threshold on these counts reaches, float64 [B]."""
    if wanted.how == "fpr":
        return curves.tpr_at_fpr(c, wanted.value)
    _, thresholds = detection.threshold(c, sample.levels, _on(wanted))
    return _at(c, sample, thresholds, _aim(wanted))["aim"]


def _resampled(validation: Units, judged: Units, wanted: Cut, aim: str, resampling: Bootstrap) -> dict[str, Floats]:
    """Return the rates, the aim and the best in each resample, float64 [resamples]; empty if nothing can be drawn."""
    if resampling.resamples == 0 or min(validation.n_clusters, judged.n_clusters) < 2:
        return {}
    before, here = sample_of(validation, wanted, resampling.seed), sample_of(judged, wanted, resampling.seed)
    draws = before.draws(resampling.resamples, resampling.seed + 1)  # the validation's people are others
    thresholds = np.concatenate(
        [detection.threshold(detection.all_fakes(before, w), before.levels, wanted)[1] for w in draws]
    )
    pieces, start = [], 0
    for weights in here.draws(resampling.resamples, resampling.seed):
        own = thresholds[start : start + weights.shape[1]]
        start += weights.shape[1]
        c = detection.all_fakes(here, weights)
        pieces.append({**_at(c, here, own, aim), "best": _best(c, here, wanted)})
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _unbiased(drawn: dict[str, Floats], best: float) -> Floats | None:
    """Return the regret in each resample without the bias of the best, which is picked on the scores it judges."""
    if not drawn:
        return None
    return np.asarray(drawn["best"] - 2.0 * (np.nanmean(drawn["best"]) - best) - drawn["aim"])


def _interval(
    value: float,
    drawn: Floats | None,
    groups: int,
    resampling: Bootstrap,
    why: str,
    ends: tuple[float, float] | None,
) -> tuple[list[float] | None, str]:
    if resampling.resamples == 0:
        return None, ""
    ci, reason = (None, why) if why else percentile_interval(value, drawn, groups, resampling, ends)
    return (None if ci is None else [float(end) for end in ci]), reason or ""
