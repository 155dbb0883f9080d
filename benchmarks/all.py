"""All benchmarks, one after the other, each in a process of its own (about an hour on two cores).

One that fails keeps none of the others from running; the exit status is 1 then. With --quick each does very little.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "leaderboard",
    "startup",
    "quickstart",
    "run_overhead",
    "small_images",
    "audit",
    "deepfakebench_listing",
    "hdf5_read",
    "video_reading",
    "manifest_listing",
    "machines",
    "memory",
    "kept_memory",
    "resume",
    "cluster",
    "intervals",
    "inference",
    "power",
    "check_alarms",
    "explanation",
    "training_feed",
    "training_pictures",
    "m2f2det_speed",
    "answers",
    "vlm_answers",
    "faces",
    "prepare",
    "demo",
)


def main() -> None:
    failed = []
    for name in NAMES:
        print(f"\n{name}", flush=True)
        done = subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py")), *sys.argv[1:]])
        if done.returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"\nfailed, or short of what is asked: {', '.join(failed)}")


if __name__ == "__main__":
    main()
