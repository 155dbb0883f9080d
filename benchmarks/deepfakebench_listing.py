"""Time and memory of listing and planning a million frames from a DeepfakeBench list: 31,250 videos of 32 frames.

Each is measured in a fresh process. The list's folders exist, its image files do not: none of them is looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, report, sized

VIDEOS, FRAMES = sized((31_250, 32), (40, 4))
MOST_SECONDS, MOST_MEGABYTES = 15.0, 1000.0
"""What is asked for a million frames."""
PLAN = """
import resource, sys, time
start = time.perf_counter()
from pathlib import Path
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.datasets.dataset import plan_frames
from m2f2bench.datasets.deepfakebench.adapter import DeepfakeBenchAdapter, DeepfakeBenchOptions
adapter = DeepfakeBenchAdapter(Path(sys.argv[1]), DeepfakeBenchOptions(dataset="DFDC"))
frames = plan_frames(adapter, "test", FrameSelection(count=32, which="uniform"))
taken = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(len(frames), taken, peak)
"""


def make_list(root: Path) -> int:
    """Write the list and its empty folders; return the size of the list in bytes."""
    groups: dict[str, dict[str, dict[str, object]]] = {}
    for label in ("DFDC_Real", "DFDC_Fake"):
        groups[label] = {"train": {}, "val": {}, "test": {}}
    for i in range(VIDEOS):
        label, name = ("DFDC_Fake", "DFDC_Real")[i % 5 == 0], f"video{i:06d}"
        (root / "DFDC/test/frames" / name).mkdir(parents=True)
        frames = [f"./datasets/rgb\\DFDC\\test\\frames\\{name}\\{10 * k:03d}.png" for k in range(FRAMES)]
        groups[label]["test"][name] = {"label": label, "frames": frames}
    path = root / "dataset_json/DFDC.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"DFDC": groups}), encoding="utf-8")
    return path.stat().st_size


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        size = make_list(Path(folder))
        words = [sys.executable, "-c", PLAN, folder]
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    frames, seconds, peak = done.stdout.split()
    row = {"frames": int(frames), "list (MB)": size / 1e6, "seconds": float(seconds), "peak memory (MB)": float(peak)}
    report([row])
    asked = row["seconds"] <= MOST_SECONDS and row["peak memory (MB)"] <= MOST_MEGABYTES
    if not sized(asked, True):
        raise SystemExit(f"more than {MOST_SECONDS:g} s or {MOST_MEGABYTES:g} MB")


if __name__ == "__main__":
    main()
