"""Leave-one-manipulation-out: AUC on fakes of a manipulation that was learned, and of one that was left out; a table.

python benchmarks/left_out.py SEEN FOLDER

SEEN has the results of trainings on all manipulations. FOLDER has a folder for each manipulation that was left out,
with `board.csv`, the board of those trainings. Numbers are means over trainings; intervals are those of the boards.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean

import pandas as pd

HEAD = ("detector", "manipulation", "fakes", "AUC, learned", "AUC, left out", "trainings each")


def rows(seen: Path, board: Path) -> list[list[str]]:
    """Return the cells of one manipulation's detectors, in the order of its board."""
    cells = []
    for line in pd.read_csv(board).query("metric == 'auc' and rank.notna()").to_dict("records"):
        method = line["dataset"].rpartition("@")[2]
        paths = sorted(seen.glob(f"{line['detector']}-seed*.json"))
        learned = [json.loads(path.read_text())["methods"][method]["auc"]["value"] for path in paths]
        if not learned:
            raise SystemExit(f"{seen}: no results of {line['detector']}")
        unseen = f"{line['value']:.3f} ± {line['deviation']:.3f} [{line['ci_low']:.3f}, {line['ci_high']:.3f}]"
        trainings = f"{len(learned)} and {line['trainings']:.0f}"
        cells.append([line["detector"], method, f"{line['n_fake']:.0f}", f"{mean(learned):.3f}", unseen, trainings])
    return cells


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seen", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    boards = sorted(given.folder.glob("*/board.csv"))
    if not boards:
        raise SystemExit(f"{given.folder}: no folder with a board.csv")
    found = [line for board in boards for line in rows(given.seen, board)]
    for line in (list(HEAD), ["---"] * 2 + ["---:"] * 4, *sorted(found)):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    main()
