"""How often 95% intervals of the AUC hold the truth, and how often tests reject two equal detectors.

4,000 simulated cases of each design (few, unequal, shared people; see `tests/helpers/few_people.py`) at true AUCs of
.64, .80 and .94. Asked: intervals hold the truth in at least 93% of cases, from 20 groups on in at most 98%; tests
reject at most 6% at 5% and 1.3% at 1%, and from 40 groups on at least 2.5%. With 4,000 cases a share of 95% is known to
±0.7 points, one of 5% to ±0.7. `--cases N` takes another number of cases. With `--trainings`: two equal methods
of three trainings each, whose AUC differs between trainings by 0, .02 or .04 (asked are 3 to 7% at 5%), and the
intervals of the mean of three trainings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import report, sized

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from few_people import DESIGNS, Design, gap_of, influences, people, trained, videos

from m2f2bench.stats.clustered import auc_difference, auc_interval, trainings_difference, trainings_interval

AUCS, ALIKE = (0.64, 0.8, 0.94), (0.3, 0.8)
CASES = sized(int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 4000, 5)
SEED = 20261127


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


def main() -> None:
    """Print a row for each design, or with --trainings for each deviation between trainings."""
    rows: list[dict[str, object]] = []
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
