"""How near the smallest difference that `power` says is to the one that 80% of simulated tests find.

1,000 simulated cases of each design (see `tests/helpers/few_people.py`) at each of five true differences around what
`power` says; between them the difference with a power of 80% is interpolated. Asked: within 10%. With 1,000 cases
the simulated difference is known to about 3%. `--cases N` takes another number of cases.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import report, sized

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from few_people import Design, crossed, people, powered, structure_of_case, videos

from m2f2bench.stats.power import POWER, Model, smallest_from

CASES = sized(int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 1000, 20)
FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2)
ALIKE = 0.8
DESIGNS: dict[str, tuple[Design, int, Model]] = {
    "20 videos of 10 frames": (videos(20), 0, Model(ALIKE, 0.0, 0.6)),
    "40 videos of 10 frames": (videos(40), 0, Model(ALIKE, 0.0, 0.6)),
    "80 videos of 10 frames": (videos(80), 0, Model(ALIKE, 0.0, 0.6)),
    "60 videos, 2 to 300 frames": (videos(60, unequal=True), 0, Model(ALIKE, 0.0, 0.6)),
    "20 people": (people(20), 5, Model(ALIKE, 0.4, 0.3)),
    "40 people": (people(40), 5, Model(ALIKE, 0.4, 0.3)),
    "100 people": (people(100), 5, Model(ALIKE, 0.4, 0.3)),
    "30 people in pairs": (crossed(30), 0, Model(ALIKE, 0.4, 0.3, crossed=True)),
    "59 people in pairs": (crossed(59), 0, Model(ALIKE, 0.4, 0.3, crossed=True)),
}
"""A design, the frames of a video (0: a video is a cluster), and what its scores have in common."""


def simulated(design: Design, auc: float, around: float) -> float:
    """Return the difference that 80% of the simulated tests find."""
    gaps = [factor * around for factor in FACTORS]
    shares = np.maximum.accumulate([powered(design, (auc, auc - gap), ALIKE, CASES) for gap in gaps])
    return float(np.interp(POWER, shares, gaps))


def main() -> None:
    """Print a row for each design and AUC of the better detector."""
    rows: list[dict[str, object]] = []
    for name, (design, frames, model) in DESIGNS.items():
        of = structure_of_case(design(np.random.default_rng(0), 1.0, 2, ALIKE), frames)
        for auc in (0.8, 0.9):
            said, _ = smallest_from(of, auc, model)
            found = simulated(design, auc, said)
            rows.append({"design": name, "AUC": auc, "power says": said, "simulated": found, "ratio": said / found})
    report(rows)


if __name__ == "__main__":
    main()
