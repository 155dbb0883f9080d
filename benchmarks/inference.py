"""How often 95% intervals of the AUC hold the truth, and how often tests reject two equal detectors.

4,000 simulated cases of each design (few, unequal, shared people; see `tests/helpers/few_people.py`) at true AUCs of
.64, .80 and .94. Asked: intervals hold the truth in at least 93% of cases, from 20 groups on in at most 98%; tests
reject at most 6% at 5% and 1.3% at 1%, and from 40 groups on at least 2.5%. With 4,000 cases a share of 95% is known to
±0.7 points, one of 5% to ±0.7. `--cases N` takes another number of cases. With `--trainings`: two equal methods
of three trainings each, whose AUC differs between trainings by 0, .02 or .04 (asked are 3 to 7% at 5%), and the
intervals of the mean of three trainings. With `--resampled`: the intervals of other metrics, by plain and by expanded
percentiles of 400 resamples, and tests of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import report, sized

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from few_people import DESIGNS, Case, Design, gap_of, influences, people, trained, videos
from scipy.special import ndtr

from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection.intervals import score_units
from m2f2bench.metrics.detection.paired import Judged, Paired
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.stats.clustered import auc_difference, auc_interval, trainings_difference, trainings_interval

AUCS, ALIKE = (0.64, 0.8, 0.94), (0.3, 0.8)
CASES = sized(int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 4000, 5)
SEED = 20261127
RESAMPLED = ["accuracy", "balanced_accuracy", "eer", "brier"]
"""Metrics with resampled intervals whose true value does not depend on how many fakes there are."""


def coverage(design: Design, auc: float) -> float:
    """Share of the 95% intervals that hold the true AUC; at 0 and 1 there are others."""
    rng, held = np.random.default_rng(SEED), []
    for _ in range(CASES):
        (found,) = influences(design(rng, gap_of(auc), 1, 0.0))
        if 0.0 < found.value < 1.0:
            low, high = auc_interval(found, 0.95)
            held.append(low <= auc <= high)
    return float(np.mean(held))


def rejections(design: Design, auc: float, alike: float) -> np.ndarray:
    """p-values of the difference of two detectors that have the same true AUC, [CASES]."""
    rng, found = np.random.default_rng(SEED), []
    for _ in range(CASES):
        tested = auc_difference(*influences(design(rng, gap_of(auc), 2, alike)), 0.95)
        found.append(1.0 if tested is None else tested.p)
    return np.array(found)


def of_trainings(design: Design, auc: float, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """p-values of two equal methods with three trainings each, and whether the interval of the first one's mean holds
    the truth, [CASES]."""
    rng, found, held = np.random.default_rng(SEED), [], []
    for _ in range(CASES):
        own = influences(trained(design, rng, auc, deviation))
        tested = trainings_difference(own[:3], own[3:], 0.95)
        found.append(1.0 if tested is None else tested.p)
        low, high = trainings_interval(own[:3], 0.95)
        held.append(low <= auc <= high)
    return np.array(found), np.array(held)


def units_of(case: Case, detector: int, gap: float) -> Units:
    """The units of one detector; a score is P(fake) of a well-placed threshold .5, too sure of itself by a fifth."""
    method = np.where(case.label == 1, "fake", "original").astype(object)
    score = ndtr(1.2 * (case.scores[detector] - gap / 2.0))
    names, n = np.full(len(method), "", dtype=object), int(case.cluster.max()) + 1
    return Units(case.label, score, method, names, case.cluster, n, 1.0, ("fake",), people=case.people)


def truth(gap: float) -> dict[str, float]:
    """The values of a million independent units."""
    label = np.arange(1_000_000) % 2
    latent = gap * label + np.random.default_rng(SEED).normal(size=len(label))
    case = Case(label, np.arange(len(label)), latent[None])
    found = score_units(units_of(case, 0, gap), RESAMPLED, Cut(), Bootstrap(resamples=0)).overall
    return {name: float(found[name].value or 0.0) for name in RESAMPLED}


def of_resamples(design: Design, gap: float, true: dict[str, float]) -> dict[str, list[float]]:
    """For each metric: how often plain and expanded percentiles hold the truth, and tests at 5% reject two equals."""
    rng, hits = np.random.default_rng(SEED), {name: np.zeros(3) for name in RESAMPLED}
    for seed in range(CASES):
        case, rules = design(rng, gap, 2, 0.8), Bootstrap(resamples=400, seed=seed)
        one, other = (Judged(units_of(case, i, gap), Cut(), RESAMPLED, rules) for i in range(2))
        tested = Paired(one, other)
        found = score_units(one.units, RESAMPLED, Cut(), rules).overall
        for name in RESAMPLED:
            plain = np.nanquantile(one.drawn[""][name], [0.025, 0.975])
            low, high = found[name].ci or (0.0, 1.0)
            p = tested.difference("", name).p
            hits[name] += [plain[0] <= true[name] <= plain[1], low <= true[name] <= high, p is not None and p <= 0.05]
    return {name: (own / CASES).tolist() for name, own in hits.items()}


def resampled() -> list[dict[str, object]]:
    """Return a row for each design: of each metric the shares of `of_resamples`."""
    gap = gap_of(0.8)
    true, rows = truth(gap), []
    for name, design in DESIGNS.items():
        row: dict[str, object] = {"design": name}
        for metric, (plain, wide, rejected) in of_resamples(design, gap, true).items():
            row |= {f"{metric}: plain": plain, f"{metric}: expanded": wide, f"{metric}: rejects": rejected}
        rows.append(row)
    return rows


def main() -> None:
    """Print a row for each design, or with --trainings for each deviation between trainings."""
    rows: list[dict[str, object]] = []
    if "--resampled" in sys.argv:
        report(resampled())
        return
    if "--trainings" in sys.argv:
        for name, design in (("100 people", people(100)), ("30 people", people(30)), ("60 videos", videos(60))):
            for deviation in (0.0, 0.02, 0.04):
                both = [of_trainings(design, auc, deviation) for auc in (0.8, 0.9)]
                p, held = (np.concatenate(one) for one in zip(*both, strict=True))
                told = {"5%": float((p <= 0.05).mean()), "1%": float((p <= 0.01).mean()), "held": float(held.mean())}
                rows.append({"design": name, "between trainings": deviation, **told})
        report(rows)
        return
    designs = {**DESIGNS, "80 videos of 10 frames": videos(80), "40 people": people(40)}
    for name, design in designs.items():
        row: dict[str, object] = {"design": name}
        for auc in AUCS:
            row[f"held .{round(auc * 100)}"] = coverage(design, auc)
            for alike in ALIKE:
                p = rejections(design, auc, alike)
                row[f"5% .{round(auc * 100)} r.{round(alike * 10)}"] = float((p <= 0.05).mean())
                row[f"1% .{round(auc * 100)} r.{round(alike * 10)}"] = float((p <= 0.01).mean())
        rows.append(row)
    report(rows)


if __name__ == "__main__":
    main()
