"""Listing and planning a manifest of a million lines, in a process of its own. Asked: at most 45 s and 1 GB.

The lines name images that do not exist but for the first: nothing is read but the manifest. `plain` has the columns
path and label, and each image is a video; `videos` has six columns, and 32 images a video.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import report, sized

LINES = sized(1_000_000, 1000)
SECONDS, MIB = 45.0, 1000.0

CHILD = """
import json, resource, sys, time
import m2f2bench
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.datasets.dataset import plan_frames
adapter = m2f2bench.load_dataset(sys.argv[1]).adapter
wall, cpu = time.perf_counter(), time.process_time()
frames = plan_frames(adapter, "test", FrameSelection())
spent = (time.perf_counter() - wall, time.process_time() - cpu)
print(json.dumps([len(frames), *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def write(path: Path, videos: bool) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("path,label,video,method,split,identity\n" if videos else "path,label\n")
        for i in range(LINES):
            video, fake = i // 32, i // 32 % 2
            name = f"{'fake' if fake else 'real'}/m{video % 7}/{video:06d}/{i % 32:03d}.png,{fake}"
            method = f"m{video % 7}" if fake else ""
            file.write(f"{name},{video:06d},{method},test,p{video % 1000}\n" if videos else f"{name}\n")
    first = path.parent / "real" / "m0" / "000000" / "000.png"
    first.parent.mkdir(parents=True, exist_ok=True)
    first.touch()


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what in ("plain", "videos"):
            path = Path(folder) / f"{what}.csv"
            write(path, what == "videos")
            words = [sys.executable, "-c", CHILD, str(path)]
            told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            count, wall, cpu, peak = json.loads(told)
            if count != LINES:
                raise SystemExit(f"{what}: {count} frames of {LINES} lines")
            asked = f"<= {SECONDS:g} s, {MIB:g} MiB"
            rows.append({"manifest": what, "lines": LINES, "s": wall, "cpu_s": cpu, "peak_mib": peak, "asked": asked})
    report(rows)
    asked = all(row["cpu_s"] <= SECONDS and row["peak_mib"] <= MIB for row in rows)
    if not sized(asked, True):
        raise SystemExit("more than is asked")


if __name__ == "__main__":
    main()
