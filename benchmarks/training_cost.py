"""What trainings cost, from their records: a table with a row for each detector.

python benchmarks/training_cost.py FOLDER

FOLDER has records as `train` writes them (`training.json` under any name). Minutes are of the clock, over all runs of a
training that was cut off, on the processor and with the threads that the record names.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from statistics import mean
from typing import Any

HEAD = (
    *("detector", "loss", "pixels", "precision", "images at most"),
    *("trainings", "minutes each", "threads", "validation AUC"),
)


def row(records: list[dict[str, Any]]) -> list[str]:
    """Return the cells of one detector's trainings."""
    settings, size = records[0]["settings"], records[0]["card"]["input"]["size"]
    minutes = [one["seconds"] / 60 for one in records]
    threads = {found[1] for one in records for note in one["notes"] if (found := re.search(r"(\d+) threads", note))}
    seen = settings["epochs"] * (settings.get("epoch_images") or records[0]["n_train"]["frames"])
    return [
        records[0]["detector"],
        settings.get("loss", {}).get("name", "cross-entropy"),
        f"{size}",
        settings["precision"],
        f"{seen:,}",
        f"{len(records)}",
        f"{mean(minutes):.1f} ({min(minutes):.1f} to {max(minutes):.1f})",
        ", ".join(sorted(threads)),
        f"{mean(one['val_auc'] for one in records):.3f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(given.folder.glob("*.json")):
        record = json.loads(path.read_text())
        found.setdefault(record["detector"], []).append(record)
    if not found:
        raise SystemExit(f"{given.folder}: no records of trainings")
    print("| " + " | ".join(HEAD) + " |")
    print("|---|---|---:|---|---:|---:|---:|---:|---:|")
    for records in found.values():
        print("| " + " | ".join(row(records)) + " |")


if __name__ == "__main__":
    main()
