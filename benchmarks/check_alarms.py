"""How often `check` fails a detector that is as good as its baseline, and how often a margin passes one that is worse.

Simulated releases of each design (see `tests/helpers/few_people.py`) at an AUC of .9; the scores then and now correlate
by .8. *Alarms*: equal detectors that fail, all main metrics of protocol `frame` together (asked: at most 5%). *Passes*:
of detectors whose AUC is worse by exactly the margin, those that `check --margin` passes (at most 5%). *Shown*: of
equal detectors, those that it passes. With 300 cases a share of 5% is known to ±2.5 points. `--cases N` takes another
number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import report, sized

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from few_people import Case, Design, crossed, gap_of, people, videos

from m2f2bench.cards.protocols import DETECTION_METRICS, Bootstrap
from m2f2bench.core.rows import Units
from m2f2bench.metrics.detection.paired import Difference, Judged, Paired
from m2f2bench.metrics.detection.tails import differences
from m2f2bench.metrics.detection.values import Cut
from m2f2bench.metrics.names import OVERALL
from m2f2bench.metrics.registry import metric_of
from m2f2bench.runs.check import decided, shown

CASES = sized(int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 300, 2)
MAIN = [name for name in DETECTION_METRICS if metric_of(name).headline]
AUC, CHANCE, ALIKE, SEED = 0.9, 0.05, 0.8, 20261127
MARGINS = (0.02, 0.05)
DESIGNS: dict[str, Design] = {
    "40 videos of 10 frames": videos(40),
    "80 videos of 10 frames": videos(80),
    "40 people": people(40),
    "100 people": people(100),
    "59 people in pairs": crossed(59),
}


def units(case: Case, scores: np.ndarray) -> Units:
    """One detector's units from latent scores."""
    method = np.where(case.label == 1, "fake", "original").astype(object)
    video = case.cluster.astype(str).astype(object)
    n = int(case.cluster.max()) + 1
    return Units(
        case.label, 1 / (1 + np.exp(-scores)), method, video, case.cluster, n, 1.0, ("fake",), people=case.people
    )


def released(case: Case, aucs: tuple[float, float], metrics: list[str], margin: float | None) -> list[Difference]:
    """The differences now - then of two detectors with these true AUCs."""
    judged = [
        Judged(
            units(case, one + gap_of(auc) * (case.label - 0.5)),
            Cut(),
            metrics,
            Bootstrap(resamples=200 if margin else 1000),
        )
        for one, auc in zip(case.scores, aucs, strict=True)
    ]
    pair = Paired(judged[0], judged[1], margin, CHANCE)
    return differences([pair], [(OVERALL, name) for name in metrics], len(metrics), CHANCE)[0]


def alarms(design: Design) -> float:
    """The share of equal detectors that fail."""
    rng, failed = np.random.default_rng(SEED), 0
    for _ in range(CASES):
        found = decided(released(design(rng, 0.0, 2, ALIKE), (AUC, AUC), MAIN, None), CHANCE, 0.0, [])
        failed += any(one.failed for one in found)
    return failed / CASES


def passes(design: Design, now: float, margin: float) -> float:
    """The share of detectors with the true AUC `now` that a margin passes."""
    rng, passed = np.random.default_rng(SEED), 0
    for _ in range(CASES):
        found = shown(released(design(rng, 0.0, 2, ALIKE), (now, AUC), ["auc"], margin), CHANCE)
        passed += not found[0].failed
    return passed / CASES


def main() -> None:
    """Print a row for each design."""
    rows: list[dict[str, object]] = []
    for name, design in DESIGNS.items():
        row: dict[str, object] = {"design": name, "alarms": alarms(design)}
        for margin in MARGINS:
            row[f"passes {margin:g} worse"] = passes(design, AUC - margin, margin)
            row[f"equals shown {margin:g}"] = passes(design, AUC, margin)
        rows.append(row)
    report(rows)


if __name__ == "__main__":
    main()
