"""All benchmarks, one after the other, each in a process of its own (about half an hour on two cores)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "leaderboard",
    "startup",
    "run_overhead",
    "hdf5_read",
    "memory",
    "intervals",
    "explanation",
    "m2f2det_speed",
    "answers",
)


def main() -> None:
    for name in NAMES:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py")), *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
